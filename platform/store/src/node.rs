//! Nodes: the processes that share the database, and their leases.
//!
//! Only the database's clock counts, `clock_timestamp()`. The row of a node is locked `FOR KEY SHARE` by whoever opens
//! sessions for it ([`crate::fleet::session::open`]), and `FOR UPDATE` by whoever ends it: after that no session can be
//! opened for it any more.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::DeviceId;

use crate::column;
use crate::database_origin::NUMBERS_SKIPPED;

/// What a process says of itself when it joins.
#[derive(Debug, Clone, Copy)]
pub struct Joining<'a> {
    /// Its configured name.
    pub name: &'a str,
    /// The version of its program.
    pub version: &'a str,
    /// The `application_name` of its connections.
    pub connections: &'a str,
    /// How long its lease lasts without a renewal, seconds.
    pub lease_s: f64,
}

/// Takes the name for the process of this connection, and returns its incarnation. `None` while another has it: one whose
/// lease is not over, and whose connection is there.
pub async fn join(conn: &mut PgConnection, joining: Joining<'_>) -> sqlx::Result<Option<i64>> {
    // Of another database user's connection only the pid is shown.
    sqlx::query_scalar!(
        "INSERT INTO nodes AS n (name, incarnation, version, connections, backend_pid, backend_start, started_at, renewed_at, lease_until)
         SELECT $1, nextval('node_incarnations'), $2, $3, a.pid, a.backend_start, t.now, t.now, t.now + make_interval(secs => $4)
         FROM pg_stat_activity a, (SELECT clock_timestamp() AS now) t WHERE a.pid = pg_backend_pid()
         ON CONFLICT (name) DO UPDATE SET incarnation = excluded.incarnation, version = excluded.version,
             connections = excluded.connections, backend_pid = excluded.backend_pid, backend_start = excluded.backend_start,
             started_at = excluded.started_at, renewed_at = excluded.renewed_at, lease_until = excluded.lease_until,
             draining = false, ended_at = NULL, end_reason = NULL
         WHERE n.ended_at IS NOT NULL OR n.lease_until <= clock_timestamp()
             OR NOT EXISTS (SELECT FROM pg_stat_activity a
                            WHERE a.pid = n.backend_pid AND (a.backend_start IS NULL OR a.backend_start = n.backend_start))
         RETURNING incarnation",
        joining.name,
        joining.version,
        joining.connections,
        joining.lease_s
    )
    .fetch_optional(conn)
    .await
}

/// Renews the lease of this incarnation, also one that is over and was not ended; the number of the other nodes that are
/// there. `None` when it was ended.
pub async fn renew(
    conn: &mut PgConnection,
    name: &str,
    incarnation: i64,
    lease_s: f64,
    draining: bool,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        r#"WITH renewed AS (
             UPDATE nodes SET renewed_at = t.now, lease_until = t.now + make_interval(secs => $3), draining = $4,
                 backend_pid = a.pid, backend_start = a.backend_start
             FROM pg_stat_activity a, (SELECT clock_timestamp() AS now) t
             WHERE name = $1 AND incarnation = $2 AND ended_at IS NULL AND a.pid = pg_backend_pid()
             RETURNING name)
           SELECT (SELECT count(*) FROM nodes WHERE name <> $1 AND ended_at IS NULL) AS "others!" FROM renewed"#,
        name,
        incarnation,
        lease_s,
        draining
    )
    .fetch_optional(conn)
    .await
}

/// A node that was ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its name.
    pub name: String,
    /// Its incarnation, which does nothing any more.
    pub incarnation: i64,
    /// The `application_name` of its connections.
    pub connections: String,
}

/// Ends the nodes whose leases are over, except those that another process is ending at this moment.
pub async fn end_overdue(conn: &mut PgConnection) -> sqlx::Result<Vec<Ended>> {
    sqlx::query_as!(
        Ended,
        "WITH over AS (
             SELECT name FROM nodes WHERE ended_at IS NULL AND lease_until <= clock_timestamp()
             ORDER BY name FOR UPDATE SKIP LOCKED)
         UPDATE nodes n SET ended_at = clock_timestamp(), end_reason = 'lease_over'
         FROM over WHERE n.name = over.name
         RETURNING n.name, n.incarnation, n.connections"
    )
    .fetch_all(conn)
    .await
}

/// Ends a node that stops; `false` when it was ended before.
pub async fn leave(conn: &mut PgConnection, name: &str, incarnation: i64) -> sqlx::Result<bool> {
    let left = sqlx::query!(
        "WITH own AS (
             SELECT name FROM nodes WHERE name = $1 AND incarnation = $2 AND ended_at IS NULL FOR UPDATE)
         UPDATE nodes n SET ended_at = clock_timestamp(), end_reason = 'stopped' FROM own WHERE n.name = own.name",
        name,
        incarnation
    )
    .execute(conn)
    .await?;
    Ok(left.rows_affected() == 1)
}

/// Ends all nodes, because the database may lack what it has told them: each takes another lease at its next renewal.
/// Incarnations that this database may have given before are not given again.
pub async fn end_all(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH present AS (SELECT name FROM nodes WHERE ended_at IS NULL ORDER BY name FOR UPDATE)
         UPDATE nodes n SET ended_at = clock_timestamp(), end_reason = 'database_restored' FROM present p WHERE n.name = p.name"
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "SELECT setval('node_incarnations', nextval('node_incarnations') + $1)",
        NUMBERS_SKIPPED
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Ends the connections of a process to this database, whose transactions would otherwise keep their locks.
pub async fn cut_off(conn: &mut PgConnection, connections: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(pg_terminate_backend(pid)) AS "ended!" FROM pg_stat_activity
           WHERE application_name = $1 AND datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"#,
        connections
    )
    .fetch_one(conn)
    .await
}

