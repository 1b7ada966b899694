//! Payouts of all settlements, for people who look after them.

use serde::Serialize;
use store::money::payout::{Filter, Payout};
use store::{Page, Period, Scope};
use utoipa::ToSchema;
use wire::ids::{MerchantId, SettlementId};

use crate::{Context, Result, word};

/// A payout in a list of all.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ListedPayout {
    /// What it pays.
    pub settlement_id: SettlementId,
    /// To whom.
    pub merchant_id: MerchantId,
    /// The payout.
    #[serde(flatten)]
    pub payout: Payout,
}

/// Which payouts are wanted, as a client says it.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of this status.
    pub status: Option<String>,
    /// Only those that wait for a person: the last payout of each settlement that failed or came back and is not paid since.
    pub unresolved: bool,
    /// When it was made.
    pub period: Period,
}

/// Payouts, newest first.
///
/// # Errors
/// A status that does not exist.
pub async fn list(
    context: &Context,
    scope: Scope,
    wanted: &Wanted,
    page: Page,
) -> Result<Vec<ListedPayout>> {
    let filter = Filter {
        status: word("status", wanted.status.as_deref())?,
        period: wanted.period,
    };
    let mut conn = context.lists().acquire().await?;
    let payouts = if wanted.unresolved {
        store::money::payout::unresolved(&mut conn, scope, filter, page).await?
    } else {
        store::money::payout::list(&mut conn, scope, filter, page).await?
    };
    let listed = payouts.into_iter().map(|payout| ListedPayout {
        settlement_id: payout.settlement_id,
        merchant_id: payout.merchant_id,
        payout,
    });
    Ok(listed.collect())
}
