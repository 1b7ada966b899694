//! Rows of boxes from after the end of their sessions, by the platform's own clock.

use sqlx::{Connection as _, PgConnection};
use tests::server::Server;
use wire::DeviceId;

/// Rows from after the end of a session.
#[derive(Clone, Copy)]
pub(crate) struct Stored {
    /// Heartbeats that a box sent after its session had ended. Box and platform share this machine's clock.
    pub(crate) heartbeats: u64,
    /// Notifications that it reports to have played after it.
    pub(crate) acknowledgements: u64,
}

pub(crate) async fn count(server: &Server, revoked: &[DeviceId]) -> anyhow::Result<Stored> {
    let mut conn = PgConnection::connect(&server.demo.database_url).await?;
    let ids: Vec<uuid::Uuid> = revoked.iter().map(|id| id.as_uuid()).collect();
    let heartbeats: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM heartbeats h JOIN sessions s ON s.device_id = h.device_id
         WHERE h.device_id = ANY($1) AND (s.connected OR h.device_time::timestamptz > s.ended_at)",
    )
    .bind(&ids)
    .fetch_one(&mut conn)
    .await?;
    let acknowledgements: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM notifications n JOIN sessions s ON s.device_id = n.device_id
         WHERE n.device_id = ANY($1) AND (s.connected OR n.played_at > s.ended_at)",
    )
    .bind(&ids)
    .fetch_one(&mut conn)
    .await?;
    Ok(Stored {
        heartbeats: heartbeats.unsigned_abs(),
        acknowledgements: acknowledgements.unsigned_abs(),
    })
}
