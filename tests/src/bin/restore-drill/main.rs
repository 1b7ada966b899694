//! A drill: backup under payments, more payments, a disaster, restore to a point in time, and everything that must be true
//! then.
//!
//! ```text
//! cargo build --release -p platform -p device-sim -p tests
//! target/release/restore-drill --boxes 100 --rate 20
//! target/release/restore-drill --boxes 100 --rate 20 --pgbackrest
//! ```
//!
//! It starts a durable Postgres of its own with an archive of its log, and the platform (`platform demo --boxes 0`) on it,
//! makes boxes, and pays them while the backup is made. The keys and the CA are copied elsewhere. After the moment to which
//! it will restore there are other payments and other configurations. Then platform and Postgres are ended with SIGKILL, and
//! the cluster, the keys and the CA are deleted. It restores them, verifies ledger and audit log, counts the payments,
//! starts the platform where it was, waits until every box is back and has a configuration above every earlier one, and
//! pays again. It prints what each step took, and ends with an error when something is not as it must be.

mod backup;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tests::open_files;
use tests::outage_fleet::boxes::Fleet;
use tests::outage_fleet::payments::Payments;
use tests::outage_fleet::tally::Tally;
use tests::postgres_server::{Disk, PostgresServer};
use tests::provision::many;
use tests::server::{Server, verify};
use tokio::time::{Instant, sleep};

use self::backup::{Backup, Method};

/// How long is waited for the boxes and their configurations.
const BACK_WITHIN: Duration = Duration::from_secs(120);
/// What of the platform's data is not in the database.
const KEYS: [&str; 3] = ["pki", "keys", "secrets"];

#[derive(Parser)]
struct Args {
    /// How many boxes are connected.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    boxes: u32,
    /// Payments a second.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Seconds of payments before and after the backup, after the moment, and in the end.
    #[arg(long, default_value_t = 10)]
    pay_s: u64,
    /// Use pgBackRest; otherwise pg_basebackup and a folder with the log.
    #[arg(long)]
    pgbackrest: bool,
    /// Where everything is kept meanwhile, instead of the folder for temporary files.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// What is printed in the end.
#[derive(Default)]
struct Table(Vec<(String, Duration)>);

impl Table {
    /// Notes how long a step took.
    fn add(&mut self, step: &str, since: Instant) {
        println!("{step}: {:.1} s", since.elapsed().as_secs_f64());
        self.0.push((step.to_owned(), since.elapsed()));
    }

