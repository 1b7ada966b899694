//! A kept message that was refused, run again after the configuration was mended.
//!
//! What was verified once is not verified again: its signature is not kept. Of what was never verified only the beginning is
//! kept, and it can be run only where its signature stands in its fields and is right now. Either way it is judged as if it
//! had just come, so that a payment that was taken meanwhile is a duplicate.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::dialect::signature::{Evidence, Headers};
use domain::transaction::TransactionStatus;
use serde_json::json;
use store::payment::callback::Kept;
use wire::ids::{CallbackId, TransactionId};

use super::dialect::{judge, look_up, read};
use super::reply::Outcome;
use super::verified::Verified;
use crate::{Actor, Context, Error, Noun, Partner, Result};

/// The verdicts of messages that had no effect and may have one now.
const REPLAYABLE: [&str; 4] = ["rejected", "failed", "held", "incident"];

/// What became of it.
#[derive(Debug)]
pub struct Replayed {
    /// The message's entry in the archive.
    pub callback_id: CallbackId,
    /// As of any message.
    pub verdict: &'static str,
    /// Why it was refused again.
    pub refusal: Option<Error>,
    /// The transaction it is about.
    pub transaction_id: Option<TransactionId>,
    /// Where that stands now.
    pub status: Option<TransactionStatus>,
}

/// Runs a kept message again.
///
/// # Errors
/// [`Noun::Callback`] not found; [`Error::InvalidState`] for one that had its effect, that was never verified, or whose
/// bytes are gone; what is still wrong with it.
pub async fn replay(context: &Context, id: CallbackId, actor: Actor) -> Result<Replayed> {
    let mut conn = context.pool().acquire().await?;
    let (kept, was_verified) = match store::payment::callback::find(&mut conn, id).await? {
        Some(kept) => (kept, true),
        None => {
            let rejected = store::payment::callback::find_rejected(&mut conn, id).await?;
            (rejected.ok_or(Error::NotFound(Noun::Callback))?, false)
        }
    };
    drop(conn);
    let verdict = kept.callback.verdict.clone();
    let refuse = |message: &str| Error::InvalidState {
        current: verdict.clone(),
        message: message.to_owned(),
    };
    if !REPLAYABLE.contains(&verdict.as_str()) {
        return Err(refuse("it had its effect"));
    }
    let body = whole(&kept).ok_or_else(|| refuse("its bytes are gone, or were not kept whole"))?;
    let named = match was_verified {
        true => kept.callback.partner_id.as_deref(),
        false => kept.callback.claimed_partner_id.as_deref(),
    };
    let partner_id = named.unwrap_or_default();
    let partner = context
        .qris_partner(partner_id)
        .ok_or_else(|| refuse("its partner is not configured"))?;
    if !was_verified && !is_right_now(context, partner, &body) {
        return Err(refuse(
            "its signature was never right and is not kept; have the partner send it again",
        ));
    }
    let order = look_up(context, partner_id, &partner.dialect, &body).await?;
    let mut message =
        read(&partner.dialect, &body, None, order.as_ref()).map_err(|refusal| refusal.error)?;
    if let Some(callback) = &mut message.callback {
        // The moment at which it first came is nearer to the payment than now.
        callback.paid_at.get_or_insert(kept.callback.received_at);
    }
    let mut unit = context.begin(actor).await?;
    let headers = kept.headers.unwrap_or_else(|| json!({}));
    let verified = Verified {
        id: CallbackId::from_uuid(unit.uuid()),
        partner_id,
        route: &kept.callback.route,
        headers: &headers,
        body: &body,
        received_at: unit.now(),
        verified_at: unit.now(),
    };
    let callback_id = verified.id;
    let (verdict, outcome) = judge(&mut unit, &verified, &message).await?;
    let (transaction_id, status, refusal) = match outcome {
        Outcome::Taken(receipt) => (receipt.transaction_id, receipt.status, None),
        Outcome::Refused(refusal) => (None, None, Some(refusal.error)),
    };
    let before = json!({ "verdict": kept.callback.verdict, "reason": kept.callback.reason });
    let after =
        json!({ "callback_id": callback_id, "verdict": verdict, "transaction_id": transaction_id });
    unit.audit("callback.replay", id, Some(before), Some(after))
        .await?;
    unit.commit().await?;
    Ok(Replayed {
        callback_id,
        verdict,
        refusal,
        transaction_id,
        status,
    })
}

/// The body, if all of it was kept.
fn whole(kept: &Kept) -> Option<Bytes> {
    let body = kept.body.as_ref()?;
    let length = usize::try_from(kept.callback.body_bytes).ok()?;
    (body.len() == length).then(|| Bytes::from(body.clone()))
}

/// Whether the fields carry a signature of this partner.
fn is_right_now(context: &Context, partner: &Partner, body: &[u8]) -> bool {
    let signing = &partner.dialect.signing;
    let evidence = Evidence {
        method: "POST",
        path: "",
        headers: &Headers::default(),
        body,
        fields: &partner.dialect.fields_of(body),
    };
    let now: DateTime<Utc> = context.clock().now();
    let tolerance = context.settings().timestamp_tolerance;
    signing
        .verify(&evidence, &partner.credentials, now, tolerance)
        .is_ok()
}
