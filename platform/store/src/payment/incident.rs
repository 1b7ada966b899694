//! Incidents: signed messages that contradict what we know.

use chrono::{DateTime, Utc};
use domain::transaction::ReferenceView;
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::Rupiah;
use wire::ids::{CallbackId, IncidentId, TransactionId, UnmatchedPaymentId};

use super::transaction::PartnerReference;
use crate::{Page, Period, exactly_one};

/// One contradiction, on its way in.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct NewIncident<'a> {
    pub id: IncidentId,
    pub kind: &'a str,
    pub partner_id: &'a str,
    pub transaction_id: Option<TransactionId>,
    pub partner_reference: Option<&'a str>,
    pub callback_id: CallbackId,
    pub details: Value,
    pub created_at: DateTime<Utc>,
}

/// Keeps an incident.
pub async fn insert(conn: &mut PgConnection, incident: &NewIncident<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO incidents (id, kind, partner_id, transaction_id, callback_id, details, created_at, partner_reference)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        incident.id as _,
        incident.kind,
        incident.partner_id,
        incident.transaction_id as _,
        incident.callback_id as _,
        incident.details,
        incident.created_at,
        incident.partner_reference
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What is kept of a partner's reference beside the transactions that carry one.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Money that could not be attributed.
    pub money: Option<KeptMoney>,
    /// Its reversal came before its success.
    pub reversal_is_held: bool,
}

impl Kept {
    /// Nothing is kept.
    pub fn is_none(&self) -> bool {
        self.money.is_none() && !self.reversal_is_held
    }

    /// What a decision goes by.
    pub fn view(&self) -> ReferenceView {
        ReferenceView {
            is_unmatched: self
                .money
                .as_ref()
                .is_some_and(|money| money.status != "assigned"),
            reversal_is_held: self.reversal_is_held,
        }
    }
}

/// Money that could not be attributed when it came.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct KeptMoney {
    pub id: UnmatchedPaymentId,
    pub status: String,
    pub amount: Option<Rupiah>,
    pub amount_text: Option<String>,
    /// The transaction that the partner named.
    pub claimed: Option<TransactionId>,
    /// The transaction that it became.
    pub assigned_to: Option<TransactionId>,
}

/// Finds kept money and held reversals of a reference. The caller holds its lock.
pub async fn kept_of(
    conn: &mut PgConnection,
    reference: PartnerReference<'_>,
) -> sqlx::Result<Kept> {
    let row = sqlx::query!(
        r#"SELECT u.id AS "id?", u.status AS "status?", u.amount, u.amount_text, u.transaction_id, u.assigned_to,
                  EXISTS (SELECT 1 FROM incidents i WHERE i.partner_id = r.partner_id AND i.partner_reference = r.reference
                          AND i.kind = 'reversal_before_success') AS "reversal_is_held!"
           FROM (SELECT $1::text AS partner_id, $2::text AS reference) AS r
           LEFT JOIN unmatched_payments u ON u.partner_id = r.partner_id AND u.partner_reference = r.reference"#,
        reference.partner_id,
        reference.reference
    )
    .fetch_one(conn)
    .await?;
    Ok(Kept {
        money: row.id.zip(row.status).map(|(id, status)| KeptMoney {
            id,
            status,
            amount: row.amount,
            amount_text: row.amount_text,
            claimed: row.transaction_id,
            assigned_to: row.assigned_to,
        }),
        reversal_is_held: row.reversal_is_held,
    })
}

/// An incident, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// What contradicts what, in a word.
    pub kind: String,
    /// Who said it.
    pub partner_id: String,
    /// The transaction it is about.
    pub transaction_id: Option<TransactionId>,
    /// The message, in the archive.
    pub callback_id: CallbackId,
    /// What it said.
    pub details: Value,
    /// When it came.
    pub created_at: DateTime<Utc>,
    /// When a person closed it.
    pub resolved_at: Option<DateTime<Utc>>,
    /// Who.
    pub resolved_by: Option<String>,
    /// With which words.
    pub resolution: Option<String>,
}

/// Which incidents a list shows.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each is a filter of the same name")]
pub struct Filter {
    pub resolved: Option<bool>,
    pub kind: Option<String>,
    pub partner_id: Option<String>,
    pub transaction_id: Option<TransactionId>,
    /// When it came.
    pub period: Period,
}

/// Incidents, newest first.
pub async fn list(
    conn: &mut PgConnection,
    filter: &Filter,
    page: Page,
) -> sqlx::Result<Vec<Incident>> {
    sqlx::query_as!(
        Incident,
        "SELECT id, kind, partner_id, transaction_id, callback_id, details, created_at, resolved_at, resolved_by, resolution
         FROM incidents
         WHERE ($1::bool IS NULL OR (resolved_at IS NOT NULL) = $1) AND ($2::text IS NULL OR kind = $2)
           AND ($3::text IS NULL OR partner_id = $3) AND ($4::uuid IS NULL OR transaction_id = $4)
           AND ($5::timestamptz IS NULL OR created_at >= $5) AND ($6::timestamptz IS NULL OR created_at < $6)
           AND ($7::timestamptz IS NULL OR (created_at, id) < ($7, $8::uuid))
         ORDER BY created_at DESC, id DESC LIMIT $9",
        filter.resolved,
        filter.kind,
        filter.partner_id,
        filter.transaction_id as _,
        filter.period.from,
        filter.period.to,
        page.after_time(),
        page.after_id(),
        page.limit
    )
    .fetch_all(conn)
    .await
}

/// One incident.
pub async fn find(conn: &mut PgConnection, id: IncidentId) -> sqlx::Result<Option<Incident>> {
    sqlx::query_as!(
        Incident,
        "SELECT id, kind, partner_id, transaction_id, callback_id, details, created_at, resolved_at, resolved_by, resolution
         FROM incidents WHERE id = $1",
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// One incident, its row locked until the database transaction ends.
pub async fn lock(conn: &mut PgConnection, id: IncidentId) -> sqlx::Result<Option<Incident>> {
    sqlx::query_as!(
        Incident,
        "SELECT id, kind, partner_id, transaction_id, callback_id, details, created_at, resolved_at, resolved_by, resolution
         FROM incidents WHERE id = $1 FOR UPDATE",
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// Closes an incident.
///
/// # Errors
/// `RowNotFound` when it is closed already.
pub async fn resolve(
    conn: &mut PgConnection,
    id: IncidentId,
    at: DateTime<Utc>,
    by: &str,
    resolution: &str,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE incidents SET resolved_at = $2, resolved_by = $3, resolution = $4 WHERE id = $1 AND resolved_at IS NULL",
        id as _,
        at,
        by,
        resolution
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}
