//! What is kept of messages that had no effect: refused ones, and those that a fault of ours kept from being taken.

use chrono::{DateTime, Utc};
use wire::ids::CallbackId;

use super::{Incoming, count};
use crate::service::{Context, Error, Result};
use crate::store;

/// Keeps a message that was refused. One that was not proven to be a partner's (`partner_id` is none) is cut, and only
/// so many a minute are kept.
pub(super) async fn keep_rejected(
    context: &Context,
    incoming: &Incoming,
    partner_id: Option<&str>,
    received_at: DateTime<Utc>,
    error: &Error,
) -> Result<()> {
    count("rejected");
    let mut kept = &incoming.body[..];
    if partner_id.is_none() {
        if !context.rejected_budget().allows() {
            return Ok(());
        }
        kept = &kept[..kept.len().min(context.settings().rejected_bytes_max)];
    }
    let reason = error.to_string();
    let http_status = error.code().status();
    insert(
        context,
        incoming,
        kept,
        partner_id,
        received_at,
        "rejected",
        &reason,
        http_status,
    )
    .await
}

/// Keeps a verified message whose consequences could not be written: the partner will repeat it, but if it does not,
/// there is something to look at. When the database is away this fails too, and the log has it.
pub(super) async fn keep_failed(
    context: &Context,
    incoming: &Incoming,
    partner_id: &str,
    received_at: DateTime<Utc>,
    error: &Error,
) {
    count("failed");
    let kept = insert(
        context,
        incoming,
        &incoming.body,
        Some(partner_id),
        received_at,
        "failed",
        "internal",
        error.code().status(),
    )
    .await;
    if let Err(archive) = kept {
        tracing::error!(partner_id, %error, %archive, "a verified callback could neither be taken nor kept");
    }
}

#[expect(clippy::too_many_arguments, reason = "the columns of one row")]
async fn insert(
    context: &Context,
    incoming: &Incoming,
    body: &[u8],
    partner_id: Option<&str>,
    received_at: DateTime<Utc>,
    verdict: &str,
    reason: &str,
    http_status: u16,
) -> Result<()> {
    let callback = store::payment::callback::Callback {
        id: CallbackId::from_uuid(context.clock().uuid()),
        route: incoming.route(),
        // An id that was not proven is a claim, and stays among the headers.
        partner_id,
        received_at,
        headers: &incoming.headers,
        body,
        verdict,
        reason: Some(reason),
        http_status,
        partner_reference: None,
        transaction_id: None,
    };
    let mut conn = context.pool().acquire().await?;
    store::payment::callback::insert(&mut conn, &callback).await?;
    Ok(())
}
