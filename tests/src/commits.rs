//! A baseline for durable writes: one row a commit.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::server::Server;

/// Commits of one row a second, on this many connections to the platform's own Postgres.
pub async fn per_second(
    server: &Server,
    connections: usize,
    time: Duration,
) -> anyhow::Result<u128> {
    let mut database = PgConnection::connect(&server.demo.database_url).await?;
    sqlx::query("CREATE TABLE bench_commits (LIKE heartbeats INCLUDING ALL)")
        .execute(&mut database)
        .await?;
    let start = Instant::now();
    let end = start + time;
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let mut connection = PgConnection::connect(&server.demo.database_url).await?;
        tasks.spawn(async move {
            let mut rows = 0_u64;
            while Instant::now() < end {
                sqlx::query(
                    "INSERT INTO bench_commits (device_id, received_at, device_time, firmware_version, state, network_strength, battery_level)
                     VALUES (gen_random_uuid(), clock_timestamp(), '2026-05-23T10:00:00Z', '1.0.3', 'idle', 78, 92)",
                )
                .execute(&mut connection)
                .await?;
                rows += 1;
            }
            anyhow::Ok(rows)
        });
    }
    let mut rows = 0;
    while let Some(written) = tasks.join_next().await {
        rows += written??;
    }
    let rate = per_second_of(rows, start.elapsed());
    sqlx::query("DROP TABLE bench_commits")
        .execute(&mut database)
        .await?;
    Ok(rate)
}

/// A rate a second, rounded down.
#[must_use]
pub fn per_second_of(number: u64, time: Duration) -> u128 {
    u128::from(number) * 1_000 / time.as_millis().max(1)
}
