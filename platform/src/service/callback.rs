//! The acquirer's callbacks: from verified bytes to money and announcements, in one commit.
//!
//! The order is fixed. The signature is checked on the raw bytes before anything is parsed; what fails
//! is kept as a rejected callback and has no effect. A verified callback is kept, judged by
//! [`domain::transaction::decide`], and its consequences (transition, ledger lines, outbox rows) are
//! written in the same transaction as the callback itself; only after that commit is it answered 2xx.

use std::num::NonZeroU32;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::callback::{Callback, CallbackError, CallbackStatus, CallbackTarget};
use domain::ledger::{Posting, Side};
use domain::partner_signature::{self, SignatureError};
use domain::qris::{Nmid, TerminalLabel};
use domain::transaction::{Decision, Mismatch, QrType, TransactionStatus, TransactionView, decide};
use governor::{DefaultDirectRateLimiter, Quota};
use serde::Serialize;
use serde_json::{Value, json};
use wire::ids::{CallbackId, IncidentId, TransactionId};

use super::notification::{self, Payment};
use super::{Actor, Context, Error, Noun, Result, Unit, fee};
use crate::store::merchant::Merchant;
use crate::store::transaction::Transaction;
use crate::store::{self, Scope};

/// The route of QRIS callbacks.
const ROUTE: &str = "qris/callback";

/// How many rejected callbacks are kept: whoever sends rubbish must not fill the database.
pub struct RejectedBudget(DefaultDirectRateLimiter);

impl RejectedBudget {
    pub(super) fn new(per_minute_max: u32) -> Self {
        let per_minute = NonZeroU32::new(per_minute_max).unwrap_or(NonZeroU32::MIN);
        Self(DefaultDirectRateLimiter::direct(Quota::per_minute(
            per_minute,
        )))
    }

    fn allows(&self) -> bool {
        self.0.check().is_ok()
    }
}

/// A callback as it came.
#[derive(Debug)]
pub struct Incoming {
    /// `X-Partner-Id`.
    pub partner_id: Option<String>,
    /// `X-Partner-Timestamp`.
    pub timestamp: Option<String>,
    /// `X-Partner-Signature`.
    pub signature: Option<String>,
    /// The headers worth keeping, without credentials.
    pub headers: Value,
    /// The raw body.
    pub body: Bytes,
    /// The HTTP request's id.
    pub request_id: Option<String>,
}

/// What became of a callback that was taken.
#[derive(Debug, Serialize)]
pub struct Receipt {
    /// accepted, duplicate, unmatched, held or ignored.
    pub verdict: &'static str,
    /// The transaction it is about.
    pub transaction_id: Option<TransactionId>,
    /// Where that stands now.
    pub status: Option<TransactionStatus>,
}

/// Takes one callback.
///
/// # Errors
/// [`Error::InvalidSignature`], [`Error::StaleTimestamp`], a body that does not read: kept as rejected, no effect.
/// A transaction that does not exist, another amount or merchant: kept with an incident, no effect.
pub async fn receive(context: &Context, incoming: Incoming) -> Result<Receipt> {
    let received_at = context.clock().now();
    let verified = verify(context, &incoming, received_at);
    let callback = match verified.and_then(|()| parse(&incoming.body)) {
        Ok(callback) => callback,
        Err(error) => {
            keep_rejected(context, &incoming, received_at, &error).await?;
            return Err(error);
        }
    };
    let partner_id = incoming.partner_id.clone().unwrap_or_default();
    let actor = Actor {
        name: partner_id.clone(),
        request_id: incoming.request_id.clone(),
    };
    let mut unit = context.begin(actor).await?;
    let id = CallbackId::from_uuid(unit.uuid());
    let reception = Reception {
        id,
        partner_id: &partner_id,
        incoming: &incoming,
        callback: &callback,
        received_at,
    };
    store::transaction::lock_reference(unit.conn(), &partner_id, &callback.partner_reference)
        .await?;
    let verdict = reception.judge(&mut unit).await?;
    unit.commit().await?;
    metrics::counter!("callbacks_total", "verdict" => verdict.name()).increment(1);
    match verdict {
        Verdict::Taken(receipt) => Ok(receipt),
        Verdict::Refused(error) => Err(error),
    }
}

