//! Boxes on HTTP that wait for something to be told.
//!
//! A request that waits holds a place here and nothing else: no database connection, no lock. A commit that concerns
//! its box wakes it, and it looks again; places are taken before the first look, so that nothing slips in between.
//! There is one place for each box (the newer request takes it over) and a limit for all of them; whoever finds none
//! is answered at once, as a box that did not ask to wait. At the end of the process all of them are let go.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use wire::ids::DeviceId;

/// The waiting room; cheap to clone.
#[derive(Debug, Clone)]
pub struct LongPolls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    places: Mutex<HashMap<DeviceId, Arc<Slot>>>,
    places_max: usize,
    numbers: AtomicU64,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Slot {
    number: u64,
    wake: Notify,
    /// Cancelled when a newer request of the same box takes the place.
    taken_over: CancellationToken,
}

/// A place in the waiting room, given back when it is dropped.
#[derive(Debug)]
pub struct LongPoll {
    room: LongPolls,
    device_id: DeviceId,
    seat: Arc<Slot>,
}

/// Why a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitOutcome {
    /// There may be something: look.
    Woken,
    /// Nothing came, or it is time to go.
    Over,
}

impl LongPolls {
    /// A room with this many places, which is closed by `stop`.
    pub fn new(places_max: usize, stop: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            places: Mutex::default(),
            places_max,
            numbers: AtomicU64::new(0),
            stop,
        }))
    }

    /// A place for a request of this box; `None` when there is none left or the process is stopping.
    pub fn enter(&self, device_id: DeviceId) -> Option<LongPoll> {
        if self.0.stop.is_cancelled() {
            return None;
        }
        let seat = Arc::new(Slot {
            number: self.0.numbers.fetch_add(1, Ordering::Relaxed),
            wake: Notify::new(),
            taken_over: CancellationToken::new(),
        });
        let mut places = self.places();
        if places.len() >= self.0.places_max && !places.contains_key(&device_id) {
            metrics::counter!("long_polls_refused_total").increment(1);
            return None;
        }
        if let Some(older) = places.insert(device_id, Arc::clone(&seat)) {
            older.taken_over.cancel();
        }
        Some(LongPoll {
            room: self.clone(),
            device_id,
            seat,
        })
    }

    /// Wakes this box's request, if one waits.
    pub fn wake(&self, device_id: DeviceId) {
        if let Some(seat) = self.places().get(&device_id) {
            // Kept for a request that has a place and is not waiting yet.
            seat.wake.notify_one();
        }
    }

    /// The boxes that wait.
    pub fn devices(&self) -> Vec<DeviceId> {
        self.places().keys().copied().collect()
    }

    fn places(&self) -> MutexGuard<'_, HashMap<DeviceId, Arc<Slot>>> {
        // What it holds is whole at every moment.
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LongPoll {
    /// Waits until something may be there, until `deadline`, or until it is time to go.
    pub async fn wait(&self, deadline: Instant) -> WaitOutcome {
        let woken = async {
            tokio::select! {
                () = self.seat.wake.notified() => WaitOutcome::Woken,
                () = self.seat.taken_over.cancelled() => WaitOutcome::Over,
                () = self.room.0.stop.cancelled() => WaitOutcome::Over,
            }
        };
        timeout_at(deadline, woken)
            .await
            .unwrap_or(WaitOutcome::Over)
    }
}

impl Drop for LongPoll {
    fn drop(&mut self) {
        let mut places = self.room.places();
        if places
            .get(&self.device_id)
            .is_some_and(|seat| seat.number == self.seat.number)
        {
            places.remove(&self.device_id);
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
        let room = LongPolls::new(2, CancellationToken::new());
        let place = room.enter(device(1)).unwrap();
        room.wake(device(2));
        room.wake(device(1));
        assert_eq!(place.wait(in_a_while()).await, WaitOutcome::Woken);
        assert_eq!(place.wait(in_a_while()).await, WaitOutcome::Over);
    }

    #[tokio::test(start_paused = true)]
    async fn a_newer_request_takes_the_place_of_the_older() {
        let room = LongPolls::new(1, CancellationToken::new());
        let older = room.enter(device(1)).unwrap();
        let newer = room.enter(device(1)).unwrap();
        let start = Instant::now();
        assert_eq!(older.wait(in_a_while()).await, WaitOutcome::Over);
        assert_eq!(start.elapsed(), Duration::ZERO);
        drop(older);
        room.wake(device(1));
        assert_eq!(newer.wait(in_a_while()).await, WaitOutcome::Woken);
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_limited_and_given_back() {
        let room = LongPolls::new(2, CancellationToken::new());
        let first = room.enter(device(1)).unwrap();
        let _second = room.enter(device(2)).unwrap();
        assert!(room.enter(device(3)).is_none());
        drop(first);
        assert!(room.enter(device(3)).is_some());
        assert_eq!(room.devices(), [device(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_lets_everybody_go_and_nobody_in() {
        let stop = CancellationToken::new();
        let room = LongPolls::new(2, stop.clone());
        let place = room.enter(device(1)).unwrap();
        let start = Instant::now();
        stop.cancel();
        assert_eq!(place.wait(in_a_while()).await, WaitOutcome::Over);
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(room.enter(device(2)).is_none());
    }
}
