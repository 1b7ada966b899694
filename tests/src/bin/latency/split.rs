//! A payment's way to the box, step by step: what its trace says, between what the acquirer and the box saw.

use std::collections::HashMap;
use std::time::Duration;

use tests::collector::{Collector, Span};
use tests::figures::{Figures, print_heading};
use tests::payment_trace::PaymentTrace;
use tokio::time::Instant;

use crate::legs::between;
use crate::payments::{Payments, Seen};
use crate::results::Results;

/// How long the last spans of a row may take: they are exported each second.
const EXPORTED_WITHIN: Duration = Duration::from_secs(10);

/// The steps. Those before `answer` follow each other and make up `all`, except that `sign` lies within `edge` and is not
/// counted in it; `answer` goes on beside them.
const STEPS: [(&str, &str); 11] = [
    ("arrive", "callback sent → received"),
    ("verify", "→ verified"),
    ("queue", "→ its unit of work begins"),
    ("judge", "→ decided"),
    ("write", "→ COMMIT begins"),
    ("commit", "→ committed"),
    ("sign", "its notification"),
    ("edge", "→ handed to the broker, not signing"),
    ("socket", "→ in the box's hands"),
    ("answer", "committed → 200 received"),
    ("all", "callback sent → in the box's hands"),
];

/// The steps of the payments of a row whose traces are complete.
#[derive(Default)]
pub(crate) struct Split {
    figures: [Figures; STEPS.len()],
    complete: usize,
    payments: usize,
}

impl Split {
    /// Waits for the traces of these payments.
    pub(crate) async fn collect(collector: &Collector, payments: &Payments) -> Self {
        let mut traces: HashMap<Vec<u8>, Vec<Span>> = HashMap::new();
        let deadline = Instant::now() + EXPORTED_WITHIN;
        loop {
            for span in collector.take() {
                traces.entry(span.trace_id.clone()).or_default().push(span);
            }
            let split = Self::of(&traces, payments);
            if split.complete == split.payments || Instant::now() > deadline {
                return split;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn of(traces: &HashMap<Vec<u8>, Vec<Span>>, payments: &Payments) -> Self {
        let mut figures = std::array::from_fn(|_| Figures::default());
        let mut complete = 0;
        for (id, seen) in &payments.seen {
            let trace = traces.get(id.as_uuid().as_bytes().as_slice());
            if let Some(trace) = trace.and_then(|spans| PaymentTrace::read(spans)) {
                complete += 1;
                for (figures, time) in figures.iter_mut().zip(steps(seen, &trace)) {
                    figures.add(time);
                }
            }
        }
        Self {
            figures,
            complete,
            payments: payments.seen.len(),
        }
    }

    /// Each with its name, and what it is from or until.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, &'static str, &Figures)> {
        STEPS
            .iter()
            .zip(&self.figures)
            .map(|((name, what), figures)| (*name, *what, figures))
    }

    /// Prints them.
    pub(crate) fn print(&self, row: &str) {
        print_heading(&format!(
            "{row}, traced: {} of {}",
            self.complete, self.payments
        ));
        for (name, what, figures) in self.named() {
            figures.print(&format!("  {name:<7} {what}"));
        }
    }

    /// Adds what builds are compared by; nothing, if a build exports other spans.
    pub(crate) fn add_to(&self, results: &mut Results, row: &str) {
        for (name, _, figures) in self.named().filter(|(.., figures)| !figures.is_empty()) {
            results.add(format!("{row}: p50 of {name}, ms"), figures.p50());
        }
    }
}

fn steps(seen: &Seen, trace: &PaymentTrace) -> [Duration; STEPS.len()] {
    let signing = trace.signing.to_std().unwrap_or_default();
    [
        between(seen.sent, trace.received),
        between(trace.received, trace.verified),
        between(trace.verified, trace.begun),
        between(trace.begun, trace.decided),
        between(trace.decided, trace.written),
        between(trace.written, trace.committed),
        signing,
        between(trace.committed, trace.handed_over).saturating_sub(signing),
        between(trace.handed_over, seen.heard),
        between(trace.committed, seen.answered),
        between(seen.sent, seen.heard),
    ]
}
