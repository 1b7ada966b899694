//! The scenario file: boxes, phases in order, and expectations.

use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use wire::Encoding;

use crate::duration::HumanDuration;
use crate::fault_injection::FaultRates;
use crate::vendor::firmware::Model;

/// The most boxes of a scenario: each has a socket and a file open.
const BOXES_MAX: usize = 20_000;

/// The most payments of a phase.
const PAYMENTS_MAX: u32 = 1_000_000;

/// The highest rate of payments or connects, per second.
const RATE_MAX: u32 = 10_000;

/// A scenario.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// Seeds every random choice.
    #[serde(default = "one")]
    pub seed: u64,
    /// Its boxes.
    pub boxes: Boxes,
    /// The rates of `faults` phases.
    #[serde(default)]
    pub faults: FaultRates,
    /// The phases, in order.
    #[serde(rename = "phase")]
    pub phases: Vec<Phase>,
    /// What must be true in the end.
    #[serde(default)]
    pub expect: Expectations,
}

/// The boxes of a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boxes {
    /// How many.
    pub count: usize,
    /// How many of them (the first ones) use HTTPS instead of MQTT.
    #[serde(default)]
    pub http: usize,
    /// How many are bound to one terminal. Each announces every payment of its terminal.
    #[serde(default = "one_box")]
    pub per_terminal: usize,
    /// The payload encoding on MQTT.
    #[serde(default)]
    pub encoding: PlanEncoding,
    /// The heartbeat interval; by default the one in their configuration.
    #[serde(default)]
    pub heartbeat: Option<HumanDuration>,
    /// The maker's box that they are; boxes that speak the contract without it.
    #[serde(default)]
    pub profile: Option<Model>,
    /// Whether boxes of another maker speak plain MQTT.
    #[serde(default)]
    pub plain: bool,
}

/// `json` or `msgpack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanEncoding {
    /// JSON.
    #[default]
    Json,
    /// MessagePack.
    Msgpack,
}

impl From<PlanEncoding> for Encoding {
    fn from(written: PlanEncoding) -> Self {
        match written {
            PlanEncoding::Json => Self::Json,
            PlanEncoding::Msgpack => Self::Msgpack,
        }
    }
}

/// Which kind of QR customers pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A dynamic QR that the box requested, with the amount.
    #[default]
    Dynamic,
    /// The printed QR of the terminal.
    Static,
}

/// One phase.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Phase {
    /// Starts boxes; ends when they are connected and have the time.
    Connect {
        /// How many; default all that are not started.
        #[serde(default)]
        boxes: Option<usize>,
        /// How many per second.
        #[serde(default = "connect_rate")]
        rate: u32,
        /// The time limit.
        #[serde(default = "half_a_minute")]
        within: HumanDuration,
    },
    /// Every box sends extra heartbeats.
    #[serde(rename = "beat")]
    Heartbeats {
        /// The interval.
        every: HumanDuration,
        /// How long.
        #[serde(rename = "for")]
        lasting: HumanDuration,
        /// Whether it runs in the background: the next phase starts at once.
        #[serde(default)]
        beside: bool,
    },
    /// Customers pay; ends when the last callback is accepted.
    Pay {
        /// How many.
        payments: u32,
        /// How many per second.
        rate: u32,
        /// Which kind of QR.
        #[serde(default)]
        qr: Kind,
        /// Whether it runs in the background: the next phase starts at once.
        #[serde(default)]
        beside: bool,
    },
    /// Some boxes lose their connection for a while.
    Drop {
        /// How many; which ones is drawn by the seed.
        boxes: usize,
        /// For how long at least.
        away: HumanDuration,
    },
    /// Boxes lose their connection at the same moment; ends when they have reconnected.
    ReconnectStorm {
        /// How many; default all.
        #[serde(default)]
        boxes: Option<usize>,
        /// The time limit.
        #[serde(default = "a_minute")]
        within: HumanDuration,
    },
    /// Boxes lose their power at the same moment and restart from their disk; ends when they have reconnected.
    RebootStorm {
        /// How many; default all.
        #[serde(default)]
        boxes: Option<usize>,
        /// The time limit.
        #[serde(default = "a_minute")]
        within: HumanDuration,
    },
    /// Fault injection is active.
    Faults {
        /// How long.
        #[serde(rename = "for")]
        lasting: HumanDuration,
        /// The interval between power cuts of all boxes at once.
        #[serde(default)]
        reboot_storm_every: Option<HumanDuration>,
        /// Whether it runs in the background: the next phase starts at once.
        #[serde(default)]
        beside: bool,
    },
    /// Nothing happens.
    Wait {
        /// How long.
        #[serde(rename = "for")]
        lasting: HumanDuration,
    },
    /// Waits until the background phases have ended and every accepted payment was announced.
    Settle {
        /// How long to wait for announcements once the background phases are over.
        #[serde(default = "a_minute")]
        within: HumanDuration,
    },
}

