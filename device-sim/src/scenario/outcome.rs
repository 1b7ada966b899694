//! Compares what happened in a scenario with its expectations.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::evidence::Figures;
use super::plan::Expectations;
use crate::report::Fault;
use crate::soundbox::counters::Counters;

/// One expectation and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Its key in the scenario file.
    pub expectation: &'static str,
    /// The expected value.
    pub wanted: String,
    /// The actual value.
    pub got: String,
    /// Whether it is met.
    pub met: bool,
}

/// The outcome of a scenario.
#[derive(Debug)]
pub struct Outcome {
    /// The payments' result.
    pub figures: Figures,
    /// The longest time that a box was disconnected.
    pub longest_away: Duration,
    /// Announcements that the platform does not record as played; `None` when that was not queried.
    pub unheard: Option<u64>,
}

/// A phase that has ended.
#[derive(Debug, Clone, Serialize)]
pub struct PhaseResult {
    /// Its position in the file, from 1.
    pub number: usize,
    /// Its kind.
    #[serde(rename = "do")]
    pub name: &'static str,
    /// How long it took.
    pub took_ms: u64,
}

/// The report of a scenario.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "scenario_report")]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// The seed that repeats it.
    pub seed: u64,
    /// How many boxes.
    pub boxes: usize,
    /// How many of them use HTTPS.
    pub http_boxes: usize,
    /// How long all phases took.
    pub took_ms: u64,
    /// The phases in order.
    pub phases: Vec<PhaseResult>,
    /// The payments' result.
    pub payments: Figures,
    /// Announcements that the platform does not record as played.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unheard: Option<u64>,
    /// The injected faults.
    pub faults: BTreeMap<String, u64>,
    /// The boxes' counters.
    pub counters: Counters,
    /// The expectations.
    pub expectations: Vec<Checked>,
    /// Whether all expectations are met.
    pub passed: bool,
}

/// Compares the outcome with the expectations.
pub fn check(expect: &Expectations, outcome: &Outcome) -> Vec<Checked> {
    let Outcome {
        figures,
        longest_away,
        unheard,
    } = outcome;
    let mut checks = Vec::new();
    if expect.played_exactly_once {
        let bad = figures.lost + figures.repeated + figures.foreign + figures.not_accepted;
        checks.push(Checked {
            expectation: "played_exactly_once",
            wanted: format!("{} announcements made once", figures.due),
            got: format!(
                "{} once, {} lost, {} repeated, {} foreign, {} payments not accepted",
                figures.once, figures.lost, figures.repeated, figures.foreign, figures.not_accepted
            ),
            met: bad == 0 && figures.once == figures.due,
        });
    }
    if expect.none_lost {
        let bad = figures.lost + figures.foreign + figures.not_accepted;
        checks.push(Checked {
            expectation: "none_lost",
            wanted: format!("{} announcements made", figures.due),
            got: format!(
                "{} once, {} repeated, {} lost, {} foreign, {} payments not accepted",
                figures.once, figures.repeated, figures.lost, figures.foreign, figures.not_accepted
            ),
            met: bad == 0 && figures.once + figures.repeated == figures.due,
        });
    }
    if let (true, Some(unheard)) = (expect.none_unheard, unheard) {
        checks.push(Checked {
            expectation: "none_unheard",
            wanted: "the platform records all of them as confirmed".to_owned(),
            got: format!("{unheard} not recorded as confirmed"),
            met: *unheard == 0,
        });
    }
    let mut within = |expectation, limit: Option<Duration>, got_ms: u64| {
        if let Some(limit) = limit {
            let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
            checks.push(Checked {
                expectation,
                wanted: format!("at most {limit_ms} ms"),
                got: format!("{got_ms} ms"),
                met: got_ms <= limit_ms,
            });
        }
    };
    let limit =
        |written: Option<crate::duration::HumanDuration>| written.map(|written| written.get());
    within("heard_p99", limit(expect.heard_p99), figures.heard.p99_ms);
    within(
        "callback_p99",
        limit(expect.callback_p99),
        figures.callback.p99_ms,
    );
    within(
        "reconnect_within",
        limit(expect.reconnect_within),
        u64::try_from(longest_away.as_millis()).unwrap_or(u64::MAX),
    );
    checks
}

