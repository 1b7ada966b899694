//! The merchant portal: what a merchant's people see of their own shop.

use std::collections::HashMap;

use chrono::{DateTime, Days, FixedOffset, NaiveDate, TimeDelta, Utc};
use domain::role::Role;
use serde::Serialize;
use utoipa::ToSchema;
use wire::Rupiah;
use wire::ids::{MerchantId, OutletId};

use crate::service::people::token::Principal;
use crate::service::shop::merchant;
use crate::service::{Context, Result};
use crate::store::shop::merchant::Merchant;
use crate::store::shop::portal::{Boxes, Takings};
use crate::store::{self, Scope};

/// Jakarta's time: UTC+7, without daylight saving since 1964.
const JAKARTA_S: i32 = 7 * 3600;
/// Today and the six days before.
const WEEK_DAYS: u64 = 7;

/// Who asks, and for which merchant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PortalMerchant)]
pub struct Me {
    /// The merchant.
    #[serde(flatten)]
    pub merchant: Merchant,
    /// What the caller is there.
    pub role: Option<Role>,
}

/// The caller's own merchant.
///
/// # Errors
/// The database's.
pub async fn me(context: &Context, principal: &Principal, id: MerchantId) -> Result<Me> {
    let role = match principal {
        Principal::Role { role, .. } => Some(*role),
        Principal::Device(_) => None,
    };
    Ok(Me {
        merchant: merchant::get(context, Scope::Merchant(id), id).await?,
        role,
    })
}

/// What was taken in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[expect(missing_docs, reason = "gross = fee + net, of so many transactions")]
pub struct Sum {
    pub count: i64,
    pub gross: Rupiah,
    pub fee: Rupiah,
    pub net: Rupiah,
}

/// The times that a dashboard shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[expect(missing_docs, reason = "each is what its name says")]
pub struct Sums {
    pub today: Sum,
    pub yesterday: Sum,
    pub last_7_days: Sum,
}

/// The sums of one outlet.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutletSums {
    /// Which outlet.
    pub outlet_id: OutletId,
    /// Its name.
    pub name: String,
    /// What it took.
    #[serde(flatten)]
    pub sums: Sums,
}

/// A merchant's day in numbers. Days are Jakarta's; a transaction belongs to the day on which it was paid.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DashboardSummary)]
pub struct Summary {
    /// The zone of its days.
    pub timezone: &'static str,
    /// Today's date there.
    pub date: NaiveDate,
    /// What all outlets took.
    #[serde(flatten)]
    pub sums: Sums,
    /// What each took.
    pub by_outlet: Vec<OutletSums>,
    /// Its boxes.
    pub devices: Boxes,
}

/// Adds up a merchant's last days.
///
/// # Errors
/// The database's.
pub async fn summary(context: &Context, id: MerchantId) -> Result<Summary> {
    let zone = FixedOffset::east_opt(JAKARTA_S)
        .ok_or_else(|| anyhow::anyhow!("UTC+7 is not a time zone"))?;
    let date = context.clock().now().with_timezone(&zone).date_naive();
    let midnight = |date: NaiveDate| -> DateTime<Utc> {
        date.and_time(chrono::NaiveTime::MIN).and_utc() - TimeDelta::seconds(i64::from(JAKARTA_S))
    };
    let from = midnight(date - Days::new(WEEK_DAYS - 1));
    let to = midnight(date + Days::new(1));
    let mut conn = context.lists().acquire().await?;
    let takings = store::shop::portal::takings(&mut conn, id, from, to).await?;
    let outlets = store::shop::portal::outlet_names(&mut conn, id).await?;
    let devices = store::shop::portal::boxes(&mut conn, id).await?;
    let mut taken: HashMap<OutletId, Vec<&Takings>> = HashMap::new();
    for one in &takings {
        taken.entry(one.outlet_id).or_default().push(one);
    }
    let by_outlet = outlets
        .into_iter()
        .map(|outlet| {
            let takings = taken.get(&outlet.id).map_or(&[][..], Vec::as_slice);
            OutletSums {
                outlet_id: outlet.id,
                name: outlet.name,
                sums: Sums::of(date, takings.iter().copied()),
            }
        })
        .collect();
    Ok(Summary {
        timezone: "Asia/Jakarta",
        date,
        sums: Sums::of(date, takings.iter()),
        by_outlet,
        devices,
    })
}

impl Sums {
    fn of<'a>(today: NaiveDate, takings: impl Iterator<Item = &'a Takings> + Clone) -> Self {
        let yesterday = today - Days::new(1);
        Self {
            today: Sum::of(takings.clone().filter(|one| one.day == today)),
            yesterday: Sum::of(takings.clone().filter(|one| one.day == yesterday)),
            last_7_days: Sum::of(takings),
        }
    }
}

impl Sum {
    fn of<'a>(takings: impl Iterator<Item = &'a Takings>) -> Self {
        let (mut count, mut gross, mut fee, mut net) = (0, 0, 0, 0);
        for one in takings {
            count += one.count;
            gross += one.gross.to_i64();
            fee += one.fee.to_i64();
            net += one.net.to_i64();
        }
        Self {
            count,
            gross: Rupiah::from_i64(gross),
            fee: Rupiah::from_i64(fee),
            net: Rupiah::from_i64(net),
        }
    }
}
