//! The daily run: the settlements of the last business day that has ended, merchant by merchant, begun by one node and
//! finished by any. Days that were missed while no node ran are settled with it.
//!
//! A run by request is one database transaction with one answer. This one may be large and commits each merchant by
//! itself: after a crash it goes on with the merchants that still have something to settle. One that was settled already
//! is among them only if a payment with an earlier business time was accepted meanwhile; it then gets a second settlement.

use domain::business_day::BusinessDay;
use wire::ids::MerchantId;

use super::settlement::{failed, settle};
use crate::{Actor, Context, Error, Result, alert_record};

/// Merchants that are looked up at a time.
const MERCHANTS_MAX: i64 = 100;

/// Does the run of the last business day, unless it is finished or another node is doing it. A merchant that has nothing to
/// pay out or no account is skipped; one that fails unexpectedly is skipped with an alert.
///
/// # Errors
/// The database's: the job's next start continues the run.
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
    // The leader holds a lock of this database transaction, which is released with the connection if the node dies.
    let mut lead = context.transaction().await?;
    if store::money::settlement_run::is_finished(&mut lead, day.date).await?
        || !store::money::settlement_run::try_lead(&mut lead).await?
        || store::money::settlement_run::is_finished(&mut lead, day.date).await?
    {
        return Ok(());
    }
    let mut conn = context.pool().acquire().await?;
    let node = context.node().name();
    store::money::settlement_run::begin(&mut conn, day.date, day.cutoff, node, now).await?;
    drop(conn);
    let mut after: Option<MerchantId> = None;
    loop {
        let mut conn = context.pool().acquire().await?;
        let merchants =
            store::money::settlement_run::merchants(&mut conn, day.cutoff, after, MERCHANTS_MAX)
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
                // The job's next start continues the run.
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
    let made = settle(&mut unit, merchant_id, day.cutoff).await?;
    unit.commit().await?;
    Ok(made.is_some())
}
