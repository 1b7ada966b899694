//! What is kept of messages whose sender is not authenticated: the beginning and a few headers, for some days, within a
//! budget for its address and one for all of them. What is beyond is only counted.

use chrono::{DateTime, Utc};
use serde_json::Value;
use wire::ids::CallbackId;

use super::Incoming;
use crate::{Context, Error, Result, partition};

/// The headers of an unproven message that help to see what its sender does wrong.
const HEADERS_KEPT: [&str; 11] = [
    "channel-id",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "x-client-key",
    "x-external-id",
    "x-partner-id",
    "x-partner-timestamp",
    "x-request-id",
    "x-timestamp",
];
/// The longest value of such a header, and the longest name that a sender may claim, characters.
const VALUE_LEN_MAX: usize = 128;

/// Keeps the beginning of a message whose sender is not proven, within the budgets. That it could not be kept is no
/// reason to tell its sender anything else.
pub(super) async fn keep_unverified(
    context: &Context,
    incoming: &Incoming,
    received_at: DateTime<Utc>,
    error: &Error,
) {
    if let Err(budget) = context.rejected_budget().take(incoming.address) {
        metrics::counter!("rejected_callbacks_dropped_total", "budget" => budget).increment(1);
        return;
    }
    let kept = insert_unverified(context, incoming, received_at, error).await;
    if let Err(error) = kept {
        metrics::counter!("rejected_callbacks_dropped_total", "budget" => "none").increment(1);
        tracing::warn!(%error, "a rejected callback could not be kept");
    }
}

async fn insert_unverified(
    context: &Context,
    incoming: &Incoming,
    received_at: DateTime<Utc>,
    error: &Error,
) -> Result<()> {
    let length = incoming
        .body
        .len()
        .min(context.settings().rejected_bytes_max);
    let address = incoming.address.map(|address| address.to_string());
    let claimed = incoming.partner_id.as_deref().map(cut);
    let rejected = store::payment::callback::Rejected {
        id: CallbackId::from_uuid(context.clock().uuid()),
        route: incoming.route(),
        claimed_partner_id: claimed.as_deref(),
        address: address.as_deref(),
        received_at,
        headers: &headers_kept(&incoming.kept_headers),
        body: &incoming.body[..length],
        body_bytes: incoming.body.len(),
        reason: &error.to_string(),
        http_status: error.code().status(),
    };
    partition::ensure_today(context).await?;
    let mut conn = context.pool().acquire().await?;
    store::payment::callback::insert_rejected(&mut conn, &rejected).await?;
    Ok(())
}

fn headers_kept(headers: &Value) -> Value {
    let kept = HEADERS_KEPT.iter().filter_map(|name| {
        let value = headers.get(*name)?.as_str()?;
        Some(((*name).to_owned(), Value::String(cut(value))))
    });
    Value::Object(kept.collect())
}

fn cut(value: &str) -> String {
    value.chars().take(VALUE_LEN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_that_matter_are_kept_and_are_short() {
        let long = "x".repeat(300);
        let headers = serde_json::json!({
            "x-partner-id": "acme", "user-agent": long, "x-noise": "1", "x-partner-signature": "secret",
        });
        let kept = headers_kept(&headers);
        assert_eq!(
            kept,
            serde_json::json!({ "x-partner-id": "acme", "user-agent": "x".repeat(128) })
        );
    }
}
