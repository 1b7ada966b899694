//! Maker and checker for what moves money: fee profiles, where payouts go, payouts that were made by hand.
//!
//! With `money.maker_checker` on, such a change is tried, undone and kept as a proposal; another person confirms it, and
//! only then it happens, in that person's transaction. The audit log has both. Off, one person's word is enough.

use domain::approval::{self, ApprovalKind, ApprovalStatus};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wire::ids::{ApprovalId, MerchantId, SettlementId};

use super::fee::{self, NewFeeProfile, NewFeeVersion};
use super::settlement;
use crate::service::shop::merchant::{self, MerchantPatch};
use crate::service::{Checks, Context, Error, Noun, Result, Unit};
use crate::store::money::approval::Approval;
use crate::store::{self, Page};

/// A change that can be proposed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    FeeProfile(NewFeeProfile),
    FeeVersion {
        profile_id: String,
        version: NewFeeVersion,
    },
    Merchant {
        merchant_id: MerchantId,
        patch: Box<MerchantPatch>,
    },
    MarkPaid {
        settlement_id: SettlementId,
        bank_reference: String,
    },
}

/// What became of a change that was asked for.
#[derive(Debug)]
pub enum Outcome<T> {
    /// It happened.
    Done(T),
    /// It waits for a second person.
    Waits(Box<Approval>),
}

/// A new fee profile, now or when another person has confirmed it.
///
/// # Errors
/// As [`fee::create`]; [`Error::Forbidden`] for a maker who is no person.
pub async fn create_fee_profile(
    unit: &mut Unit,
    new: NewFeeProfile,
) -> Result<Outcome<fee::FeeProfileView>> {
    let entity = new.id.clone();
    if !is_on(unit)? {
        return fee::create(unit, new, None).await.map(Outcome::Done);
    }
    let trial = unit.savepoint().await?;
    fee::create(unit, new.clone(), None).await?;
    unit.undo(trial).await?;
    propose(
        unit,
        ApprovalKind::FeeProfileCreate,
        entity,
        &Change::FeeProfile(new),
    )
    .await
}

/// New rates of a fee profile, now or when another person has confirmed them.
///
/// # Errors
/// As [`fee::add_version`]; [`Error::Forbidden`] for a maker who is no person.
pub async fn add_fee_version(
    unit: &mut Unit,
    profile_id: &str,
    new: NewFeeVersion,
) -> Result<Outcome<fee::FeeProfileView>> {
    if !is_on(unit)? {
        return fee::add_version(unit, profile_id, new, None)
            .await
            .map(Outcome::Done);
    }
    let trial = unit.savepoint().await?;
    fee::add_version(unit, profile_id, new.clone(), None).await?;
    unit.undo(trial).await?;
    let change = Change::FeeVersion {
        profile_id: profile_id.to_owned(),
        version: new,
    };
    propose(
        unit,
        ApprovalKind::FeeProfileVersion,
        profile_id.to_owned(),
        &change,
    )
    .await
}

/// A change of a merchant; one that touches money may wait for another person, as a whole.
///
/// # Errors
/// As [`merchant::patch`]; [`Error::Forbidden`] for a maker who is no person.
pub async fn patch_merchant(
    unit: &mut Unit,
    id: MerchantId,
    patch: MerchantPatch,
) -> Result<Outcome<store::shop::merchant::Merchant>> {
    if !patch.touches_money() || !is_on(unit)? {
        return merchant::patch(unit, id, patch).await.map(Outcome::Done);
    }
    let trial = unit.savepoint().await?;
    merchant::patch(unit, id, patch.clone()).await?;
    unit.undo(trial).await?;
    let change = Change::Merchant {
        merchant_id: id,
        patch: Box::new(patch),
    };
    propose(unit, ApprovalKind::MerchantPatch, id.to_string(), &change).await
}

/// A settlement was paid by hand: as it is said, or when another person has confirmed it.
///
/// # Errors
/// As [`settlement::mark_paid`]; [`Error::Forbidden`] for a maker who is no person.
pub async fn mark_paid(
    unit: &mut Unit,
    id: SettlementId,
    bank_reference: String,
) -> Result<Outcome<settlement::SettlementView>> {
    if !is_on(unit)? {
        return settlement::mark_paid(unit, id, &bank_reference)
            .await
            .map(Outcome::Done);
    }
    let trial = unit.savepoint().await?;
    settlement::mark_paid(unit, id, &bank_reference).await?;
    unit.undo(trial).await?;
    let change = Change::MarkPaid {
        settlement_id: id,
        bank_reference,
    };
    propose(
        unit,
        ApprovalKind::SettlementMarkPaid,
        id.to_string(),
        &change,
    )
    .await
}

/// Whether a second person is needed, and this one may be the first.
fn is_on(unit: &Unit) -> Result<bool> {
    if !unit.context().settings().maker_checker {
        return Ok(false);
    }
    approval::may_propose(unit.actor_name()).map_err(forbidden)?;
    Ok(true)
}

