//! Deleting rows that are no longer needed.

use chrono::TimeDelta;
use domain::alert::AlertSubject;
use serde_json::json;

use super::{Context, Error, Result, failed_item};

/// Wrong activation codes count for an hour.
const FAILURES_KEPT: TimeDelta = TimeDelta::hours(2);
/// Failed logins count for a quarter of one.
const ATTEMPTS_KEPT: TimeDelta = TimeDelta::hours(1);

/// An external id counts for the day of its message.
const EXTERNAL_IDS_KEPT: TimeDelta = TimeDelta::days(2);

/// Hours of heartbeats and messages to endpoints accumulate by the hundred thousand.
const MANY_TIMES: i64 = 20;

/// How long history is kept.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// Closed alerts and the history of presence, days.
    pub health_days: u32,
    /// Messages to webhook endpoints, after they were taken, days.
    pub webhook_days: u32,
    /// Hourly roll-ups of heartbeats, days.
    pub heartbeat_hours_days: u32,
}

/// Deletes expired answers to idempotency keys, expired sessions, old wrong activation codes, failed logins, partners' access
/// tokens and external ids. A step that fails is put aside with an alert, and the others are taken.
pub async fn forget_expired(context: &Context, limit: i64) -> Result<()> {
    let now = context.clock().now();
    let mut conn = context.pool().acquire().await?;
    let done = store::idempotency::delete_expired(&mut conn, now, limit).await;
    step(context, "idempotency_keys", done).await?;
    let done = store::fleet::session::forget_expired(&mut conn, now, limit).await;
    step(context, "sessions", done).await?;
    let done = store::fleet::activation::forget_failures(&mut conn, now - FAILURES_KEPT).await;
    step(context, "activation_failures", done).await?;
    let done = store::people::login::forget(&mut conn, now - ATTEMPTS_KEPT, limit).await;
    step(context, "login_attempts", done).await?;
    let done = store::payment::partner_token::delete_expired(&mut conn, now, limit).await;
    step(context, "partner_tokens", done).await?;
    let day = domain::snap::day(now - EXTERNAL_IDS_KEPT);
    let done = store::payment::external_id::delete_before(&mut conn, day, limit).await;
    step(context, "external_ids", done).await?;
    step(context, "nodes", super::node::forget(context, limit).await).await?;
    let done = super::money::reconciliation::forget_unfinished(context).await;
    step(context, "reconciliations", done).await
}

/// Deletes history past its retention. A step that fails is put aside with an alert, and the others are taken.
pub async fn forget_history(context: &Context, kept: Kept, limit: i64) -> Result<()> {
    let now = context.clock().now();
    let mut conn = context.pool().acquire().await?;
    let days = |days: u32| now - TimeDelta::days(i64::from(days));
    let done =
        store::fleet::presence::forget_events(&mut conn, days(kept.health_days), limit).await;
    step(context, "device_events", done).await?;
    let done = store::alert::forget(&mut conn, days(kept.health_days), limit).await;
    step(context, "alerts", done).await?;
    let done = store::alert_channel::forget(&mut conn, days(kept.health_days), limit).await;
    step(context, "alert_groups", done).await?;
    let taken = days(kept.webhook_days);
    let done = store::webhook::delivery::forget(&mut conn, taken, MANY_TIMES * limit).await;
    step(context, "webhook_deliveries", done).await?;
    let hours = days(kept.heartbeat_hours_days);
    let done = store::fleet::heartbeat_hour::forget(&mut conn, hours, MANY_TIMES * limit).await;
    step(context, "heartbeat_hours", done).await
}

/// One step: a failure because of one row does not prevent the next steps.
async fn step<T, E: Into<Error>>(
    context: &Context,
    table: &'static str,
    done: std::result::Result<T, E>,
) -> Result<()> {
    match done.map_err(Into::into) {
        Ok(_) => Ok(()),
        Err(error) => {
            let (subject, details) = (AlertSubject::Platform, json!({ "table": table }));
            failed_item::put_aside(context, "housekeeping", subject, error, details).await
        }
    }
}
