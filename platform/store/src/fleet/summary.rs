//! The fleet in numbers.

use chrono::TimeDelta;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::MerchantId;

/// How many firmware versions are counted separately.
const VERSIONS_MAX: i64 = 50;

/// Boxes by what is known of them. All but the first five count boxes in service (`active`) alone.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "each is what its name says")]
pub struct Counts {
    pub total: i64,
    pub registered: i64,
    pub active: i64,
    pub suspended: i64,
    pub retired: i64,
    pub bound: i64,
    pub online: i64,
    pub offline: i64,
    /// Never heard of since they were activated.
    pub never_seen: i64,
    pub battery_low: i64,
    pub signal_weak: i64,
    /// Their last beat told no time that can be read.
    pub clock_unknown: i64,
    pub clock_ahead: i64,
    pub clock_behind: i64,
}

/// From where on something is worth counting.
#[derive(Debug, Clone, Copy)]
pub struct Thresholds {
    /// A battery at or below this is low, percent.
    pub battery_low_percent: i16,
    /// A signal at or below this is weak, percent.
    pub signal_weak_percent: i16,
    /// A clock further away than this is wrong.
    pub clock_skew_max: TimeDelta,
}

/// Counts all boxes, or those of a merchant.
pub async fn count(
    conn: &mut PgConnection,
    merchant_id: Option<MerchantId>,
    thresholds: Thresholds,
) -> sqlx::Result<Counts> {
    sqlx::query_as!(
        Counts,
        r#"SELECT count(*) AS "total!",
                  count(*) FILTER (WHERE d.status = 'registered') AS "registered!",
                  count(*) FILTER (WHERE d.status = 'active') AS "active!",
                  count(*) FILTER (WHERE d.status = 'suspended') AS "suspended!",
                  count(*) FILTER (WHERE d.status = 'retired') AS "retired!",
                  count(*) FILTER (WHERE d.status = 'active' AND b.id IS NOT NULL) AS "bound!",
                  count(*) FILTER (WHERE d.status = 'active' AND p.online) AS "online!",
                  count(*) FILTER (WHERE d.status = 'active' AND NOT p.online) AS "offline!",
                  count(*) FILTER (WHERE d.status = 'active' AND p.last_seen_at IS NULL) AS "never_seen!",
                  count(*) FILTER (WHERE d.status = 'active' AND p.battery_level <= $2) AS "battery_low!",
                  count(*) FILTER (WHERE d.status = 'active' AND p.network_strength <= $3) AS "signal_weak!",
                  count(*) FILTER (WHERE d.status = 'active' AND p.last_seen_at IS NOT NULL AND p.clock_skew_ms IS NULL)
                      AS "clock_unknown!",
                  count(*) FILTER (WHERE d.status = 'active' AND p.clock_skew_ms > $4) AS "clock_ahead!",
                  count(*) FILTER (WHERE d.status = 'active' AND p.clock_skew_ms < -$4) AS "clock_behind!"
           FROM devices d
           JOIN device_presence p ON p.device_id = d.id
           LEFT JOIN bindings b ON b.device_id = d.id AND b.unbound_at IS NULL
           WHERE $1::uuid IS NULL OR b.merchant_id = $1"#,
        merchant_id as _,
        thresholds.battery_low_percent,
        thresholds.signal_weak_percent,
        thresholds.clock_skew_max.num_milliseconds()
    )
    .fetch_one(conn)
    .await
}

/// Boxes in service that run one version.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "each is what its name says")]
pub struct Version {
    /// Null: boxes that have not told.
    pub firmware_version: Option<String>,
    pub model: String,
    pub devices: i64,
    pub online: i64,
}

/// Which firmware runs where, the most frequent first.
pub async fn versions(
    conn: &mut PgConnection,
    merchant_id: Option<MerchantId>,
) -> sqlx::Result<Vec<Version>> {
    sqlx::query_as!(
        Version,
        r#"SELECT p.firmware_version, d.model, count(*) AS "devices!", count(*) FILTER (WHERE p.online) AS "online!"
           FROM devices d
           JOIN device_presence p ON p.device_id = d.id
           LEFT JOIN bindings b ON b.device_id = d.id AND b.unbound_at IS NULL
           WHERE d.status = 'active' AND ($1::uuid IS NULL OR b.merchant_id = $1)
           GROUP BY p.firmware_version, d.model ORDER BY count(*) DESC, d.model, p.firmware_version LIMIT $2"#,
        merchant_id as _,
        VERSIONS_MAX
    )
    .fetch_all(conn)
    .await
}
