//! Settlements: what a merchant is owed, claimed once for a payout.
//!
//! A run claims and moves no money: it makes settlements that are `pending`. Paying them out is a step of its own.

use chrono::{DateTime, Utc};
use domain::merchant::SettlementAccountType;
use domain::settlement::{Accounts, SettlementStatus};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use wire::ids::{MerchantId, PayoutId, SettlementId};

use crate::service::{Context, Error, ErrorCode, Noun, Result, Unit};
use crate::store::money::settlement::{Claim, Settlement};
use crate::store::shop::merchant::Merchant;
use crate::store::{self, Page, Scope};

/// What is to be settled.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SettlementRun)]
pub struct Run {
    /// What was paid before this; now, unless it says otherwise.
    #[serde(default)]
    pub cutoff: Option<DateTime<Utc>>,
    /// Only this merchant's.
    #[serde(default)]
    pub merchant_id: Option<MerchantId>,
}

/// What a run did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SettlementOutcome)]
pub struct Outcome {
    /// The settlements that it made.
    pub settlements: Vec<SettlementId>,
    /// The merchants that are owed something and got no settlement.
    pub skipped: Vec<Skipped>,
}

/// A merchant without a settlement.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SkippedMerchant)]
pub struct Skipped {
    /// Which merchant.
    pub merchant_id: MerchantId,
    /// Why.
    pub code: ErrorCode,
}

/// A settlement with the payouts that were instructed for it.
#[derive(Debug, Serialize, ToSchema)]
pub struct SettlementView {
    /// The settlement.
    #[serde(flatten)]
    pub settlement: Settlement,
    /// None as long as it is pending.
    pub payouts: Vec<PayoutId>,
}

impl From<Settlement> for SettlementView {
    fn from(settlement: Settlement) -> Self {
        Self {
            settlement,
            payouts: Vec::new(),
        }
    }
}

/// Settles what was paid before the cutoff and is in no settlement yet. Run again, it settles only what is new.
///
/// # Errors
/// A cutoff in the future; for a run of one merchant: no such merchant, or [`Error::MerchantPayoutNotConfigured`].
pub async fn run(unit: &mut Unit, request: Run) -> Result<Outcome> {
    let now = unit.now();
    let cutoff = request.cutoff.unwrap_or(now);
    if cutoff > now {
        return Err(Error::field("cutoff", "must not be in the future"));
    }
    let merchants = match request.merchant_id {
        Some(id) => vec![id],
        None => store::money::settlement::merchants_with_unsettled(unit.conn(), cutoff).await?,
    };
    let mut outcome = Outcome {
        settlements: Vec::new(),
        skipped: Vec::new(),
    };
    for merchant_id in merchants {
        match settle(unit, merchant_id, cutoff).await {
            Ok(Some(id)) => outcome.settlements.push(id),
            Ok(None) => outcome.skipped.push(Skipped {
                merchant_id,
                code: ErrorCode::SettlementNotEligible,
            }),
            Err(Error::MerchantPayoutNotConfigured) if request.merchant_id.is_none() => {
                outcome.skipped.push(Skipped {
                    merchant_id,
                    code: ErrorCode::MerchantPayoutNotConfigured,
                });
            }
            Err(other) => return Err(other),
        }
    }
    Ok(outcome)
}

async fn settle(
    unit: &mut Unit,
    merchant_id: MerchantId,
    cutoff: DateTime<Utc>,
) -> Result<Option<SettlementId>> {
    let merchant = store::shop::merchant::lock_for_settlement(unit.conn(), merchant_id)
        .await?
        .ok_or(Error::NotFound(Noun::Merchant))?;
    unit.catch_up();
    let destination = destination(&merchant)?;
    let created_by = unit.actor_name().to_owned();
    let claim = Claim {
        id: SettlementId::from_uuid(unit.uuid()),
        merchant_id,
        payout_mode: &merchant.payout_mode,
        destination,
        cutoff,
        created_by: &created_by,
        created_at: unit.now(),
    };
    let Some(id) = store::money::settlement::claim(unit.conn(), &claim).await? else {
        return Ok(None);
    };
    let made = store::money::settlement::find(unit.conn(), Scope::All, id).await?;
    unit.audit("settlement.create", id, None, Some(json!(made)))
        .await?;
    Ok(Some(id))
}

fn destination(merchant: &Merchant) -> Result<Option<&str>> {
    let settlement_account_type: Option<SettlementAccountType> = merchant
        .settlement_account_type
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(anyhow::Error::from)?;
    let accounts = Accounts {
        payout_mode: merchant.payout_mode.parse().map_err(anyhow::Error::from)?,
        payout_account_reference: merchant.payout_account_reference.as_deref(),
        settlement_account_reference: merchant.settlement_account_reference.as_deref(),
        settlement_account_type,
    };
    accounts
        .destination()
        .map_err(|_| Error::MerchantPayoutNotConfigured)
}

/// One settlement.
///
/// # Errors
/// [`Noun::Settlement`] not found, or not for this scope.
pub async fn get(context: &Context, scope: Scope, id: SettlementId) -> Result<SettlementView> {
    let mut conn = context.pool().acquire().await?;
    let settlement = store::money::settlement::find(&mut conn, scope, id)
        .await?
        .ok_or(Error::NotFound(Noun::Settlement))?;
    Ok(settlement.into())
}

/// Settlements, newest first.
///
/// # Errors
/// A status that does not exist.
pub async fn list(
    context: &Context,
    scope: Scope,
    status: Option<&str>,
    page: Page,
) -> Result<Vec<SettlementView>> {
    if let Some(status) = status {
        status
            .parse::<SettlementStatus>()
            .map_err(|error| Error::field("status", error.to_string()))?;
    }
    let mut conn = context.pool().acquire().await?;
    let rows = store::money::settlement::list(&mut conn, scope, status, page).await?;
    Ok(rows.into_iter().map(SettlementView::from).collect())
}
