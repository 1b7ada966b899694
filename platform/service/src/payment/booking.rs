//! What is written when money moves: a transaction for a sale without a code of its own, ledger lines, a refund. All
//! inside the caller's database transaction.

use chrono::{DateTime, Utc};
use domain::ledger::Posting;
use domain::refund::Part;
use domain::transaction::{QrType, TransactionStatus};
use store::payment::payee::Payee;
use store::payment::refund::RefundKey;
use store::payment::transaction::{Cause, Transaction};
use wire::ids::TransactionId;
use wire::{Rupiah, ids::OutletId, ids::TerminalId};

use crate::money::fee;
use crate::money::ledger::{self, Subject};
use crate::{Result, UnitOfWork};

/// A payment that makes its own transaction: one on a printed code, or one that an operator attributes.
pub(super) struct Sale<'a> {
    pub(super) payee: &'a Payee,
    pub(super) outlet_id: OutletId,
    pub(super) terminal_id: TerminalId,
    pub(super) partner_id: &'a str,
    pub(super) partner_reference: &'a str,
    pub(super) amount: Rupiah,
    pub(super) paid_at: DateTime<Utc>,
    pub(super) rrn: Option<&'a str>,
    pub(super) issuer: Option<&'a str>,
    pub(super) cause: Cause<'a>,
}

impl Sale<'_> {
    /// The transaction, paid from its beginning, and its ledger lines.
    pub(super) async fn book(self, unit: &mut UnitOfWork) -> Result<Transaction> {
        let now = unit.now();
        let cost = fee::of_payment(self.payee, self.amount, self.paid_at)?;
        let transaction = Transaction {
            id: TransactionId::from_uuid(unit.uuid()),
            merchant_id: self.payee.merchant_id,
            outlet_id: self.outlet_id,
            terminal_id: self.terminal_id,
            device_id: None,
            qr_type: QrType::Static,
            amount: self.amount,
            tip_mode: None,
            amount_due: None,
            tip: None,
            refunded_amount: Rupiah::ZERO,
            currency: "IDR".into(),
            status: TransactionStatus::Paid,
            late: false,
            fee: Some(cost.fee),
            net: Some(cost.net),
            fee_profile_id: Some(self.payee.fee_profile_id.clone()),
            fee_version: Some(cost.version),
            partner_id: self.partner_id.to_owned(),
            partner_reference: Some(self.partner_reference.to_owned()),
            rrn: self.rrn.map(str::to_owned),
            issuer: self.issuer.map(str::to_owned),
            qr_reference: None,
            qr_payload: None,
            request_id: None,
            created_at: now,
            expires_at: None,
            paid_at: Some(self.paid_at),
            accepted_at: Some(now),
            settlement_id: None,
        };
        store::payment::transaction::insert(unit.conn(), &transaction, self.cause).await?;
        store::payment::transaction::insert_payment(unit.conn(), &transaction).await?;
        let posting = Posting::sale(transaction.amount, cost.fee).map_err(anyhow::Error::from)?;
        post(unit, &transaction, &posting).await?;
        Ok(transaction)
    }
}

/// The ledger lines of an event of `transaction`.
pub(super) async fn post(
    unit: &mut UnitOfWork,
    transaction: &Transaction,
    posting: &Posting,
) -> Result<()> {
    ledger::post(unit, subject(transaction), posting).await
}

/// What the ledger lines of an event of `transaction` are about.
pub(super) fn subject(transaction: &Transaction) -> Subject<'_> {
    Subject {
        partner_id: Some(&transaction.partner_id),
        transaction_id: Some(transaction.id),
        ..Subject::of(transaction.merchant_id)
    }
}

/// A refund that is done: the mirror of its part of the sale's ledger lines, and with the last part paid → reversed and no more
/// announcements. When the sale is settled already, the refund is deducted in its merchant's next settlement that is large
/// enough. The caller holds the locks of the transaction and of its payment.
pub(super) async fn refund(
    unit: &mut UnitOfWork,
    transaction: &Transaction,
    key: RefundKey,
    part: Part,
    cause: Cause<'_>,
) -> Result<()> {
    if part.is_last {
        transaction.status.reverse().map_err(anyhow::Error::from)?;
    }
    store::payment::refund::finish(unit.conn(), key, part, cause).await?;
    let posting = Posting::refund(part.amount, part.fee).map_err(anyhow::Error::from)?;
    let subject = Subject {
        refund_number: key.number,
        ..subject(transaction)
    };
    ledger::post(unit, subject, &posting).await?;
    if part.is_last {
        // What was taken back before it was heard is not announced any more.
        let now = unit.now();
        store::payment::notification::cancel_transaction(unit.conn(), transaction.id, now).await?;
    }
    Ok(())
}
