//! The first payout to an account: it waits until two people have confirmed that the money is to go there.
//!
//! An account is known to a merchant once a payout to it was paid, or was confirmed. A payout to any other account is put
//! into the outbox without a time, so that no worker takes it, and a proposal is made by the actor who made the payout. A
//! proposal of the daily run or of a program is first taken over by a person, and then confirmed by another.

use domain::payout::PayoutOutcome;
use wire::ids::MerchantId;

use super::{LockedPayout, PartnerReport};
use crate::money::{hold, proposal};
use crate::{Result, UnitOfWork};

/// Why a payout waits, as it shows.
pub(super) const WAITS: &str = "waits until two people have confirmed the account";

/// Whether a payout to this account waits. If it does, there is a proposal.
pub(super) async fn must_wait(
    unit: &mut UnitOfWork,
    merchant_id: MerchantId,
    destination: &str,
) -> Result<bool> {
    if !unit.context().settings().maker_checker
        || store::money::payout::is_known_account(unit.conn(), merchant_id, destination).await?
    {
        return Ok(false);
    }
    proposal::propose_account(unit, merchant_id, destination).await?;
    Ok(true)
}

/// Makes the payouts due that wait for this account.
pub(in crate::money) async fn release(
    unit: &mut UnitOfWork,
    merchant_id: MerchantId,
    destination: &str,
) -> Result<()> {
    let now = unit.now();
    store::money::payout::release_waiting(unit.conn(), merchant_id, destination, now).await?;
    hold::close(unit, merchant_id).await
}

/// Ends the payouts that wait for an account that was turned down: they failed, and may be tried again with another.
pub(in crate::money) async fn refuse(
    unit: &mut UnitOfWork,
    merchant_id: MerchantId,
    destination: &str,
) -> Result<()> {
    for id in store::money::payout::waiting(unit.conn(), merchant_id, destination).await? {
        if let Some(mut locked) = LockedPayout::take(unit, id).await? {
            let report = PartnerReport {
                outcome: PayoutOutcome::Failed,
                bank_reference: None,
                reason: Some("the account was not confirmed"),
            };
            locked.apply_outcome(unit, report, "approval", None).await?;
        }
    }
    hold::close(unit, merchant_id).await
}
