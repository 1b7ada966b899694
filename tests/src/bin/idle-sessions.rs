//! Prints what an idle session costs: memory of the whole platform process, and of Mosquitto, in the same run.
//!
//! ```text
//! cargo build --release -p platform -p device-sim -p tests
//! target/release/idle-sessions --boxes 2000
//! ```
//!
//! It starts the `platform` executable beside it, makes boxes through the public API and starts it again, so that no
//! session lives in memory that making them has left behind. Then all boxes connect over mTLS, subscribe and acknowledge
//! their configuration; so do as many clients of Mosquitto, with certificates of the same CA and the same keepalive.
//! The memory of a session is that of the process with them less that without, divided by their number: resident (RSS),
//! and the anonymous part of it, which is heap, stacks and what the allocator keeps.

use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use tests::commits::per_second_of;
use tests::connection::Connection;
use tests::mosquitto::Mosquitto;
use tests::open_files;
use tests::provision::Provisioned;
use tests::server::Server;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

/// How many boxes are made or connected at a time.
const AT_A_TIME: usize = 32;

#[derive(Parser)]
struct Args {
    /// How many boxes are connected.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    boxes: u32,
    /// Seconds of idleness before the memory is read: configurations are acknowledged in them.
    #[arg(long, default_value_t = 10)]
    idle_s: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    open_files::allow(args.boxes.into())?;
    let idle = Duration::from_secs(args.idle_s);
    let dir = tempfile::tempdir().context("no temporary directory")?;
    let server = Server::start(dir.path()).await?;
    let boxes = make(&server, args.boxes).await?;
    let at = server.addresses().await?;
    server.stop().await?;
    let server = Server::start_again(dir.path(), at, &[]).await?;
    let mosquitto = Mosquitto::start(&server.data_dir.join("pki"), dir.path()).await?;
    sleep(idle).await;

    println!(
        "{:<28} {:>10} {:>10} {:>12} {:>12} {:>10}",
        "", "KiB before", "KiB after", "B a session", "anonymous, B", "connects/s"
    );
    let connecting = stream::iter(boxes).map(connect);
    let ours = measure(
        "platform, the whole process",
        server.pid()?,
        idle,
        connecting,
    )
    .await?;
    match mosquitto {
        Some(mosquitto) => {
            let connecting = stream::iter(0..args.boxes).map(|number| visit(&mosquitto, number));
            let theirs = measure("Mosquitto", mosquitto.pid()?, idle, connecting).await?;
            println!(
                "ours in times Mosquitto's: {} % of resident, {} % of anonymous memory",
                ours.resident * 100 / theirs.resident.max(1),
                ours.anonymous * 100 / theirs.anonymous.max(1)
            );
        }
        None => println!("Mosquitto is not installed"),
    }
    server.stop().await
}

async fn make(server: &Server, count: u32) -> anyhow::Result<Vec<Provisioned>> {
    let admin = server.api("admin")?;
    stream::iter(0..usize::try_from(count)?)
        .map(|number| Provisioned::new(server, &admin, number, None))
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await
}

/// A box that acknowledges what it is sent.
async fn connect(made: Provisioned) -> anyhow::Result<AbortHandle> {
    let mut connection = made.listen().await?;
    let task = tokio::spawn(async move {
        while let Some(publish) = connection.try_receive().await {
            let message = made.open(&publish);
            made.answer(&mut connection, &publish, message.as_ref())
                .await;
        }
    });
    Ok(task.abort_handle())
}

/// A client of Mosquitto.
async fn visit(mosquitto: &Mosquitto, number: u32) -> anyhow::Result<AbortHandle> {
    let endpoint = mosquitto.endpoint(u128::from(number) + 1)?;
    let mut connection: Connection = endpoint.connect().await?;
    connection
        .subscribe(&format!("devices/{}/downlink/#", endpoint.device_id))
        .await;
    let task = tokio::spawn(async move { while connection.try_receive().await.is_some() {} });
    Ok(task.abort_handle())
}

/// Connects all, prints a row, and disconnects them; what one session costs, bytes.
async fn measure<F>(
    name: &str,
    pid: u32,
    idle: Duration,
    connecting: impl Stream<Item = F>,
) -> anyhow::Result<Memory>
where
    F: Future<Output = anyhow::Result<AbortHandle>>,
{
    let before = Memory::of(pid)?;
    let start = Instant::now();
    let connected: Vec<AbortHandle> = connecting.buffer_unordered(AT_A_TIME).try_collect().await?;
    let count = u64::try_from(connected.len())?;
    let rate = per_second_of(count, start.elapsed());
    sleep(idle).await;
    let after = Memory::of(pid)?;
    let lost = connected.iter().filter(|task| task.is_finished()).count();
    anyhow::ensure!(lost == 0, "{lost} sessions of {name} ended");
    connected.iter().for_each(AbortHandle::abort);
    let each = Memory {
        resident: after.resident.saturating_sub(before.resident) / count,
        anonymous: after.anonymous.saturating_sub(before.anonymous) / count,
    };
    println!(
        "{name:<28} {:>10} {:>10} {:>12} {:>12} {rate:>10}",
        before.resident / 1024,
        after.resident / 1024,
        each.resident,
        each.anonymous
    );
    Ok(each)
}

/// Memory of a process, bytes.
struct Memory {
    resident: u64,
    /// Resident and of no file.
    anonymous: u64,
}

impl Memory {
    fn of(pid: u32) -> anyhow::Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| -> anyhow::Result<u64> {
            let text = status.lines().find_map(|line| line.strip_prefix(name));
            let text = text.with_context(|| format!("no {name}"))?;
            Ok(text.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
        };
        Ok(Self {
            resident: field("VmRSS:")?,
            anonymous: field("RssAnon:")?,
        })
    }
}
