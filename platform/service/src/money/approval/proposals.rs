//! Changes that are made now, or proposed when two people are needed.

use domain::approval::{self, ApprovalKind};
use domain::command::CommandType;
use domain::role::Role;
use wire::ids::{DeviceId, MerchantId, SettlementId, UnmatchedPaymentId, UserId};

use super::{Outcome, check_checker, is_on, propose, propose_with};
use crate::fleet::bulk_command::{self, NewBulkCommand};
use crate::fleet::command::{self, NewCommand};
use crate::money::fee::{self, NewFeeProfile, NewFeeVersion};
use crate::money::proposal::Change;
use crate::money::settlement;
use crate::payment::unmatched_payment::{self, Assignment};
use crate::people::setup_code;
use crate::people::token::{self, NewToken, TokenRequest};
use crate::people::user::{self, NewUser, SetUp, UserPatch};
use crate::shop::merchant::{self, MerchantPatch};
use crate::{Error, Noun, Result, UnitOfWork};

/// A new fee profile, now or when another person has confirmed it.
///
/// # Errors
/// As [`fee::create`]; [`Error::Forbidden`] for a maker who is no person.
pub async fn create_fee_profile(
    unit: &mut UnitOfWork,
    new: NewFeeProfile,
) -> Result<Outcome<fee::FeeProfileView>> {
    if !is_on(unit)? {
        return fee::create(unit, new, None).await.map(Outcome::Done);
    }
    let entity = new.id.clone();
    let change = Change::FeeProfile(new);
    propose(unit, ApprovalKind::FeeProfileCreate, entity, change).await
}

/// New rates of a fee profile, now or when another person has confirmed them.
///
/// # Errors
/// As [`fee::add_version`]; [`Error::Forbidden`] for a maker who is no person.
pub async fn add_fee_version(
    unit: &mut UnitOfWork,
    profile_id: &str,
    new: NewFeeVersion,
) -> Result<Outcome<fee::FeeProfileView>> {
    if !is_on(unit)? {
        return fee::add_version(unit, profile_id, new, None)
            .await
            .map(Outcome::Done);
    }
    let change = Change::FeeVersion {
        profile_id: profile_id.to_owned(),
        version: new,
    };
    let entity = profile_id.to_owned();
    propose(unit, ApprovalKind::FeeProfileVersion, entity, change).await
}

/// A change of a merchant; one that touches money may wait for another person, as a whole.
///
/// # Errors
/// As [`merchant::patch`]; [`Error::Forbidden`] for a maker who is no person.
pub async fn patch_merchant(
    unit: &mut UnitOfWork,
    id: MerchantId,
    patch: MerchantPatch,
) -> Result<Outcome<store::shop::merchant::Merchant>> {
    if !patch.touches_money() || !is_on(unit)? {
        return merchant::patch(unit, id, patch).await.map(Outcome::Done);
    }
    let change = Change::Merchant {
        merchant_id: id,
        patch: Box::new(patch),
    };
    propose(unit, ApprovalKind::MerchantPatch, id.to_string(), change).await
}

/// A merchant may take payments: now, when others made it, or when another person has confirmed it.
///
/// # Errors
/// As [`merchant::approve`]; [`Error::Forbidden`] for a program, and for a person who is too new to confirm what others made.
pub async fn approve_merchant(
    unit: &mut UnitOfWork,
    id: MerchantId,
) -> Result<Outcome<store::shop::merchant::Merchant>> {
    if !is_on(unit)? {
        return merchant::approve(unit, id).await.map(Outcome::Done);
    }
    // Under its lock it does not change between this check and the approval.
    store::shop::merchant::lock(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::Merchant))?;
    let made = ["merchant.create", "merchant.patch"];
    let makers = store::people::audit::actors(unit.conn(), &id.to_string(), &made).await?;
    let makers: Vec<&str> = makers.iter().map(String::as_str).collect();
    if let Some(maker) = makers.first()
        && approval::is_made_by_others(makers.iter().copied(), unit.actor_name())
    {
        check_checker(unit, maker).await?;
        return merchant::approve(unit, id).await.map(Outcome::Done);
    }
    let change = Change::ApproveMerchant { merchant_id: id };
    propose(unit, ApprovalKind::MerchantApprove, id.to_string(), change).await
}

/// A settlement was paid by hand: booked now, or when another person has confirmed it.
///
/// # Errors
/// As [`settlement::mark_paid`]; [`Error::Forbidden`] for a maker who is no person.
pub async fn mark_paid(
    unit: &mut UnitOfWork,
    id: SettlementId,
    bank_reference: String,
) -> Result<Outcome<settlement::SettlementView>> {
    if !is_on(unit)? {
        return settlement::mark_paid(unit, id, &bank_reference)
            .await
            .map(Outcome::Done);
    }
    let change = Change::MarkPaid {
        settlement_id: id,
        bank_reference,
    };
    let entity = id.to_string();
    propose(unit, ApprovalKind::SettlementMarkPaid, entity, change).await
}

