//! Withdrawing a code that was not paid: an operator asks, the partner does it, and then it is written down. With what a
//! refund ([`super::refund`]) needs as well.

use std::sync::Arc;

use domain::dialect::request::PayeeNames;
use domain::transaction::TransactionStatus;
use serde::Deserialize;
use serde_json::json;
use store::Scope;
use store::payment::partner_order::OrderNames;
use store::payment::transaction::{Cause, Transaction};
use utoipa::ToSchema;
use wire::ids::TransactionId;

use super::qr_partner::Named;
use crate::{Checks, Error, Noun, Result, UnitOfWork};

/// Why.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReversalReason)]
pub struct Reason {
    /// For the partner and the audit log.
    #[schema(min_length = 1, max_length = 200)]
    pub reason: String,
}

impl Reason {
    pub(super) fn check(&self) -> Result<()> {
        let mut checks = Checks::default();
        checks.text("reason", &self.reason, 200);
        checks.finish()
    }
}

/// The transaction that is asked about.
pub(super) async fn find(unit: &mut UnitOfWork, id: TransactionId) -> Result<Transaction> {
    store::payment::transaction::find(unit.conn(), Scope::All, id)
        .await?
        .ok_or(Error::NotFound(Noun::Transaction))
}

/// The same with its row locked.
pub(super) async fn lock(unit: &mut UnitOfWork, seen: &Transaction) -> Result<Transaction> {
    let locked = store::payment::transaction::lock(unit.conn(), seen.id, Some(&seen.partner_id))
        .await?
        .ok_or(Error::NotFound(Noun::Transaction))?;
    unit.refresh_now();
    Ok(locked)
}

/// What the partner calls the merchant, outlet and terminal.
pub(super) async fn payee_of(
    unit: &mut UnitOfWork,
    transaction: &Transaction,
) -> Result<PayeeNames> {
    let terminal_id = transaction.terminal_id;
    Ok(store::shop::terminal::payee_names(unit.conn(), terminal_id).await?)
}

/// How the order is named. A payment of a printed code was never an order: it gets the name that an order of its transaction
/// would have.
pub(super) async fn order_of(
    unit: &mut UnitOfWork,
    transaction: &Transaction,
) -> Result<OrderNames> {
    let placed = store::payment::partner_order::names(unit.conn(), transaction.id).await?;
    let partner = unit.context().qr_partner(&transaction.partner_id);
    Ok(placed.unwrap_or_else(|| OrderNames {
        order_name: partner.reference().write(transaction.id),
        reference_no: None,
        external_id: None,
    }))
}

/// It is not in a state in which this is done.
pub(super) fn stands_otherwise(transaction: &Transaction, message: &str) -> Error {
    Error::InvalidState {
        current: transaction.status.to_string(),
        message: message.to_owned(),
    }
}

/// Why it changes now.
pub(super) fn cause(unit: &UnitOfWork, cause: &'static str) -> Cause<'static> {
    Cause {
        at: unit.now(),
        cause,
        callback_id: None,
    }
}

/// Has the partner withdraw a code that is not paid, and ends its transaction. Money that comes all the same is not lost:
/// a success after this makes it paid, late. The unit of work that comes back is the caller's to commit.
///
/// # Errors
/// [`Error::InvalidState`] unless it waits to be paid, or when the partner refuses; [`Error::PartnerTimeout`]: it may be
/// asked again.
pub async fn cancel(
    mut unit: UnitOfWork,
    id: TransactionId,
    reason: &Reason,
) -> Result<(UnitOfWork, Transaction)> {
    reason.check()?;
    let seen = find(&mut unit, id).await?;
    if seen.status != TransactionStatus::AwaitingPayment {
        return Err(stands_otherwise(
            &seen,
            "only a transaction that waits to be paid is cancelled",
        ));
    }
    let order = order_of(&mut unit, &seen).await?;
    let named = Named {
        name: order.order_name,
        reference_no: order.reference_no,
        external_id: order.external_id,
        payee: payee_of(&mut unit, &seen).await?,
    };
    let partner = Arc::clone(unit.context().qr_partner(&seen.partner_id));
    let until = unit.now() + unit.context().settings().partner_lease;
    let paused = unit.pause(until).await?;
    let done = partner.cancel(&named, &reason.reason).await;
    let mut unit = paused.resume().await?;
    if let Err(error) = done {
        unit.release_key().await?;
        unit.commit().await?;
        return Err(error.told(seen.status));
    }
    let now = lock(&mut unit, &seen).await?;
    let status = now.status;
    let failed = status
        .fail()
        .map_err(|_| stands_otherwise(&now, "it went on meanwhile"))?;
    let cause = cause(&unit, "cancelled");
    store::payment::transaction::set_status(unit.conn(), id, status, failed, cause).await?;
    unit.audit(
        "transaction.cancel",
        id,
        Some(json!({ "status": status })),
        Some(json!({ "status": failed, "reason": reason.reason })),
    )
    .await?;
    let after = find(&mut unit, id).await?;
    Ok((unit, after))
}
