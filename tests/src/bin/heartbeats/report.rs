//! Counters and times, and the problems in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use sqlx::PgConnection;
use tests::figures::{Figures, print_heading};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long heartbeats and payments may take to arrive after the last was sent.
const REST_WITHIN: Duration = Duration::from_secs(15);

/// What the boxes and the payer count.
#[derive(Default)]
pub(crate) struct Counters {
    /// Heartbeats sent.
    pub(crate) sent: AtomicI64,
    /// Heartbeats acknowledged.
    pub(crate) acknowledged: AtomicI64,
    /// Connections that ended.
    pub(crate) broken: AtomicU64,
    /// Payments answered 200.
    pub(crate) paid: AtomicI64,
    /// Requests or callbacks that were refused.
    pub(crate) refused: AtomicU64,
    /// Payments that reached their box, once each.
    pub(crate) heard: AtomicI64,
    /// Payments that reached it again.
    pub(crate) repeated: AtomicU64,
}

/// A time that was measured.
pub(crate) enum Measured {
    /// From a heartbeat to its PUBACK.
    Heartbeat(Duration),
    /// From a callback to the box.
    Payment(Duration),
}

/// Counters and times.
pub(crate) struct Report {
    pub(crate) counters: Arc<Counters>,
    pub(crate) sender: mpsc::UnboundedSender<Measured>,
    measured: mpsc::UnboundedReceiver<Measured>,
    heartbeats: Figures,
    payments: Figures,
    started: Instant,
    waiting_max: i64,
    lag_max_ms: i64,
}

impl Default for Report {
    fn default() -> Self {
        let (sender, measured) = mpsc::unbounded_channel();
        Self {
            counters: Arc::default(),
            sender,
            measured,
            heartbeats: Figures::default(),
            payments: Figures::default(),
            started: Instant::now(),
            waiting_max: 0,
            lag_max_ms: 0,
        }
    }
}

impl Report {
    /// Takes the times that have come.
    pub(crate) fn collect(&mut self) {
        while let Ok(measured) = self.measured.try_recv() {
            match measured {
                Measured::Heartbeat(time) => self.heartbeats.add(time),
                Measured::Payment(time) => self.payments.add(time),
            }
        }
    }

    fn waiting(&self) -> i64 {
        self.counters.sent.load(Ordering::Relaxed)
            - self.counters.acknowledged.load(Ordering::Relaxed)
    }

    fn unheard(&self) -> i64 {
        self.counters.paid.load(Ordering::Relaxed) - self.counters.heard.load(Ordering::Relaxed)
    }

    /// Prints the current state. The database's lag is the age of its newest heartbeat.
    pub(crate) async fn line(&mut self, database: &mut PgConnection) -> anyhow::Result<()> {
        let lag: Option<i64> = sqlx::query_scalar(
            "SELECT (extract(epoch FROM clock_timestamp() - max(received_at)) * 1000)::bigint FROM heartbeats
             WHERE received_at > now() - interval '2 minutes'",
        )
        .fetch_one(database)
        .await?;
        let lag_ms = lag.unwrap_or_default();
        self.waiting_max = self.waiting_max.max(self.waiting());
        self.lag_max_ms = self.lag_max_ms.max(lag_ms);
        let counters = &self.counters;
        println!(
            "{:>5} s  {:>9} heartbeats, {:>5} waiting, lag {:>4} ms  {:>7} paid, {:>4} not heard yet",
            self.started.elapsed().as_secs(),
            counters.acknowledged.load(Ordering::Relaxed),
            self.waiting(),
            lag_ms,
            counters.paid.load(Ordering::Relaxed),
            self.unheard(),
        );
        Ok(())
    }

    /// Waits until everything that was sent has arrived, up to a limit.
    pub(crate) async fn wait_for_the_rest(&mut self) {
        let deadline = Instant::now() + REST_WITHIN;
        while (self.waiting() > 0 || self.unheard() > 0) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.collect();
    }

    pub(crate) fn print(&self) {
        print_heading("");
        self.heartbeats
            .print("heartbeat → PUBACK (it is in Postgres)");
        self.payments.print("callback sent → in the box's hands");
        println!(
            "heartbeats waiting at most {}, database behind at most {} ms, {} payments repeated",
            self.waiting_max,
            self.lag_max_ms,
            self.counters.repeated.load(Ordering::Relaxed)
        );
    }

    /// The problems that were found.
    pub(crate) async fn problems(
        &self,
        database: &mut PgConnection,
        late_ms: u32,
    ) -> anyhow::Result<Vec<String>> {
        let counters = &self.counters;
        let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM heartbeats")
            .fetch_one(&mut *database)
            .await?;
        let unplayed: i64 =
            sqlx::query_scalar("SELECT count(*) FROM notifications WHERE status <> 'played'")
                .fetch_one(database)
                .await?;
        let acknowledged = counters.acknowledged.load(Ordering::Relaxed);
        let mut problems = Vec::new();
        let mut complain = |bad: bool, text: String| {
            if bad {
                problems.push(text);
            }
        };
        complain(
            self.waiting() > 0,
            format!("{} heartbeats were not acknowledged", self.waiting()),
        );
        complain(
            stored < acknowledged,
            format!("{acknowledged} heartbeats were acknowledged, and {stored} are in Postgres"),
        );
        complain(
            self.heartbeats.quantile(0.99) > f64::from(late_ms),
            format!(
                "a backlog: heartbeats waited {} ms (p99)",
                self.heartbeats.quantile(0.99)
            ),
        );
        let broken = counters.broken.load(Ordering::Relaxed);
        complain(broken > 0, format!("{broken} connections ended"));
        let refused = counters.refused.load(Ordering::Relaxed);
        complain(refused > 0, format!("{refused} requests were refused"));
        complain(
            self.unheard() > 0,
            format!("{} payments were not heard", self.unheard()),
        );
        complain(
            unplayed > 0,
            format!("{unplayed} payments are not played in Postgres"),
        );
        Ok(problems)
    }
}