/// Assigns unmatched money, now or when another person has confirmed it.
///
/// # Errors
/// As [`unmatched_payment::assign`]; [`Error::Forbidden`] for a maker who is no person.
pub async fn assign(
    unit: &mut UnitOfWork,
    id: UnmatchedPaymentId,
    assignment: Assignment,
) -> Result<Outcome<store::payment::unmatched_payment::UnmatchedPayment>> {
    if !is_on(unit)? {
        return unmatched_payment::assign(unit, id, assignment)
            .await
            .map(Outcome::Done);
    }
    let change = Change::Assign {
        unmatched_payment_id: id,
        assignment,
    };
    let entity = id.to_string();
    propose(unit, ApprovalKind::UnmatchedPaymentAssign, entity, change).await
}

/// A new user, now or when another person has confirmed it; then without a password that another person knows.
///
/// # Errors
/// As [`user::create`]; [`Error::Forbidden`] for a maker who is no person; a password, where two people are needed.
pub async fn create_user(unit: &mut UnitOfWork, new: NewUser) -> Result<Outcome<user::Made>> {
    if !is_on(unit)? {
        return user::create(unit, new).await.map(Outcome::Done);
    }
    refuse_password(new.password.as_deref())?;
    let entity = new.email.clone();
    let half = setup_code::generate();
    let change = Change::NewUser {
        user: new,
        first_half_sha256: hex::encode(setup_code::hash(&half)),
    };
    propose_with(unit, ApprovalKind::UserCreate, entity, change, Some(half)).await
}

/// A change of a user; one that gives a role or a way in may wait for another person. To disable a user, one is enough.
///
/// # Errors
/// As [`user::patch`]; [`Error::Forbidden`] for a maker who is no person; a password, where two people are needed.
pub async fn patch_user(
    unit: &mut UnitOfWork,
    id: UserId,
    patch: UserPatch,
) -> Result<Outcome<store::people::user::User>> {
    let is_guarded = patch.empowers() || patch.password.is_some();
    if !is_guarded || !is_on(unit)? {
        return user::patch(unit, id, patch).await.map(Outcome::Done);
    }
    refuse_password(patch.password.as_deref())?;
    let change = Change::User { user_id: id, patch };
    propose(unit, ApprovalKind::UserPatch, id.to_string(), change).await
}

/// A user gets a code for a new password, now or when another person has confirmed it.
///
/// # Errors
/// As [`user::reset`]; [`Error::Forbidden`] for a maker who is no person.
pub async fn reset_user(unit: &mut UnitOfWork, id: UserId) -> Result<Outcome<SetUp>> {
    if !is_on(unit)? {
        return user::reset(unit, id, None).await.map(Outcome::Done);
    }
    let half = setup_code::generate();
    let change = Change::ResetUser {
        user_id: id,
        first_half_sha256: hex::encode(setup_code::hash(&half)),
    };
    let entity = id.to_string();
    propose_with(unit, ApprovalKind::UserReset, entity, change, Some(half)).await
}

/// A program's token; one that may move money or make people may wait for another person.
///
/// # Errors
/// As [`token::request`]; [`Error::Forbidden`] for a maker who is no person.
pub async fn create_token(
    unit: &mut UnitOfWork,
    request: TokenRequest,
) -> Result<Outcome<NewToken>> {
    let is_powerful = request
        .role
        .parse()
        .is_ok_and(|role: Role| role.is_powerful());
    if !is_powerful || !is_on(unit)? {
        return token::request(unit, request).await.map(Outcome::Done);
    }
    let entity = request.name.clone();
    let change = Change::NewToken(request);
    propose(unit, ApprovalKind::TokenCreate, entity, change).await
}

/// A command to a box; one that announces a free text may wait for another person.
///
/// # Errors
/// As [`command::create`]; [`Error::Forbidden`] for a maker who is no person.
pub async fn create_command(
    unit: &mut UnitOfWork,
    device_id: DeviceId,
    new: NewCommand,
) -> Result<Outcome<store::fleet::command::Command>> {
    if !announces_free_text(&new.kind) || !is_on(unit)? {
        return command::create(unit, device_id, new)
            .await
            .map(Outcome::Done);
    }
    let change = Change::Command {
        device_id,
        command: new,
    };
    let entity = device_id.to_string();
    propose(unit, ApprovalKind::CommandCreate, entity, change).await
}

/// A command to many boxes; one that announces a free text may wait for another person.
///
/// # Errors
/// As [`bulk_command::create`]; [`Error::Forbidden`] for a maker who is no person.
pub async fn create_bulk_command(
    unit: &mut UnitOfWork,
    new: NewBulkCommand,
) -> Result<Outcome<bulk_command::View>> {
    if !announces_free_text(&new.kind) || !is_on(unit)? {
        return bulk_command::create(unit, new).await.map(Outcome::Done);
    }
    let entity = new.kind.clone();
    let change = Change::BulkCommand(Box::new(new));
    propose(unit, ApprovalKind::BulkCommandCreate, entity, change).await
}

fn announces_free_text(kind: &str) -> bool {
    kind == CommandType::AnnounceText.as_str()
}

/// A person who chooses another's password can log in as that user.
fn refuse_password(password: Option<&str>) -> Result<()> {
    match password {
        None => Ok(()),
        Some(_) => Err(Error::field(
            "password",
            "is not chosen for somebody else where two people are needed: the user sets it with a one-time code",
        )),
    }
}
