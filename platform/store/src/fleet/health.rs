//! What is wrong with boxes: for each kind of alert that is searched for, what opens one and what closes it.
//!
//! What opens is read in bounded steps and leaves out boxes that have an open alert of the kind; what closes is one
//! statement over the open ones. Both can be run at any time and by several processes. The conditions that both share are
//! views of the schema: `boxes_away`, `newest_certificates`, `device_flips`.

use chrono::{DateTime, TimeDelta, Utc};
use domain::alert::{AlertKind, AlertSubject};
use domain::health::HealthPolicy;
use serde_json::Value;
use sqlx::PgConnection;
use wire::ids::{DeviceId, MerchantId, TerminalId};

use crate::alert::Finding;

/// Payments that failed or came too late are looked for this far back: long enough for a platform that was down.
const UNHEARD_LOOKBACK: TimeDelta = TimeDelta::hours(1);
/// Certificates that ended longer ago than this raise no alert.
const ENDED_LOOKBACK: TimeDelta = TimeDelta::days(90);

struct Row {
    device_id: DeviceId,
    since: DateTime<Utc>,
    details: Value,
}

impl From<Row> for Finding {
    fn from(row: Row) -> Self {
        Self {
            subject: AlertSubject::Device(row.device_id),
            merchant_id: None,
            since: row.since,
            details: row.details,
        }
    }
}

