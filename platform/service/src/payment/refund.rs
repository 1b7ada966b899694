//! Taking back what a customer paid, whole or in parts: an operator asks, the partner does it, and then it is booked.
//!
//! A refund is stored, under a name of its own, before the partner is asked. So the partner recognises it when it is asked
//! again, by the operator or by the job [`resume_due`], and one whose answer is lost is neither done twice nor forgotten.
//! Until it is known whether the partner did it, no other refund of the payment begins.
//!
//! A partner whose codes are built here has no such service: it tells us of reversals by its callbacks.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use domain::alert::AlertSubject;
use domain::backoff;
use domain::refund::{RefundError, RefundStatus, Refundable};
use domain::transaction::TransactionStatus;
use futures_util::StreamExt;
use futures_util::stream;
use serde_json::json;
use store::payment::refund::{NewRefund, Refund, RefundKey};
use store::payment::transaction::Transaction;
use wire::Rupiah;
use wire::ids::{RefundId, TransactionId};

use super::booking;
use super::qr_partner::{self, PartnerError, Refunded};
use super::reversal::{Reason, cause, find, lock, order_of, payee_of, stands_otherwise};
use crate::retry::retried;
use crate::{Actor, Context, Error, Noun, Result, UnitOfWork, failed_item};

/// The most refunds of one payment that are asked for.
const REFUNDS_MAX: usize = 100;
/// How long to wait until the partner is asked again, by how often it was asked, seconds.
const WAITS_S: [i64; 7] = [30, 60, 120, 300, 600, 1800, 3600];
/// How often the partner is asked before a person has to look.
const ATTEMPTS_MAX: i32 = 16;
/// How many partners' answers are awaited at once.
const AT_ONCE: usize = 8;
/// The job, as its alerts name it.
const JOB: &str = "resume_refunds";

/// What is to be taken back.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Why, for the partner and the audit log.
    pub reason: Reason,
    /// How much; none: what is left of the payment.
    pub amount: Option<Rupiah>,
}

/// A refund that the partner is asked for.
struct Asked {
    key: RefundKey,
    /// How often it was asked, this time included.
    attempts: i32,
    call: qr_partner::Refund,
}

/// Has the partner take a payment back, or a part of it, and books it. The unit of work that comes back is the caller's to
/// commit.
///
/// # Errors
/// [`Error::InvalidState`] unless it is paid, when the partner refuses or takes back whole payments only, or while another
/// refund of it is not answered; [`Error::InvalidAmount`] for more than is left; [`Error::PartnerTimeout`]: it may be asked
/// again, and will not pay back twice.
pub async fn refund(
    mut unit: UnitOfWork,
    id: TransactionId,
    wanted: &Wanted,
) -> Result<(UnitOfWork, Transaction)> {
    wanted.reason.check()?;
    let seen = find(&mut unit, id).await?;
    let transaction = lock(&mut unit, &seen).await?;
    let until = unit.now() + unit.context().settings().partner_lease;
    let key = request(&mut unit, &transaction, wanted).await?;
    let attempts = store::payment::refund::ask(unit.conn(), key, until).await?;
    let asked = asked(&mut unit, &transaction, key, attempts).await?;
    let partner = Arc::clone(unit.context().qr_partner(&transaction.partner_id));
    let paused = unit.pause(until).await?;
    let answer = partner.refund(&asked.call).await;
    let mut unit = paused.resume().await?;
    if let Some(error) = conclude(&mut unit, &asked, &answer).await? {
        unit.release_key().await?;
        unit.commit().await?;
        return Err(error);
    }
    let after = find(&mut unit, id).await?;
    Ok((unit, after))
}

