//! Collected times, and how they are printed.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longer times count as a minute.
const MICROSECONDS_MAX: u64 = 60_000_000;

/// Times of one kind.
pub(crate) struct Figures(Histogram<u64>);

impl Default for Figures {
    fn default() -> Self {
        Self(
            Histogram::new_with_bounds(1, MICROSECONDS_MAX, 3)
                .expect("three digits of a minute are allowed"),
        )
    }
}

impl Figures {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0
            .saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// The median, in milliseconds.
    pub(crate) fn p50(&self) -> f64 {
        milliseconds(self.0.value_at_quantile(0.5))
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn print(&self, name: &str) {
        println!(
            "{name:<44} {:>8.2} {:>8.2} {:>8.2}",
            self.p50(),
            milliseconds(self.0.value_at_quantile(0.99)),
            milliseconds(self.0.max())
        );
    }
}

#[expect(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "a figure for people, not money"
)]
fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1000.0
}

/// The legs of one payment's way.
#[derive(Default)]
pub(crate) struct Legs {
    /// Callback sent → 200 received.
    pub(crate) answered: Figures,
    /// Callback sent → PUBLISH in the box's hands.
    pub(crate) heard: Figures,
    /// Callback committed → `played` durable, by the platform's clock.
    pub(crate) played: Figures,
    /// Deliveries beyond the first of an event.
    pub(crate) repeated: usize,
}

impl Legs {
    /// Beside what the way stands on: a commit and, if it was measured, a hop.
    #[expect(clippy::float_arithmetic, reason = "a ratio for people")]
    pub(crate) fn print(&self, commit: &Figures, hop: Option<&Figures>) {
        let floor = commit.p50() + hop.map_or(0.0, Figures::p50);
        self.answered.print("  callback sent → answered");
        self.heard.print("  callback sent → in the box's hands");
        self.played.print("  committed → played is durable");
        println!(
            "  p50 to the box's hands is {:.2} × (commit + hop); {} heard, {} delivered twice",
            self.heard.p50() / floor,
            self.heard.len(),
            self.repeated
        );
    }
}