/// Up to `limit` boxes that need a new alert of this kind.
pub async fn find(
    conn: &mut PgConnection,
    kind: AlertKind,
    policy: &HealthPolicy,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<Finding>> {
    let rows = match kind {
        AlertKind::Offline => return find_offline(conn, policy, now, limit).await,
        AlertKind::UnheardPayment => find_unheard(conn, policy, now, limit).await?,
        AlertKind::CertificateExpiring => find_expiring(conn, policy, now, limit).await?,
        AlertKind::BatteryLow => find_low(conn, policy, now, limit).await?,
        AlertKind::Flapping => find_flapping(conn, policy, now, limit).await?,
        // Raised where they happen.
        _ => Vec::new(),
    };
    Ok(rows.into_iter().map(Finding::from).collect())
}

/// Closes the alerts of this kind whose reason is over; returns how many.
pub async fn close(
    conn: &mut PgConnection,
    kind: AlertKind,
    policy: &HealthPolicy,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    match kind {
        AlertKind::Offline => close_offline(conn, policy, now).await,
        AlertKind::UnheardPayment => close_unheard(conn, now).await,
        AlertKind::CertificateExpiring => close_expiring(conn, policy, now).await,
        AlertKind::BatteryLow => close_low(conn, policy, now).await,
        AlertKind::Flapping => close_flapping(conn, policy, now).await,
        _ => crate::alert::close_over(conn, kind, now).await,
    }
}

/// Offline for the whole grace period, within trading hours. Boxes of a terminal that has several are one finding of the
/// terminal: they go offline together, with the outlet's power or network.
async fn find_offline(
    conn: &mut PgConnection,
    policy: &HealthPolicy,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<Finding>> {
    let rows = sqlx::query!(
        r#"WITH away AS (
               SELECT b.*, (SELECT count(*) FROM bindings n JOIN devices nd ON nd.id = n.device_id AND nd.status = 'active'
                            WHERE n.terminal_id = b.terminal_id AND n.unbound_at IS NULL) AS boxes
               FROM boxes_away b
               WHERE b.since <= $2
                 AND in_trading_hours($1, b.timezone, $3, $4) AND in_trading_hours($2, b.timezone, $3, $4)
                 AND NOT EXISTS (SELECT 1 FROM alerts a WHERE a.subject_id IN (b.device_id, b.terminal_id)
                                 AND a.kind = 'offline' AND a.closed_at IS NULL)
               LIMIT $5),
           terminals_away AS (SELECT DISTINCT terminal_id, merchant_id, timezone, boxes FROM away WHERE boxes > 1)
           SELECT device_id AS "device_id?: DeviceId", NULL::uuid AS "terminal_id: TerminalId",
                  NULL::uuid AS "merchant_id: MerchantId", since AS "since!",
                  jsonb_build_object('last_seen_at', last_seen_at, 'timezone', timezone) AS "details!"
           FROM away WHERE boxes <= 1
           UNION ALL
           SELECT NULL, t.terminal_id, t.merchant_id, f.since,
                  jsonb_build_object('away', f.away, 'boxes', t.boxes, 'devices', f.devices, 'timezone', t.timezone)
           FROM terminals_away t, boxes_away_at(t.terminal_id, $2) f"#,
        now,
        now - policy.offline_after,
        policy.trading_hours.opens,
        policy.trading_hours.closes,
        limit
    )
    .fetch_all(conn)
    .await?;
    let findings = rows.into_iter().filter_map(|row| {
        let subject = match (row.device_id, row.terminal_id) {
            (Some(id), _) => AlertSubject::Device(id),
            (None, Some(id)) => AlertSubject::Terminal(id),
            (None, None) => return None,
        };
        Some(Finding {
            subject,
            merchant_id: row.merchant_id,
            since: row.since,
            details: row.details,
        })
    });
    Ok(findings.collect())
}

/// Over when the box is back, or all boxes of the terminal are; until then a terminal's alert lists those that are away.
async fn close_offline(
    conn: &mut PgConnection,
    policy: &HealthPolicy,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "UPDATE alerts a SET closed_at = $1 WHERE a.kind = 'offline' AND a.closed_at IS NULL AND NOT EXISTS (
             SELECT 1 FROM boxes_away b
             WHERE (b.device_id = a.subject_id OR b.terminal_id = a.subject_id)
               AND in_trading_hours($1, b.timezone, $2, $3))",
        now,
        policy.trading_hours.opens,
        policy.trading_hours.closes
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "UPDATE alerts a SET details = a.details || jsonb_build_object('away', f.away, 'devices', f.devices)
         FROM alerts open, boxes_away_at(open.subject_id, $1) f
         WHERE open.kind = 'offline' AND open.closed_at IS NULL AND open.device_id IS NULL AND a.id = open.id
           AND f.away > 0 AND a.details -> 'devices' IS DISTINCT FROM f.devices",
        now - policy.offline_after
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// The newest payment of each box of which it did not tell in time what it can (a box of ours: `played`), unless an alert covers it or a newer one.
async fn find_unheard(
    conn: &mut PgConnection,
    policy: &HealthPolicy,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"WITH unheard AS (
               SELECT device_id, created_at, event_id, transaction_id, amount, status, reason, binding_id FROM notifications
               WHERE is_open AND NOT replay AND created_at <= $1
               UNION ALL
               SELECT device_id, created_at, event_id, transaction_id, amount, status, reason, binding_id FROM notifications
               WHERE is_unheard AND created_at <= $1 AND created_at > $2)
           SELECT DISTINCT ON (u.device_id) u.device_id AS "device_id!", u.created_at AS "since!",
                  jsonb_build_object('event_id', 'evt_' || replace(u.event_id::text, '-', ''),
                                     'transaction_id', 'tx_' || replace(u.transaction_id::text, '-', ''),
                                     'amount', u.amount, 'status', u.status, 'reason', u.reason) AS "details!"
           FROM unheard u
           JOIN bindings b ON b.id = u.binding_id AND b.unbound_at IS NULL
           WHERE u.reason IS DISTINCT FROM 'unbound' AND u.reason IS DISTINCT FROM 'reversed'
             AND u.reason IS DISTINCT FROM 'window_over'
             AND NOT EXISTS (SELECT 1 FROM alerts a WHERE a.device_id = u.device_id AND a.kind = 'unheard_payment'
                             AND (a.closed_at IS NULL OR a.since >= u.created_at))
           ORDER BY u.device_id, u.created_at DESC LIMIT $3"#,
        now - policy.unheard_after,
        now - UNHEARD_LOOKBACK,
        limit
    )
    .fetch_all(conn)
    .await
}

