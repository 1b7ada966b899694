//! How many boxes a row has, and how many payments a second.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, ensure};

/// A rate as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    /// So many payments a second.
    PerSecond(u32),
    /// Half of the highest rate that this run's floods reached.
    Half,
}

impl FromStr for Rate {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if text == "half" {
            return Ok(Self::Half);
        }
        let rate = text.parse().context("expected a number, or half")?;
        ensure!(rate > 0, "expected at least one payment a second");
        Ok(Self::PerSecond(rate))
    }
}

impl Rate {
    /// Payments a second; `highest` is what the floods reached.
    fn per_second(self, highest: Option<u128>) -> anyhow::Result<u32> {
        match self {
            Self::PerSecond(rate) => Ok(rate),
            Self::Half => {
                let highest = highest.context("--rate half needs a flood")?;
                Ok(u32::try_from(highest / 2)?.max(1))
            }
        }
    }
}

/// The load of one row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) boxes: usize,
    rate: Rate,
    pub(crate) per_second: u32,
}

impl Load {
    /// Every number of boxes with every rate.
    pub(crate) fn all(
        boxes: &BTreeSet<usize>,
        rates: &[Rate],
        highest: Option<u128>,
    ) -> anyhow::Result<Vec<Self>> {
        let mut all = Vec::new();
        for boxes in boxes.iter().copied() {
            for rate in rates.iter().copied() {
                let per_second = rate.per_second(highest)?;
                all.push(Self {
                    boxes,
                    rate,
                    per_second,
                });
            }
        }
        Ok(all)
    }

    /// As it was asked for: the same for two builds, although half of what each reached differs.
    pub(crate) fn asked(&self) -> String {
        match self.rate {
            Rate::PerSecond(_) => self.to_string(),
            Rate::Half => format!("{} boxes, half", self.boxes),
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} boxes, {}/s", self.boxes, self.per_second)?;
        match self.rate {
            Rate::PerSecond(_) => Ok(()),
            Rate::Half => write!(f, " (half)"),
        }
    }
}