/// The faults by their names.
pub fn faults_by_name(faults: &BTreeMap<Fault, u64>) -> BTreeMap<String, u64> {
    faults
        .iter()
        .map(|(fault, count)| (fault.as_str().to_owned(), *count))
        .collect()
}

impl Report {
    /// The report as text.
    pub fn summary(&self) -> String {
        let mut text = format!(
            "{}: {} boxes ({} by HTTPS), {} ms, seed {}\n",
            self.scenario, self.boxes, self.http_boxes, self.took_ms, self.seed
        );
        let figures = &self.payments;
        let mut line = |words: String| {
            // Writing into a String does not fail.
            let _written = writeln!(text, "{words}");
        };
        for phase in &self.phases {
            line(format!(
                "  {:>2} {:<16} {:>7} ms",
                phase.number, phase.name, phase.took_ms
            ));
        }
        if figures.due > 0 {
            line(format!(
                "{} payments, {} announcements: {} made once, {} lost, {} repeated, {} foreign",
                figures.accepted,
                figures.due,
                figures.once,
                figures.lost,
                figures.repeated,
                figures.foreign
            ));
            line(format!("callback sent to announcement: {}", figures.heard));
            line(format!(
                "callback sent to answer:       {}",
                figures.callback
            ));
        }
        if figures.reconnect.count > 0 {
            line(format!(
                "{} reconnects:                  {}",
                figures.reconnect.count, figures.reconnect
            ));
        }
        if !self.faults.is_empty() {
            let faults: Vec<String> = self
                .faults
                .iter()
                .map(|(name, count)| format!("{count} {name}"))
                .collect();
            line(format!("faults: {}", faults.join(", ")));
        }
        for checked in &self.expectations {
            line(format!(
                "{} {}: {} (wanted: {})",
                if checked.met { "✔" } else { "✘" },
                checked.expectation,
                checked.got,
                checked.wanted
            ));
        }
        text.push_str(if self.passed { "passed" } else { "FAILED" });
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Percentiles;

    fn good() -> Outcome {
        Outcome {
            figures: Figures {
                accepted: 10,
                due: 20,
                once: 20,
                heard: Percentiles {
                    count: 20,
                    p99_ms: 40,
                    ..Percentiles::default()
                },
                ..Figures::default()
            },
            longest_away: Duration::from_secs(3),
            unheard: Some(0),
        }
    }

    fn expect() -> Expectations {
        Expectations {
            heard_p99: Some("50ms".parse().unwrap()),
            reconnect_within: Some("3s".parse().unwrap()),
            ..Expectations::default()
        }
    }

    fn failing(outcome: &Outcome) -> Vec<&'static str> {
        check(&expect(), outcome)
            .into_iter()
            .filter(|checked| !checked.met)
            .map(|checked| checked.expectation)
            .collect()
    }

    #[test]
    fn expectations_are_met() {
        let checks = check(&expect(), &good());
        assert_eq!(checks.len(), 4);
        assert!(failing(&good()).is_empty());
    }

    #[test]
    fn each_expectation_can_fail() {
        let with = |change: fn(&mut Outcome)| {
            let mut outcome = good();
            change(&mut outcome);
            failing(&outcome)
        };
        assert_eq!(
            with(|outcome| {
                outcome.figures.once -= 1;
                outcome.figures.lost += 1;
            }),
            ["played_exactly_once"]
        );
        assert_eq!(
            with(|outcome| outcome.figures.repeated += 1),
            ["played_exactly_once"]
        );
        assert_eq!(
            with(|outcome| outcome.figures.foreign += 1),
            ["played_exactly_once"]
        );
        assert_eq!(
            with(|outcome| outcome.figures.not_accepted += 1),
            ["played_exactly_once"]
        );
        assert_eq!(with(|outcome| outcome.unheard = Some(1)), ["none_unheard"]);
        assert_eq!(
            with(|outcome| outcome.figures.heard.p99_ms = 51),
            ["heard_p99"]
        );
        assert_eq!(
            with(|outcome| outcome.longest_away = Duration::from_millis(3_001)),
            ["reconnect_within"]
        );
    }
}
