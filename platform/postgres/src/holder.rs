//! Whether the process that holds the lock is ending.
//!
//! A killed process ends in steps: the signal is pending, then its threads exit, then its files are closed one by one,
//! the lock among them. From the first step on it does nothing more, and its lock is worth waiting for.

use std::fs;
use std::time::Duration;

use tokio::time::Instant;

/// Between two attempts to take the lock.
pub(super) const POLL: Duration = Duration::from_millis(50);
/// How long an ending process is waited for.
const DYING_WITHIN: Duration = Duration::from_secs(10);
/// How long a process that looks alive is watched: between the signal and its effect it looks alive for a moment.
const ALIVE_FOR: Duration = Duration::from_millis(200);
/// SIGKILL among pending signals.
const SIGKILL_BIT: u64 = 1 << 8;
/// The kernel's mark of a process that exits.
const PF_EXITING: u64 = 0x4;

/// Observes the process that holds the lock.
pub(super) struct Watch {
    begin: Instant,
    alive_since: Option<Instant>,
    logged: bool,
}

impl Watch {
    pub(super) fn begin() -> Self {
        Self {
            begin: Instant::now(),
            alive_since: None,
            logged: false,
        }
    }

    /// Whether the lock that `pid` holds may still become free by itself. `None`: its process is not known.
    pub(super) fn may_wait(&mut self, pid: Option<u32>) -> bool {
        let now = Instant::now();
        if now - self.begin >= DYING_WITHIN {
            return false;
        }
        if pid.is_none_or(is_dying) {
            self.alive_since = None;
            if !self.logged {
                tracing::warn!(
                    pid,
                    "the data directory is locked by a process that is ending; waiting up to {} s",
                    DYING_WITHIN.as_secs()
                );
                self.logged = true;
            }
            return true;
        }
        now - *self.alive_since.get_or_insert(now) < ALIVE_FOR
    }
}

/// Whether a process is gone, or will never do anything again.
fn is_dying(pid: u32) -> bool {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}"));
    let (Ok(stat), Ok(status)) = (read("stat"), read("status")) else {
        return true;
    };
    // The name before may hold anything, also parentheses: fields are counted from behind the last one.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let is_zombie = matches!(fields.first(), Some(&("Z" | "X" | "x")));
    let flags: u64 = fields
        .get(6)
        .and_then(|text| text.parse().ok())
        .unwrap_or_default();
    let is_killed = status
        .lines()
        .filter_map(|line| {
            line.strip_prefix("SigPnd:")
                .or_else(|| line.strip_prefix("ShdPnd:"))
        })
        .any(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & SIGKILL_BIT != 0));
    is_zombie || flags & PF_EXITING != 0 || is_killed
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_running_process_is_alive_and_a_killed_one_is_dying_from_then_on() {
        assert!(!is_dying(std::process::id()));
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert!(!is_dying(child.id()));
        child.kill().unwrap();
        // Until it is waited for it is a zombie, and afterwards gone.
        let killed = child.id();
        while !is_dying(killed) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_dying(killed));
    }
}
