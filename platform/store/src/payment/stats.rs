//! How fast payments are heard, and how many are not.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use wire::ids::MerchantId;

/// The announcements of a time in numbers. Replays are not among them, and neither are those that were taken back:
/// the box was moved, the payment reversed.
#[derive(Debug, Clone)]
pub struct Figures {
    /// All of them.
    pub announced: i64,
    /// Those that were spoken.
    pub played: i64,
    /// Those that boxes have that can tell no more.
    pub received: i64,
    /// Those that were not, and will not be.
    pub unheard: i64,
    /// Those of which it is not known yet.
    pub open: i64,
    /// Unheard among those that have ended; absent when none has.
    pub unheard_share: Option<f64>,
    /// From the callback's commit to the wire: the median, the 95th and the 99th percentile, milliseconds.
    pub sent_ms: Option<Vec<f64>>,
    /// … to the box's first word of it.
    pub received_ms: Option<Vec<f64>>,
    /// … to its `played`.
    pub played_ms: Option<Vec<f64>>,
}

/// Reads the announcements that were made in `from..to`, of all merchants or of one. All times are by the platform's
/// clock; the boxes' own are only data.
pub async fn figures(
    conn: &mut PgConnection,
    merchant_id: Option<MerchantId>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> sqlx::Result<Figures> {
    sqlx::query_as!(
        Figures,
        r#"WITH said AS (
               SELECT n.status, n.is_final,
                      round(extract(epoch FROM n.sent_at - n.created_at) * 1000, 1)::float8 AS sent_ms,
                      round(extract(epoch FROM n.received_at - n.created_at) * 1000, 1)::float8 AS received_ms,
                      CASE n.status WHEN 'played'
                           THEN round(extract(epoch FROM n.acked_at - n.created_at) * 1000, 1)::float8 END AS played_ms
               FROM notifications n
               WHERE n.created_at >= $1 AND n.created_at < $2 AND NOT n.replay
                 AND n.reason IS DISTINCT FROM 'unbound' AND n.reason IS DISTINCT FROM 'reversed'
                 AND ($3::uuid IS NULL OR EXISTS (
                     SELECT 1 FROM bindings b WHERE b.id = n.binding_id AND b.merchant_id = $3)))
           SELECT count(*) AS "announced!",
                  count(*) FILTER (WHERE status = 'played') AS "played!",
                  count(*) FILTER (WHERE is_final) AS "received!",
                  count(*) FILTER (WHERE status IN ('failed', 'stale')) AS "unheard!",
                  count(*) FILTER (WHERE status IN ('pending', 'sent', 'received') AND NOT is_final) AS "open!",
                  round(count(*) FILTER (WHERE status IN ('failed', 'stale'))::numeric
                        / nullif(count(*) FILTER (WHERE status IN ('failed', 'stale', 'played') OR is_final), 0), 6)::float8 AS unheard_share,
                  percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY sent_ms) AS sent_ms,
                  percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY received_ms) AS received_ms,
                  percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY played_ms) AS played_ms
           FROM said"#,
        from,
        to,
        merchant_id as _
    )
    .fetch_one(conn)
    .await
}
