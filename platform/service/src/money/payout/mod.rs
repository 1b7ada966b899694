//! Payouts: how they are made, and what becomes of them ([`LockedPayout`], [`work`]).
//!
//! ```text
//! run, retry ──▶ pending ──▶ processing ──▶ paid ──▶ returned
//!   (outbox row)   │      instructed, or       ├──▶ failed ──▶ paid: a query found that it was paid after all
//!                  │      may have been        └──▶ returned
//!                  ├──▶ paid, failed, returned: reported before we instructed
//!                  └──▶ cancelled: an earlier one turned out to be paid
//! ```
//!
//! A step is: take the lease and note that the partner may be instructed (one transaction), call the partner with no
//! transaction open, book its answer (another). A crash in between leaves a payout that is `processing` with a lease
//! that runs out: then the partner is queried, and instructed again under the same id only when it does not know the payout.

pub(super) mod account;
mod locked;
mod worker;

use domain::alert::AlertSubject;
use domain::ledger::Posting;
use domain::payout::{PayoutOutcome, PayoutStatus};
use serde_json::json;
use wire::ids::{MerchantId, PayoutId, SettlementId};

pub(super) use self::locked::{LockedPayout, PartnerReport};
use store::money::payout::{Cause, NewPayout};
use store::money::settlement::Settlement;

pub use self::worker::work;
use super::hold;
use super::ledger::{self, Subject};
use crate::{Actor, Context, Result, UnitOfWork, failed_item};

/// The worker's name in alerts.
const JOB: &str = "payouts";

/// Puts the first or the next payout of a settlement into the outbox. The caller holds the locks of the merchant and of
/// the settlement.
///
/// # Errors
/// The index `payouts_one_in_force` when another of the settlement is pending, processing or paid.
pub(super) async fn enqueue(
    unit: &mut UnitOfWork,
    settlement: &Settlement,
    partner_id: &str,
    cause: &str,
) -> Result<PayoutId> {
    let id = PayoutId::from_uuid(unit.uuid());
    let waits = match settlement.destination.as_deref() {
        Some(account) => account::must_wait(unit, settlement.merchant_id, account).await?,
        None => false,
    };
    let (now, created_by) = (unit.now(), unit.actor_name().to_owned());
    let new = NewPayout {
        id,
        settlement_id: settlement.id,
        merchant_id: settlement.merchant_id,
        partner_id: Some(partner_id),
        destination: settlement.destination.as_deref(),
        amount: settlement.net,
        status: PayoutStatus::Pending,
        bank_reference: None,
        due_at: (!waits).then_some(now),
        created_by: &created_by,
    };
    let cause = Cause {
        at: now,
        cause,
        message: None,
    };
    store::money::payout::insert(unit.conn(), &new, cause).await?;
    if waits {
        let reason = Some(account::WAITS);
        store::money::payout::schedule(unit.conn(), id, 0, reason, None).await?;
    }
    hold::raise(unit, settlement.merchant_id).await?;
    Ok(id)
}

/// Books a payout that people made by hand. The caller holds the settlement's lock.
///
/// # Errors
/// The index `payouts_one_in_force` when another of the settlement is pending, processing or paid.
pub(super) async fn paid_by_hand(
    unit: &mut UnitOfWork,
    settlement: &Settlement,
    bank_reference: &str,
) -> Result<()> {
    let id = PayoutId::from_uuid(unit.uuid());
    let (now, created_by) = (unit.now(), unit.actor_name().to_owned());
    let new = NewPayout {
        id,
        settlement_id: settlement.id,
        merchant_id: settlement.merchant_id,
        partner_id: None,
        destination: settlement.destination.as_deref(),
        amount: settlement.net,
        status: PayoutStatus::Paid,
        bank_reference: Some(bank_reference),
        due_at: None,
        created_by: &created_by,
    };
    let cause = Cause {
        at: now,
        cause: "manual",
        message: None,
    };
    store::money::payout::insert(unit.conn(), &new, cause).await?;
    let subject = Subject {
        settlement_id: Some(settlement.id),
        payout_id: Some(id),
        ..Subject::of(settlement.merchant_id)
    };
    for posting in [
        Posting::payout_sent(settlement.net),
        Posting::payout_paid(settlement.net),
    ] {
        ledger::post(unit, subject, &posting.map_err(anyhow::Error::from)?).await?;
    }
    Ok(())
}

/// Books that a payout that people made by hand came back. The caller holds the settlement's lock.
///
/// # Errors
/// The database's; a settlement without a payout that is paid.
pub(super) async fn returned_by_hand(
    unit: &mut UnitOfWork,
    settlement: SettlementId,
    reason: &str,
) -> Result<()> {
    let payouts = store::money::payout::of_settlements(unit.conn(), &[settlement]).await?;
    let paid = payouts
        .iter()
        .find(|payout| payout.status == PayoutStatus::Paid)
        .ok_or_else(|| anyhow::anyhow!("{settlement} is paid without a payout"))?;
    if let Some(mut locked) = LockedPayout::take(unit, paid.id).await? {
        let report = PartnerReport {
            outcome: PayoutOutcome::Returned,
            bank_reference: None,
            reason: Some(reason),
        };
        locked.apply_outcome(unit, report, "manual", None).await?;
    }
    Ok(())
}

/// Gives their first payout to settlements that were made when there was no partner to tell, `limit` at a time.
///
/// # Errors
/// The database's. A settlement that cannot be given one is put aside with an alert, and the others go on.
pub async fn enqueue_missing(context: &Context, limit: i64) -> Result<()> {
    let Some(partner_id) = context.settings().payout_partner.clone() else {
        return Ok(());
    };
    let mut after = None;
    loop {
        let mut conn = context.pool().acquire().await?;
        let waiting = store::money::settlement::without_payout(&mut conn, after, limit).await?;
        drop(conn);
        let Some((last, _)) = waiting.last().copied() else {
            return Ok(());
        };
        for (id, merchant_id) in waiting {
            if let Err(error) = give_payout(context, id, merchant_id, &partner_id).await {
                let subject = AlertSubject::Settlement(id);
                failed_item::put_aside(context, JOB, subject, error, json!({})).await?;
            }
        }
        after = Some(last);
    }
}

async fn give_payout(
    context: &Context,
    id: SettlementId,
    merchant_id: MerchantId,
    partner_id: &str,
) -> Result<()> {
    let mut unit = context.begin(Actor::system()).await?;
    store::shop::merchant::lock_for_payout(unit.conn(), merchant_id).await?;
    let Some(settlement) = store::money::settlement::lock(unit.conn(), id).await? else {
        return Ok(());
    };
    unit.refresh_now();
    let payouts = store::money::payout::of_settlements(unit.conn(), &[id]).await?;
    if !payouts.is_empty() {
        return Ok(());
    }
    enqueue(&mut unit, &settlement, partner_id, "run").await?;
    let shown = store::money::settlement::Shown {
        status: PayoutStatus::Pending.settlement(),
        bank_reference: None,
        status_reason: None,
        at: unit.now(),
    };
    store::money::settlement::show(unit.conn(), id, shown).await?;
    unit.commit().await
}
