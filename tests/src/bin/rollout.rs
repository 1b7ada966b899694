//! Rolls a command out to a fleet of simulated boxes, on a real platform, through failures and a kill −9.
//!
//! ```text
//! cargo run --release -p tests --bin rollout -- --boxes 1000
//! ```
//!
//! It starts the `platform` executable beside it, registers the boxes from a CSV file, activates and connects them, and
//! sends a command to all of them. Three of a hundred fail: the roll-out must abort at its threshold. Then it is resumed,
//! the platform is killed half-way and started again, and in the end every box must have received the command once.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Method;
use serde_json::{Value, json};
use tests::credentials::new_key;
use tests::server::Server;
use tests::{Api, Credentials, Fleet};

#[derive(Parser)]
struct Args {
    /// How many boxes.
    #[arg(long, default_value_t = 1000)]
    boxes: usize,
    /// Commands a minute.
    #[arg(long, default_value_t = 6000)]
    rate: u32,
}

/// One of so many commands fails.
const FAILS_ONE_OF: u32 = 33;
/// Boxes in one file.
const FILE_MAX: usize = 1000;
/// Activations at a time.
const AT_ONCE: usize = 8;
/// The longest that any step may take.
const STEP_MAX: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let dir = tempfile::tempdir().context("no temporary directory")?;
    let server = Server::start(dir.path()).await?;
    let began = Instant::now();
    let boxes = make(&server, args.boxes).await?;
    println!(
        "{} boxes registered and activated in {:.1?}",
        boxes.len(),
        began.elapsed()
    );
    let began = Instant::now();
    let fleet = Fleet::connect(server.mqtt().await?, boxes).await;
    println!("connected in {:.1?}", began.elapsed());

    fleet.fail_one_of(FAILS_ONE_OF);
    let body = json!({
        "type": "set_volume", "payload": { "volume": 7 }, "query": { "online": true },
        "rollout": { "rate_per_minute": args.rate, "canary": 20, "phases": [50], "abort_threshold_percent": 3, "min_sample": 100 },
    });
    let made = server
        .api("ops")?
        .post_with(
            "/admin/bulk-commands",
            &[("idempotency-key", "rollout")],
            &body,
        )
        .await
        .expect(201)
        .data();
    let path = format!(
        "/admin/bulk-commands/{}",
        made["id"].as_str().context("no id")?
    );
    let began = Instant::now();
    let aborted = until(&server, &path, |now| now["status"] == "aborted").await?;
    println!(
        "aborted after {:.1?}: {}",
        began.elapsed(),
        aborted["reason"]
    );
    println!("  {}", aborted["progress"]);

    fleet.fail_one_of(0);
    let api = server.api("ops")?;
    api.act(&format!("{path}/resume"), &json!({})).await;
    let half = args.boxes / 2;
    let before = until(&server, &path, |now| {
        now["progress"]["delivered"]
            .as_u64()
            .is_some_and(|delivered| delivered > half as u64)
    })
    .await?;
    server.kill().await?;
    println!("killed at {}", before["progress"]);
    let server = restart(dir.path()).await?;
    fleet.moved(server.mqtt().await?);
    let began = Instant::now();
    let done = until(&server, &path, |now| now["status"] == "completed").await?;
    println!("completed {:.1?} after the new start", began.elapsed());
    println!("  {}", done["progress"]);

    let executed = fleet.executed();
    let once = executed.values().all(|orders| orders.len() == 1);
    ensure!(
        once && executed.len() == args.boxes,
        "not every box received the command once"
    );
    println!("each of {} boxes received the command once", executed.len());
    fleet.disconnect().await;
    server.stop().await
}

async fn restart(dir: &Path) -> anyhow::Result<Server> {
    let began = Instant::now();
    let server = Server::start(dir).await?;
    println!("started again in {:.1?}", began.elapsed());
    Ok(server)
}

/// Waits for a state of the bulk command.
async fn until(
    server: &Server,
    path: &str,
    is_so: impl Fn(&Value) -> bool,
) -> anyhow::Result<Value> {
    let api = server.api("support")?;
    let look = async {
        loop {
            let now = api.read(path).await;
            if is_so(&now) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(STEP_MAX, look)
        .await
        .context("the roll-out did not get there")
}

/// Registers boxes from files, and activates each.
async fn make(server: &Server, count: usize) -> anyhow::Result<Vec<Credentials>> {
    let admin = server.api("admin")?;
    let anonymous = Api::new(&server.demo.api_url, &server.root_pem);
    let mut registered = Vec::new();
    for first in (0..count).step_by(FILE_MAX) {
        let mut file = "serial_number,model,capabilities\n".to_owned();
        for number in first..count.min(first + FILE_MAX) {
            writeln!(file, "R-{number:06},SB-1,speaker")?;
        }
        let imported = admin.post_csv("/admin/devices/import", &[], &file).await;
        let data = imported.expect(201).data();
        registered.extend(data["devices"].as_array().context("no devices")?.clone());
    }
    stream::iter(registered)
        .map(|device| activate(&anonymous, &server.root_pem, device))
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

async fn activate(api: &Api, root_pem: &str, device: Value) -> anyhow::Result<Credentials> {
    let key = new_key();
    let body = json!({
        "serial_number": device["serial_number"], "activation_code": device["activation_code"],
        "csr": key.csr_pem(), "firmware_version": "1.0.0",
    });
    let answer = api
        .try_call(
            Method::POST,
            "/device/provision/activate",
            &[],
            Some(body.to_string().into_bytes()),
        )
        .await?;
    let serial_number = device["serial_number"].as_str().unwrap_or_default();
    Ok(Credentials::of(
        serial_number,
        &key,
        &answer.expect(200).data(),
        root_pem,
    ))
}
