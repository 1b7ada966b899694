//! Transactions: reading them, and ending those that were not paid.

use domain::alert::AlertSubject;
use serde::Serialize;
use store::payment::notification::Notification;
use store::payment::refund::Refund;
use store::payment::transaction::{Filter, Transaction, TransactionEvent};
use store::{Page, Scope};
use utoipa::ToSchema;
use wire::ids::TransactionId;

use crate::batch::{Part, sweep};
use crate::{Context, Error, Noun, Result};

/// A transaction with what was announced of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct TransactionView {
    /// The transaction.
    #[serde(flatten)]
    pub transaction: Transaction,
    /// What was taken back of it, and what is to be.
    pub refunds: Vec<Refund>,
    /// Its announcements.
    pub notifications: Vec<Notification>,
}

/// One transaction.
///
/// # Errors
/// [`Noun::Transaction`] not found, or not for this scope.
pub async fn get(context: &Context, scope: Scope, id: TransactionId) -> Result<TransactionView> {
    let mut conn = context.pool().acquire().await?;
    let transaction = store::payment::transaction::find(&mut conn, scope, id)
        .await?
        .ok_or(Error::NotFound(Noun::Transaction))?;
    let refunds = store::payment::refund::list(&mut conn, id).await?;
    let notifications = store::payment::notification::list_of_transaction(&mut conn, id).await?;
    Ok(TransactionView {
        transaction,
        refunds,
        notifications,
    })
}

/// Transactions, newest first.
pub async fn list(
    context: &Context,
    scope: Scope,
    filter: &Filter,
    page: Page,
) -> Result<Vec<Transaction>> {
    let mut conn = context.lists().acquire().await?;
    Ok(store::payment::transaction::list(&mut conn, scope, filter, page).await?)
}

/// The life of one transaction, from its beginning.
///
/// # Errors
/// [`Noun::Transaction`] not found, or not for this scope.
pub async fn events(
    context: &Context,
    scope: Scope,
    id: TransactionId,
) -> Result<Vec<TransactionEvent>> {
    let mut conn = context.fresh().acquire().await?;
    store::payment::transaction::find(&mut conn, scope, id)
        .await?
        .ok_or(Error::NotFound(Noun::Transaction))?;
    Ok(store::payment::transaction::events(&mut conn, id).await?)
}

/// Expires transactions whose time is over. One that cannot be expired gets an alert and stops no other.
pub async fn expire_overdue(context: &Context, limit: i64) -> Result<u64> {
    let now = context.clock().now();
    let expire = |only: Option<Part<TransactionId>>| async move {
        let mut conn = context.pool().acquire().await?;
        let only = only.as_deref();
        Ok(store::payment::transaction::expire_overdue(&mut conn, now, only, limit).await?)
    };
    let find = || async {
        let mut conn = context.pool().acquire().await?;
        Ok(store::payment::transaction::overdue(&mut conn, now, limit).await?)
    };
    let job = "expire_transactions";
    sweep(context, job, AlertSubject::Transaction, expire, find).await
}