/// Makes due what nodes had taken that are there no more, so that another does it now; how much that was.
pub async fn release_work(conn: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"WITH live AS MATERIALIZED (SELECT array_agg(incarnation) AS incarnations FROM nodes WHERE ended_at IS NULL),
           takers AS (
             DELETE FROM payout_takers WHERE taken_by <> ALL(coalesce((SELECT incarnations FROM live), '{}')) RETURNING payout_id),
           payouts AS (
             UPDATE payouts p SET due_at = least(p.due_at, $1) FROM takers t
             WHERE p.id = t.payout_id AND p.due_at IS NOT NULL RETURNING p.id),
           webhooks AS (
             UPDATE webhook_deliveries SET due_at = least(due_at, $1), taken_by = NULL
             WHERE taken_by <> ALL(coalesce((SELECT incarnations FROM live), '{}')) AND due_at IS NOT NULL RETURNING id),
           alerts AS (
             UPDATE alert_messages SET due_at = least(due_at, $1), taken_by = NULL
             WHERE taken_by <> ALL(coalesce((SELECT incarnations FROM live), '{}')) AND due_at IS NOT NULL RETURNING id)
           SELECT (SELECT count(*) FROM payouts) + (SELECT count(*) FROM webhooks) + (SELECT count(*) FROM alerts) AS "released!""#,
        now
    )
    .fetch_one(conn)
    .await
}

/// The channel on which the node of this incarnation listens.
pub fn channel(incarnation: i64) -> String {
    format!("node_{incarnation}")
}

/// What is told to a node about a box.
#[derive(Debug)]
pub struct Told {
    /// The box.
    pub device_id: DeviceId,
    /// The incarnation of the node; none: the one that the box is connected to.
    pub node: Option<i64>,
    /// The words, without a blank.
    pub text: String,
}

/// Tells nodes other than `own`, each in one message; to how many.
pub async fn notify(conn: &mut PgConnection, told: &[Told], own: i64) -> sqlx::Result<i64> {
    let devices = column(told, |one| one.device_id);
    let nodes = column(told, |one| one.node);
    let texts = column(told, |one| one.text.as_str());
    sqlx::query_scalar!(
        r#"SELECT count(pg_notify('node_' || incarnation, texts)) AS "nodes!"
           FROM (SELECT coalesce(t.node, s.incarnation) AS incarnation, string_agg(t.text, ' ') AS texts
                 FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS t (device_id, node, text)
                 LEFT JOIN sessions s ON s.device_id = t.device_id AND s.connected AND t.node IS NULL
                 GROUP BY 1) grouped
           WHERE incarnation <> $4"#,
        &devices as _,
        &nodes as _,
        &texts as _,
        own
    )
    .fetch_one(conn)
    .await
}

/// A node, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Node {
    /// Its configured name.
    pub name: String,
    /// Which of the processes of this name: higher with each.
    pub incarnation: i64,
    /// The version of its program.
    pub version: String,
    /// When it started, or took a new lease after a lost one.
    pub started_at: DateTime<Utc>,
    /// When it last renewed its lease.
    pub renewed_at: DateTime<Utc>,
    /// Until when its sessions are its own without another renewal.
    pub lease_until: DateTime<Utc>,
    /// It ends its sessions, because it is about to stop.
    pub draining: bool,
    /// When it stopped, or was found dead.
    pub ended_at: Option<DateTime<Utc>>,
    /// `stopped`, `lease_over` or `database_restored`.
    pub end_reason: Option<String>,
    /// How many boxes are connected to it by MQTT.
    pub sessions: i64,
}

/// All nodes by name, also those that have ended lately.
pub async fn list(conn: &mut PgConnection) -> sqlx::Result<Vec<Node>> {
    sqlx::query_as!(
        Node,
        r#"SELECT n.name, n.incarnation, n.version, n.started_at, n.renewed_at, n.lease_until, n.draining, n.ended_at, n.end_reason,
               (SELECT count(*) FROM sessions s WHERE s.node = n.name AND s.incarnation = n.incarnation AND s.connected) AS "sessions!"
           FROM nodes n ORDER BY n.name"#
    )
    .fetch_all(conn)
    .await
}

/// One node by its name.
pub async fn find(conn: &mut PgConnection, name: &str) -> sqlx::Result<Option<Found>> {
    sqlx::query_as!(
        Found,
        "SELECT started_at, renewed_at FROM nodes WHERE name = $1 AND ended_at IS NULL",
        name
    )
    .fetch_optional(conn)
    .await
}

/// The node that has a name.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it last renewed its lease.
    pub renewed_at: DateTime<Utc>,
}

/// Forgets up to `limit` nodes that ended more than `kept_s` seconds ago.
pub async fn forget(conn: &mut PgConnection, kept_s: f64, limit: i64) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM nodes WHERE name = ANY(ARRAY(
             SELECT name FROM nodes WHERE ended_at < clock_timestamp() - make_interval(secs => $1) LIMIT $2))",
        kept_s,
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
