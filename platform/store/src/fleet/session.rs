//! MQTT sessions, as far as they must outlive a connection.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use wire::ids::DeviceId;

use crate::column;
use crate::database_origin::NUMBERS_SKIPPED;

/// A CONNECT that asks to be admitted.
#[derive(Debug, Clone)]
pub struct Connect {
    /// The box.
    pub device_id: DeviceId,
    /// The serial number of the certificate that it connects with.
    pub certificate_serial: String,
    /// Whether an earlier session is to be forgotten.
    pub clean_start: bool,
    /// How long the session is kept after its connection ended, seconds; 0: not at all.
    pub expiry_s: u32,
}

/// A session right after its CONNECT was admitted.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The new epoch.
    pub epoch: i64,
    /// The subscriptions of a kept session; absent when there was none to continue.
    pub kept: Option<Value>,
    /// The other node that has a connection of an earlier session.
    pub moved_from: Option<i64>,
}

/// Which process holds connections.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// The name of the node.
    pub node: &'a str,
    /// Its incarnation.
    pub incarnation: i64,
}

/// Raises the epochs of sessions, resumes what was kept of them, and shows their boxes as online, whichever way they usually
/// go. Each box is there once. Nothing is opened for an owner whose lease was ended: its row is locked until all is written.
pub async fn open(
    conn: &mut PgConnection,
    connects: &[&Connect],
    owner: Owner<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<HashMap<DeviceId, Opened>> {
    let devices = column(connects, |one| one.device_id);
    let serials = column(connects, |one| one.certificate_serial.as_str());
    let clean = column(connects, |one| one.clean_start);
    let expiries = column(connects, |one| i64::from(one.expiry_s));
    // Epochs and what was kept are separate rows: joined, they were compared each with each.
    let rows = sqlx::query!(
        r#"WITH owner AS MATERIALIZED (
             SELECT incarnation FROM nodes WHERE name = $5 AND incarnation = $7 AND ended_at IS NULL FOR KEY SHARE),
           before AS MATERIALIZED (
             SELECT s.* FROM sessions s WHERE s.device_id = ANY($1) ORDER BY s.device_id FOR UPDATE),
           opening AS MATERIALIZED (
             SELECT c.*, CASE WHEN b.connected AND b.incarnation <> $7 THEN b.incarnation END AS moved_from,
                 CASE WHEN NOT c.clean_start AND b.persistent AND (b.connected OR b.expires_at IS NULL OR b.expires_at > $6)
                 THEN b.subscriptions END AS kept
             FROM unnest($1::uuid[], $2::text[], $3::boolean[], $4::bigint[]) AS c (device_id, certificate_serial, clean_start, expiry_s)
             CROSS JOIN owner LEFT JOIN before b USING (device_id)),
           opened AS (
             INSERT INTO sessions (device_id, epoch, node, incarnation, connected, persistent, subscriptions, certificate_serial,
                 connected_at, session_expiry_s)
             SELECT device_id, 1, $5, $7, true, expiry_s > 0, coalesce(kept, '[]'), certificate_serial, $6, expiry_s FROM opening
             ORDER BY device_id
             ON CONFLICT (device_id) DO UPDATE SET epoch = sessions.epoch + 1, node = excluded.node, incarnation = excluded.incarnation,
                 connected = true,
                 persistent = excluded.persistent, subscriptions = excluded.subscriptions, certificate_serial = excluded.certificate_serial,
                 connected_at = excluded.connected_at, session_expiry_s = excluded.session_expiry_s,
                 ended_at = NULL, end_reason = NULL, expires_at = NULL
             RETURNING device_id, epoch),
           away AS (
             SELECT device_id FROM device_presence WHERE device_id = ANY(ARRAY(SELECT device_id FROM opened)) AND NOT online
             ORDER BY device_id FOR NO KEY UPDATE),
           flipped AS (
             UPDATE device_presence p SET online = true, last_seen_at = greatest(last_seen_at, $6)
             FROM away a WHERE p.device_id = a.device_id RETURNING p.device_id),
           noted AS (
             INSERT INTO device_events (device_id, at, kind) SELECT device_id, $6, 'online' FROM flipped)
           SELECT device_id AS "device_id!: DeviceId", epoch AS "epoch?", NULL::jsonb AS "kept?", NULL::bigint AS "moved_from?" FROM opened
           UNION ALL SELECT device_id, NULL, kept, moved_from FROM opening WHERE kept IS NOT NULL OR moved_from IS NOT NULL"#,
        &devices as _,
        &serials as _,
        &clean,
        &expiries,
        owner.node,
        now,
        owner.incarnation
    )
    .fetch_all(conn)
    .await?;
    let (mut opened, mut before) = (HashMap::new(), HashMap::new());
    for row in rows {
        match row.epoch {
            Some(epoch) => {
                let session = Opened {
                    epoch,
                    kept: None,
                    moved_from: None,
                };
                opened.insert(row.device_id, session);
            }
            None => {
                before.insert(row.device_id, (row.kept, row.moved_from));
            }
        }
    }
    for (device_id, session) in &mut opened {
        (session.kept, session.moved_from) = before.remove(device_id).unwrap_or_default();
    }
    Ok(opened)
}

