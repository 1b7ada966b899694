//! Heartbeats as fast as possible, each acknowledged after its commit, compared with the same rows written one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sqlx::PgConnection;
use tests::commits;
use tests::connection::Connection;
use tests::provision::{Provisioned, heartbeat};
use tests::server::Server;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wire::DeviceId;

/// How many boxes flood, and how many heartbeats of each are unacknowledged: below the platform's limit of 64.
const BOXES: usize = 200;
const ON_THE_WAY: usize = 40;
/// Boxes of this kind are numbered from here.
const FIRST: usize = 900_000;
/// Concurrent writers of one row a commit.
const WRITERS: usize = 16;

/// Measures both; the problems that it found.
pub(crate) async fn run(
    server: &Server,
    database: &mut PgConnection,
    time: Duration,
) -> anyhow::Result<Vec<String>> {
    let admin = server.api("admin")?;
    let connections: Vec<(DeviceId, Connection)> = stream::iter(FIRST..FIRST + BOXES)
        .map(|number| {
            let admin = admin.clone();
            async move {
                let made = Provisioned::new(server, &admin, number, None).await?;
                anyhow::Ok((made.device_id, made.listen().await?))
            }
        })
        .buffer_unordered(16)
        .try_collect()
        .await?;
    let before: i64 = count(database).await?;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let end = start + time;
    let mut boxes = JoinSet::new();
    for (device_id, connection) in connections {
        boxes.spawn(flood(connection, device_id, end, Arc::clone(&acknowledged)));
    }
    let mut broken = 0_u64;
    while let Some(ended) = boxes.join_next().await {
        broken += u64::from(!matches!(ended, Ok(true)));
    }
    let heartbeats = acknowledged.load(Ordering::Relaxed);
    let per_s = commits::per_second_of(heartbeats, start.elapsed());
    let stored = count(database).await? - before;
    let one = commits::per_second(server, 1, time).await?;
    let many = commits::per_second(server, WRITERS, time).await?;
    println!(
        "heartbeats over MQTT/TLS, each PUBACKed after its commit   {per_s:>8}/s  ({BOXES} boxes)"
    );
    println!("one row a commit, one connection                           {one:>8}/s");
    println!("one row a commit, {WRITERS} connections                           {many:>8}/s");
    let mut problems = Vec::new();
    if broken > 0 {
        problems.push(format!("{broken} connections ended in the flood"));
    }
    if stored < i64::try_from(heartbeats)? {
        problems.push(format!(
            "{heartbeats} heartbeats of the flood were acknowledged, and {stored} are in Postgres"
        ));
    }
    Ok(problems)
}

async fn count(database: &mut PgConnection) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM heartbeats")
        .fetch_one(database)
        .await?)
}

/// Whether all that was sent was acknowledged.
async fn flood(
    mut connection: Connection,
    device_id: DeviceId,
    end: Instant,
    acknowledged: Arc<AtomicU64>,
) -> bool {
    let (topic, payload) = heartbeat(device_id);
    let mut on_the_way = 0;
    loop {
        while on_the_way < ON_THE_WAY && Instant::now() < end {
            connection.send(&topic, payload.clone()).await;
            on_the_way += 1;
        }
        if on_the_way == 0 {
            return true;
        }
        if !connection.acknowledged().await {
            return false;
        }
        on_the_way -= 1;
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
}