fn verify(context: &Context, incoming: &Incoming, now: DateTime<Utc>) -> Result<()> {
    let partner = incoming
        .partner_id
        .as_deref()
        .and_then(|id| context.qris_partner(id));
    let secrets = partner
        .map(|partner| partner.secrets.as_slice())
        .unwrap_or_default();
    let timestamp = incoming.timestamp.as_deref();
    let tolerance = context.settings().timestamp_tolerance;
    partner_signature::verify(
        secrets,
        timestamp,
        incoming.signature.as_deref(),
        &incoming.body,
        now,
        tolerance,
    )
    .map_err(|error| match error {
        SignatureError::StaleTimestamp => Error::StaleTimestamp,
        _ => Error::InvalidSignature("the partner or its signature is not known"),
    })
}

fn parse(body: &[u8]) -> Result<Callback> {
    Callback::parse(body).map_err(|error| match error {
        CallbackError::Malformed => Error::Malformed("the body is not JSON".into()),
        CallbackError::Invalid(fields) => Error::Validation(fields),
        CallbackError::Amount(message) => Error::InvalidAmount(message),
    })
}

async fn keep_rejected(
    context: &Context,
    incoming: &Incoming,
    received_at: DateTime<Utc>,
    error: &Error,
) -> Result<()> {
    metrics::counter!("callbacks_total", "verdict" => "rejected").increment(1);
    if !context.rejected_budget().allows() {
        return Ok(());
    }
    let kept = &incoming.body[..incoming
        .body
        .len()
        .min(context.settings().rejected_bytes_max)];
    let callback = store::callback::Callback {
        id: CallbackId::from_uuid(context.clock().uuid()),
        route: ROUTE,
        // An id that was not proven is a claim, and stays among the headers.
        partner_id: None,
        received_at,
        headers: &incoming.headers,
        body: kept,
        verdict: "rejected",
        reason: Some(&error.to_string()),
        http_status: error.code().status(),
        partner_reference: None,
        transaction_id: None,
    };
    let mut conn = context.pool().acquire().await?;
    store::callback::insert(&mut conn, &callback).await?;
    Ok(())
}

enum Verdict {
    Taken(Receipt),
    Refused(Error),
}

impl Verdict {
    fn name(&self) -> &'static str {
        match self {
            Self::Taken(receipt) => receipt.verdict,
            Self::Refused(_) => "incident",
        }
    }

    fn taken(
        verdict: &'static str,
        transaction: Option<&Transaction>,
        status: Option<TransactionStatus>,
    ) -> Self {
        Self::Taken(Receipt {
            verdict,
            transaction_id: transaction.map(|transaction| transaction.id),
            status,
        })
    }
}

/// A verified callback on its way through the transaction.
struct Reception<'a> {
    id: CallbackId,
    partner_id: &'a str,
    incoming: &'a Incoming,
    callback: &'a Callback,
    received_at: DateTime<Utc>,
}

