//! One run on one build.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::{Connection as _, PgConnection};
use tests::collector::{Behaviour, Collector};
use tests::commits;
use tests::figures::print_heading;
use tests::mosquitto::Mosquitto;
use tests::server::Server;

use crate::fleet::Fleet;
use crate::floors::Floors;
use crate::legs::Legs;
use crate::load::Load;
use crate::measured::{Flood, Measured, Rates, Row, WRITERS, Watched};
use crate::split::Split;
use crate::viewers::Viewers;
use crate::{Args, baseline, commit, connects};

/// Payments that are not measured, and how many a second.
const WARM_UP: (usize, u32) = (200, 100);

/// Measures what the arguments ask for, and prints it.
pub(crate) async fn run(executable: &Path, args: &Args) -> anyhow::Result<Measured> {
    let dir = tempfile::tempdir().context("no temporary directory")?;
    let server = Server::start_executable(executable, dir.path(), &[]).await?;
    let mosquitto = match args.no_mosquitto {
        true => None,
        false => Mosquitto::start(&server.data_dir.join("pki"), dir.path()).await?,
    };
    let floors = floors(&server, mosquitto.as_ref()).await?;
    let mut fleet = Fleet::default();
    // The fleet only grows: the ends of thousands of sessions would disturb the next row.
    let boxes: BTreeSet<usize> = args.boxes.iter().copied().collect();
    fleet
        .grow(&server, boxes.first().copied().unwrap_or_default())
        .await?;
    warm_up(&server, &mut fleet).await?;
    let mut floods = Vec::new();
    let mut rates = None;
    if args.flood > 0 {
        for acquirers in &args.acquirers {
            let flood = fleet.flood(&server, args.flood, *acquirers).await?;
            flood.print("platform");
            floods.push(flood);
        }
        rates = Some(compared(&server, mosquitto.as_ref()).await?);
    }
    let highest = floods.iter().map(|flood: &Flood| flood.callbacks_per_s);
    let loads = Load::all(&boxes, &args.rate, highest.max())?;

    let mut legs = Vec::new();
    for load in &loads {
        fleet.grow(&server, load.boxes).await?;
        let payments = fleet.pay(&server, args.payments, load.per_second).await?;
        print_heading(&format!("{load}, {} payments", args.payments));
        let whole = Legs::from(payments);
        whole.print(&floors);
        legs.push(whole);
    }
    let watched = match args.viewers {
        Some(viewers) => {
            watched(
                &server,
                &mut fleet,
                (&floors, &loads),
                args.payments,
                viewers,
            )
            .await?
        }
        None => Vec::new(),
    };
    let baseline = match (args.plain_bridge, &mosquitto, loads.first()) {
        (Some(kills), Some(mosquitto), Some(load)) => {
            let baseline = baseline::measure(&server, mosquitto, args, *load, kills).await?;
            baseline.print(&floors);
            Some(baseline)
        }
        _ => None,
    };
    server.stop().await?;

    let splits = traced(executable, dir.path(), args.payments, &mut fleet, &loads).await?;
    let rows = loads.into_iter().zip(legs).zip(splits);
    Ok(Measured {
        floors,
        floods,
        rates,
        baseline,
        watched,
        rows: rows
            .map(|((load, legs), split)| Row { load, legs, split })
            .collect(),
    })
}

/// The same rows beside people who watch *Now*.
async fn watched(
    server: &Server,
    fleet: &mut Fleet,
    (floors, loads): (&Floors, &[Load]),
    payments: usize,
    viewers: usize,
) -> anyhow::Result<Vec<Watched>> {
    let mut viewers = Viewers::open(server, viewers).await?;
    let mut watched = Vec::new();
    for load in loads {
        fleet.grow(server, load.boxes).await?;
        let seen = viewers.payments();
        let paid = fleet.pay(server, payments, load.per_second).await?;
        let open = viewers.len();
        let rows = viewers.payments() - seen;
        print_heading(&format!(
            "{load}, {open} viewers, who were sent {rows} rows"
        ));
        let legs = Legs::from(paid);
        legs.print(floors);
        watched.push(Watched {
            load: *load,
            viewers: open,
            legs,
        });
    }
    Ok(watched)
}

/// The same rows on the same database after another start with a collector: what tracing costs is only in these figures.
async fn traced(
    executable: &Path,
    dir: &Path,
    payments: usize,
    fleet: &mut Fleet,
    loads: &[Load],
) -> anyhow::Result<Vec<Split>> {
    let collector = Collector::start(Behaviour::Takes).await;
    let variables = [
        ("SOUNDBOX__OTEL__ENDPOINT", collector.endpoint.as_str()),
        // Payments are always traced; nothing else.
        ("SOUNDBOX__OTEL__SAMPLE", "0"),
    ];
    let server = match Server::start_executable(executable, dir, &variables).await {
        Ok(server) => server,
        // A build that exports no traces refuses their configuration.
        Err(error) => {
            println!("not traced: {error:#}");
            return Ok(loads.iter().map(|_| Split::default()).collect());
        }
    };
    fleet.moved(&server).await?;
    let mut splits = Vec::new();
    for load in loads {
        fleet.grow(&server, load.boxes).await?;
        if splits.is_empty() {
            warm_up(&server, fleet).await?;
        }
        let measured = fleet.pay(&server, payments, load.per_second).await?;
        let split = Split::collect(&collector, &measured).await;
        split.print(&load.to_string());
        splits.push(split);
    }
    server.stop().await?;
    Ok(splits)
}

async fn floors(server: &Server, mosquitto: Option<&Mosquitto>) -> anyhow::Result<Floors> {
    let commit = commit::alone(server, 300)
        .await
        .context("cannot measure a commit")?;
    print_heading("");
    commit.print("one fsynced commit, same Postgres");
    let hop = match mosquitto {
        Some(mosquitto) => {
            let hop = mosquitto.hop(300).await?;
            hop.print("one Mosquitto QoS 1 hop, same certificates");
            Some(hop)
        }
        None => {
            println!("Mosquitto is not installed or was left out");
            None
        }
    };
    Ok(Floors { commit, hop })
}

/// Some payments that are not measured, and statistics: Postgres makes plans for a database with payments in it, as
/// autovacuum has it do after a minute.
async fn warm_up(server: &Server, fleet: &mut Fleet) -> anyhow::Result<()> {
    let (payments, per_second) = WARM_UP;
    fleet.pay(server, payments, per_second).await?;
    let mut conn = PgConnection::connect(&server.demo.database_url).await?;
    sqlx::query("ANALYZE").execute(&mut conn).await?;
    Ok(())
}

/// What floods are compared with.
async fn compared(server: &Server, mosquitto: Option<&Mosquitto>) -> anyhow::Result<Rates> {
    let commits_per_s = commits::per_second(server, WRITERS, Duration::from_secs(5)).await?;
    println!(
        "{:<44} {commits_per_s:>8}/s",
        format!("one row a commit, {WRITERS} connections")
    );
    let (connects, mosquitto_connects) = connects::measure(server, mosquitto).await?;
    Ok(Rates {
        commits_per_s,
        connects,
        mosquitto_connects,
    })
}
