//! Changes that wait for a second person.

use chrono::{DateTime, Utc};
use domain::approval::{ApprovalKind, ApprovalStatus};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::{ApprovalId, MerchantId};

use crate::{Page, Period, exactly_one};

/// A change that was proposed, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Approval {
    pub id: ApprovalId,
    pub kind: ApprovalKind,
    /// What is to be changed.
    pub entity: String,
    /// The change, as it was asked for.
    #[schema(value_type = Object)]
    pub request: Value,
    pub status: ApprovalStatus,
    pub requested_by: String,
    pub created_at: DateTime<Utc>,
    pub decided_by: Option<String>,
    pub decided_at: Option<DateTime<Utc>>,
    /// Why it was rejected.
    pub reason: Option<String>,
}

/// Keeps a proposal.
pub async fn insert(conn: &mut PgConnection, approval: &Approval) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO approvals (id, kind, entity, request, status, requested_by, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        approval.id as _,
        approval.kind as _,
        approval.entity,
        approval.request,
        approval.status as _,
        approval.requested_by,
        approval.created_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One proposal.
pub async fn find(conn: &mut PgConnection, id: ApprovalId) -> sqlx::Result<Option<Approval>> {
    sqlx::query_as!(Approval, "SELECT * FROM approvals WHERE id = $1", id as _)
        .fetch_optional(conn)
        .await
}

/// One proposal, kept from every other decision until the transaction ends.
pub async fn lock(conn: &mut PgConnection, id: ApprovalId) -> sqlx::Result<Option<Approval>> {
    sqlx::query_as!(
        Approval,
        "SELECT * FROM approvals WHERE id = $1 FOR UPDATE",
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// Which proposals a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those with this status.
    pub status: Option<ApprovalStatus>,
    /// Those of this kind.
    pub kind: Option<ApprovalKind>,
    /// What is to be changed, or who asked for it.
    pub q: Option<String>,
    /// When it was asked for.
    pub period: Period,
}

/// Proposals, newest first.
pub async fn list(
    conn: &mut PgConnection,
    filter: &Filter,
    page: Page,
) -> sqlx::Result<Vec<Approval>> {
    sqlx::query_as!(
        Approval,
        "SELECT * FROM approvals
         WHERE ($1::text IS NULL OR status = $1) AND ($2::text IS NULL OR kind = $2)
           AND ($3::text IS NULL OR entity = $3 OR requested_by = $3)
           AND ($4::timestamptz IS NULL OR created_at >= $4) AND ($5::timestamptz IS NULL OR created_at < $5)
           AND ($6::timestamptz IS NULL OR (created_at, id) < ($6, $7::uuid))
         ORDER BY created_at DESC, id DESC LIMIT $8",
        filter.status as _,
        filter.kind as _,
        filter.q,
        filter.period.from,
        filter.period.to,
        page.after_time(),
        page.after_id(),
        page.limit
    )
    .fetch_all(conn)
    .await
}

/// How many proposals of this person are pending.
pub async fn count_pending(conn: &mut PgConnection, requested_by: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM approvals WHERE requested_by = $1 AND status = 'pending'"#,
        requested_by
    )
    .fetch_one(conn)
    .await
}

/// Whether a proposal about this account waits for a decision.
pub async fn is_account_pending(
    conn: &mut PgConnection,
    merchant_id: MerchantId,
    destination: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM approvals WHERE entity = $1 AND kind = 'payout.account' AND status = 'pending'
           AND request -> 'payout_account' ->> 'destination' = $2) AS "pending!""#,
        merchant_id.to_string(),
        destination
    )
    .fetch_one(conn)
    .await
}

/// Makes a person the maker of a proposal that no person has made.
///
/// # Errors
/// `RowNotFound` when it was decided.
pub async fn take_over(
    conn: &mut PgConnection,
    id: ApprovalId,
    requested_by: &str,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE approvals SET requested_by = $2 WHERE id = $1 AND status = 'pending'",
        id as _,
        requested_by
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}

/// Decides a pending proposal.
///
/// # Errors
/// `RowNotFound` when it was decided; `approvals_two_people`.
pub async fn decide(
    conn: &mut PgConnection,
    id: ApprovalId,
    status: ApprovalStatus,
    decided_by: &str,
    reason: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE approvals SET status = $2, decided_by = $3, reason = $4, decided_at = $5 WHERE id = $1 AND status = 'pending'",
        id as _,
        status as _,
        decided_by,
        reason,
        now
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}