    fn print(&self) {
        println!("\n{:<56} {:>8}", "step", "s");
        for (step, took) in &self.0 {
            println!("{step:<56} {:>8.1}", took.as_secs_f64());
        }
    }
}

/// The payments of a database: how many, and how much.
async fn paid(url: &str) -> anyhow::Result<(i64, i64)> {
    let mut conn = PgConnection::connect(url).await?;
    let row = sqlx::query_as("SELECT count(*), coalesce(sum(amount), 0)::bigint FROM payments")
        .fetch_one(&mut conn)
        .await?;
    conn.close().await?;
    Ok(row)
}

/// The lowest version of a configuration that is in force, and how many boxes do not have theirs yet.
async fn configurations(url: &str) -> anyhow::Result<(i64, i64)> {
    let mut conn = PgConnection::connect(url).await?;
    let row = sqlx::query_as(
        "SELECT min(version), count(*) FILTER (WHERE applied_version IS DISTINCT FROM version) FROM device_configs",
    )
    .fetch_one(&mut conn)
    .await?;
    conn.close().await?;
    Ok(row)
}

/// The highest version that any box was given.
async fn highest_version(url: &str) -> anyhow::Result<i64> {
    let mut conn = PgConnection::connect(url).await?;
    let version = sqlx::query_scalar("SELECT max(version) FROM device_configs")
        .fetch_one(&mut conn)
        .await?;
    conn.close().await?;
    Ok(version)
}

/// Copies the keys and the CA.
fn copy_keys(from: &Path, to: &Path) -> anyhow::Result<()> {
    for name in KEYS {
        copy_dir(&from.join(name), &to.join(name))?;
    }
    Ok(())
}

fn copy_dir(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &place)?;
        } else {
            fs::copy(entry.path(), place)?;
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    open_files::allow(args.boxes.into())?;
    let dir = match &args.dir {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    };
    let dir = dir.context("no temporary directory")?;
    let method = if args.pgbackrest {
        Method::PgBackRest
    } else {
        Method::BaseBackup
    };
    let (mut table, mut problems) = (Table::default(), Vec::new());
    let pay_for = Duration::from_secs(args.pay_s);

    let backup = Backup::prepare(method, dir.path())?;
    let settings = backup.settings();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mut postgres = PostgresServer::create(dir.path(), Disk::Durable, &settings).await?;
    let url = postgres.url();
    let variables = [("DATABASE_URL", url.as_str())];
    let server =
        Server::start_executable(&tests::server::executable()?, dir.path(), &variables).await?;
    let (data_dir, at) = (server.data_dir.clone(), server.addresses().await?);
    let tally = Arc::new(Tally::default());
    let boxes = many(&server, vec![server.mqtt().await?], args.boxes).await?;
    let every = Duration::from_secs(30);
    let mut fleet = Fleet::switch_on(boxes, every, Duration::ZERO, &tally).await?;
    let acquirers = vec![server.acquirer()];
    let pay = || Payments::start(acquirers.clone(), fleet.boxes.clone(), args.rate, &tally);
    println!("{} boxes, {} payments/s, {method}", args.boxes, args.rate);

    // A backup while payments go on, and the keys.
    let payments = pay();
    sleep(pay_for).await;
    let began = Instant::now();
    backup.make(&postgres).await?;
    table.add("backup, while payments go on", began);
    println!("the backup has {} MB", backup.size_mb()?);
    copy_keys(&data_dir, &dir.path().join("copy-of-keys"))?;
    sleep(pay_for).await;
    payments.stop().await?;
    tally.wait_until_heard().await;
    let (count, sum) = paid(&url).await?;
    let moment = backup::moment(&postgres).await?;
    println!("{count} payments, Rp{sum}, at {moment}");

    // What will not be there any more.
    let admin = server.api("admin")?;
    for soundbox in &fleet.boxes {
        let path = format!("/admin/devices/{}/config", soundbox.device_id);
        for volume in [3, 4, 5] {
            admin.change(&path, &json!({ "volume": volume })).await;
        }
    }
    let payments = pay();
    sleep(pay_for).await;
    payments.stop().await?;
    tally.wait_until_heard().await;
    let (after, _) = paid(&url).await?;
    let version = highest_version(&url).await?;
    backup::archive_everything(&postgres).await?;
    println!(
        "{} payments after it are lost with what follows",
        after - count
    );

    // The disaster.
    server.kill().await?;
    postgres.kill().await?;
    fs::remove_dir_all(&postgres.data)?;
    for name in KEYS {
        fs::remove_dir_all(data_dir.join(name))?;
    }
    let disaster = Instant::now();

    backup.restore(&postgres, &moment).await?;
    table.add("files of the cluster restored", disaster);
    let recovering = Instant::now();
    postgres.start().await?;
    postgres
        .wait_for("SELECT NOT pg_is_in_recovery()", BACK_WITHIN)
        .await?;
    table.add("log applied until the moment, writes accepted", recovering);
    let present = paid(&url).await?;
    if present != (count, sum) {
        problems.push(format!(
            "there are {} payments, Rp{}, and were {count}, Rp{sum}",
            present.0, present.1
        ));
    }
    let verifying = Instant::now();
    for what in ["ledger", "audit"] {
        match verify(what, &url, &data_dir).await {
            Ok(findings) => println!("platform {what} verify: {findings}"),
            Err(error) => problems.push(format!("{what} verify: {error}")),
        }
    }
    table.add("ledger verify and audit verify", verifying);

    copy_keys(&dir.path().join("copy-of-keys"), &data_dir)?;
    let starting = Instant::now();
    let server = Server::start_again(dir.path(), at, &variables).await?;
    table.add("platform started, until it is ready", starting);
    let returns = fleet.all_back(starting + BACK_WITHIN).await;
    table.add("all boxes back, from the platform's start", starting);
    ensure!(
        returns.count() == u64::from(args.boxes),
        "{} of {} boxes are back",
        returns.count(),
        args.boxes
    );
    let lowest = loop {
        let (lowest, waiting) = configurations(&url).await?;
        if waiting == 0 || starting.elapsed() > BACK_WITHIN {
            if waiting > 0 {
                problems.push(format!(
                    "{waiting} boxes have not taken their configuration"
                ));
            }
            break lowest;
        }
        sleep(Duration::from_millis(50)).await;
    };
    table.add(
        "all configurations taken, from the platform's start",
        starting,
    );
    table.add("from the disaster until all is well", disaster);
    if lowest <= version {
        problems.push(format!(
            "a box is given configuration {lowest}, and has had {version}"
        ));
    }

    let payments = Payments::start(
        vec![server.acquirer()],
        fleet.boxes.clone(),
        args.rate,
        &tally,
    );
    sleep(pay_for).await;
    payments.stop().await?;
    tally.wait_until_heard().await;
    tally.print();
    problems.extend(tally.problems());
    for what in ["ledger", "audit"] {
        if let Err(error) = verify(what, &url, &data_dir).await {
            problems.push(format!("{what} verify in the end: {error}"));
        }
    }
    server.stop().await?;
    postgres.stop().await?;
    table.print();
    if problems.is_empty() {
        println!("\nrestored to the moment; what was paid before and since is heard, once");
        return Ok(());
    }
    bail!("{}", problems.join("; "))
}