impl Phase {
    /// Starts all boxes.
    pub const fn connect() -> Self {
        Self::Connect {
            boxes: None,
            rate: connect_rate(),
            within: a_minute(),
        }
    }

    /// Its name in the file.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Heartbeats { .. } => "beat",
            Self::Pay { .. } => "pay",
            Self::Drop { .. } => "drop",
            Self::ReconnectStorm { .. } => "reconnect_storm",
            Self::RebootStorm { .. } => "reboot_storm",
            Self::Faults { .. } => "faults",
            Self::Wait { .. } => "wait",
            Self::Settle { .. } => "settle",
        }
    }
}

/// What must be true in the end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expectations {
    /// Each box of a terminal announced every payment of it exactly once, and nothing else.
    pub played_exactly_once: bool,
    /// Each box of a terminal announced every payment of it, and nothing else. Weaker: boxes that forget what they said
    /// may say it again.
    pub none_lost: bool,
    /// The platform records every announcement as played.
    pub none_unheard: bool,
    /// 99 % of the announcements began within this after the callback was sent.
    pub heard_p99: Option<HumanDuration>,
    /// 99 % of the callbacks were answered within this.
    pub callback_p99: Option<HumanDuration>,
    /// Every box reconnected within this after each loss of its connection.
    pub reconnect_within: Option<HumanDuration>,
    /// The time limit of the final `settle` phase.
    pub settle_within: HumanDuration,
}

impl Default for Expectations {
    fn default() -> Self {
        Self {
            played_exactly_once: true,
            none_lost: false,
            none_unheard: true,
            heard_p99: None,
            callback_p99: None,
            reconnect_within: None,
            settle_within: a_minute(),
        }
    }
}

const fn one() -> u64 {
    1
}

const fn one_box() -> usize {
    1
}

const fn connect_rate() -> u32 {
    100
}

const fn half_a_minute() -> HumanDuration {
    HumanDuration::new(Duration::from_secs(30))
}

const fn a_minute() -> HumanDuration {
    HumanDuration::new(Duration::from_secs(60))
}

impl Plan {
    /// Reads a scenario.
    ///
    /// # Errors
    /// Invalid TOML, with its line; an invalid scenario, with its key or phase.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        let plan: Self = toml::from_str(text).context("not a valid scenario")?;
        plan.check()?;
        Ok(plan)
    }

    /// Whether it has payments.
    pub fn pays(&self) -> bool {
        self.phases
            .iter()
            .any(|phase| matches!(phase, Phase::Pay { .. }))
    }

    /// Checks all numbers.
    ///
    /// # Errors
    /// The first that is out of bounds, or that there is no phase.
    pub fn check(&self) -> anyhow::Result<()> {
        let Boxes {
            count,
            http,
            per_terminal,
            heartbeat,
            profile,
            plain,
            ..
        } = self.boxes;
        anyhow::ensure!(
            (1..=BOXES_MAX).contains(&count),
            "boxes.count: from 1 to {BOXES_MAX}"
        );
        anyhow::ensure!(http <= count, "boxes.http: not more than boxes.count");
        anyhow::ensure!(per_terminal > 0, "boxes.per_terminal: 1 or more");
        anyhow::ensure!(
            heartbeat.is_none_or(|every| !every.get().is_zero()),
            "boxes.heartbeat: not zero"
        );
        anyhow::ensure!(
            profile.is_none() || http == 0,
            "boxes.http: boxes of another maker have MQTT only"
        );
        anyhow::ensure!(
            profile.is_some() || !plain,
            "boxes.plain: only boxes of another maker speak plain MQTT"
        );
        anyhow::ensure!(
            !self.phases.is_empty(),
            "phase: a scenario needs at least one"
        );
        for (index, phase) in self.phases.iter().enumerate() {
            let wrong = phase.problem(count).or_else(|| {
                let asks = matches!(
                    phase,
                    Phase::Pay {
                        qr: Kind::Dynamic,
                        ..
                    }
                );
                (asks && profile.is_some()).then(|| {
                    "qr: boxes of another maker cannot ask for codes over HTTPS; \"static\""
                        .to_owned()
                })
            });
            anyhow::ensure!(
                wrong.is_none(),
                "phase {} ({}): {}",
                index + 1,
                phase.name(),
                wrong.unwrap_or_default()
            );
        }
        Ok(())
    }
}

