//! What payments cost: processor time of what receives them and of its Postgres, and bytes of the write-ahead log.

use std::collections::HashMap;

use anyhow::Context as _;
use sqlx::{Connection as _, PgConnection};
use tests::server::Server;

/// USER_HZ is 100 on every Linux that this runs on (proc(5)).
const TICK_US: u64 = 10_000;

/// What was used since the server started.
pub(crate) struct Used {
    receivers_us: u64,
    postgres_us: u64,
    wal_bytes: u64,
}

impl Used {
    /// Reads it now: of the server's Postgres, and of the processes that receive the payments.
    pub(crate) async fn now(server: &Server, receivers: &[u32]) -> anyhow::Result<Self> {
        let (receivers_us, postgres_us) = processor_times(receivers, server.pid()?)?;
        let mut conn = PgConnection::connect(&server.demo.database_url).await?;
        let wal: i64 = sqlx::query_scalar("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
            .fetch_one(&mut conn)
            .await?;
        Ok(Self {
            receivers_us,
            postgres_us,
            wal_bytes: wal.unsigned_abs(),
        })
    }

    /// What each of so many payments used between two moments.
    pub(crate) fn each(before: &Self, after: &Self, payments: u64) -> Costs {
        let each = |before: u64, after: u64| after.saturating_sub(before) / payments.max(1);
        Costs {
            receivers_us: each(before.receivers_us, after.receivers_us),
            postgres_us: each(before.postgres_us, after.postgres_us),
            wal_bytes: each(before.wal_bytes, after.wal_bytes),
        }
    }
}

/// What one payment costs, from the callback until `played` is durable.
#[derive(Clone, Copy)]
pub(crate) struct Costs {
    /// Of the platform, or what else received it.
    pub(crate) receivers_us: u64,
    pub(crate) postgres_us: u64,
    pub(crate) wal_bytes: u64,
}

/// Of the receivers, and of the Postgres processes below the platform, in microseconds, to a hundredth of a second.
fn processor_times(receivers: &[u32], platform: u32) -> anyhow::Result<(u64, u64)> {
    let mut processes: HashMap<u32, Stat> = HashMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may have ended since.
        if let Some(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .ok()
            .and_then(|text| Stat::parse(&text))
        {
            processes.insert(pid, stat);
        }
    }
    let of_receivers = receivers
        .iter()
        .map(|pid| processes.get(pid).map(|stat| stat.ticks))
        .sum::<Option<u64>>()
        .context("a process has ended")?;
    let is_below = |mut pid: u32| {
        while let Some(stat) = processes.get(&pid) {
            if stat.parent == platform {
                return true;
            }
            pid = stat.parent;
        }
        false
    };
    let postgres: u64 = processes
        .iter()
        .filter(|(pid, stat)| stat.command == "postgres" && is_below(**pid))
        .map(|(_, stat)| stat.ticks + stat.ticks_of_ended_children)
        .sum();
    Ok((of_receivers * TICK_US, postgres * TICK_US))
}

/// `/proc/PID/stat`, as far as it is used here (proc(5)).
struct Stat {
    command: String,
    parent: u32,
    ticks: u64,
    ticks_of_ended_children: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The command stands in parentheses and may hold spaces.
        let (head, tail) = text.rsplit_once(") ")?;
        let (_, command) = head.split_once('(')?;
        let fields: Vec<&str> = tail.split(' ').collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            command: command.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            ticks: number(11)? + number(12)?,
            ticks_of_ended_children: number(13)? + number(14)?,
        })
    }
}
