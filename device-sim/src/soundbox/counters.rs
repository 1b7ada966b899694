//! The counters of a box.

use serde::Serialize;

/// Counters since the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counters {
    /// New notifications.
    pub received: u64,
    /// Notifications spoken.
    pub spoken: u64,
    /// Notifications that arrived again.
    pub duplicates: u64,
    /// Notifications that were too late to be spoken.
    pub stale: u64,
    /// Notifications not spoken for another reason.
    pub failed: u64,
    /// Messages that were refused.
    pub refused: u64,
    /// Missing sequence numbers: telemetry, never a reason to refuse.
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