/// The refund that is wanted: one that is not answered yet and is of the same amount, or a new one.
async fn request(
    unit: &mut UnitOfWork,
    transaction: &Transaction,
    wanted: &Wanted,
) -> Result<RefundKey> {
    if transaction.status != TransactionStatus::Paid {
        let message = "only a paid transaction is refunded";
        return Err(stands_otherwise(transaction, message));
    }
    let refundable = refundable(unit, transaction.id).await?;
    let refunds = store::payment::refund::list(unit.conn(), transaction.id).await?;
    let amount = wanted.amount.unwrap_or_else(|| refundable.left());
    let open = refunds
        .iter()
        .find(|refund| refund.status == RefundStatus::Requested);
    if let Some(open) = open {
        if open.asked_until.is_some_and(|until| until > unit.now()) {
            return Err(Error::Duplicate {
                message: "another refund of this payment waits for the partner".into(),
                retry_after_s: Some(1),
            });
        }
        if open.amount != amount {
            let message = format!(
                "the partner has not said yet whether it took {} back: ask for that again first",
                open.amount
            );
            return Err(stands_otherwise(transaction, &message));
        }
        return Ok(key_of(transaction.id, open.number));
    }
    refundable.part(amount).map_err(too_much)?;
    let partner = Arc::clone(unit.context().qr_partner(&transaction.partner_id));
    if amount != refundable.amount && !partner.refunds_parts() {
        let message = "this partner takes back whole payments only";
        return Err(stands_otherwise(transaction, message));
    }
    if refunds.len() >= REFUNDS_MAX {
        let message = "it has as many refunds as a payment can have";
        return Err(stands_otherwise(transaction, message));
    }
    let name = RefundId::from_uuid(unit.uuid());
    let requested_by = unit.actor_name().to_owned();
    let new = NewRefund {
        key: key_of(transaction.id, next_number(&refunds)?),
        merchant_id: transaction.merchant_id,
        refund_name: Some(&partner.reference().write_refund(name)),
        refund_no: None,
        amount,
        reason: Some(&wanted.reason.reason),
        requested_by: &requested_by,
        requested_at: unit.now(),
        callback_id: None,
    };
    store::payment::refund::insert(unit.conn(), &new).await?;
    Ok(new.key)
}

fn key_of(transaction_id: TransactionId, number: i16) -> RefundKey {
    RefundKey {
        transaction_id,
        number,
    }
}

/// The number of the next refund of a payment that has these.
pub(super) fn next_number(refunds: &[Refund]) -> Result<i16> {
    let last = refunds.last().map_or(0, |refund| refund.number);
    let next = last.checked_add(1);
    next.ok_or_else(|| anyhow::anyhow!("a payment has too many refunds").into())
}

fn too_much(error: RefundError) -> Error {
    Error::InvalidAmount(error.to_string())
}

/// What of a paid transaction can be taken back. Its payment is locked.
pub(super) async fn refundable(unit: &mut UnitOfWork, id: TransactionId) -> Result<Refundable> {
    let found = store::payment::refund::refundable(unit.conn(), id).await?;
    found.ok_or_else(|| anyhow::anyhow!("{id} is paid and has no payment").into())
}

/// What the partner is asked.
async fn asked(
    unit: &mut UnitOfWork,
    transaction: &Transaction,
    key: RefundKey,
    attempts: i32,
) -> Result<Asked> {
    let refunds = store::payment::refund::list(unit.conn(), transaction.id).await?;
    let refund = refunds.into_iter().find(|one| one.number == key.number);
    let refund = refund.ok_or(Error::NotFound(Noun::Transaction))?;
    let reference = transaction.partner_reference.clone();
    let missing = |what: &str| anyhow::anyhow!("{} has no {what}", transaction.id);
    let order = order_of(unit, transaction).await?;
    let call = qr_partner::Refund {
        name: order.order_name,
        external_id: order.external_id,
        partner_reference: reference.ok_or_else(|| missing("reference"))?,
        refund_name: refund.refund_name.ok_or_else(|| missing("refund name"))?,
        amount: refund.amount,
        payee: payee_of(unit, transaction).await?,
        reason: refund.reason.unwrap_or_default(),
    };
    Ok(Asked {
        key,
        attempts,
        call,
    })
}

/// Writes what the partner answered. When it did not take the money back, the error for who asked.
async fn conclude(
    unit: &mut UnitOfWork,
    asked: &Asked,
    answer: &std::result::Result<Refunded, PartnerError>,
) -> Result<Option<Error>> {
    let seen = find(unit, asked.key.transaction_id).await?;
    let transaction = lock(unit, &seen).await?;
    let refunds = store::payment::refund::list(unit.conn(), transaction.id).await?;
    let refund = refunds.iter().find(|one| one.number == asked.key.number);
    let refund = refund.ok_or_else(|| anyhow::anyhow!("a refund of {} is gone", transaction.id))?;
    match answer {
        // The partner's callback may have been quicker.
        _ if refund.status == RefundStatus::Done => {}
        Ok(refunded) => return done(unit, &transaction, refund, asked, refunded).await,
        // A refusal of a repetition says nothing about what was not answered before.
        Err(error) if error.is_final() && asked.attempts == 1 => {
            let answer = error.to_string();
            store::payment::refund::refuse(unit.conn(), asked.key, &answer).await?;
            return Ok(Some(error.clone().told(transaction.status)));
        }
        Err(error) => {
            let due_at = next_attempt(unit, asked);
            let answer = error.to_string();
            store::payment::refund::unanswered(unit.conn(), asked.key, &answer, due_at).await?;
            if due_at.is_none() {
                raise(unit, asked, &answer);
            }
            return Ok(Some(error.clone().told(transaction.status)));
        }
    }
    Ok(None)
}

