//! Whether everything is as it must be, seen from outside: what the acquirer was answered and what boxes said, beside what
//! the database holds and what the payout partner was told.

mod money;
mod quiet;

use std::time::Duration;

use tokio::time::Instant;

use crate::evidence::Wrong;
use crate::world::World;

/// What a round showed.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// What was heard, and should not have been, or not.
    pub(crate) heard: Wrong,
    /// Everything else that is wrong.
    pub(crate) other: Vec<String>,
    /// From the end of the fault until everything was answered, heard and acknowledged and every box was connected; `None`:
    /// that did not come.
    pub(crate) recovery: Option<Duration>,
}

impl Verdict {
    /// Everything that is wrong.
    pub(crate) fn all(&self) -> impl Iterator<Item = &String> {
        self.heard.all().chain(&self.other)
    }
}

/// Waits until a round is over, and judges it.
pub(crate) async fn round(world: &World, healed: Instant) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::default();
    match quiet::wait(world).await {
        Ok(at) => verdict.recovery = Some(at.saturating_duration_since(healed)),
        Err(error) => verdict.other.push(format!("{error:#}")),
    }
    let shared = &world.participants.shared;
    verdict.heard = shared.evidence().judge();
    verdict.other.extend(shared.take_problems());
    verdict.other.extend(money::check(world).await?);
    Ok(verdict)
}

/// What takes longer: the proofs of the ledger and of the audit log, and what endpoints were told.
pub(crate) async fn thoroughly(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    for proof in [
        world.first.verify_ledger().await,
        world.first.verify_audit().await,
    ] {
        wrong.extend(proof.err().map(|error| format!("{error:#}")));
    }
    wrong.extend(quiet::untold(world).await);
    wrong
}
