//! The legs of a payment's latency, and how they are printed.

use tests::figures::Figures;

use crate::results::Results;

/// The legs of payments.
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
    /// Prints them, relative to the baseline: a commit and, if it was measured, a hop. `row` names them among the results.
    #[expect(clippy::float_arithmetic, reason = "a ratio for people")]
    pub(crate) fn print(
        &self,
        row: &str,
        commit: &Figures,
        hop: Option<&Figures>,
        results: &mut Results,
    ) {
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
        results.add(format!("{row}: p50 to the box, ms"), self.heard.p50());
        results.add(
            format!("{row}: p99 to the box, ms"),
            self.heard.quantile(0.99),
        );
    }
}
