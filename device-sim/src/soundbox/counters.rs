//! What a box has seen, in numbers.

use serde::Serialize;

/// Counters since the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counters {
    /// Announcements that were new.
    pub received: u64,
    /// Spoken.
    pub spoken: u64,
    /// Came again.
    pub duplicates: u64,
    /// Came too late to be spoken.
    pub stale: u64,
    /// Not spoken for another reason.
    pub failed: u64,
    /// Envelopes that were not believed.
    pub refused: u64,
    /// Sequence numbers that were passed over: telemetry, never a reason to refuse.
    pub gaps: u64,
    /// Commands carried out.
    pub commands: u64,
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.spoken += other.spoken;
        self.duplicates += other.duplicates;
        self.stale += other.stale;
        self.failed += other.failed;
        self.refused += other.refused;
        self.gaps += other.gaps;
        self.commands += other.commands;
    }
}