fn forbidden(error: approval::NotYours) -> Error {
    Error::Forbidden(match error {
        approval::NotYours::NotAPerson => {
            "changes of money are proposed and confirmed by people who have logged in, not by a program's token"
        }
        approval::NotYours::OwnProposal => "nobody confirms what they have proposed themselves",
    })
}

async fn propose<T>(
    unit: &mut Unit,
    kind: ApprovalKind,
    entity: String,
    change: &Change,
) -> Result<Outcome<T>> {
    let approval = Approval {
        id: ApprovalId::from_uuid(unit.uuid()),
        kind: kind.to_string(),
        entity,
        request: serde_json::to_value(change).map_err(anyhow::Error::from)?,
        status: ApprovalStatus::Pending.to_string(),
        requested_by: unit.actor_name().to_owned(),
        created_at: unit.now(),
        decided_by: None,
        decided_at: None,
        reason: None,
    };
    store::money::approval::insert(unit.conn(), &approval).await?;
    unit.audit("approval.propose", approval.id, None, Some(json!(approval)))
        .await?;
    Ok(Outcome::Waits(Box::new(approval)))
}

/// Confirms a proposal and does what it says.
///
/// # Errors
/// No such proposal, or one that was decided; [`Error::Forbidden`] for the maker and for programs; whatever keeps the
/// change from happening by now: then the proposal still waits.
pub async fn approve(unit: &mut Unit, id: ApprovalId) -> Result<Approval> {
    let before = take(unit, id).await?;
    approval::may_confirm(&before.requested_by, unit.actor_name()).map_err(forbidden)?;
    let change: Change =
        serde_json::from_value(before.request.clone()).map_err(anyhow::Error::from)?;
    let maker = Some(before.requested_by.as_str());
    match change {
        Change::FeeProfile(new) => drop(fee::create(unit, new, maker).await?),
        Change::FeeVersion {
            profile_id,
            version,
        } => drop(fee::add_version(unit, &profile_id, version, maker).await?),
        Change::Merchant { merchant_id, patch } => {
            drop(merchant::patch(unit, merchant_id, *patch).await?);
        }
        Change::MarkPaid {
            settlement_id,
            bank_reference,
        } => drop(settlement::mark_paid(unit, settlement_id, &bank_reference).await?),
    }
    decide(unit, &before, ApprovalStatus::Approved, None).await
}

/// Turns a proposal down; its maker may take it back.
///
/// # Errors
/// No such proposal, or one that was decided.
pub async fn reject(unit: &mut Unit, id: ApprovalId, reason: &str) -> Result<Approval> {
    let mut checks = Checks::default();
    checks.text("reason", reason, 500);
    checks.finish()?;
    let before = take(unit, id).await?;
    decide(unit, &before, ApprovalStatus::Rejected, Some(reason)).await
}

async fn take(unit: &mut Unit, id: ApprovalId) -> Result<Approval> {
    let approval = store::money::approval::lock(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::Approval))?;
    unit.catch_up();
    if approval.status.parse() != Ok(ApprovalStatus::Pending) {
        return Err(Error::InvalidState {
            message: format!("it was {} before", approval.status),
            current: approval.status,
        });
    }
    Ok(approval)
}

async fn decide(
    unit: &mut Unit,
    before: &Approval,
    status: ApprovalStatus,
    reason: Option<&str>,
) -> Result<Approval> {
    let (checker, now) = (unit.actor_name().to_owned(), unit.now());
    store::money::approval::decide(
        unit.conn(),
        before.id,
        status.as_str(),
        &checker,
        reason,
        now,
    )
    .await?;
    let after = store::money::approval::find(unit.conn(), before.id)
        .await?
        .ok_or(Error::NotFound(Noun::Approval))?;
    let action = match status {
        ApprovalStatus::Approved => "approval.approve",
        _ => "approval.reject",
    };
    unit.audit(action, before.id, Some(json!(before)), Some(json!(after)))
        .await?;
    Ok(after)
}

/// One proposal.
///
/// # Errors
/// No such proposal.
pub async fn get(context: &Context, id: ApprovalId) -> Result<Approval> {
    let mut conn = context.pool().acquire().await?;
    store::money::approval::find(&mut conn, id)
        .await?
        .ok_or(Error::NotFound(Noun::Approval))
}

/// Proposals, newest first.
///
/// # Errors
/// A status or a kind that does not exist.
pub async fn list(
    context: &Context,
    status: Option<&str>,
    kind: Option<&str>,
    page: Page,
) -> Result<Vec<Approval>> {
    let mut checks = Checks::default();
    if let Some(status) = status {
        let _: Option<ApprovalStatus> = checks.parse("status", status);
    }
    if let Some(kind) = kind {
        let _: Option<ApprovalKind> = checks.parse("kind", kind);
    }
    checks.finish()?;
    let mut conn = context.lists().acquire().await?;
    Ok(store::money::approval::list(&mut conn, status, kind, page).await?)
}
