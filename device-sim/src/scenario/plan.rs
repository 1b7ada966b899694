//! A scenario as it is written: boxes, phases in order, and what is expected in the end.

use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use wire::Encoding;

use crate::duration::Written;
use crate::luck::Rates;

/// The most boxes of a scenario: each has a socket and a file open.
const BOXES_MAX: usize = 20_000;

/// The most payments of a phase.
const PAYMENTS_MAX: u32 = 1_000_000;

/// The fastest that a phase pays or connects, per second.
const RATE_MAX: u32 = 10_000;

/// A whole scenario.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What it is called.
    pub name: String,
    /// Repeats what is left to chance.
    #[serde(default = "one")]
    pub seed: u64,
    /// Who takes part.
    pub boxes: Boxes,
    /// What goes wrong in phases with faults.
    #[serde(default)]
    pub faults: Rates,
    /// What happens, in this order.
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
    /// How many of them, the first ones, speak HTTPS instead of MQTT.
    #[serde(default)]
    pub http: usize,
    /// How many share a terminal. Each plays each payment of its terminal.
    #[serde(default = "one_box")]
    pub per_terminal: usize,
    /// How they are spoken to by MQTT.
    #[serde(default)]
    pub encoding: WrittenEncoding,
    /// The time between their signs of life; default what their configuration says.
    #[serde(default)]
    pub heartbeat: Option<Written>,
}

/// `json` or `msgpack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WrittenEncoding {
    /// JSON.
    #[default]
    Json,
    /// MessagePack.
    Msgpack,
}

impl From<WrittenEncoding> for Encoding {
    fn from(written: WrittenEncoding) -> Self {
        match written {
            WrittenEncoding::Json => Self::Json,
            WrittenEncoding::Msgpack => Self::Msgpack,
        }
    }
}

/// Which kind of QR customers pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One that the box asked for, with the amount in it.
    #[default]
    Dynamic,
    /// The printed one of the terminal.
    Static,
}

/// One phase.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Phase {
    /// Boxes are switched on; ends when they know the time.
    Connect {
        /// How many; default all that are off.
        #[serde(default)]
        boxes: Option<usize>,
        /// How many a second.
        #[serde(default = "connect_rate")]
        rate: u32,
        /// How long it may take.
        #[serde(default = "half_a_minute")]
        within: Written,
    },
    /// Every box beats, again and again, besides what its configuration says.
    Beat {
        /// How often.
        every: Written,
        /// How long.
        #[serde(rename = "for")]
        lasting: Written,
        /// The next phase begins meanwhile.
        #[serde(default)]
        beside: bool,
    },
    /// Customers pay; ends when the last callback is accepted.
    Pay {
        /// How many.
        payments: u32,
        /// How many a second.
        rate: u32,
        /// Which kind of QR.
        #[serde(default)]
        qr: Kind,
        /// The next phase begins meanwhile.
        #[serde(default)]
        beside: bool,
    },
    /// Some boxes lose their connection and stay away.
    Drop {
        /// How many, drawn by the seed.
        boxes: usize,
        /// How long at least.
        away: Written,
    },
    /// Boxes lose their connection at the same moment and come back as they may; ends when they are back.
    ReconnectStorm {
        /// How many; default all.
        #[serde(default)]
        boxes: Option<usize>,
        /// How long it may take.
        #[serde(default = "a_minute")]
        within: Written,
    },
    /// Boxes lose their power at the same moment, and start again from what is on their disk; ends when they are back.
    RebootStorm {
        /// How many; default all.
        #[serde(default)]
        boxes: Option<usize>,
        /// How long it may take.
        #[serde(default = "a_minute")]
        within: Written,
    },
    /// The faults are let loose.
    Faults {
        /// How long.
        #[serde(rename = "for")]
        lasting: Written,
        /// A reboot of all boxes at once, again and again.
        #[serde(default)]
        reboot_storm_every: Option<Written>,
        /// The next phase begins meanwhile.
        #[serde(default)]
        beside: bool,
    },
    /// Nothing happens.
    Wait {
        /// How long.
        #[serde(rename = "for")]
        lasting: Written,
    },
    /// Waits until everything beside has ended, all boxes are back and every payment was heard.
    Settle {
        /// How long it may take.
        #[serde(default = "a_minute")]
        within: Written,
    },
}

