//! When a round is over.

use std::collections::HashSet;

use anyhow::bail;
use sqlx::PgConnection;
use tokio::time::{Duration, Instant, sleep};

use crate::postgres::LOOK_INTERVAL;
use crate::traffic::ANSWERED_WITHIN;
use crate::world::World;

/// What is still open in the database: notifications, commands, configurations and payouts.
const OPEN: &str = "
SELECT (SELECT count(*) FROM notifications WHERE is_open),
       (SELECT count(*) FROM commands WHERE status IN ('queued', 'sent')),
       (SELECT count(*) FROM device_configs c JOIN devices d ON d.id = c.device_id
        WHERE d.profile = 'native' AND c.applied_version IS DISTINCT FROM c.version),
       (SELECT count(*) FROM payouts WHERE status IN ('pending', 'processing'))";

/// Waits until everything is answered, heard and acknowledged, and every box is connected.
pub(super) async fn wait(world: &World) -> anyhow::Result<Instant> {
    let deadline = Instant::now() + ANSWERED_WITHIN;
    let mut database = None;
    loop {
        let (unanswered, unheard) = world.participants.shared.evidence().outstanding();
        let away = world.participants.shared.evidence().away();
        let mut open = None;
        if (unanswered, unheard, away) == (0, 0, 0) {
            open = self::open(world, &mut database).await;
            if open == Some((0, 0, 0, 0)) {
                return Ok(Instant::now());
            }
        }
        if Instant::now() > deadline {
            bail!(
                "not over after {} s: {unanswered} sales unanswered, {unheard} unheard, {away} boxes away; open \
                 notifications, commands, configurations, payouts: {open:?}",
                ANSWERED_WITHIN.as_secs()
            );
        }
        sleep(LOOK_INTERVAL).await;
    }
}

/// `None`: the database does not answer.
async fn open(world: &World, database: &mut Option<PgConnection>) -> Option<(i64, i64, i64, i64)> {
    if database.is_none() {
        *database = world.postgres.connect().await.ok();
    }
    let connection = database.as_mut()?;
    match sqlx::query_as(OPEN).fetch_one(connection).await {
        Ok(open) => Some(open),
        Err(_) => {
            *database = None;
            None
        }
    }
}

/// Waits until the endpoint was told of every payment; those of which it was not told in time.
pub(super) async fn untold(world: &World) -> Option<String> {
    let deadline = Instant::now() + ANSWERED_WITHIN;
    loop {
        let told: HashSet<String> = world
            .webhooks
            .received()
            .iter()
            .filter(|one| (200..300).contains(&one.answered))
            .filter_map(|one| {
                one.body["data"]["partner_reference"]
                    .as_str()
                    .map(str::to_owned)
            })
            .collect();
        let missing: Vec<String> = {
            let evidence = world.participants.shared.evidence();
            let references = evidence
                .sales()
                .flat_map(|(sale, _)| sale.references.clone());
            references.filter(|one| !told.contains(one)).collect()
        };
        if missing.is_empty() {
            return None;
        }
        if Instant::now() > deadline {
            let example = missing.first().cloned().unwrap_or_default();
            return Some(format!(
                "the endpoint was not told of {} payments, {example} for example",
                missing.len()
            ));
        }
        sleep(Duration::from_millis(200)).await;
    }
}
