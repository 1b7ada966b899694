//! Measured times, and how they are printed.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longer times are counted as a minute.
const MICROSECONDS_MAX: u64 = 60_000_000;

/// Times of one kind.
pub struct Figures(Histogram<u64>);

impl Default for Figures {
    fn default() -> Self {
        Self(
            Histogram::new_with_bounds(1, MICROSECONDS_MAX, 3)
                .expect("three digits of a minute are allowed"),
        )
    }
}

impl Figures {
    /// Adds one.
    pub fn add(&mut self, time: Duration) {
        self.0
            .saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// The median, in milliseconds.
    pub fn p50(&self) -> f64 {
        self.quantile(0.5)
    }

    /// A quantile, in milliseconds.
    pub fn quantile(&self, share: f64) -> f64 {
        milliseconds(self.0.value_at_quantile(share))
    }

    /// How many times.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The longest, in milliseconds.
    pub fn max(&self) -> f64 {
        milliseconds(self.0.max())
    }

    /// A line: the name, p50, p99, p99.9 and the longest.
    pub fn print(&self, name: &str) {
        println!(
            "{name:<44} {:>8.2} {:>8.2} {:>8.2} {:>8.2}",
            self.p50(),
            self.quantile(0.99),
            self.quantile(0.999),
            self.max()
        );
    }
}

/// The heading of such lines.
pub fn print_heading(name: &str) {
    println!(
        "{name:<44} {:>8} {:>8} {:>8} {:>8}",
        "p50 ms", "p99 ms", "p99.9 ms", "max ms"
    );
}

#[expect(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "a figure for people, not money"
)]
fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1000.0
}