impl Phase {
    /// All boxes are switched on.
    pub const fn connect() -> Self {
        Self::Connect {
            boxes: None,
            rate: connect_rate(),
            within: a_minute(),
        }
    }

    /// As it is called in the file.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Beat { .. } => "beat",
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
    /// Every payment was said by each box of its terminal, once, and nothing else was said.
    pub played_exactly_once: bool,
    /// The platform knows of every payment that it was played.
    pub none_unheard: bool,
    /// 99 % of the payments were heard within this, from the callback's sending on.
    pub heard_p99: Option<Written>,
    /// 99 % of the callbacks were answered within this.
    pub callback_p99: Option<Written>,
    /// Every box was back within this after each loss of its connection.
    pub reconnect_within: Option<Written>,
    /// How long the end may be waited for.
    pub settle_within: Written,
}

impl Default for Expectations {
    fn default() -> Self {
        Self {
            played_exactly_once: true,
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

const fn half_a_minute() -> Written {
    Written::new(Duration::from_secs(30))
}

const fn a_minute() -> Written {
    Written::new(Duration::from_secs(60))
}

impl Plan {
    /// Reads a scenario.
    ///
    /// # Errors
    /// What is not TOML, or not a scenario: with the line and the key.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        let plan: Self = toml::from_str(text).context("this is no scenario")?;
        plan.check()?;
        Ok(plan)
    }

    /// Whether anybody pays in it.
    pub fn pays(&self) -> bool {
        self.phases
            .iter()
            .any(|phase| matches!(phase, Phase::Pay { .. }))
    }

    /// Whether it can be played.
    ///
    /// # Errors
    /// The first number that is out of bounds.
    pub fn check(&self) -> anyhow::Result<()> {
        let Boxes {
            count,
            http,
            per_terminal,
            ..
        } = self.boxes;
        anyhow::ensure!(
            (1..=BOXES_MAX).contains(&count),
            "boxes.count: from 1 to {BOXES_MAX}"
        );
        anyhow::ensure!(http <= count, "boxes.http: not more than boxes.count");
        anyhow::ensure!(per_terminal > 0, "boxes.per_terminal: 1 or more");
        anyhow::ensure!(!self.phases.is_empty(), "a scenario has phases");
        for (index, phase) in self.phases.iter().enumerate() {
            let wrong = phase.problem(count);
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
    /// What is wrong with it, with so many boxes.
    fn problem(&self, count: usize) -> Option<String> {
        let rate = |rate: u32| {
            (!(1..=RATE_MAX).contains(&rate)).then(|| format!("rate: from 1 to {RATE_MAX}"))
        };
        let boxes = |boxes: usize| {
            (!(1..=count).contains(&boxes)).then(|| format!("boxes: from 1 to {count}"))
        };
        match self {
            Self::Connect {
                boxes: some,
                rate: per_second,
                ..
            } => some.and_then(boxes).or(rate(*per_second)),
            Self::Pay {
                payments,
                rate: per_second,
                ..
            } => (!(1..=PAYMENTS_MAX).contains(payments))
                .then(|| format!("payments: from 1 to {PAYMENTS_MAX}"))
                .or(rate(*per_second)),
            Self::Drop { boxes: some, .. } => boxes(*some),
            Self::ReconnectStorm { boxes: some, .. } | Self::RebootStorm { boxes: some, .. } => {
                some.and_then(boxes)
            }
            Self::Beat { every, .. } => every.get().is_zero().then(|| "every: not zero".to_owned()),
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
    fn what_is_wrong_is_named() {
        let with = |from: &str, to: &str| {
            assert!(WHOLE.contains(from), "{from}");
            format!("{:#}", Plan::read(&WHOLE.replace(from, to)).unwrap_err())
        };
        for (from, to, named) in [
            ("count = 4", "count = 0", "boxes.count"),
            ("http = 1", "http = 5", "boxes.http"),
            (
                "boxes = 1, away",
                "boxes = 5, away",
                "phase 4 (drop): boxes",
            ),
            ("rate = 5", "rate = 0", "phase 3 (pay): rate"),
            ("every = \"1s\"", "every = \"0s\"", "phase 2 (beat): every"),
            ("do = \"wait\"", "do = \"dance\"", "dance"),
            ("heard_p99", "heard_p98", "heard_p98"),
            ("\"500ms\"", "\"soon\"", "duration"),
        ] {
            let problem = with(from, to);
            assert!(problem.contains(named), "{to}: {problem}");
        }
    }
}