/// Over when the box has played that payment or a later one, or told of it what it can, or is bound elsewhere.
async fn close_unheard(conn: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "UPDATE alerts a SET closed_at = $1 WHERE a.kind = 'unheard_payment' AND a.closed_at IS NULL AND (
             EXISTS (SELECT 1 FROM notifications n
                     WHERE n.device_id = a.device_id AND n.created_at >= a.since AND (n.status = 'played' OR n.is_final))
             OR NOT EXISTS (SELECT 1 FROM bindings b
                            WHERE b.device_id = a.device_id AND b.unbound_at IS NULL AND b.bound_at <= a.since))",
        now
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// The newest certificate of the box ends soon.
async fn find_expiring(
    conn: &mut PgConnection,
    policy: &HealthPolicy,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"SELECT c.device_id AS "device_id!: DeviceId", c.not_after - $4::interval AS "since!",
                  jsonb_build_object('certificate_serial', c.certificate_serial, 'not_after', c.not_after) AS "details!"
           FROM newest_certificates c
           WHERE c.not_after <= $1 AND c.not_after > $2
             AND NOT EXISTS (SELECT 1 FROM alerts a WHERE a.device_id = c.device_id
                             AND a.kind = 'certificate_expiring' AND a.closed_at IS NULL)
           LIMIT $3"#,
        now + policy.certificate_expires_within,
        now - ENDED_LOOKBACK,
        limit,
        sqlx::postgres::types::PgInterval {
            months: 0,
            days: 0,
            microseconds: policy
                .certificate_expires_within
                .num_microseconds()
                .unwrap_or(i64::MAX),
        }
    )
    .fetch_all(conn)
    .await
}

async fn close_expiring(
    conn: &mut PgConnection,
    policy: &HealthPolicy,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "UPDATE alerts a SET closed_at = $1 WHERE a.kind = 'certificate_expiring' AND a.closed_at IS NULL
           AND NOT EXISTS (SELECT 1 FROM newest_certificates c WHERE c.device_id = a.device_id AND c.not_after <= $2)",
        now,
        now + policy.certificate_expires_within
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

async fn find_low(
    conn: &mut PgConnection,
    policy: &HealthPolicy,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"SELECT p.device_id, coalesce(p.last_seen_at, $1) AS "since!",
                  jsonb_build_object('battery_level', p.battery_level) AS "details!"
           FROM device_presence p
           JOIN devices d ON d.id = p.device_id AND d.status = 'active'
           WHERE p.battery_level <= $2
             AND NOT EXISTS (SELECT 1 FROM alerts a WHERE a.device_id = p.device_id
                             AND a.kind = 'battery_low' AND a.closed_at IS NULL)
           LIMIT $3"#,
        now,
        policy.battery_low_percent,
        limit
    )
    .fetch_all(conn)
    .await
}

async fn close_low(
    conn: &mut PgConnection,
    policy: &HealthPolicy,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "UPDATE alerts a SET closed_at = $1 WHERE a.kind = 'battery_low' AND a.closed_at IS NULL AND NOT EXISTS (
             SELECT 1 FROM device_presence p JOIN devices d ON d.id = p.device_id AND d.status = 'active'
             WHERE p.device_id = a.device_id AND p.battery_level < $2)",
        now,
        policy.battery_well_percent()
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// Boxes that connected and disconnected too often lately.
async fn find_flapping(
    conn: &mut PgConnection,
    policy: &HealthPolicy,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"SELECT f.device_id AS "device_id!: DeviceId", f.since AS "since!", jsonb_build_object('flips', f.flips) AS "details!"
           FROM (SELECT device_id, min(at) AS since, count(*) AS flips FROM device_flips
                 WHERE at > $1 GROUP BY device_id HAVING count(*) >= $2) f
           JOIN devices d ON d.id = f.device_id AND d.status = 'active'
           WHERE NOT EXISTS (SELECT 1 FROM alerts a WHERE a.device_id = f.device_id
                             AND a.kind = 'flapping' AND a.closed_at IS NULL)
           LIMIT $3"#,
        now - policy.flips_within,
        policy.flips_max,
        limit
    )
    .fetch_all(conn)
    .await
}

async fn close_flapping(
    conn: &mut PgConnection,
    policy: &HealthPolicy,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "UPDATE alerts a SET closed_at = $1 WHERE a.kind = 'flapping' AND a.closed_at IS NULL AND (
             SELECT count(*) FROM device_flips e WHERE e.device_id = a.device_id AND e.at > $2) < $3",
        now,
        now - policy.flips_within,
        policy.flips_max
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
