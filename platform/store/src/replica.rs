//! How far a streaming replica is: positions in the write-ahead log, which primary and replica count alike.

use sqlx::PgConnection;

/// How far a server has written its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Of the cluster, which its replicas share.
    pub system_identifier: i64,
    /// The position, in bytes.
    pub position: i64,
}

/// How far the primary is. Fails on a replica.
pub async fn written(conn: &mut PgConnection) -> sqlx::Result<Written> {
    sqlx::query_as!(
        Written,
        r#"SELECT system_identifier AS "system_identifier!",
               pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint AS "position!"
           FROM pg_control_system()"#
    )
    .fetch_one(conn)
    .await
}

/// How far a replica has applied its primary's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// Of the cluster.
    pub system_identifier: i64,
    /// Whether this is a replica at all.
    pub is_replica: bool,
    /// The position, in bytes; 0 when it is none.
    pub position: i64,
}

/// How far the server of this connection has applied the log of another.
pub async fn replayed(conn: &mut PgConnection) -> sqlx::Result<Replayed> {
    sqlx::query_as!(
        Replayed,
        r#"SELECT system_identifier AS "system_identifier!", pg_is_in_recovery() AS "is_replica!",
               coalesce(pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint, 0) AS "position!"
           FROM pg_control_system()"#
    )
    .fetch_one(conn)
    .await
}
