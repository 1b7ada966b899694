//! The fleet in numbers: presence, health, firmware and open alerts.

use serde::Serialize;
use store::alert::OpenAlerts;
use store::fleet::summary::{Counts, Thresholds, Version};
use utoipa::ToSchema;
use wire::ids::MerchantId;

use crate::{Context, Result};

/// Boxes, firmware and open alerts, counted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FleetSummary)]
pub struct Summary {
    /// The boxes.
    #[serde(flatten)]
    pub counts: Counts,
    /// Which firmware runs on how many of those in service; the most frequent first, at most fifty.
    pub firmware: Vec<Version>,
    /// Kinds without an open alert are left out.
    pub alerts: Vec<OpenAlerts>,
}

/// Counts all boxes, or those of a merchant.
pub async fn summary(context: &Context, merchant_id: Option<MerchantId>) -> Result<Summary> {
    let health = &context.settings().health;
    let thresholds = Thresholds {
        battery_low_percent: health.battery_low_percent,
        signal_weak_percent: health.signal_weak_percent,
        clock_skew_max: health.clock_skew_max,
    };
    let mut conn = context.lists().acquire().await?;
    Ok(Summary {
        counts: store::fleet::summary::count(&mut conn, merchant_id, thresholds).await?,
        firmware: store::fleet::summary::versions(&mut conn, merchant_id).await?,
        alerts: store::alert::count_open(&mut conn, merchant_id).await?,
    })
}
