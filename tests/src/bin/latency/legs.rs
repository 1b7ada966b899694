//! A payment's way as a whole, seen from its ends.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tests::figures::Figures;

use crate::floors::Floors;
use crate::payments::Payments;
use crate::results::Results;

/// The whole ways of payments.
pub(crate) struct Legs {
    /// Callback sent → 200 received.
    answered: Figures,
    /// Callback sent → PUBLISH in the box's hands.
    heard: Figures,
    /// Callback committed → `played` durable, by the platform's clock.
    played: Figures,
    repeated: usize,
}

impl From<Payments> for Legs {
    fn from(payments: Payments) -> Self {
        let (mut answered, mut heard) = (Figures::default(), Figures::default());
        for seen in payments.seen.values() {
            answered.add(between(seen.sent, seen.answered));
            heard.add(between(seen.sent, seen.heard));
        }
        Self {
            answered,
            heard,
            played: payments.played,
            repeated: payments.repeated,
        }
    }
}

impl Legs {
    /// Each with its name.
    pub(crate) fn named(&self) -> [(&'static str, &Figures); 3] {
        [
            ("callback sent → answered", &self.answered),
            ("callback sent → in the box's hands", &self.heard),
            ("committed → `played` is durable", &self.played),
        ]
    }

    /// Prints them, relative to the floors.
    pub(crate) fn print(&self, floors: &Floors) {
        for (name, figures) in self
            .named()
            .iter()
            .filter(|(_, figures)| !figures.is_empty())
        {
            figures.print(&format!("  {name}"));
        }
        println!(
            "  p50 to the box's hands is {:.2} × {}; {} heard, {} delivered twice",
            floors.fit_into(self.heard.p50()),
            floors.name(),
            self.heard.len(),
            self.repeated
        );
    }

    /// Adds what builds are compared by.
    pub(crate) fn add_to(&self, results: &mut Results, row: &str) {
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            let figure = self.heard.quantile(share);
            results.add(format!("{row}: {name} to the box, ms"), figure);
        }
    }
}

/// From one moment to the next; nothing, if they are as close as the clock can tell.
pub(crate) fn between(one: DateTime<Utc>, next: DateTime<Utc>) -> Duration {
    (next - one).to_std().unwrap_or_default()
}
