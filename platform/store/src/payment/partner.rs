//! What a partner has sent lately, for people who look after it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::CallbackId;

/// A partner's last verified message.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct LastCallback {
    pub id: CallbackId,
    pub received_at: DateTime<Utc>,
    pub verdict: String,
    pub http_status: i16,
}

/// Messages that were refused for one reason.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RefusedFor {
    /// In words.
    pub reason: String,
    /// Whether it was proven that the partner sent them.
    pub verified: bool,
    /// How many are kept.
    pub count: i64,
    /// When the last of them came.
    pub last_at: DateTime<Utc>,
}

/// The last message since `since`: read backwards from the index `callbacks_newest`, so that the time is the bound.
pub async fn last_callback(
    conn: &mut PgConnection,
    partner_id: &str,
    since: DateTime<Utc>,
) -> sqlx::Result<Option<LastCallback>> {
    sqlx::query_as!(
        LastCallback,
        "SELECT id, received_at, verdict, http_status FROM callbacks
         WHERE partner_id = $1 AND received_at >= $2
         ORDER BY received_at DESC, id DESC LIMIT 1",
        partner_id,
        since
    )
    .fetch_optional(conn)
    .await
}

/// What was refused since `since`, the most frequent reason first. The verified ones are found by `callbacks_by_verdict`, the
/// others by `rejected_callbacks_newest`.
pub async fn refused(
    conn: &mut PgConnection,
    partner_id: &str,
    since: DateTime<Utc>,
) -> sqlx::Result<Vec<RefusedFor>> {
    sqlx::query_as!(
        RefusedFor,
        r#"SELECT coalesce(reason, '') AS "reason!", verified AS "verified!", count(*) AS "count!", max(received_at) AS "last_at!"
           FROM (
               SELECT reason, true AS verified, received_at FROM callbacks
               WHERE verdict IN ('rejected', 'failed') AND partner_id = $1 AND received_at >= $2
               UNION ALL
               SELECT reason, false, received_at FROM rejected_callbacks
               WHERE claimed_partner_id = $1 AND received_at >= $2) AS refused
           GROUP BY reason, verified ORDER BY count(*) DESC, reason LIMIT 50"#,
        partner_id,
        since
    )
    .fetch_all(conn)
    .await
}