/// Keeps the subscriptions of a session; `false` when it is no longer the current one.
pub async fn set_subscriptions(
    conn: &mut PgConnection,
    device_id: DeviceId,
    epoch: i64,
    subscriptions: &Value,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE sessions SET subscriptions = $3 WHERE device_id = $1 AND epoch = $2",
        device_id as _,
        epoch,
        subscriptions
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// How the connection of a session ended.
#[derive(Debug, Clone)]
pub struct Ending {
    /// The box.
    pub device_id: DeviceId,
    /// Which of its sessions.
    pub epoch: i64,
    /// Nothing of the session is to be kept.
    pub forget: bool,
    /// Session expiry interval of the DISCONNECT, seconds, if it had one.
    pub expiry_s: Option<u32>,
    /// Why, in one word.
    pub reason: &'static str,
}

/// Ends the connections of sessions, except where a newer connection has taken the place, and shows their boxes as offline.
/// For a box on HTTP the end of a session means nothing; its heartbeats tell.
pub async fn end(
    conn: &mut PgConnection,
    endings: &[Ending],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let devices = column(endings, |one| one.device_id);
    let epochs = column(endings, |one| one.epoch);
    let forget = column(endings, |one| one.forget);
    let expiries = column(endings, |one| one.expiry_s.map(i64::from));
    let reasons = column(endings, |one| one.reason);
    sqlx::query!(
        "WITH endings AS (
             SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::boolean[], $4::bigint[], $5::text[])
             AS e (device_id, epoch, forget, expiry_s, reason)),
         current AS (
             SELECT s.device_id, e.forget, coalesce(e.expiry_s, s.session_expiry_s) AS expiry_s, e.reason
             FROM endings e JOIN sessions s ON s.device_id = e.device_id AND s.epoch = e.epoch AND s.connected
             ORDER BY s.device_id FOR UPDATE OF s),
         ended AS (
             UPDATE sessions s SET connected = false, ended_at = $6::timestamptz, end_reason = c.reason,
                 persistent = s.persistent AND NOT c.forget,
                 subscriptions = CASE WHEN s.persistent AND NOT c.forget THEN s.subscriptions ELSE '[]'::jsonb END,
                 session_expiry_s = c.expiry_s,
                 expires_at = $6::timestamptz + make_interval(secs => c.expiry_s::double precision)
             FROM current c WHERE s.device_id = c.device_id
             RETURNING s.device_id, c.reason),
         there AS (
             SELECT p.device_id, e.reason FROM ended e JOIN device_presence p USING (device_id) JOIN devices d ON d.id = e.device_id
             WHERE p.online AND d.communication_mode = 'mqtt' ORDER BY p.device_id FOR UPDATE OF p),
         offline AS (
             UPDATE device_presence p SET online = false, last_seen_at = greatest(p.last_seen_at, $6)
             FROM there t WHERE p.device_id = t.device_id RETURNING p.device_id, t.reason)
         INSERT INTO device_events (device_id, at, kind, details)
         SELECT device_id, $6, 'offline', jsonb_build_object('reason', reason) FROM offline",
        &devices as _,
        &epochs,
        &forget,
        &expiries as _,
        &reasons as _,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends all sessions for this reason, shows their boxes as offline, and raises all epochs by so much that none is given
/// again: brokers and boxes may know higher ones than this database.
pub async fn end_all(
    conn: &mut PgConnection,
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"WITH before AS MATERIALIZED (
             SELECT device_id, connected FROM sessions ORDER BY device_id FOR UPDATE),
         raised AS (
             UPDATE sessions s SET epoch = s.epoch + $3, connected = false,
                 ended_at = CASE WHEN s.connected THEN $2::timestamptz ELSE s.ended_at END,
                 end_reason = CASE WHEN s.connected THEN $1 ELSE s.end_reason END,
                 expires_at = CASE WHEN s.connected THEN $2::timestamptz + make_interval(secs => s.session_expiry_s::double precision)
                     ELSE s.expires_at END
             FROM before b WHERE s.device_id = b.device_id RETURNING s.device_id, b.connected),
         there AS (
             SELECT p.device_id FROM device_presence p JOIN raised r USING (device_id) JOIN devices d ON d.id = r.device_id
             WHERE r.connected AND p.online AND d.communication_mode = 'mqtt' ORDER BY p.device_id FOR UPDATE OF p),
         offline AS (
             UPDATE device_presence p SET online = false FROM there t WHERE p.device_id = t.device_id
             RETURNING p.device_id),
         noted AS (
             INSERT INTO device_events (device_id, at, kind, details)
             SELECT device_id, $2::timestamptz, 'offline', jsonb_build_object('reason', $1::text) FROM offline)
         SELECT count(*) FILTER (WHERE connected) AS "ended!" FROM raised"#,
        reason,
        now,
        NUMBERS_SKIPPED
    )
    .fetch_one(conn)
    .await
}

