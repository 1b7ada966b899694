//! Settlements: what a merchant is owed, claimed once for a payout.
//!
//! A run claims, books the claim, and puts a payout into the outbox where the merchant is paid by the payout partner;
//! [`super::payout`] does the rest. People who pay by hand report it, with the bank's reference.

use chrono::{DateTime, Utc};
use domain::alert::{AlertSubject, NewAlert};
use domain::ledger::Posting;
use domain::merchant::PayoutMode;
use domain::settlement::{Accounts, SettlementStatus};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::money::payout::Payout;
use store::money::settlement::{Claim, Filter, Settlement, Shown};
use store::shop::merchant::Merchant;
use store::{Page, Scope};
use utoipa::ToSchema;
use wire::ids::{MerchantId, SettlementId};

use super::ledger::{self, Subject};
use super::{hold, payout};
use crate::{
    Checks, Context, Error, ErrorCode, Noun, Result, UnitOfWork, failed_item, unit_of_work,
};

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
    /// Each try to pay it out, the oldest first.
    pub payouts: Vec<Payout>,
}

/// Settles what was paid before the cutoff and is in no settlement yet. Run again, it settles only what is new. A
/// merchant that cannot be settled is skipped with a code, and the others are settled; an unexpected failure also raises
/// an alert.
///
/// # Errors
/// A cutoff in the future; for a run of one merchant: no such merchant, or [`Error::MerchantPayoutNotConfigured`].
pub async fn run(unit: &mut UnitOfWork, request: Run) -> Result<Outcome> {
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
        let savepoint = unit.savepoint().await?;
        let code = match settle(unit, merchant_id, cutoff).await {
            Ok(Some(id)) => {
                unit.release(savepoint).await?;
                outcome.settlements.push(id);
                continue;
            }
            Ok(None) => ErrorCode::SettlementNotEligible,
            Err(Error::MerchantPayoutNotConfigured) if request.merchant_id.is_none() => {
                ErrorCode::MerchantPayoutNotConfigured
            }
            // A run of one merchant fails as a whole.
            Err(error @ (Error::MerchantPayoutNotConfigured | Error::NotFound(_))) => {
                return Err(error);
            }
            Err(error) if error.is_of_the_item() => {
                unit.roll_back_to(savepoint).await?;
                unit.raise(failed(merchant_id, &error));
                outcome.skipped.push(Skipped {
                    merchant_id,
                    code: skip_code(&error),
                });
                continue;
            }
            Err(other) => return Err(other),
        };
        unit.roll_back_to(savepoint).await?;
        outcome.skipped.push(Skipped { merchant_id, code });
    }
    Ok(outcome)
}

/// What alerts call the runs.
const JOB: &str = "settlement_run";

/// The alert for a merchant that could not be settled, with the log line of it.
pub(super) fn failed(merchant_id: MerchantId, error: &Error) -> NewAlert {
    let subject = AlertSubject::Merchant(merchant_id);
    failed_item::note(JOB, &subject, error);
    failed_item::alert(JOB, subject, failed_item::reason(error), json!({}))
}

/// What a run says of a merchant that could not be settled.
fn skip_code(error: &Error) -> ErrorCode {
    if error.is_out_of_range() {
        ErrorCode::InvalidAmount
    } else {
        error.code()
    }
}

