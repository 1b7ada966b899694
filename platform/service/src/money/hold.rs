//! Payouts that are held back.
//!
//! A hold is not stored; it follows from the merchant and the payout, and is shown as `hold_reason`. A payout that the
//! partner has not received is held while its merchant is suspended, or until its account is confirmed
//! ([`super::payout`]). What the partner has received is not held: its status is queried, and its messages are
//! taken. A merchant with a held payout has one open alert `payout_held`, whatever the reasons.

use domain::alert::{AlertKind, AlertSubject, NewAlert};
use domain::merchant::MerchantStatus;
use serde_json::json;
use sqlx::PgConnection;
use store::shop::merchant::Merchant;
use wire::ids::MerchantId;

use crate::{Error, Result, UnitOfWork};

/// Whether payouts to this merchant are held.
pub(super) async fn is_on(conn: &mut PgConnection, merchant_id: MerchantId) -> sqlx::Result<bool> {
    store::shop::merchant::is_suspended(conn, merchant_id).await
}

/// Raises the alert `payout_held`, if a payout to this merchant is held. The caller holds the merchant's lock.
pub(crate) async fn raise(unit: &mut UnitOfWork, merchant_id: MerchantId) -> Result<()> {
    let reason = store::money::settlement::hold_reason_of(unit.conn(), merchant_id).await?;
    if let Some(reason) = reason {
        unit.raise(NewAlert::new(
            AlertKind::PayoutHeld,
            AlertSubject::Merchant(merchant_id),
            json!({ "reason": reason }),
        ));
    }
    Ok(())
}

/// Closes the alert `payout_held`, unless a payout to this merchant is still held, for whichever reason.
pub(crate) async fn close(unit: &mut UnitOfWork, merchant_id: MerchantId) -> Result<()> {
    let reason = store::money::settlement::hold_reason_of(unit.conn(), merchant_id).await?;
    if reason.is_none() {
        let (now, subject) = (unit.now(), AlertSubject::Merchant(merchant_id));
        store::alert::close(unit.conn(), AlertKind::PayoutHeld, &subject, now).await?;
    }
    Ok(())
}

/// Refuses what would pay a suspended merchant by hand.
pub(super) fn refuse_by_hand(merchant: &Merchant) -> Result<()> {
    if merchant.status == MerchantStatus::Suspended {
        return Err(Error::InvalidState {
            current: merchant.status.to_string(),
            message: "the merchant is suspended: its payouts are held".into(),
        });
    }
    Ok(())
}
