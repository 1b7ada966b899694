//! Fee profiles: what a payment costs.

use chrono::{DateTime, Utc};
use domain::fee::{FEE_BASIC, Fee, FeeProfile, FeeVersion, MerchantCategory, fee_basic};
use domain::qris::Mcc;
use wire::Rupiah;

use crate::service::{Context, Result, Unit};
use crate::store;
use crate::store::shop::merchant::Merchant;

/// Makes sure that the profile `fee_basic` exists, as the contract promises.
///
/// # Errors
/// The database's.
pub async fn ensure_basic(context: &Context) -> Result<()> {
    let mut unit = context.begin(crate::service::Actor::system()).await?;
    let now = unit.now();
    for version in fee_basic().versions() {
        let rates = serde_json::to_value(version).map_err(anyhow::Error::from)?;
        store::money::fee::ensure(unit.conn(), FEE_BASIC, "Bank Indonesia MDR", &rates, now)
            .await?;
    }
    unit.commit().await
}

/// The fee of a payment to a merchant, by the version of its profile that held when it was paid.
///
/// # Errors
/// A merchant row or a profile that does not read as what it must be.
pub(crate) async fn of_payment(
    unit: &mut Unit,
    merchant: &Merchant,
    amount: Rupiah,
    paid_at: DateTime<Utc>,
) -> Result<Fee> {
    let profile = profile_at(unit, &merchant.fee_profile_id, paid_at).await?;
    let criteria = merchant
        .merchant_criteria
        .parse()
        .map_err(anyhow::Error::from)?;
    let mcc: Mcc = merchant.mcc.parse().map_err(anyhow::Error::from)?;
    Ok(profile.fee(amount, criteria, MerchantCategory::of(&mcc), paid_at))
}

async fn profile_at(unit: &mut Unit, id: &str, at: DateTime<Utc>) -> Result<FeeProfile> {
    let stored = store::money::fee::version_at(unit.conn(), id, at)
        .await?
        .ok_or_else(|| anyhow::anyhow!("the fee profile {id} has no version for {at}"))?;
    let version: FeeVersion = serde_json::from_value(stored.rates).map_err(anyhow::Error::from)?;
    let profile = FeeProfile::new(vec![version]).map_err(anyhow::Error::from)?;
    Ok(profile)
}