impl Phase {
    /// What is wrong with the phase in a scenario with `count` boxes.
    fn problem(&self, count: usize) -> Option<String> {
        let check_rate = |rate: u32| {
            (!(1..=RATE_MAX).contains(&rate)).then(|| format!("rate: from 1 to {RATE_MAX}"))
        };
        let check_boxes = |boxes: usize| {
            (!(1..=count).contains(&boxes)).then(|| format!("boxes: from 1 to {count}"))
        };
        match self {
            Self::Connect {
                boxes: some,
                rate: per_second,
                ..
            } => some.and_then(check_boxes).or(check_rate(*per_second)),
            Self::Pay {
                payments,
                rate: per_second,
                ..
            } => (!(1..=PAYMENTS_MAX).contains(payments))
                .then(|| format!("payments: from 1 to {PAYMENTS_MAX}"))
                .or(check_rate(*per_second)),
            Self::Drop { boxes, .. } => check_boxes(*boxes),
            Self::ReconnectStorm { boxes: some, .. } | Self::RebootStorm { boxes: some, .. } => {
                some.and_then(check_boxes)
            }
            Self::Heartbeats { every, .. } => {
                every.get().is_zero().then(|| "every: not zero".to_owned())
            }
            Self::Faults {
                reboot_storm_every, ..
            } => reboot_storm_every
                .is_some_and(|every| every.get().is_zero())
                .then(|| "reboot_storm_every: not zero".to_owned()),
            Self::Wait { .. } | Self::Settle { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
        name = "everything"
        seed = 7
        boxes = { count = 4, http = 1, per_terminal = 2, encoding = "msgpack", heartbeat = "5s" }
        faults = { drop_every = "5s", late_acks = "10%", late_max = "2s" }
        phase = [
            { do = "connect", boxes = 2, rate = 10, within = "5s" },
            { do = "beat", every = "1s", for = "3s", beside = true },
            { do = "pay", payments = 10, rate = 5, qr = "static", beside = true },
            { do = "drop", boxes = 1, away = "2s" },
            { do = "faults", for = "5s", reboot_storm_every = "2s" },
            { do = "reconnect_storm" },
            { do = "reboot_storm", boxes = 2 },
            { do = "wait", for = "100ms" },
            { do = "settle", within = "10s" },
        ]
        expect = { heard_p99 = "500ms", callback_p99 = "100ms", reconnect_within = "10s" }
    "#;

    #[test]
    fn a_scenario_reads() {
        let plan = Plan::read(WHOLE).unwrap();
        assert_eq!((plan.seed, plan.phases.len()), (7, 9));
        assert!(plan.pays() && plan.expect.played_exactly_once && plan.expect.none_unheard);
        assert_eq!(plan.expect.heard_p99, Some("500ms".parse().unwrap()));
    }

    #[test]
    fn the_example_scenarios_read() {
        for text in [
            include_str!("../../scenarios/quick.toml"),
            include_str!("../../scenarios/storm.toml"),
            include_str!("../../scenarios/thousand.toml"),
        ] {
            Plan::read(text).unwrap();
        }
    }

    #[test]
    fn boxes_of_another_maker_pay_by_printed_codes() {
        let with = |qr: &str| {
            Plan::read(&format!(
                "name = \"vendor\"\nboxes = {{ count = 1, profile = \"q161\" }}\n\
                 phase = [{{ do = \"pay\", payments = 1, rate = 1, qr = \"{qr}\" }}]"
            ))
        };
        assert_eq!(with("static").unwrap().boxes.profile, Some(Model::Q161));
        let problem = format!("{:#}", with("dynamic").unwrap_err());
        assert!(problem.contains("phase 1 (pay): qr"), "{problem}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |from: &str, to: &str| {
            assert!(WHOLE.contains(from), "{from}");
            format!("{:#}", Plan::read(&WHOLE.replace(from, to)).unwrap_err())
        };
        for (from, to, named) in [
            ("count = 4", "count = 0", "boxes.count"),
            ("http = 1", "http = 5", "boxes.http"),
            (
                "heartbeat = \"5s\"",
                "heartbeat = \"0s\"",
                "boxes.heartbeat",
            ),
            (
                "boxes = 1, away",
                "boxes = 5, away",
                "phase 4 (drop): boxes",
            ),
            ("rate = 5", "rate = 0", "phase 3 (pay): rate"),
            ("every = \"1s\"", "every = \"0s\"", "phase 2 (beat): every"),
            ("http = 1", "http = 1, profile = \"qf100\"", "boxes.http"),
            ("http = 1", "plain = true", "boxes.plain"),
            ("http = 1", "profile = \"qf101\"", "qf101"),
            ("do = \"wait\"", "do = \"dance\"", "dance"),
            ("heard_p99", "heard_p98", "heard_p98"),
            ("\"500ms\"", "\"soon\"", "duration"),
        ] {
            let problem = with(from, to);
            assert!(problem.contains(named), "{to}: {problem}");
        }
    }
}
