//! What happens in a round, and when.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::participants::Participants;
use crate::shared::Place;

/// How long after the end of a fault everything may take to be answered.
pub(crate) const ANSWERED_WITHIN: Duration = Duration::from_secs(90);

/// Something that happens in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A code is paid; `by_mqtt` says how the box asked for it.
    Dynamic { by_mqtt: bool },
    /// A printed code is paid.
    Static,
    /// A printed code is paid twice with the same amount.
    Pair,
    /// A code is requested and not paid, or its payment fails.
    Unpaid { failed: bool },
    /// First a failure, then a success.
    FailedThenPaid,
    /// One byte of a callback's body or signature is another, or it is too old.
    Forged,
    /// A success with another amount, then the right one.
    OtherAmount,
    /// A payment that was heard is taken back.
    Reversal,
    /// A command to a box.
    Command,
    /// A change of a box's configuration.
    Configure,
    /// The moving box moves to another merchant.
    Rebind,
    /// A box is suspended, and activated again.
    Suspend,
    /// A run of settlements.
    Settle,
}

/// How often each happens, of a hundred.
const STEPS: [(Step, u32); 13] = [
    (Step::Dynamic { by_mqtt: true }, 14),
    (Step::Dynamic { by_mqtt: false }, 14),
    (Step::Static, 22),
    (Step::Pair, 6),
    (Step::Unpaid { failed: false }, 4),
    (Step::Unpaid { failed: true }, 4),
    (Step::FailedThenPaid, 4),
    (Step::Forged, 6),
    (Step::OtherAmount, 4),
    (Step::Reversal, 6),
    (Step::Command, 8),
    (Step::Configure, 5),
    (Step::Settle, 3),
];

/// The steps of a round that are under way.
pub(crate) struct Traffic {
    tracker: TaskTracker,
}

impl Traffic {
    /// Starts so many steps, spread over this time; each by its own random numbers, from the seed.
    pub(crate) fn start(
        participants: &Arc<Participants>,
        count: usize,
        over: Duration,
        seed: u64,
    ) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let tracker = TaskTracker::new();
        // At most one a round: two at a time would leave open which of them was last.
        let rebinds = random.random_ratio(1, 4).then_some(Step::Rebind);
        let suspends = random.random_ratio(1, 6).then_some(Step::Suspend);
        let steps: Vec<Step> = (0..count)
            .filter_map(|_| STEPS.choose_weighted(&mut random, |step| step.1).ok())
            .map(|step| step.0)
            .chain(rebinds)
            .chain(suspends)
            .collect();
        for step in steps {
            let wait = over.mul_f64(random.random());
            let mut own = StdRng::seed_from_u64(random.random());
            let participants = Arc::clone(participants);
            tracker.spawn(async move {
                sleep(wait).await;
                if let Err(error) = participants.play(step, &mut own).await {
                    participants.shared.problem(format!("{step:?}: {error:#}"));
                }
            });
        }
        tracker.close();
        Self { tracker }
    }

    /// Starts payments of one printed code, all at once.
    pub(crate) fn burst(&self, participants: &Arc<Participants>, place: &Place, count: usize) {
        for _ in 0..count {
            let (participants, place) = (Arc::clone(participants), place.clone());
            self.tracker.spawn(async move {
                let mut own = StdRng::seed_from_u64(rand::random());
                if let Err(error) = participants.pay_printed(&place, 1, &mut own).await {
                    participants.shared.problem(format!("a burst: {error:#}"));
                }
            });
        }
    }

    /// Waits until every step has ended.
    pub(crate) async fn finish(&self) -> anyhow::Result<()> {
        let ended = timeout(ANSWERED_WITHIN, self.tracker.wait()).await;
        ended.with_context(|| format!("{} steps have no end", self.tracker.len()))
    }
}
