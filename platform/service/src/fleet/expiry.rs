//! When the fleet's certificates expire: what there is to renew, and whom a renewal has passed by.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use domain::credential::{BucketWidth, RENEWAL_GRACE};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Context, Result};

/// The most bars of one histogram: a year of days.
const BUCKETS_MAX: usize = 366;

/// The certificates of active boxes by the time of their expiry. Of each box the one counts that lasts longest.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = CertificateExpiry)]
pub struct Forecast {
    /// The moment that this holds for.
    pub at: DateTime<Utc>,
    /// Active boxes.
    pub devices: i64,
    /// Of these, without a certificate: never activated, or revoked.
    pub without_certificate: i64,
    /// Expired for longer than a certificate may still be renewed: these need a new activation code.
    pub expired: i64,
    /// Expired, and still good for their renewal.
    pub in_grace: i64,
    /// How wide the buckets are.
    pub by: BucketWidth,
    /// From today on, the empty ones included.
    pub buckets: Vec<Bucket>,
    /// Beyond the last bucket.
    pub later: i64,
}

/// How many expire from one moment until before another.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = CertificateExpiryBucket)]
pub struct Bucket {
    /// Midnight, UTC.
    pub from: DateTime<Utc>,
    /// Midnight, UTC: no part of it.
    pub until: DateTime<Utc>,
    /// How many.
    pub count: i64,
}

/// The forecast of this moment.
pub async fn forecast(context: &Context, by: BucketWidth) -> Result<Forecast> {
    let now = context.clock().now();
    let today = now.date_naive().and_time(NaiveTime::MIN).and_utc();
    let mut conn = context.lists().acquire().await?;
    let expiry = store::fleet::credential::expiry(&mut conn, today, RENEWAL_GRACE, now).await?;
    let counted: i64 = expiry.days.iter().map(|(_, count)| count).sum();
    let days: Vec<(u32, i64)> = expiry
        .days
        .into_iter()
        .map(|(day, count)| (u32::try_from(day).unwrap_or(0), count))
        .collect();
    let (buckets, later) = by.buckets(&days, BUCKETS_MAX);
    let width = TimeDelta::days(i64::from(by.days()));
    let mut until = today;
    let buckets = buckets
        .into_iter()
        .map(|count| {
            let from = until;
            until = from + width;
            Bucket { from, until, count }
        })
        .collect();
    Ok(Forecast {
        at: now,
        devices: expiry.devices,
        without_certificate: expiry.devices - counted - expiry.expired - expiry.in_grace,
        expired: expiry.expired,
        in_grace: expiry.in_grace,
        by,
        buckets,
        later,
    })
}
