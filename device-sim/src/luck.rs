//! What goes wrong with a box, as often as asked and the same again for the same seed.
//!
//! Every box draws its own luck, and each kind of it from a stream of its own: the third acknowledgement of box 7 is
//! late in every run with the same seed, however long its network took. The box itself stays honest; it is the world
//! around it that loses, delays and repeats.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;

use crate::duration::Written;
use crate::rate::Rate;
use crate::soundbox::identity::WallClock;

/// How often what goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// The mean time after which a box loses its connection, again and again.
    #[arg(long, default_value = "15s", value_name = "DURATION")]
    pub drop_every: Option<Written>,
    /// How many messages of the platform get lost, and the connection with them.
    #[arg(long, default_value = "2%", value_name = "SHARE")]
    pub lost_messages: Rate,
    /// How many acknowledgements are sent twice.
    #[arg(long, default_value = "20%", value_name = "SHARE")]
    pub duplicate_acks: Rate,
    /// How many acknowledgements are sent late.
    #[arg(long, default_value = "20%", value_name = "SHARE")]
    pub late_acks: Rate,
    /// How late at most.
    #[arg(long, default_value = "3s", value_name = "DURATION")]
    pub late_max: Written,
    /// How many boxes state wrong times: a day back, ten years ahead, or none at all.
    #[arg(long, default_value = "50%", value_name = "SHARE")]
    pub wrong_clocks: Rate,
}

/// What goes wrong in a whole fleet.
#[derive(Debug)]
pub struct Faults {
    seed: u64,
    rates: Rates,
    active: AtomicBool,
}

/// What happens to one acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckFate {
    /// It is sent.
    Once,
    /// It is sent twice.
    Twice,
    /// It is sent after this.
    Late(Duration),
}

/// The luck of one box.
#[derive(Debug)]
pub struct Luck {
    rates: Rates,
    drops: StdRng,
    messages: StdRng,
    acks: StdRng,
    clock: WallClock,
}

/// The kinds of luck, each a stream of its own.
#[derive(Clone, Copy)]
enum Stream {
    Drops,
    Messages,
    Acks,
    Clock,
}

impl Faults {
    /// Faults that wait to be [let loose](Self::set_active).
    pub fn new(seed: u64, rates: Rates) -> Self {
        Self {
            seed,
            rates,
            active: AtomicBool::new(false),
        }
    }

    /// Lets them loose, or ends them.
    pub fn set_active(&self, active: bool) {
        self.active.store(active, Ordering::Relaxed);
    }

    /// Whether they are loose.
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// The luck of the box with this number.
    pub fn luck(&self, number: usize) -> Luck {
        let stream = |stream| random(self.seed, number, stream);
        let mut clock = stream(Stream::Clock);
        let clock = if self.rates.wrong_clocks.hits(&mut clock) {
            match clock.random_range(0..3) {
                0 => WallClock::Off(TimeDelta::days(-1)),
                1 => WallClock::Off(TimeDelta::days(3_652)),
                _ => WallClock::Absent,
            }
        } else {
            WallClock::Right
        };
        Luck {
            rates: self.rates.clone(),
            drops: stream(Stream::Drops),
            messages: stream(Stream::Messages),
            acks: stream(Stream::Acks),
            clock,
        }
    }
}

/// A generator of its own for each box and kind.
fn random(seed: u64, number: usize, stream: Stream) -> StdRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&(number as u64).to_le_bytes());
    bytes[16] = stream as u8;
    StdRng::from_seed(bytes)
}

impl Luck {
    /// The clock that the box states times by.
    pub fn wall_clock(&self) -> WallClock {
        self.clock
    }

    /// How long until the next loss of the connection: anywhere between half the mean and one and a half of it.
    pub fn next_drop(&mut self) -> Option<Duration> {
        let mean = self.rates.drop_every?.get();
        Some(self.drops.random_range(mean / 2..=mean + mean / 2))
    }

    /// Whether this message of the platform gets lost.
    pub fn loses_message(&mut self) -> bool {
        self.rates.lost_messages.hits(&mut self.messages)
    }

    /// What happens to this acknowledgement.
    pub fn ack(&mut self) -> AckFate {
        // Always as many draws, so that one rate does not shift what another decides.
        let twice = self.rates.duplicate_acks.hits(&mut self.acks);
        let late = self.rates.late_acks.hits(&mut self.acks);
        let delay = self
            .acks
            .random_range(Duration::ZERO..=self.rates.late_max.get());
        match (twice, late) {
            (true, _) => AckFate::Twice,
            (false, true) => AckFate::Late(delay),
            (false, false) => AckFate::Once,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> Rates {
        Rates {
            drop_every: Some("10s".parse().unwrap()),
            lost_messages: "10%".parse().unwrap(),
            duplicate_acks: "20%".parse().unwrap(),
            late_acks: "20%".parse().unwrap(),
            late_max: "3s".parse().unwrap(),
            wrong_clocks: "50%".parse().unwrap(),
        }
    }

    /// What happens to one box in so many steps.
    fn history(seed: u64, number: usize, steps: usize) -> Vec<String> {
        let mut luck = Faults::new(seed, rates()).luck(number);
        let clock = format!("{:?}", luck.wall_clock());
        let steps = (0..steps).map(|_| {
            format!(
                "{:?} {} {:?}",
                luck.next_drop(),
                luck.loses_message(),
                luck.ack()
            )
        });
        std::iter::once(clock)
            .chain(steps.collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn the_same_seed_is_the_same_luck_and_every_box_has_its_own() {
        assert_eq!(history(7, 3, 200), history(7, 3, 200));
        assert_ne!(history(7, 3, 200), history(8, 3, 200));
        assert_ne!(history(7, 3, 200), history(7, 4, 200));
    }

    #[test]
    fn one_kind_of_luck_does_not_shift_another() {
        let faults = Faults::new(7, rates());
        let (mut calm, mut busy) = (faults.luck(0), faults.luck(0));
        for _ in 0..100 {
            busy.next_drop();
            busy.loses_message();
        }
        for _ in 0..100 {
            assert_eq!(calm.ack(), busy.ack());
        }
    }

    #[test]
    fn each_fault_happens_and_none_always_does() {
        let faults = Faults::new(1, rates());
        let clocks: Vec<WallClock> = (0..64).map(|number| faults.luck(number).clock).collect();
        for clock in [
            WallClock::Right,
            WallClock::Absent,
            WallClock::Off(TimeDelta::days(-1)),
        ] {
            assert!(clocks.contains(&clock), "{clock:?}");
        }
        let mut luck = faults.luck(0);
        let fates: Vec<AckFate> = (0..200).map(|_| luck.ack()).collect();
        assert!(fates.contains(&AckFate::Once) && fates.contains(&AckFate::Twice));
        assert!(fates.iter().any(|fate| matches!(fate, AckFate::Late(_))));
    }
}
