//! Payouts that are held back: nobody is told to pay a suspended merchant.
//!
//! A hold is not stored. A payout that nobody was told of, of a merchant that is suspended, is held, and shows it
//! (`hold_reason`); it is free again in the commit that takes the suspension back. What the partner was told of before
//! goes its way: the partner is asked about it, and its messages are taken.

use domain::alert::{AlertKind, AlertSubject, NewAlert};
use serde_json::json;
use sqlx::PgConnection;
use wire::ids::MerchantId;

use crate::service::{Error, Result, UnitOfWork};
use crate::store;
use crate::store::shop::merchant::Merchant;

/// Whether payouts to this merchant are held.
pub(super) async fn is_on(conn: &mut PgConnection, merchant_id: MerchantId) -> sqlx::Result<bool> {
    store::shop::merchant::is_suspended(conn, merchant_id).await
}

/// Raises the alert of a payout that was made while its merchant is suspended. The caller holds the merchant's lock.
pub(super) async fn note(unit: &mut UnitOfWork, merchant_id: MerchantId) -> Result<()> {
    if is_on(unit.conn(), merchant_id).await? {
        unit.raise(held(merchant_id));
    }
    Ok(())
}

/// What follows from a suspension: an alert, if anything waits to be paid out. The caller holds the merchant's lock.
pub(in crate::service) async fn begin(
    unit: &mut UnitOfWork,
    merchant_id: MerchantId,
) -> Result<()> {
    if store::money::settlement::any_pending(unit.conn(), merchant_id).await? {
        unit.raise(held(merchant_id));
    }
    Ok(())
}

/// What follows from its end: the alert is over. The caller holds the merchant's lock.
pub(in crate::service) async fn end(unit: &mut UnitOfWork, merchant_id: MerchantId) -> Result<()> {
    let (now, subject) = (unit.now(), AlertSubject::Merchant(merchant_id));
    store::alert::close(unit.conn(), AlertKind::PayoutHeld, &subject, now).await?;
    Ok(())
}

/// Refuses what would pay a suspended merchant by hand.
pub(super) fn refuse_by_hand(merchant: &Merchant) -> Result<()> {
    match merchant.status.parse() {
        Ok(domain::merchant::MerchantStatus::Suspended) => Err(Error::InvalidState {
            current: merchant.status.clone(),
            message: "the merchant is suspended: its payouts are held".into(),
        }),
        _ => Ok(()),
    }
}

fn held(merchant_id: MerchantId) -> NewAlert {
    NewAlert::new(
        AlertKind::PayoutHeld,
        AlertSubject::Merchant(merchant_id),
        json!({ "reason": "merchant_suspended" }),
    )
}
