//! Suspending a merchant, and taking that back.
//!
//! A suspended merchant starts no payments: its boxes get no codes, and money on its printed codes is kept as unmatched.
//! Money that is paid for a code of the time before is booked, but not announced. Its payouts are held
//! ([`crate::money::hold`]).

use domain::merchant::{InvalidTransition, MerchantStatus};
use serde_json::json;
use store::shop::merchant::Merchant;
use wire::ids::MerchantId;

use crate::money::hold;
use crate::{Checks, Error, Noun, Result, UnitOfWork};

/// Suspends an approved merchant.
///
/// # Errors
/// No such merchant; a reason that is empty or too long; [`Error::InvalidState`] unless it is approved.
pub async fn suspend(unit: &mut UnitOfWork, id: MerchantId, reason: String) -> Result<Merchant> {
    let mut checks = Checks::default();
    checks.text("reason", &reason, 500);
    checks.finish()?;
    let step = MerchantStatus::suspend;
    take(unit, id, "merchant.suspend", Some(reason), step).await
}

/// Approves a suspended merchant again. What was held of its payouts is paid out.
///
/// # Errors
/// No such merchant; [`Error::InvalidState`] unless it is suspended.
pub async fn reactivate(unit: &mut UnitOfWork, id: MerchantId) -> Result<Merchant> {
    let step = MerchantStatus::reinstate;
    take(unit, id, "merchant.reactivate", None, step).await
}

async fn take(
    unit: &mut UnitOfWork,
    id: MerchantId,
    action: &'static str,
    reason: Option<String>,
    step: fn(MerchantStatus) -> std::result::Result<MerchantStatus, InvalidTransition>,
) -> Result<Merchant> {
    let mut merchant = store::shop::merchant::lock(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::Merchant))?;
    unit.refresh_now();
    let before = json!(merchant);
    let to = step(merchant.status)?;
    merchant.status = to;
    merchant.status_reason = reason;
    merchant.updated_at = unit.now();
    store::shop::merchant::update(unit.conn(), &merchant).await?;
    follow(unit, id, to).await?;
    unit.audit(action, id, Some(before), Some(json!(merchant)))
        .await?;
    Ok(merchant)
}

/// What follows when a merchant comes to stand at `to`. The caller holds its lock.
pub(super) async fn follow(
    unit: &mut UnitOfWork,
    id: MerchantId,
    to: MerchantStatus,
) -> Result<()> {
    match to {
        MerchantStatus::Suspended => hold::raise(unit, id).await,
        MerchantStatus::Approved => hold::close(unit, id).await,
        MerchantStatus::PendingReview | MerchantStatus::Rejected => Ok(()),
    }
}
