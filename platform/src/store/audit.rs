//! Who changed what, written in the transaction of the change.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

/// One change.
#[derive(Debug)]
pub struct Change<'a> {
    /// Who: `tok_…`, `sbx_…`, or `system`.
    pub actor: &'a str,
    /// What was done, as `noun.verb`.
    pub action: &'static str,
    /// To what: its id.
    pub entity: String,
    /// The HTTP request that asked for it.
    pub request_id: Option<&'a str>,
    /// The entity before; absent for a creation.
    pub before: Option<Value>,
    /// The entity after; absent for a deletion.
    pub after: Option<Value>,
}

/// Writes one audit row.
///
/// # Errors
/// The database's.
pub async fn record(
    conn: &mut PgConnection,
    at: DateTime<Utc>,
    change: Change<'_>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO audit_logs (at, actor, action, entity, request_id, before, after) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        at,
        change.actor,
        change.action,
        change.entity,
        change.request_id,
        change.before,
        change.after,
    )
    .execute(conn)
    .await?;
    Ok(())
}
