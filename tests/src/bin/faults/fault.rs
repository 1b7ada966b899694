//! The faults: how each begins and how it ends.

use std::time::Duration;

use anyhow::Context as _;
use device_sim::session::Control;
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::proxy::Mode;
use crate::shared::ListeningBox;
use crate::traffic::Traffic;
use crate::world::{Link, World};

/// Longer than the lease of a process and the time that another takes to notice its end.
const PAST_THE_LEASE: Duration = Duration::from_millis(4_500);
/// How many payments come at once in a burst: more than the queue of callbacks and the queue of a box hold.
const BURST: usize = 200;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9` of a process of the platform.
    PlatformKilled,
    /// `kill -9` of a backend of Postgres, which ends all of them.
    BackendKilled,
    /// `kill -9` of the postmaster.
    PostmasterKilled,
    /// Both at once.
    AllKilled,
    /// SIGSTOP of a process of the platform, shorter than its lease.
    PlatformStopped,
    /// The same, longer than its lease.
    PlatformStoppedLong,
    /// SIGSTOP of Postgres.
    PostgresStopped,
    /// A disturbance of a path.
    Disturbed(Link, Mode),
    /// The disk of Postgres is full.
    DiskFull,
    /// Many payments at once at one terminal.
    Burst,
    /// Boxes lose their power.
    PowerLost,
}

const SLOW: Mode = Mode::Slow(Duration::from_millis(60));

/// All of them.
pub(crate) const ALL: [Fault; 27] = [
    Fault::PlatformKilled,
    Fault::BackendKilled,
    Fault::PostmasterKilled,
    Fault::AllKilled,
    Fault::PlatformStopped,
    Fault::PlatformStoppedLong,
    Fault::PostgresStopped,
    Fault::Disturbed(Link::Boxes, Mode::Cut),
    Fault::Disturbed(Link::Boxes, Mode::HalfOpen),
    Fault::Disturbed(Link::Boxes, Mode::OneWayUp),
    Fault::Disturbed(Link::Boxes, Mode::OneWayDown),
    Fault::Disturbed(Link::Boxes, SLOW),
    Fault::Disturbed(Link::Boxes, Mode::Corrupt),
    Fault::Disturbed(Link::Acquirer, Mode::Cut),
    Fault::Disturbed(Link::Acquirer, Mode::HalfOpen),
    Fault::Disturbed(Link::Acquirer, Mode::OneWayUp),
    Fault::Disturbed(Link::Acquirer, Mode::OneWayDown),
    Fault::Disturbed(Link::Acquirer, SLOW),
    Fault::Disturbed(Link::Acquirer, Mode::Corrupt),
    Fault::Disturbed(Link::Database, Mode::Cut),
    Fault::Disturbed(Link::Database, Mode::HalfOpen),
    Fault::Disturbed(Link::Database, Mode::OneWayUp),
    Fault::Disturbed(Link::Database, Mode::OneWayDown),
    Fault::Disturbed(Link::Database, Mode::Slow(Duration::from_millis(10))),
    Fault::DiskFull,
    Fault::Burst,
    Fault::PowerLost,
];

impl Fault {
    /// Its name in the table, which also chooses it on the command line.
    pub(crate) fn name(self) -> String {
        let plain = match self {
            Self::PlatformKilled => "platform killed",
            Self::BackendKilled => "backend killed",
            Self::PostmasterKilled => "postmaster killed",
            Self::AllKilled => "platform and postmaster killed",
            Self::PlatformStopped => "platform stopped",
            Self::PlatformStoppedLong => "platform stopped past its lease",
            Self::PostgresStopped => "Postgres stopped",
            Self::DiskFull => "disk full",
            Self::Burst => "200 payments at once",
            Self::PowerLost => "boxes lose power",
            Self::Disturbed(link, mode) => {
                let link = match link {
                    Link::Boxes => "boxes",
                    Link::Acquirer => "acquirer",
                    Link::Database => "database",
                };
                let mode = match mode {
                    Mode::Pass => "passed",
                    Mode::Cut => "cut",
                    Mode::HalfOpen => "half-open",
                    Mode::OneWayUp => "deaf",
                    Mode::OneWayDown => "mute",
                    Mode::Slow(_) => "slow",
                    Mode::Corrupt => "corrupt",
                };
                return format!("{link} {mode}");
            }
        };
        plain.to_owned()
    }

    /// Whether it can be made here: a disk of one's own needs root.
    pub(crate) fn is_possible(self, world: &World) -> bool {
        self != Self::DiskFull || world.disk.is_mounted()
    }

    /// For how long it lasts.
    pub(crate) fn duration(self, random: &mut StdRng) -> Duration {
        match self {
            Self::PlatformStoppedLong => PAST_THE_LEASE,
            _ => Duration::from_millis(random.random_range(200..1_500)),
        }
    }

    /// Begins.
    pub(crate) async fn begin(
        self,
        world: &mut World,
        traffic: &Traffic,
        random: &mut StdRng,
    ) -> anyhow::Result<()> {
        let number = random.random_range(0..1_000);
        let count = world.nodes.len();
        let node = world.nodes.get_mut(number % count).context("no nodes")?;
        match self {
            Self::PlatformKilled => node.kill().await,
            Self::BackendKilled => world.postgres.kill_backend(number),
            Self::PostmasterKilled => world.postgres.kill().await,
            Self::AllKilled => {
                node.kill().await?;
                world.postgres.kill().await
            }
            Self::PlatformStopped | Self::PlatformStoppedLong => node.signal(Signal::SIGSTOP),
            Self::PostgresStopped => world.postgres.signal_all(Signal::SIGSTOP),
            Self::Disturbed(link, mode) => {
                // One process alone, or all of them.
                let all = random.random_bool(0.5);
                for (place, node) in world.nodes.iter().enumerate() {
                    if all || place == number % count {
                        node.disturb(link, mode);
                    }
                }
                Ok(())
            }
            Self::DiskFull => world.disk.fill(),
            Self::Burst => {
                // A box of another maker remembers its last messages only, and says what comes again after more than
                // those once more: docs/vendor-boxes.md.
                let all = world.participants.all_boxes.listening.iter();
                let native: Vec<&ListeningBox> = all.filter(|one| one.token.is_some()).collect();
                let chosen = native.choose(random).context("no boxes")?;
                traffic.burst(&world.participants, &chosen.place, BURST);
                Ok(())
            }
            Self::PowerLost => {
                // A box of another maker forgets what it has said: docs/vendor-boxes.md.
                let native = world
                    .participants
                    .all_boxes
                    .listening
                    .iter()
                    .filter(|one| one.token.is_some());
                for chosen in native {
                    if random.random_bool(0.5) {
                        chosen.controls.send(Control::PowerCut).await?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Ends; what was killed is started by [`World::heal`].
    pub(crate) async fn end(self, world: &World) -> anyhow::Result<()> {
        match self {
            Self::PlatformStopped | Self::PlatformStoppedLong => {
                for node in &world.nodes {
                    // One that was killed besides has no process.
                    let _ = node.signal(Signal::SIGCONT);
                }
                Ok(())
            }
            Self::PostgresStopped => {
                let _ = world.postgres.signal_all(Signal::SIGCONT);
                Ok(())
            }
            Self::DiskFull => world.disk.free(),
            _ => Ok(()),
        }
    }
}

/// Draws faults so that each has been drawn equally often.
pub(crate) struct FaultOrder {
    all: Vec<Fault>,
    rest: Vec<Fault>,
    random: StdRng,
}

impl FaultOrder {
    /// Of these, by the seed.
    pub(crate) fn new(all: Vec<Fault>, seed: u64) -> Self {
        Self {
            all,
            rest: Vec::new(),
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// The faults of the next round: one, or two at once.
    pub(crate) fn draw(&mut self) -> Vec<Fault> {
        let count = if self.random.random_ratio(1, 5) { 2 } else { 1 };
        let mut drawn: Vec<Fault> = Vec::new();
        for _ in 0..count {
            if self.rest.is_empty() {
                self.rest.clone_from(&self.all);
            }
            if self.rest.is_empty() {
                break;
            }
            let place = self.random.random_range(0..self.rest.len());
            let fault = self.rest.swap_remove(place);
            if !drawn.contains(&fault) {
                drawn.push(fault);
            }
        }
        drawn
    }
}
