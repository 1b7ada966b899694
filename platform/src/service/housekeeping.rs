//! Forgetting what has served its time.

use chrono::TimeDelta;

use super::{Context, Result};
use crate::store;

/// Wrong activation codes count for an hour.
const FAILURES_KEPT: TimeDelta = TimeDelta::hours(2);

/// Forgets expired answers to idempotency keys and old wrong activation codes.
///
/// # Errors
/// The database's.
pub async fn forget_expired(context: &Context, limit: i64) -> Result<()> {
    let now = context.clock().now();
    let mut conn = context.pool().acquire().await?;
    store::idempotency::delete_expired(&mut conn, now, limit).await?;
    store::activation::forget_failures(&mut conn, now - FAILURES_KEPT).await?;
    Ok(())
}