/// Makes a merchant's settlement, books it, and inserts its payout where the payout partner makes it. `None`: there is
/// nothing to pay out.
pub(super) async fn settle(
    unit: &mut UnitOfWork,
    merchant_id: MerchantId,
    cutoff: DateTime<Utc>,
) -> Result<Option<SettlementId>> {
    let merchant = store::shop::merchant::lock(unit.conn(), merchant_id)
        .await?
        .ok_or(Error::NotFound(Noun::Merchant))?;
    unit.refresh_now();
    let destination = destination(&merchant)?;
    let created_by = unit.actor_name().to_owned();
    let claim = Claim {
        id: SettlementId::from_uuid(unit.uuid()),
        merchant_id,
        payout_mode: merchant.payout_mode,
        destination,
        cutoff,
        created_by: &created_by,
        created_at: unit.now(),
    };
    let Some(id) = store::money::settlement::claim(unit.conn(), &claim).await? else {
        return Ok(None);
    };
    let made = store::money::settlement::lock(unit.conn(), id)
        .await?
        .ok_or_else(|| anyhow::anyhow!("{id} was not made"))?;
    let claimed = Posting::settlement(made.net).map_err(anyhow::Error::from)?;
    let subject = Subject {
        settlement_id: Some(id),
        ..Subject::of(merchant_id)
    };
    ledger::post(unit, subject, &claimed).await?;
    unit.audit("settlement.create", id, None, Some(json!(made)))
        .await?;
    if destination.is_some() {
        match unit.context().settings().payout_partner.clone() {
            Some(partner_id) => {
                payout::enqueue(unit, &made, &partner_id, "run").await?;
            }
            None => {
                let shown = Shown {
                    status: SettlementStatus::Pending,
                    bank_reference: None,
                    status_reason: Some("no payout partner is configured"),
                    at: unit.now(),
                };
                store::money::settlement::show(unit.conn(), id, shown).await?;
            }
        }
    }
    Ok(Some(id))
}

/// Pays a settlement out once more, after its payout failed or came back. The worker queries the earlier ones before it
/// instructs this one.
///
/// # Errors
/// No such settlement; [`Error::SettlementNotEligible`] unless the partner pays it and it failed or was returned;
/// [`Error::MerchantPayoutNotConfigured`] when its merchant has no account any more.
pub async fn retry_payout(unit: &mut UnitOfWork, id: SettlementId) -> Result<SettlementView> {
    let (before, merchant) = take_with_merchant(unit, id).await?;
    if before.payout_mode == PayoutMode::Manual {
        return Err(Error::SettlementNotEligible(
            "this settlement is paid by hand: pay it and mark it as paid".into(),
        ));
    }
    if !matches!(
        before.status,
        SettlementStatus::Failed | SettlementStatus::Returned
    ) {
        return Err(Error::SettlementNotEligible(format!(
            "a payout is tried again after it failed or was returned; this settlement is {}",
            before.status
        )));
    }
    let partner_id = unit
        .context()
        .settings()
        .payout_partner
        .clone()
        .ok_or_else(|| Error::SettlementNotEligible("no payout partner is configured".into()))?;
    // The payout may have failed because of the account: use the merchant's present one.
    if let Some(destination) = destination(&merchant)? {
        store::money::settlement::redirect(unit.conn(), id, destination).await?;
    }
    let settlement = take(unit, id).await?;
    payout::enqueue(unit, &settlement, &partner_id, "retry").await?;
    let shown = Shown {
        status: SettlementStatus::Pending,
        bank_reference: None,
        status_reason: None,
        at: unit.now(),
    };
    store::money::settlement::show(unit.conn(), id, shown).await?;
    changed(unit, "settlement.retry_payout", &before).await
}

/// Notes that people have paid a settlement by hand.
///
/// # Errors
/// No such settlement; [`Error::SettlementNotEligible`] when the payout partner pays it; [`Error::InvalidState`] when it
/// is paid already, or its merchant is suspended.
pub async fn mark_paid(
    unit: &mut UnitOfWork,
    id: SettlementId,
    bank_reference: &str,
) -> Result<SettlementView> {
    let mut checks = Checks::default();
    checks.text("bank_reference", bank_reference, 128);
    checks.finish()?;
    let (before, merchant) = take_with_merchant(unit, id).await?;
    by_hand(&before)?;
    hold::refuse_by_hand(&merchant)?;
    if !matches!(
        before.status,
        SettlementStatus::Pending | SettlementStatus::Returned
    ) {
        return Err(Error::InvalidState {
            message: format!(
                "a settlement that is {} cannot be marked as paid",
                before.status
            ),
            current: before.status.to_string(),
        });
    }
    payout::paid_by_hand(unit, &before, bank_reference).await?;
    let shown = Shown {
        status: SettlementStatus::Paid,
        bank_reference: Some(bank_reference),
        status_reason: None,
        at: unit.now(),
    };
    store::money::settlement::show(unit.conn(), id, shown).await?;
    changed(unit, "settlement.mark_paid", &before).await
}

