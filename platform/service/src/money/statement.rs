//! The statement of a settlement: what it is, whom it is for, and its items a page at a time.

use store::Scope;
use store::money::settlement_item::{After, Item};
use store::shop::merchant::Merchant;
use wire::ids::SettlementId;

use super::settlement::{self, SettlementView};
use crate::{Context, Error, Noun, Result};

/// Items in one page of a file: what is in memory at a time.
pub const ITEMS_MAX: i64 = 1000;

/// The head of a statement.
#[derive(Debug)]
pub struct Statement {
    /// The settlement.
    pub view: SettlementView,
    /// Whose it is.
    pub merchant: Merchant,
}

/// The head of the statement of a settlement.
///
/// # Errors
/// [`Noun::Settlement`] not found, or not for this scope.
pub async fn open(context: &Context, scope: Scope, id: SettlementId) -> Result<Statement> {
    let view = settlement::get(context, scope, id).await?;
    let mut conn = context.fresh().acquire().await?;
    let merchant = store::shop::merchant::find(&mut conn, scope, view.settlement.merchant_id)
        .await?
        .ok_or(Error::NotFound(Noun::Merchant))?;
    Ok(Statement { view, merchant })
}

/// The next page of a settlement's items, whose scope was checked by [`open`]; none is left when it is empty.
pub async fn items(
    context: &Context,
    id: SettlementId,
    after: Option<&After>,
    limit: i64,
) -> Result<Vec<Item>> {
    let mut conn = context.fresh().acquire().await?;
    Ok(store::money::settlement_item::list(&mut conn, id, after, limit.min(ITEMS_MAX)).await?)
}
