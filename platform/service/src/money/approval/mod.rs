//! Maker and checker for what moves money, makes users, or is announced to customers.
//!
//! With `money.maker_checker` on, such a change is tried, undone and kept as a proposal; another person confirms it, and
//! only then it happens, in that person's transaction. The audit log has both. With it off, one person is enough.
//!
//! A proposal never contains a secret. Secrets are made when it is confirmed, and shown to the person who confirms; of the
//! code with which a new or reset user sets a password, proposer and confirmer get one half each.

mod comparison;
mod proposals;

use domain::approval::{self, ApprovalKind, ApprovalStatus, Checker};
use serde::Serialize;
use serde_json::json;
use store::Page;
use store::money::approval::{Approval, Filter};
use utoipa::ToSchema;
use wire::ids::{ApprovalId, UserId};

pub use self::comparison::{Compared, compare};
pub use self::proposals::{
    add_fee_version, approve_merchant, assign, create_bulk_command, create_command,
    create_fee_profile, create_token, create_user, mark_paid, patch_merchant, patch_user,
    reset_user,
};
use super::payout::account;
use super::proposal::{Change, keep};
use super::{fee, settlement};
use crate::fleet::{bulk_command, command};
use crate::payment::unmatched_payment;
use crate::people::{token, user};
use crate::shop::merchant;
use crate::{Checks, Context, Error, Noun, Result, UnitOfWork};

/// How many proposals of one person may wait.
const PENDING_MAX: i64 = 1000;

/// What became of a change that was asked for.
#[derive(Debug)]
pub enum Outcome<T> {
    /// It happened.
    Done(T),
    /// It waits for a second person.
    Proposed(Box<Proposal>),
}

/// A proposal at the only moment at which its maker's secret can be read.
#[derive(Debug, Serialize, ToSchema)]
pub struct Proposal {
    /// The proposal.
    #[serde(flatten)]
    pub approval: Approval,
    /// For a user who is to set a password: the first half of the code. Who confirms gets the second.
    pub setup_code: Option<String>,
}

/// A confirmed proposal at the only moment at which the secrets that it made can be read.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConfirmedApproval)]
pub struct Confirmed {
    /// The proposal.
    #[serde(flatten)]
    pub approval: Approval,
    /// The program's token that was made.
    pub token: Option<String>,
    /// For a user who is to set a password: the second half of the code.
    pub setup_code: Option<String>,
}

/// Secrets that a change makes, for who confirms it.
#[derive(Debug, Default)]
struct Secrets {
    token: Option<String>,
    setup_code: Option<String>,
}

/// Whether a second person is needed, and this one may be the first.
fn is_on(unit: &UnitOfWork) -> Result<bool> {
    if !unit.context().settings().maker_checker {
        return Ok(false);
    }
    approval::may_propose(unit.actor_name()).map_err(forbidden)?;
    Ok(true)
}

fn forbidden(error: approval::NotYours) -> Error {
    use approval::NotYours::{NotAPerson, OwnProposal, TooNew};
    Error::Forbidden(match error {
        NotAPerson => {
            "this needs two people who have logged in; a program's token can neither propose nor confirm it"
        }
        OwnProposal => "nobody confirms what they have proposed themselves",
        TooNew => {
            "a user confirms nothing for a time after the account was made, reset, enabled again or given a role (money.confirm_wait_h)"
        }
    })
}

async fn propose<T>(
    unit: &mut UnitOfWork,
    kind: ApprovalKind,
    entity: String,
    change: Change,
) -> Result<Outcome<T>> {
    propose_with(unit, kind, entity, change, None).await
}

/// Tries a change, undoes it, and keeps it as a proposal.
async fn propose_with<T>(
    unit: &mut UnitOfWork,
    kind: ApprovalKind,
    entity: String,
    change: Change,
    setup_code: Option<String>,
) -> Result<Outcome<T>> {
    let request = change.request()?;
    let savepoint = unit.savepoint().await?;
    drop(carry_out(unit, change, None).await?);
    unit.roll_back_to(savepoint).await?;
    let maker = unit.actor_name().to_owned();
    if store::money::approval::count_pending(unit.conn(), &maker).await? >= PENDING_MAX {
        return Err(Error::RateLimited {
            message: "too many of your proposals wait",
            retry_after_s: 3600,
        });
    }
    let approval = keep(unit, kind, entity, request).await?;
    Ok(Outcome::Proposed(Box::new(Proposal {
        approval,
        setup_code,
    })))
}