/// Notes that what people had paid by hand came back from the merchant's bank. They pay it again and report it, as the
/// first time: this alone moves no money.
///
/// # Errors
/// No such settlement; [`Error::SettlementNotEligible`] when the payout partner pays it; [`Error::InvalidState`] when it
/// is not paid.
pub async fn mark_returned(
    unit: &mut UnitOfWork,
    id: SettlementId,
    reason: &str,
) -> Result<SettlementView> {
    let mut checks = Checks::default();
    checks.text("reason", reason, 500);
    checks.finish()?;
    let before = take(unit, id).await?;
    by_hand(&before)?;
    if before.status != SettlementStatus::Paid {
        return Err(Error::InvalidState {
            message: format!(
                "nothing comes back of a settlement that is {}",
                before.status
            ),
            current: before.status.to_string(),
        });
    }
    payout::returned_by_hand(unit, id, reason).await?;
    changed(unit, "settlement.mark_returned", &before).await
}

/// Refuses what is not for people to pay.
fn by_hand(settlement: &Settlement) -> Result<()> {
    if settlement.payout_mode != PayoutMode::Manual {
        return Err(Error::SettlementNotEligible(
            "this settlement is paid out by the payout partner".into(),
        ));
    }
    Ok(())
}

/// The settlement and its merchant, both locked, in the order in which a run locks them.
async fn take_with_merchant(
    unit: &mut UnitOfWork,
    id: SettlementId,
) -> Result<(Settlement, Merchant)> {
    let seen = store::money::settlement::find(unit.conn(), Scope::All, id)
        .await?
        .ok_or(Error::NotFound(Noun::Settlement))?;
    let merchant = store::shop::merchant::lock_for_payout(unit.conn(), seen.merchant_id)
        .await?
        .ok_or_else(|| anyhow::anyhow!("{id} has no merchant"))?;
    Ok((take(unit, id).await?, merchant))
}

/// The settlement, locked, at the time at which that succeeded.
async fn take(unit: &mut UnitOfWork, id: SettlementId) -> Result<Settlement> {
    let settlement = store::money::settlement::lock(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::Settlement))?;
    unit.refresh_now();
    Ok(settlement)
}

async fn changed(
    unit: &mut UnitOfWork,
    action: &'static str,
    before: &Settlement,
) -> Result<SettlementView> {
    let after = take(unit, before.id).await?;
    unit.audit(action, before.id, Some(json!(before)), Some(json!(after)))
        .await?;
    let payouts = store::money::payout::of_settlements(unit.conn(), &[before.id]).await?;
    Ok(SettlementView {
        settlement: after,
        payouts,
    })
}

fn destination(merchant: &Merchant) -> Result<Option<&str>> {
    let accounts = Accounts {
        payout_mode: merchant.payout_mode,
        payout_account_reference: merchant.payout_account_reference.as_deref(),
        settlement_account_reference: merchant.settlement_account_reference.as_deref(),
        settlement_account_type: merchant.settlement_account_type,
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
    let mut tx = unit_of_work::snapshot(context.pool()).await?;
    let settlement = store::money::settlement::find(&mut tx, scope, id)
        .await?
        .ok_or(Error::NotFound(Noun::Settlement))?;
    let payouts = store::money::payout::of_settlements(&mut tx, &[id]).await?;
    Ok(SettlementView {
        settlement,
        payouts,
    })
}

/// Settlements, newest first.
///
/// # Errors
/// The database's.
pub async fn list(
    context: &Context,
    scope: Scope,
    filter: &Filter,
    page: Page,
) -> Result<Vec<SettlementView>> {
    let mut tx = context.lists().snapshot().await?;
    let rows = store::money::settlement::list(&mut tx, scope, filter, page).await?;
    let ids: Vec<SettlementId> = rows.iter().map(|row| row.id).collect();
    let mut payouts = store::money::payout::of_settlements(&mut tx, &ids).await?;
    let views = rows.into_iter().map(|settlement| {
        let own = payouts.extract_if(.., |payout| payout.settlement_id == settlement.id);
        let payouts = own.collect();
        SettlementView {
            settlement,
            payouts,
        }
    });
    Ok(views.collect())
}
