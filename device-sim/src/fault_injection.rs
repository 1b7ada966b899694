//! Fault injection around a box, at configured rates and reproducible by a seed.
//!
//! Each box and each kind of fault has a random stream of its own: the third acknowledgement of box 7 is late in every
//! run with the same seed, whatever the timing of the network. The box itself behaves correctly; faults affect its
//! connection, its messages and its wall clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;

use crate::duration::HumanDuration;
use crate::rate::Rate;
use crate::soundbox::identity::WallClock;

/// The rates of all kinds of faults.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct FaultRates {
    /// The mean time between two losses of a box's connection.
    #[arg(long, default_value = "15s", value_name = "DURATION")]
    pub drop_every: Option<HumanDuration>,
    /// How many messages of the platform are lost, together with the connection.
    #[arg(long, default_value = "2%", value_name = "SHARE")]
    pub lost_messages: Rate,
    /// How many acknowledgements are sent twice.
    #[arg(long, default_value = "20%", value_name = "SHARE")]
    pub duplicate_acks: Rate,
    /// How many acknowledgements are sent late.
    #[arg(long, default_value = "20%", value_name = "SHARE")]
    pub late_acks: Rate,
    /// The longest delay of a late acknowledgement.
    #[arg(long, default_value = "3s", value_name = "DURATION")]
    pub late_max: HumanDuration,
    /// How many boxes state wrong times: a day back, ten years ahead, or none at all.
    #[arg(long, default_value = "50%", value_name = "SHARE")]
    pub wrong_clocks: Rate,
}

/// Fault injection for a whole fleet.
#[derive(Debug)]
pub struct FleetFaults {
    seed: u64,
    rates: FaultRates,
    active: AtomicBool,
}

/// How one acknowledgement is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckDelivery {
    /// Once, at once.
    Once,
    /// Twice.
    Twice,
    /// After this delay.
    Late(Duration),
}

/// Fault injection for one box.
#[derive(Debug)]
pub struct FaultInjection {
    rates: FaultRates,
    drops: StdRng,
    messages: StdRng,
    acks: StdRng,
    clock: WallClock,
}

/// The kinds of faults, each with a random stream of its own.
#[derive(Clone, Copy)]
enum Stream {
    Drops,
    Messages,
    Acks,
    Clock,
}

impl FleetFaults {
    /// Inactive faults; [`set_active`](Self::set_active) starts them.
    pub fn new(seed: u64, rates: FaultRates) -> Self {
        Self {
            seed,
            rates,
            active: AtomicBool::new(false),
        }
    }

    /// Starts or stops fault injection. Wrong clocks do not depend on it.
    pub fn set_active(&self, active: bool) {
        self.active.store(active, Ordering::Relaxed);
    }

    /// Whether faults are injected now.
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// The faults of the box with this number.
    pub fn of_box(&self, number: usize) -> FaultInjection {
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
        FaultInjection {
            rates: self.rates.clone(),
            drops: stream(Stream::Drops),
            messages: stream(Stream::Messages),
            acks: stream(Stream::Acks),
            clock,
        }
    }
}

/// The random stream of one box and kind.
fn random(seed: u64, number: usize, stream: Stream) -> StdRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&(number as u64).to_le_bytes());
    bytes[16] = stream as u8;
    StdRng::from_seed(bytes)
}

impl FaultInjection {
    /// The clock by which the box states times.
    pub fn wall_clock(&self) -> WallClock {
        self.clock
    }

    /// How long until the next loss of the connection: between half and one and a half of the mean.
    pub fn next_drop(&mut self) -> Option<Duration> {
        let mean = self.rates.drop_every?.get();
        Some(self.drops.random_range(mean / 2..=mean + mean / 2))
    }

    /// Whether this message of the platform is lost.
    pub fn loses_message(&mut self) -> bool {
        self.rates.lost_messages.hits(&mut self.messages)
    }

    /// How this acknowledgement is sent.
    pub fn ack(&mut self) -> AckDelivery {
        // Always the same number of draws, so that changing one rate does not change the decisions of another.
        let twice = self.rates.duplicate_acks.hits(&mut self.acks);
        let late = self.rates.late_acks.hits(&mut self.acks);
        let delay = self
            .acks
            .random_range(Duration::ZERO..=self.rates.late_max.get());
        match (twice, late) {
            (true, _) => AckDelivery::Twice,
            (false, true) => AckDelivery::Late(delay),
            (false, false) => AckDelivery::Once,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> FaultRates {
        FaultRates {
            drop_every: Some("10s".parse().unwrap()),
            lost_messages: "10%".parse().unwrap(),
            duplicate_acks: "20%".parse().unwrap(),
            late_acks: "20%".parse().unwrap(),
            late_max: "3s".parse().unwrap(),
            wrong_clocks: "50%".parse().unwrap(),
        }
    }

    /// The faults of one box in this many steps.
    fn history(seed: u64, number: usize, steps: usize) -> Vec<String> {
        let mut injection = FleetFaults::new(seed, rates()).of_box(number);
        let clock = format!("{:?}", injection.wall_clock());
        let steps = (0..steps).map(|_| {
            format!(
                "{:?} {} {:?}",
                injection.next_drop(),
                injection.loses_message(),
                injection.ack()
            )
        });
        std::iter::once(clock)
            .chain(steps.collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_every_box_has_its_own() {
        assert_eq!(history(7, 3, 200), history(7, 3, 200));
        assert_ne!(history(7, 3, 200), history(8, 3, 200));
        assert_ne!(history(7, 3, 200), history(7, 4, 200));
    }

    #[test]
    fn one_kind_of_fault_does_not_shift_another() {
        let faults = FleetFaults::new(7, rates());
        let (mut calm, mut busy) = (faults.of_box(0), faults.of_box(0));
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
        let faults = FleetFaults::new(1, rates());
        let clocks: Vec<WallClock> = (0..64).map(|number| faults.of_box(number).clock).collect();
        for clock in [
            WallClock::Right,
            WallClock::Absent,
            WallClock::Off(TimeDelta::days(-1)),
        ] {
            assert!(clocks.contains(&clock), "{clock:?}");
        }
        let mut injection = faults.of_box(0);
        let deliveries: Vec<AckDelivery> = (0..200).map(|_| injection.ack()).collect();
        assert!(
            deliveries.contains(&AckDelivery::Once) && deliveries.contains(&AckDelivery::Twice)
        );
        assert!(
            deliveries
                .iter()
                .any(|delivery| matches!(delivery, AckDelivery::Late(_)))
        );
    }
}
