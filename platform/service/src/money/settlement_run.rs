//! The daily run: every business day's settlements, merchant by merchant, begun by one node and finished by any.
//!
//! Unlike a run by request, which is one transaction with one answer, this one commits each merchant for
//! itself: it may be large, and what a crash cuts off is taken up where it was left, because a merchant that was settled
//! has nothing left before the same cutoff.

use domain::business_day::BusinessDay;
use wire::ids::MerchantId;

use super::settlement::{failed, settle};
use crate::{Actor, Context, Error, Result, alert_record};

/// Merchants that are looked up at a time.
const MERCHANTS_MAX: i64 = 100;

/// Does the run of the last business day, unless it is done or another node is at it.
///
/// # Errors
/// The database's, and the run goes on at the next look. A merchant that cannot be settled is skipped with an alert.
pub async fn daily(context: &Context) -> Result<()> {
    let Some(daily) = context.settings().daily_run else {
        return Ok(());
    };
    let now = context.clock().now();
    let day =
        BusinessDay::last_ended(now, daily.ends_at).filter(|day| day.is_due(now, daily.grace));
    let Some(day) = day else {
        return Ok(());
    };
    // The lead is a lock of this transaction, which goes with the connection whatever becomes of us.
    let mut lead = context.transaction().await?;
    if store::money::settlement_run::is_finished(&mut lead, day.date).await?
        || !store::money::settlement_run::try_lead(&mut lead).await?
        || store::money::settlement_run::is_finished(&mut lead, day.date).await?
    {
        return Ok(());
    }
    let mut conn = context.pool().acquire().await?;
    let node = &context.settings().node;
    store::money::settlement_run::begin(&mut conn, day.date, day.ended_at, node, now).await?;
    drop(conn);
    let mut after: Option<MerchantId> = None;
    loop {
        let mut conn = context.pool().acquire().await?;
        let merchants =
            store::money::settlement_run::merchants(&mut conn, day.ended_at, after, MERCHANTS_MAX)
                .await?;
        drop(conn);
        let Some(last) = merchants.last().copied() else {
            break;
        };
        let (mut settlements, mut skipped) = (0, 0);
        for merchant_id in merchants {
            match settle_one(context, merchant_id, &day).await {
                Ok(true) => settlements += 1,
                Ok(false) | Err(Error::MerchantPayoutNotConfigured) => skipped += 1,
                Err(error) if error.is_of_the_item() => {
                    skipped += 1;
                    metrics::counter!("settlement_failures_total").increment(1);
                    alert_record::open_now(context, failed(merchant_id, &error)).await?;
                }
                // The next look goes on where this one ends.
                Err(error) => return Err(error),
            }
        }
        let mut conn = context.pool().acquire().await?;
        store::money::settlement_run::count(&mut conn, day.date, settlements, skipped).await?;
        after = Some(last);
    }
    let mut conn = context.pool().acquire().await?;
    store::money::settlement_run::finish(&mut conn, day.date, context.clock().now()).await?;
    tracing::info!(business_day = %day.date, "the daily settlement run is done");
    Ok(())
}

async fn settle_one(context: &Context, merchant_id: MerchantId, day: &BusinessDay) -> Result<bool> {
    let mut unit = context.begin(Actor::system()).await?;
    let made = settle(&mut unit, merchant_id, day.ended_at).await?;
    unit.commit().await?;
    Ok(made.is_some())
}