/// When the partner is asked again by itself; none after the last time.
fn next_attempt(unit: &UnitOfWork, asked: &Asked) -> Option<DateTime<Utc>> {
    let wait: TimeDelta = backoff::after(asked.attempts, &WAITS_S);
    (asked.attempts < ATTEMPTS_MAX).then(|| unit.now() + wait)
}

/// Opens an alert about a refund of which only a person can find out what became of it.
fn raise(unit: &mut UnitOfWork, asked: &Asked, reason: &str) {
    let subject = AlertSubject::Transaction(asked.key.transaction_id);
    let details = json!({
        "refund": asked.key.number,
        "refund_name": asked.call.refund_name,
        "amount": asked.call.amount,
    });
    unit.raise(failed_item::alert(JOB, subject, reason, details));
}

/// The partner took the money back: it is booked.
async fn done(
    unit: &mut UnitOfWork,
    transaction: &Transaction,
    refund: &Refund,
    asked: &Asked,
    refunded: &Refunded,
) -> Result<Option<Error>> {
    let part = match refundable(unit, transaction.id).await?.part(refund.amount) {
        Ok(part) => part,
        Err(error) => {
            // Others were taken back by the partner meanwhile: the books cannot say what it did.
            let reason = format!("the partner took back more than was paid: {error}");
            store::payment::refund::unanswered(unit.conn(), asked.key, &reason, None).await?;
            raise(unit, asked, &reason);
            return Ok(Some(stands_otherwise(transaction, &reason)));
        }
    };
    if let Some(refund_no) = &refunded.refund_no {
        store::payment::refund::learn(unit.conn(), asked.key, refund_no).await?;
    }
    let cause = cause(unit, "refund");
    booking::refund(unit, transaction, asked.key, part, cause).await?;
    let status = match part.is_last {
        true => TransactionStatus::Reversed,
        false => transaction.status,
    };
    unit.audit(
        "transaction.refund",
        transaction.id,
        Some(json!({ "status": transaction.status })),
        Some(json!({
            "status": status, "refund": asked.key.number, "amount": part.amount, "reason": asked.call.reason,
        })),
    )
    .await?;
    Ok(None)
}

/// Asks again about up to `limit` refunds of which it is not known whether the partner did them. Answers how many there were.
pub async fn resume_due(context: &Context, limit: i64) -> Result<usize> {
    let now = context.clock().now();
    let until = now + context.settings().partner_lease;
    let mut conn = context.pool().acquire().await?;
    let due = store::payment::refund::take_due(&mut conn, now, until, limit).await?;
    drop(conn);
    let count = due.len();
    stream::iter(due)
        .for_each_concurrent(AT_ONCE, |(key, attempts)| async move {
            if let Err(error) = resume(context, key, attempts).await {
                let transaction_id = key.transaction_id;
                tracing::warn!(%transaction_id, %error, "a refund is asked for again later");
            }
        })
        .await;
    Ok(count)
}

async fn resume(context: &Context, key: RefundKey, attempts: i32) -> Result<()> {
    let (asked, partner) = retried(|| async {
        let mut unit = context.begin(Actor::system()).await?;
        let transaction = find(&mut unit, key.transaction_id).await?;
        let asked = asked(&mut unit, &transaction, key, attempts).await?;
        let partner = Arc::clone(unit.context().qr_partner(&transaction.partner_id));
        unit.commit().await?;
        Ok((asked, partner))
    })
    .await?;
    let answer = partner.refund(&asked.call).await;
    retried(|| async {
        let mut unit = context.begin(Actor::system()).await?;
        let error = conclude(&mut unit, &asked, &answer).await?;
        unit.commit().await?;
        if let Some(error) = error {
            let transaction_id = key.transaction_id;
            tracing::info!(%transaction_id, %error, "a partner did not take a payment back");
        }
        Ok(())
    })
    .await
}