/// Ends up to `limit` sessions whose expiry interval is over. Their rows stay, because they hold the epochs.
pub async fn forget_expired(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "UPDATE sessions SET persistent = false, subscriptions = '[]'::jsonb
         WHERE device_id = ANY(ARRAY(
             SELECT device_id FROM sessions WHERE persistent AND NOT connected AND expires_at <= $1
             LIMIT $2 FOR UPDATE SKIP LOCKED))",
        now,
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// Forgets what is kept of a device's session, connected or not: its next CONNECT begins a new one.
pub async fn forget(conn: &mut PgConnection, device_id: DeviceId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE sessions SET persistent = false, subscriptions = '[]'::jsonb WHERE device_id = $1",
        device_id as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends all sessions of a node except those of one incarnation, and shows their boxes as offline for this reason. Sessions of
/// other nodes that took boxes over are not touched.
pub async fn end_of_node(
    conn: &mut PgConnection,
    node: &str,
    except: Option<i64>,
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"WITH left_over AS (
             SELECT device_id FROM sessions WHERE node = $1 AND connected AND ($4::bigint IS NULL OR incarnation IS DISTINCT FROM $4)
             ORDER BY device_id FOR UPDATE),
         ended AS (
             UPDATE sessions s SET connected = false, ended_at = $2::timestamptz, end_reason = $3,
                 expires_at = $2::timestamptz + make_interval(secs => session_expiry_s::double precision)
             FROM left_over l WHERE s.device_id = l.device_id RETURNING s.device_id),
         there AS (
             SELECT p.device_id FROM device_presence p JOIN ended e USING (device_id) JOIN devices d ON d.id = e.device_id
             WHERE p.online AND d.communication_mode = 'mqtt' ORDER BY p.device_id FOR UPDATE OF p),
         offline AS (
             UPDATE device_presence p SET online = false FROM there t WHERE p.device_id = t.device_id
             RETURNING p.device_id),
         noted AS (
             INSERT INTO device_events (device_id, at, kind, details)
             SELECT device_id, $2::timestamptz, 'offline', jsonb_build_object('reason', $3::text) FROM offline)
         SELECT count(*) AS "ended!" FROM ended"#,
        node,
        now,
        reason,
        except
    )
    .fetch_one(conn)
    .await
}