impl Reception<'_> {
    async fn judge(&self, unit: &mut Unit) -> Result<Verdict> {
        let known = store::transaction::id_by_reference(
            unit.conn(),
            self.partner_id,
            &self.callback.partner_reference,
        )
        .await?;
        match (&self.callback.target, known) {
            (CallbackTarget::Transaction { id, .. }, Some(known)) if known != *id => {
                let error = Error::Duplicate {
                    message: "this partner_reference belongs to another transaction".into(),
                    retry_after_s: None,
                };
                self.refuse(unit, "reference_reused", Some(known), error)
                    .await
            }
            (CallbackTarget::Transaction { id, .. }, _) => self.judge_known(unit, *id).await,
            (CallbackTarget::Static { .. }, Some(known)) => self.judge_known(unit, known).await,
            (
                CallbackTarget::Static {
                    nmid,
                    terminal_label,
                },
                None,
            ) => self.judge_static(unit, nmid, terminal_label.as_ref()).await,
        }
    }

    async fn judge_known(&self, unit: &mut Unit, id: TransactionId) -> Result<Verdict> {
        let Some(transaction) =
            store::transaction::lock_of_partner(unit.conn(), self.partner_id, id).await?
        else {
            let error = Error::NotFound(Noun::Transaction);
            return self.refuse(unit, "unknown_transaction", None, error).await;
        };
        let merchant = store::merchant::find(unit.conn(), Scope::All, transaction.merchant_id)
            .await?
            .ok_or_else(|| anyhow::anyhow!("{id} has no merchant"))?;
        let reference = &self.callback.partner_reference;
        let kept = store::incident::kept_of(unit.conn(), self.partner_id, id, reference).await?;
        let nmid: Option<Nmid> = merchant
            .nmid
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(anyhow::Error::from)?;
        let status: TransactionStatus = transaction.status.parse().map_err(anyhow::Error::from)?;
        let view = TransactionView {
            status,
            amount: transaction.amount,
            nmid: nmid.as_ref(),
            partner_reference: transaction.partner_reference.as_deref(),
            reference_is_unmatched: kept.reference_is_unmatched,
            reversal_is_held: kept.reversal_is_held,
        };
        let decision = decide(&view, self.callback);
        self.carry_out(unit, &transaction, &merchant, status, decision)
            .await
    }

    async fn carry_out(
        &self,
        unit: &mut Unit,
        transaction: &Transaction,
        merchant: &Merchant,
        status: TransactionStatus,
        decision: Decision,
    ) -> Result<Verdict> {
        let taken = |verdict, status| Ok(Verdict::taken(verdict, Some(transaction), Some(status)));
        match decision {
            Decision::Paid { late } => {
                self.keep(unit, "accepted", None, Some(transaction.id), 200)
                    .await?;
                self.pay(unit, transaction, merchant, status, late).await?;
                taken("accepted", TransactionStatus::Paid)
            }
            Decision::Failed => {
                self.end(unit, transaction, status, TransactionStatus::Failed)
                    .await
            }
            Decision::Expired => {
                self.end(unit, transaction, status, TransactionStatus::Expired)
                    .await
            }
            Decision::Reversed => {
                self.keep(unit, "accepted", None, Some(transaction.id), 200)
                    .await?;
                self.reverse(unit, transaction).await?;
                taken("accepted", TransactionStatus::Reversed)
            }
            Decision::Duplicate => {
                self.keep(unit, "duplicate", None, Some(transaction.id), 200)
                    .await?;
                taken("duplicate", status)
            }
            Decision::OtherReference => {
                self.keep(
                    unit,
                    "unmatched",
                    Some("paid_already"),
                    Some(transaction.id),
                    200,
                )
                .await?;
                self.keep_money(unit, Some(transaction.id), "paid_already")
                    .await?;
                taken("unmatched", status)
            }
            Decision::Held => {
                self.keep(unit, "held", None, Some(transaction.id), 200)
                    .await?;
                let kind = match self.callback.status {
                    CallbackStatus::Reversed => "reversal_before_success",
                    _ => "success_after_reversal",
                };
                self.incident(unit, kind, Some(transaction.id)).await?;
                taken("held", status)
            }
            Decision::Ignored { contradictory } => {
                self.keep(unit, "ignored", None, Some(transaction.id), 200)
                    .await?;
                if contradictory {
                    self.incident(unit, "contradicts_payment", Some(transaction.id))
                        .await?;
                }
                taken("ignored", status)
            }
            Decision::Mismatch(mismatch) => {
                let error = if transaction.partner_reference.as_ref()
                    == Some(&self.callback.partner_reference)
                {
                    Error::Duplicate {
                        message: format!(
                            "this partner_reference was used for another {}",
                            mismatch.as_str()
                        ),
                        retry_after_s: None,
                    }
                } else {
                    Error::InvalidState {
                        current: status.to_string(),
                        message: format!("the {} is not the transaction's", mismatch.as_str()),
                    }
                };
                let kind = match mismatch {
                    Mismatch::Amount => "amount_mismatch",
                    Mismatch::Merchant => "merchant_mismatch",
                };
                self.refuse(unit, kind, Some(transaction.id), error).await
            }
        }
    }

    /// paid: the transition, the ledger lines and the outbox rows.
    async fn pay(
        &self,
        unit: &mut Unit,
        transaction: &Transaction,
        merchant: &Merchant,
        from: TransactionStatus,
        late: bool,
    ) -> Result<()> {
        let paid_at = self.callback.paid_at.unwrap_or(self.received_at);
        let accepted_at = unit.now();
        let cost = fee::of_payment(unit, merchant, transaction.amount, paid_at).await?;
        let payment = store::transaction::Payment {
            late,
            fee: cost.fee,
            net: cost.net,
            fee_profile_id: &merchant.fee_profile_id,
            fee_version: cost.version,
            partner_reference: &self.callback.partner_reference,
            rrn: self.callback.rrn.as_deref(),
            issuer: self.callback.issuer.as_deref(),
            paid_at,
            accepted_at,
        };
        store::transaction::mark_paid(unit.conn(), transaction.id, from.as_str(), &payment).await?;
        self.event(unit, transaction.id, Some(from), TransactionStatus::Paid)
            .await?;
        let posting = Posting::sale(transaction.amount, cost.fee).map_err(anyhow::Error::from)?;
        self.post(unit, transaction, &posting).await?;
        self.announce(unit, transaction, merchant, paid_at).await
    }

    async fn announce(
        &self,
        unit: &mut Unit,
        transaction: &Transaction,
        merchant: &Merchant,
        paid_at: DateTime<Utc>,
    ) -> Result<()> {
        let window = unit
            .context()
            .settings()
            .announcement
            .window(paid_at, unit.now());
        let payment = Payment {
            transaction,
            merchant_name: &merchant.brand_name,
            paid_at,
            window,
            replay: false,
        };
        notification::enqueue(unit, &payment).await?;
        Ok(())
    }

    async fn end(
        &self,
        unit: &mut Unit,
        transaction: &Transaction,
        from: TransactionStatus,
        to: TransactionStatus,
    ) -> Result<Verdict> {
        self.keep(unit, "accepted", None, Some(transaction.id), 200)
            .await?;
        store::transaction::set_status(unit.conn(), transaction.id, from.as_str(), to.as_str())
            .await?;
        self.event(unit, transaction.id, Some(from), to).await?;
        Ok(Verdict::taken("accepted", Some(transaction), Some(to)))
    }

    async fn reverse(&self, unit: &mut Unit, transaction: &Transaction) -> Result<()> {
        let (paid, reversed) = (TransactionStatus::Paid, TransactionStatus::Reversed);
        store::transaction::set_status(
            unit.conn(),
            transaction.id,
            paid.as_str(),
            reversed.as_str(),
        )
        .await?;
        self.event(unit, transaction.id, Some(paid), reversed)
            .await?;
        let cost = transaction
            .fee
            .ok_or_else(|| anyhow::anyhow!("{} is paid without a fee", transaction.id))?;
        let posting = Posting::refund(transaction.amount, cost).map_err(anyhow::Error::from)?;
        self.post(unit, transaction, &posting).await?;
        // What was taken back before it was heard is not announced any more.
        let now = unit.now();
        store::notification::cancel_transaction(unit.conn(), transaction.id, now).await?;
        Ok(())
    }

    /// A payment of a printed code makes its own transaction.
    async fn judge_static(
        &self,
        unit: &mut Unit,
        nmid: &Nmid,
        label: Option<&TerminalLabel>,
    ) -> Result<Verdict> {
        if self.callback.status != CallbackStatus::Success {
            self.keep(unit, "ignored", Some("no_such_payment"), None, 200)
                .await?;
            return Ok(Verdict::taken("ignored", None, None));
        }
        let merchant =
            store::merchant::find_by_nmid(unit.conn(), self.partner_id, nmid.as_str()).await?;
        let terminal = match &merchant {
            Some(merchant) => {
                store::terminal::find_for_static(
                    unit.conn(),
                    merchant.id,
                    label.map(TerminalLabel::as_str),
                )
                .await?
            }
            None => None,
        };
        let (Some(merchant), Some(terminal)) = (merchant, terminal) else {
            self.keep(unit, "unmatched", Some("no_such_terminal"), None, 200)
                .await?;
            self.keep_money(unit, None, "no_such_terminal").await?;
            return Ok(Verdict::taken("unmatched", None, None));
        };
        let paid_at = self.callback.paid_at.unwrap_or(self.received_at);
        let now = unit.now();
        let cost = fee::of_payment(unit, &merchant, self.callback.amount, paid_at).await?;
        let transaction = Transaction {
            id: TransactionId::from_uuid(unit.uuid()),
            merchant_id: merchant.id,
            outlet_id: terminal.outlet_id,
            terminal_id: terminal.id,
            device_id: None,
            qr_type: QrType::Static.to_string(),
            amount: self.callback.amount,
            currency: "IDR".into(),
            status: TransactionStatus::Paid.to_string(),
            late: false,
            fee: Some(cost.fee),
            net: Some(cost.net),
            fee_profile_id: Some(merchant.fee_profile_id.clone()),
            fee_version: Some(cost.version),
            partner_id: self.partner_id.to_owned(),
            partner_reference: Some(self.callback.partner_reference.clone()),
            rrn: self.callback.rrn.clone(),
            issuer: self.callback.issuer.clone(),
            qr_reference: None,
            qr_payload: None,
            request_id: None,
            created_at: now,
            expires_at: None,
            paid_at: Some(paid_at),
            accepted_at: Some(now),
            settlement_id: None,
        };
        store::transaction::insert(unit.conn(), &transaction).await?;
        self.keep(unit, "accepted", None, Some(transaction.id), 200)
            .await?;
        self.event(unit, transaction.id, None, TransactionStatus::Paid)
            .await?;
        let posting = Posting::sale(transaction.amount, cost.fee).map_err(anyhow::Error::from)?;
        self.post(unit, &transaction, &posting).await?;
        self.announce(unit, &transaction, &merchant, paid_at)
            .await?;
        Ok(Verdict::taken(
            "accepted",
            Some(&transaction),
            Some(TransactionStatus::Paid),
        ))
    }

    async fn keep(
        &self,
        unit: &mut Unit,
        verdict: &str,
        reason: Option<&str>,
        transaction_id: Option<TransactionId>,
        http_status: u16,
    ) -> Result<()> {
        let callback = store::callback::Callback {
            id: self.id,
            route: ROUTE,
            partner_id: Some(self.partner_id),
            received_at: self.received_at,
            headers: &self.incoming.headers,
            body: &self.incoming.body,
            verdict,
            reason,
            http_status,
            partner_reference: Some(&self.callback.partner_reference),
            transaction_id,
        };
        store::callback::insert(unit.conn(), &callback).await?;
        Ok(())
    }

    async fn keep_money(
        &self,
        unit: &mut Unit,
        transaction_id: Option<TransactionId>,
        reason: &str,
    ) -> Result<()> {
        let (nmid, terminal_label) = match &self.callback.target {
            CallbackTarget::Transaction { nmid, .. } => (nmid.as_ref(), None),
            CallbackTarget::Static {
                nmid,
                terminal_label,
            } => (Some(nmid), terminal_label.as_ref()),
        };
        let unmatched = store::callback::Unmatched {
            id: unit.uuid(),
            callback_id: self.id,
            partner_id: self.partner_id,
            partner_reference: &self.callback.partner_reference,
            transaction_id,
            nmid: nmid.map(Nmid::as_str),
            terminal_label: terminal_label.map(TerminalLabel::as_str),
            amount: self.callback.amount,
            paid_at: self.callback.paid_at.unwrap_or(self.received_at),
            reason,
            created_at: unit.now(),
        };
        store::callback::insert_unmatched(unit.conn(), &unmatched).await?;
        Ok(())
    }

    async fn incident(
        &self,
        unit: &mut Unit,
        kind: &str,
        transaction_id: Option<TransactionId>,
    ) -> Result<()> {
        let incident = store::incident::Incident {
            id: IncidentId::from_uuid(unit.uuid()),
            kind,
            partner_id: self.partner_id,
            transaction_id,
            callback_id: self.id,
            details: json!({
                "event_id": self.callback.event_id,
                "partner_reference": self.callback.partner_reference,
                "amount": self.callback.amount,
                "status": self.callback.status,
            }),
            created_at: unit.now(),
        };
        store::incident::insert(unit.conn(), &incident).await?;
        Ok(())
    }

    async fn refuse(
        &self,
        unit: &mut Unit,
        kind: &str,
        transaction_id: Option<TransactionId>,
        error: Error,
    ) -> Result<Verdict> {
        let http_status = error.code().status();
        self.keep(unit, "incident", Some(kind), transaction_id, http_status)
            .await?;
        self.incident(unit, kind, transaction_id).await?;
        Ok(Verdict::Refused(error))
    }

    async fn event(
        &self,
        unit: &mut Unit,
        id: TransactionId,
        from: Option<TransactionStatus>,
        to: TransactionStatus,
    ) -> Result<()> {
        let now = unit.now();
        let from = from.map(TransactionStatus::as_str);
        store::transaction::record_event(
            unit.conn(),
            id,
            now,
            from,
            to.as_str(),
            "callback",
            Some(self.id),
        )
        .await?;
        Ok(())
    }

    async fn post(
        &self,
        unit: &mut Unit,
        transaction: &Transaction,
        posting: &Posting,
    ) -> Result<()> {
        let subject = store::ledger::Subject {
            posting_id: unit.uuid(),
            kind: posting.kind().as_str(),
            merchant_id: transaction.merchant_id,
            partner_id: self.partner_id,
            transaction_id: transaction.id,
            at: unit.now(),
        };
        let lines: Vec<store::ledger::Line> = posting
            .lines()
            .iter()
            .map(|line| store::ledger::Line {
                account: line.account.as_str(),
                debit: if line.side == Side::Debit {
                    line.amount
                } else {
                    wire::Rupiah::ZERO
                },
                credit: if line.side == Side::Credit {
                    line.amount
                } else {
                    wire::Rupiah::ZERO
                },
            })
            .collect();
        store::ledger::insert(unit.conn(), subject, &lines).await?;
        Ok(())
    }
}
