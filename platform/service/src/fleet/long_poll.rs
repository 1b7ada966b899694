//! Long polls: requests of devices on HTTP whose answer is held back until there is a message for the device.
//!
//! A waiting request holds an entry here and nothing else: no database connection, no lock. A commit that concerns its
//! device wakes it, and it reads the database again. The entry is made before the first read, so that no commit in between
//! is missed. A device has one entry (a newer request replaces the older one), and the number of entries is limited; a
//! request beyond the limit is answered at once. When the process stops, all of them are answered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use wire::ids::DeviceId;

/// The waiting requests; cheap to clone.
#[derive(Debug, Clone)]
pub struct LongPolls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    entries: Mutex<HashMap<DeviceId, Arc<Entry>>>,
    entries_max: usize,
    numbers: AtomicU64,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    wake: Notify,
    /// Cancelled when a newer request of the same device replaces this one.
    replaced: CancellationToken,
}

/// The entry of one request, removed when it is dropped.
#[derive(Debug)]
pub struct LongPoll {
    polls: LongPolls,
    device_id: DeviceId,
    entry: Arc<Entry>,
}

/// Why a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitOutcome {
    /// There may be a message: read the database.
    Woken,
    /// The deadline has passed, the request was replaced, or the process is stopping.
    Over,
}

impl LongPolls {
    /// At most `entries_max` waiting requests, until `stop`.
    pub fn new(entries_max: usize, stop: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            entries: Mutex::default(),
            entries_max,
            numbers: AtomicU64::new(0),
            stop,
        }))
    }

    /// An entry for a request of this device; `None` at the limit, or when the process is stopping.
    pub fn enter(&self, device_id: DeviceId) -> Option<LongPoll> {
        if self.0.stop.is_cancelled() {
            return None;
        }
        let entry = Arc::new(Entry {
            number: self.0.numbers.fetch_add(1, Ordering::Relaxed),
            wake: Notify::new(),
            replaced: CancellationToken::new(),
        });
        let mut entries = self.entries();
        if entries.len() >= self.0.entries_max && !entries.contains_key(&device_id) {
            metrics::counter!("long_polls_refused_total").increment(1);
            return None;
        }
        if let Some(older) = entries.insert(device_id, Arc::clone(&entry)) {
            older.replaced.cancel();
        }
        Some(LongPoll {
            polls: self.clone(),
            device_id,
            entry,
        })
    }

    /// Wakes this device's request, if one waits.
    pub fn wake(&self, device_id: DeviceId) {
        if let Some(entry) = self.entries().get(&device_id) {
            // Stored for a request that has an entry and does not wait yet.
            entry.wake.notify_one();
        }
    }

    /// The devices with a waiting request.
    pub fn devices(&self) -> Vec<DeviceId> {
        self.entries().keys().copied().collect()
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<DeviceId, Arc<Entry>>> {
        // A panic leaves the map consistent.
        self.0
            .entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl LongPoll {
    /// Waits for a wake-up, for `deadline`, for a newer request, or for the end of the process.
    pub async fn wait(&self, deadline: Instant) -> WaitOutcome {
        let woken = async {
            tokio::select! {
                () = self.entry.wake.notified() => WaitOutcome::Woken,
                () = self.entry.replaced.cancelled() => WaitOutcome::Over,
                () = self.polls.0.stop.cancelled() => WaitOutcome::Over,
            }
        };
        timeout_at(deadline, woken)
            .await
            .unwrap_or(WaitOutcome::Over)
    }
}

impl Drop for LongPoll {
    fn drop(&mut self) {
        let mut entries = self.polls.entries();
        if entries
            .get(&self.device_id)
            .is_some_and(|entry| entry.number == self.entry.number)
        {
            entries.remove(&self.device_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    fn device(number: u128) -> DeviceId {
        DeviceId::from_uuid(Uuid::from_u128(number))
    }

    fn in_a_while() -> Instant {
        Instant::now() + Duration::from_secs(25)
    }

    #[tokio::test(start_paused = true)]
    async fn a_wake_that_comes_before_the_wait_is_not_lost() {
        let polls = LongPolls::new(2, CancellationToken::new());
        let poll = polls.enter(device(1)).unwrap();
        polls.wake(device(2));
        polls.wake(device(1));
        assert_eq!(poll.wait(in_a_while()).await, WaitOutcome::Woken);
        assert_eq!(poll.wait(in_a_while()).await, WaitOutcome::Over);
    }

    #[tokio::test(start_paused = true)]
    async fn a_newer_request_replaces_the_older() {
        let polls = LongPolls::new(1, CancellationToken::new());
        let older = polls.enter(device(1)).unwrap();
        let newer = polls.enter(device(1)).unwrap();
        let start = Instant::now();
        assert_eq!(older.wait(in_a_while()).await, WaitOutcome::Over);
        assert_eq!(start.elapsed(), Duration::ZERO);
        drop(older);
        polls.wake(device(1));
        assert_eq!(newer.wait(in_a_while()).await, WaitOutcome::Woken);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_requests_are_limited_and_their_entries_given_back() {
        let polls = LongPolls::new(2, CancellationToken::new());
        let first = polls.enter(device(1)).unwrap();
        let _second = polls.enter(device(2)).unwrap();
        assert!(polls.enter(device(3)).is_none());
        drop(first);
        assert!(polls.enter(device(3)).is_some());
        assert_eq!(polls.devices(), [device(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_process_ends_all_waits_and_allows_no_new_one() {
        let stop = CancellationToken::new();
        let polls = LongPolls::new(2, stop.clone());
        let poll = polls.enter(device(1)).unwrap();
        let start = Instant::now();
        stop.cancel();
        assert_eq!(poll.wait(in_a_while()).await, WaitOutcome::Over);
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(polls.enter(device(2)).is_none());
    }
}
