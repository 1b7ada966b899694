//! The result by fault.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tests::figures::Figures;

use crate::fault::Fault;
use crate::judge::Verdict;

#[derive(Default)]
struct Line {
    rounds: u32,
    recovery: Figures,
    lost: usize,
    twice: usize,
    unpaid: usize,
    foreign: usize,
    other: usize,
}

/// A line for each fault.
#[derive(Default)]
pub(crate) struct Table {
    lines: BTreeMap<String, Line>,
}

impl Table {
    /// Adds a round. Where two faults came at once, it counts for both.
    pub(crate) fn add(&mut self, faults: &[Fault], verdict: &Verdict) {
        for fault in faults {
            let line = self.lines.entry(fault.name()).or_default();
            line.rounds += 1;
            if let Some(took) = verdict.recovery {
                line.recovery.add(took);
            }
            line.lost += verdict.heard.lost.len();
            line.twice += verdict.heard.twice.len();
            line.unpaid += verdict.heard.unpaid.len();
            line.foreign += verdict.heard.foreign.len();
            line.other += verdict.other.len();
        }
    }

    /// As Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(
            "| fault | rounds | recovery p50 s | p99 s | lost | twice | unpaid said | another's | other |\n\
             |---|---|---|---|---|---|---|---|---|\n",
        );
        for (name, line) in &self.lines {
            // Writing into a String does not fail.
            let _ = writeln!(
                text,
                "| {name} | {} | {} | {} | {} | {} | {} | {} | {} |",
                line.rounds,
                seconds(line.recovery.p50()),
                seconds(line.recovery.quantile(0.99)),
                line.lost,
                line.twice,
                line.unpaid,
                line.foreign,
                line.other
            );
        }
        text
    }
}

#[expect(clippy::float_arithmetic, reason = "a figure for people, not money")]
fn seconds(milliseconds: f64) -> String {
    format!("{:.1}", milliseconds / 1_000.0)
}