/// Does what a proposal says. `maker`: who proposed it, once it is confirmed.
async fn carry_out(unit: &mut UnitOfWork, change: Change, maker: Option<&str>) -> Result<Secrets> {
    let mut secrets = Secrets::default();
    match change {
        Change::FeeProfile(new) => drop(fee::create(unit, new, maker).await?),
        Change::FeeVersion {
            profile_id,
            version,
        } => drop(fee::add_version(unit, &profile_id, version, maker).await?),
        Change::Merchant { merchant_id, patch } => {
            drop(merchant::patch(unit, merchant_id, *patch).await?);
        }
        Change::ApproveMerchant { merchant_id } => {
            drop(merchant::approve(unit, merchant_id).await?);
        }
        Change::MarkPaid {
            settlement_id,
            bank_reference,
        } => drop(settlement::mark_paid(unit, settlement_id, &bank_reference).await?),
        Change::Assign {
            unmatched_payment_id,
            assignment,
        } => drop(unmatched_payment::assign(unit, unmatched_payment_id, assignment).await?),
        Change::NewUser {
            user: new,
            first_half_sha256,
        } => {
            let first = hex::decode(first_half_sha256).map_err(anyhow::Error::from)?;
            let made = user::create_without_password(unit, new, &first).await?;
            secrets.setup_code = Some(made.setup_code);
        }
        Change::User { user_id, patch } => drop(user::patch(unit, user_id, patch).await?),
        Change::ResetUser {
            user_id,
            first_half_sha256,
        } => {
            let first = hex::decode(first_half_sha256).map_err(anyhow::Error::from)?;
            let made = user::reset(unit, user_id, Some(&first)).await?;
            secrets.setup_code = Some(made.setup_code);
        }
        Change::NewToken(request) => {
            secrets.token = Some(token::request(unit, request).await?.token);
        }
        Change::Command { device_id, command } => {
            drop(command::create(unit, device_id, command).await?);
        }
        Change::BulkCommand(new) => drop(bulk_command::create(unit, *new).await?),
        Change::PayoutAccount {
            merchant_id,
            destination,
        } => account::release(unit, merchant_id, &destination).await?,
    }
    Ok(secrets)
}

/// Refuses an actor who may not confirm what `maker` has proposed.
async fn check_checker(unit: &mut UnitOfWork, maker: &str) -> Result<()> {
    let name = unit.actor_name().to_owned();
    approval::may_propose(&name).map_err(forbidden)?;
    let id: UserId = name.parse().map_err(anyhow::Error::from)?;
    let user = store::people::user::find(unit.conn(), store::Scope::All, id)
        .await?
        .ok_or(Error::Unauthenticated)?;
    let checker = Checker {
        name: &name,
        since: user.access_changed_at,
    };
    let wait = unit.context().settings().confirm_wait;
    checker
        .may_confirm(maker, unit.now(), wait)
        .map_err(forbidden)
}

/// Confirms a proposal and does what it says. One that no person has made is taken over instead, and still waits.
///
/// # Errors
/// No such proposal, or one that was decided; [`Error::Forbidden`] for the maker, for programs and for who is too new;
/// whatever keeps the change from happening by now: then the proposal still waits.
pub async fn approve(unit: &mut UnitOfWork, id: ApprovalId) -> Result<Confirmed> {
    let before = take(unit, id).await?;
    check_checker(unit, &before.requested_by).await?;
    if !approval::is_person(&before.requested_by) {
        return take_over(unit, before).await;
    }
    let change: Change =
        serde_json::from_value(before.request.clone()).map_err(anyhow::Error::from)?;
    let secrets = carry_out(unit, change, Some(before.requested_by.as_str())).await?;
    let approval = decide(unit, &before, ApprovalStatus::Approved, None).await?;
    Ok(Confirmed {
        approval,
        token: secrets.token,
        setup_code: secrets.setup_code,
    })
}

async fn take_over(unit: &mut UnitOfWork, before: Approval) -> Result<Confirmed> {
    let approval = Approval {
        requested_by: unit.actor_name().to_owned(),
        ..before.clone()
    };
    store::money::approval::take_over(unit.conn(), approval.id, &approval.requested_by).await?;
    let (was, is) = (Some(json!(before)), Some(json!(approval)));
    unit.audit("approval.take_over", approval.id, was, is)
        .await?;
    Ok(Confirmed {
        approval,
        token: None,
        setup_code: None,
    })
}

/// Turns a proposal down; its maker may take it back.
///
/// # Errors
/// No such proposal, or one that was decided.
pub async fn reject(unit: &mut UnitOfWork, id: ApprovalId, reason: &str) -> Result<Approval> {
    let mut checks = Checks::default();
    checks.text("reason", reason, 500);
    checks.finish()?;
    let before = take(unit, id).await?;
    if before.kind == ApprovalKind::PayoutAccount
        && let Change::PayoutAccount {
            merchant_id,
            destination,
        } = serde_json::from_value(before.request.clone()).map_err(anyhow::Error::from)?
    {
        account::refuse(unit, merchant_id, &destination).await?;
    }
    decide(unit, &before, ApprovalStatus::Rejected, Some(reason)).await
}

async fn take(unit: &mut UnitOfWork, id: ApprovalId) -> Result<Approval> {
    let approval = store::money::approval::lock(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::Approval))?;
    unit.refresh_now();
    if approval.status != ApprovalStatus::Pending {
        return Err(Error::InvalidState {
            message: format!("it was {} before", approval.status),
            current: approval.status.to_string(),
        });
    }
    Ok(approval)
}

async fn decide(
    unit: &mut UnitOfWork,
    before: &Approval,
    status: ApprovalStatus,
    reason: Option<&str>,
) -> Result<Approval> {
    let (checker, now) = (unit.actor_name().to_owned(), unit.now());
    store::money::approval::decide(unit.conn(), before.id, status, &checker, reason, now).await?;
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

/// Proposals, newest first.
///
/// # Errors
/// The database's.
pub async fn list(context: &Context, filter: &Filter, page: Page) -> Result<Vec<Approval>> {
    let mut conn = context.lists().acquire().await?;
    Ok(store::money::approval::list(&mut conn, filter, page).await?)
}
