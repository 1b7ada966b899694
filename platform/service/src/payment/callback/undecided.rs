//! A verified message that moves nothing: nothing happened yet, its status means nothing to us, or it leaves out how much was
//! paid. Of the last two the partner is asked. Nothing is announced, and a later message decides.

use domain::callback::{CallbackTarget, PaidAmount};
use serde_json::json;
use wire::ids::TransactionId;

use super::Receipt;
use super::read::Read;
use super::verified::{Entry, Verified};
use crate::{Result, UnitOfWork};

/// Archives it, and has the partner asked where that is needed.
pub(super) async fn undecided(
    unit: &mut UnitOfWork,
    verified: &Verified<'_>,
    read: &Read,
) -> Result<Receipt> {
    let named = match read.message.target {
        Some(CallbackTarget::Transaction { id, .. }) => Some(id),
        Some(CallbackTarget::Static(_)) | None => None,
    };
    let transaction = match named {
        Some(id) => {
            store::payment::transaction::lock(unit.conn(), id, Some(verified.partner_id)).await?
        }
        None => None,
    };
    let transaction_id = transaction.as_ref().map(|transaction| transaction.id);
    let status = transaction.as_ref().map(|transaction| transaction.status);
    let (verdict, reason) = match read.message.meaning {
        None => ("held", "unknown_status"),
        Some(meaning) if meaning.happened().is_some() => ("held", "amount_not_stated"),
        Some(_) => ("ignored", "pending"),
    };
    let entry = Entry {
        reason: Some(reason),
        partner_reference: read.message.partner_reference.as_deref(),
        transaction_id,
        ..Entry::new(verdict, 200)
    };
    verified.archive(unit.conn(), entry).await?;
    if verdict == "held" {
        let now = unit.now();
        let is_asked = match transaction_id {
            Some(id) => store::payment::partner_order::query_soon(unit.conn(), id, now).await?,
            None => false,
        };
        // That an amount is left out is this partner's way; only when nobody can be asked does a person need to know.
        if reason == "unknown_status" || !is_asked {
            incident(unit, verified, read, reason, transaction_id).await?;
        }
    }
    Ok(Receipt {
        verdict,
        transaction_id,
        status,
    })
}

/// Keeps an incident about a message that is not judged.
pub(super) async fn incident(
    unit: &mut UnitOfWork,
    verified: &Verified<'_>,
    read: &Read,
    kind: &str,
    transaction_id: Option<TransactionId>,
) -> Result<()> {
    let message = &read.message;
    let reference = message.partner_reference.as_deref();
    let details = json!({
        "event_id": read.event_id(),
        "partner_reference": reference,
        "amount": message.amount.as_ref().and_then(PaidAmount::rupiah),
        "status": message.status_code,
    });
    verified
        .incident(unit, kind, transaction_id, reference, details)
        .await
}
