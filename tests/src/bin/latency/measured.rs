//! What one run on one build measured.

use crate::baseline::Baseline;
use crate::connects::Connects;
use crate::costs::Costs;
use crate::floors::Floors;
use crate::legs::Legs;
use crate::load::Load;
use crate::results::Results;
use crate::split::Split;

/// Connections that write single rows, for comparison.
pub(crate) const WRITERS: usize = 16;

/// Payments of one rate to so many boxes.
pub(crate) struct Row {
    pub(crate) load: Load,
    pub(crate) legs: Legs,
    pub(crate) split: Split,
}

/// A row beside people who watch *Now*.
pub(crate) struct Watched {
    pub(crate) load: Load,
    pub(crate) viewers: usize,
    pub(crate) legs: Legs,
}

/// Payments as fast as they go.
pub(crate) struct Flood {
    pub(crate) payments: u64,
    pub(crate) acquirers: usize,
    pub(crate) callbacks_per_s: u128,
    pub(crate) costs: Costs,
}

impl Flood {
    /// Prints it; `receivers` are whose processor time it is.
    pub(crate) fn print(&self, receivers: &str) {
        println!(
            "{} payments as fast as they go, {} at a time",
            self.payments, self.acquirers
        );
        println!(
            "{:<44} {:>8}/s",
            "  callbacks answered after their commit", self.callbacks_per_s
        );
        let Costs {
            receivers_us,
            postgres_us,
            wal_bytes,
        } = self.costs;
        println!(
            "{:<44} {receivers_us:>8} µs {receivers}, {postgres_us} µs Postgres, {wal_bytes} bytes of WAL",
            "  each, until its last acknowledgement"
        );
    }

    fn add_to(&self, results: &mut Results) {
        let acquirers = self.acquirers;
        let mut add = |what: &str, figure: u128| {
            results.add_count(format!("{acquirers} at a time: {what}"), figure);
        };
        add("callbacks/s", self.callbacks_per_s);
        add("platform, µs a payment", self.costs.receivers_us.into());
        add("Postgres, µs a payment", self.costs.postgres_us.into());
        add("WAL, bytes a payment", self.costs.wal_bytes.into());
    }
}

/// What floods and connections are compared with.
pub(crate) struct Rates {
    /// Rows written one a commit, over [`WRITERS`] connections.
    pub(crate) commits_per_s: u128,
    /// To the platform, and to Mosquitto.
    pub(crate) connects: Connects,
    pub(crate) mosquitto_connects: Option<Connects>,
}

impl Rates {
    /// How many callbacks a flood had answered for each of the single rows.
    #[expect(
        clippy::float_arithmetic,
        clippy::cast_precision_loss,
        reason = "a ratio for people"
    )]
    pub(crate) fn of_single_rows(&self, flood: &Flood) -> f64 {
        flood.callbacks_per_s as f64 / self.commits_per_s as f64
    }
}

/// All of it.
pub(crate) struct Measured {
    pub(crate) floors: Floors,
    pub(crate) floods: Vec<Flood>,
    /// None without floods.
    pub(crate) rates: Option<Rates>,
    /// None unless it was asked for.
    pub(crate) baseline: Option<Baseline>,
    /// Empty unless it was asked for.
    pub(crate) watched: Vec<Watched>,
    pub(crate) rows: Vec<Row>,
}

impl Measured {
    /// What builds are compared by.
    pub(crate) fn results(&self) -> Results {
        let mut results = Results::default();
        for row in &self.rows {
            let name = row.load.asked();
            row.legs.add_to(&mut results, &name);
            row.split.add_to(&mut results, &name);
        }
        for flood in &self.floods {
            flood.add_to(&mut results);
        }
        if let Some(rates) = &self.rates {
            results.add_count("one row a commit, commits/s", rates.commits_per_s);
            results.add_count("connects/s", rates.connects.per_second);
            results.add_count(
                "platform, µs a connect",
                rates.connects.costs.receivers_us.into(),
            );
            results.add_count(
                "Postgres, µs a connect",
                rates.connects.costs.postgres_us.into(),
            );
        }
        results
    }
}
