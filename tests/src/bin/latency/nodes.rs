//! The same with boxes spread over two processes, and all callbacks to one of them.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sqlx::{Connection as _, PgConnection};
use tests::figures::{Figures, print_heading};
use tests::provision::many;
use tests::server::Server;
use tokio::sync::mpsc;
use wire::TransactionId;

use crate::Args;
use crate::legs::between;
use crate::listener::Listener;
use crate::load::Rate;
use crate::payments::{Seen, pay};

/// How many boxes connect, or request a code, at a time.
const AT_A_TIME: usize = 16;
/// Payments that are not measured, and how many a second.
const WARM_UP: (usize, u32) = (400, 100);

/// Measures every number of boxes with every rate, and prints the figures of both halves.
pub(crate) async fn run(executable: &Path, args: &Args) -> anyhow::Result<()> {
    let dir = tempfile::tempdir().context("no temporary directory")?;
    for boxes in args.boxes.iter().copied() {
        let dir = dir.path().join(boxes.to_string());
        let server = Server::start_executable(executable, &dir, &[]).await?;
        let other = server.node_parts("node-2", 6).start().await?;
        let to = vec![server.mqtt().await?, other.mqtt];
        let made = many(&server, to, u32::try_from(boxes)?).await?;
        let (sender, mut heard) = mpsc::unbounded_channel();
        let listeners: Vec<Listener> = stream::iter(&made)
            .map(|made| Listener::connect(made, sender.clone()))
            .buffered(AT_A_TIME)
            .try_collect()
            .await?;
        let acquirer = server.acquirer();
        let warm_up = codes(&listeners, WARM_UP.0).await?;
        let ids: Vec<TransactionId> = warm_up.keys().copied().collect();
        pay(&acquirer, &ids, WARM_UP.1, &mut heard).await?;
        let mut conn = PgConnection::connect(&server.demo.database_url).await?;
        sqlx::query("ANALYZE").execute(&mut conn).await?;
        for rate in &args.rate {
            let Rate::PerSecond(rate) = *rate else {
                continue;
            };
            let codes = codes(&listeners, args.payments).await?;
            let ids: Vec<TransactionId> = codes.keys().copied().collect();
            let (seen, repeated) = pay(&acquirer, &ids, rate, &mut heard).await?;
            print_heading(&format!(
                "{boxes} boxes at two processes, {rate}/s, {} payments",
                args.payments
            ));
            let [same, another] = split(&seen, &codes);
            same.print("  sent → in the hands of a box of this node");
            another.print("  sent → in the hands of a box of the other");
            println!("  {repeated} delivered twice");
        }
        drop(listeners);
        other.stop().await?;
        server.stop().await?;
    }
    Ok(())
}

/// Codes that the boxes request in turn, each with the place of its box.
async fn codes(
    listeners: &[Listener],
    count: usize,
) -> anyhow::Result<HashMap<TransactionId, usize>> {
    ensure!(listeners.len() >= 2, "at least two boxes");
    stream::iter(listeners.iter().enumerate().cycle().take(count))
        .map(|(place, listener)| async move { Ok((listener.code().await?, place)) })
        .buffered(AT_A_TIME)
        .try_collect()
        .await
}

/// The ways of payments of boxes at this node, and of those at the other: boxes begin at the two in turn.
fn split(
    seen: &HashMap<TransactionId, Seen>,
    codes: &HashMap<TransactionId, usize>,
) -> [Figures; 2] {
    let mut figures = [Figures::default(), Figures::default()];
    for (id, seen) in seen {
        let place = codes.get(id).copied().unwrap_or_default();
        if let Some(half) = figures.get_mut(place % 2) {
            half.add(between(seen.sent, seen.heard));
        }
    }
    figures
}
