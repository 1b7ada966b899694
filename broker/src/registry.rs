//! Who is connected: one entry per device, from before its registry check until its session has been ended.
//!
//! A connection takes a [`Seat`] as soon as it has said who it is. From then on it can be kicked, so that a revocation
//! finds it whether it is still being admitted or long live. Taking a seat kicks whoever holds one for the same
//! device, and the device's *turn* (a lock handed on in order of arrival) makes the newcomer wait until the older
//! connection has been ended altogether: at most one connection of a device is between `admit` and `ended`.
//!
//! The registry also keeps, for a while, what a session left unacknowledged, for its box's return to this process.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, OwnedMutexGuard};
use wire::DeviceId;

use crate::detached::Detached;
use crate::downlink::{Message, Offered, Outbound, Unacknowledged};
use crate::host::EndReason;

const SHARDS: usize = 64;

/// The platform's end of one connection: how to end it, and what waits for its box.
#[derive(Debug)]
pub(crate) struct Line {
    number: u64,
    certificate_serial: String,
    kicked: OnceLock<EndReason>,
    live: AtomicBool,
    wake: Notify,
    outbound: Mutex<Outbound>,
}

impl Line {
    /// Ends the connection. The first reason counts.
    pub(crate) fn kick(&self, reason: EndReason) {
        let _ = self.kicked.set(reason);
        self.wake.notify_one();
    }

    pub(crate) fn kicked(&self) -> Option<EndReason> {
        self.kicked.get().copied()
    }

    /// Resolves when there is something to look at: a kick or a message. One waiter at a time.
    pub(crate) fn notified(&self) -> Notified<'_> {
        self.wake.notified()
    }

    /// Resolves when the connection has been kicked.
    pub(crate) async fn until_kicked(&self) -> EndReason {
        loop {
            if let Some(reason) = self.kicked() {
                return reason;
            }
            self.notified().await;
        }
    }

    pub(crate) fn outbound(&self) -> MutexGuard<'_, Outbound> {
        lock(&self.outbound)
    }

    fn is_live(&self) -> bool {
        self.live.load(Ordering::Acquire)
    }
}

/// All connections of one device, oldest first. More than one only while a newer waits for an older to end.
#[derive(Debug, Default)]
struct Entry {
    turn: Arc<tokio::sync::Mutex<()>>,
    lines: Vec<Arc<Line>>,
}

/// Who is connected.
#[derive(Debug)]
pub(crate) struct Registry {
    shards: Vec<Mutex<HashMap<DeviceId, Entry>>>,
    hasher: RandomState,
    live: AtomicUsize,
    numbers: AtomicU64,
    closed: AtomicBool,
    queue_max: usize,
    detached: Mutex<Detached>,
}

impl Registry {
    pub(crate) fn new(queue_max: usize, detached_max: usize, detached_for: Duration) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            live: AtomicUsize::new(0),
            numbers: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            queue_max,
            detached: Mutex::new(Detached::new(detached_max, detached_for)),
        }
    }

    fn shard(&self, device: DeviceId) -> MutexGuard<'_, HashMap<DeviceId, Entry>> {
        let hash = self.hasher.hash_one(device) as usize;
        lock(&self.shards[hash % SHARDS])
    }

    /// Registers a connection of this device and kicks those it already has.
    pub(crate) fn take_seat(self: &Arc<Self>, device: DeviceId, certificate_serial: &str) -> Seat {
        let line = Arc::new(Line {
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            certificate_serial: certificate_serial.to_owned(),
            kicked: OnceLock::new(),
            live: AtomicBool::new(false),
            wake: Notify::new(),
            outbound: Mutex::new(Outbound::new(self.queue_max)),
        });
        let turn = {
            let mut shard = self.shard(device);
            let entry = shard.entry(device).or_default();
            for older in &entry.lines {
                older.kick(EndReason::TakenOver);
            }
            entry.lines.push(Arc::clone(&line));
            Arc::clone(&entry.turn)
        };
        // `close` sets the flag first and then kicks everyone it finds, so one of the two sees this line.
        if self.closed.load(Ordering::SeqCst) {
            line.kick(EndReason::ShuttingDown);
        }
        Seat {
            registry: Arc::clone(self),
            device,
            line,
            turn,
            held: None,
        }
    }

    /// Ends every connection, and every one that is still to come.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for shard in &self.shards {
            for entry in lock(shard).values() {
                for line in &entry.lines {
                    line.kick(EndReason::ShuttingDown);
                }
            }
        }
    }

    pub(crate) fn kick(&self, device: DeviceId, reason: EndReason) {
        if let Some(entry) = self.shard(device).get(&device) {
            for line in &entry.lines {
                line.kick(reason);
            }
        }
    }

    /// Kicks the device's connections that use one of these certificates.
    pub(crate) fn revoke(&self, device: DeviceId, certificate_serials: &[String]) {
        if let Some(entry) = self.shard(device).get(&device) {
            for line in &entry.lines {
                if certificate_serials.contains(&line.certificate_serial) {
                    line.kick(EndReason::Revoked);
                }
            }
        }
    }

    pub(crate) fn live_line(&self, device: DeviceId) -> Option<Arc<Line>> {
        let shard = self.shard(device);
        let lines = &shard.get(&device)?.lines;
        lines.iter().find(|line| line.is_live()).cloned()
    }

    pub(crate) fn is_live(&self, device: DeviceId) -> bool {
        self.live_line(device).is_some()
    }

    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Puts a message before the device's live session. `None`: it has none.
    pub(crate) fn offer(&self, device: DeviceId, message: Message) -> Option<Offered> {
        let line = self.live_line(device)?;
        let offered = line.outbound().offer(message);
        if offered == Offered::Queued {
            line.wake.notify_one();
        }
        Some(offered)
    }

    /// Drops what waits for the device, also what was published before `sequence` and has yet to arrive here.
    pub(crate) fn withdraw(&self, device: DeviceId, sequence: u64) {
        // Twice, around the lines: a connection moves what was left into its line, and out of it again at its end,
        // while it holds the line's lock. Whichever way it is moving now, one of these three finds it.
        self.forget(device);
        let lines = self
            .shard(device)
            .get(&device)
            .map(|entry| entry.lines.clone());
        for line in lines.into_iter().flatten() {
            line.outbound().withdraw(sequence);
        }
        self.forget(device);
    }

    /// Keeps what a session left unacknowledged. The caller holds its line's lock.
    pub(crate) fn detach(&self, device: DeviceId, epoch: i64, left: Unacknowledged, now: Instant) {
        lock(&self.detached).put(device, epoch, left, now);
    }

    /// What the device's last session of this process left, if that was the session just before `epoch`. The caller
    /// holds its line's lock.
    pub(crate) fn reattach(
        &self,
        device: DeviceId,
        epoch: i64,
        now: Instant,
    ) -> Option<Unacknowledged> {
        lock(&self.detached).take(device, epoch, now)
    }

    /// Forgets what the device's last session left.
    pub(crate) fn forget(&self, device: DeviceId) {
        lock(&self.detached).forget(device);
    }
}

/// A connection's place in the registry. Dropping it gives up the place, and then the turn.
#[derive(Debug)]
pub(crate) struct Seat {
    registry: Arc<Registry>,
    device: DeviceId,
    line: Arc<Line>,
    turn: Arc<tokio::sync::Mutex<()>>,
    held: Option<OwnedMutexGuard<()>>,
}

impl Seat {
    pub(crate) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// Waits until every older connection of the device is over.
    pub(crate) async fn wait_for_turn(&mut self) {
        self.held = Some(Arc::clone(&self.turn).lock_owned().await);
    }

    /// From now on messages for the device come to this connection.
    pub(crate) fn go_live(&self) {
        if !self.line.live.swap(true, Ordering::AcqRel) {
            self.registry.live.fetch_add(1, Ordering::Relaxed);
            metrics::gauge!("mqtt_sessions_live").increment(1);
        }
    }

    /// No more messages come to this connection.
    pub(crate) fn leave(&self) {
        if self.line.live.swap(false, Ordering::AcqRel) {
            self.registry.live.fetch_sub(1, Ordering::Relaxed);
            metrics::gauge!("mqtt_sessions_live").decrement(1);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
        let mut shard = self.registry.shard(self.device);
        if let Some(entry) = shard.get_mut(&self.device) {
            entry.lines.retain(|line| line.number != self.line.number);
            if entry.lines.is_empty() {
                shard.remove(&self.device);
            }
        }
    }
}

/// A panic elsewhere must not take the registry along: its state is consistent between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures_util::FutureExt as _;
    use uuid::Uuid;
    use wire::{Channel, DownlinkFilter};

    use crate::host::Subscription;

    fn device(bits: u128) -> DeviceId {
        DeviceId::from_uuid(Uuid::from_u128(bits))
    }

    fn registry(detached_max: usize) -> Arc<Registry> {
        Arc::new(Registry::new(8, detached_max, Duration::from_secs(60)))
    }

    fn message(sequence: u64) -> Message {
        Message {
            topic: Bytes::from_static(b"t"),
            channel: Channel::Command,
            payload: Bytes::new(),
            key: None,
            expires_at: None,
            sequence,
        }
    }

    fn unacknowledged(count: u64) -> Unacknowledged {
        let mut outbound = Outbound::new(100);
        outbound.set_subscriptions(vec![Subscription {
            filter: DownlinkFilter::All,
            qos: 1,
        }]);
        for sequence in 0..count {
            outbound.offer(message(sequence));
            outbound.next(Instant::now(), 100, &mut 0);
        }
        outbound.detach().unwrap()
    }

    #[tokio::test]
    async fn a_newcomer_kicks_the_older_connection_and_waits_until_it_is_over() {
        let registry = registry(8);
        let mut first = registry.take_seat(device(1), "1");
        first.wait_for_turn().await;
        first.go_live();
        let mut second = registry.take_seat(device(1), "1");
        assert_eq!(first.line().kicked(), Some(EndReason::TakenOver));
        assert!(second.wait_for_turn().now_or_never().is_none());
        drop(first);
        second.wait_for_turn().await;
        assert_eq!(second.line().kicked(), None);
        assert!(!registry.is_live(device(1)));
        second.go_live();
        assert!(registry.is_live(device(1)));
        assert_eq!(registry.live(), 1);
    }

    #[tokio::test]
    async fn a_third_waits_for_the_first_although_the_second_gave_up() {
        let registry = registry(8);
        let mut first = registry.take_seat(device(1), "1");
        first.wait_for_turn().await;
        let second = registry.take_seat(device(1), "1");
        let mut third = registry.take_seat(device(1), "1");
        assert_eq!(second.line().kicked(), Some(EndReason::TakenOver));
        drop(second);
        assert!(third.wait_for_turn().now_or_never().is_none());
        drop(first);
        third.wait_for_turn().await;
    }

    #[test]
    fn a_kick_finds_a_connection_that_is_not_yet_live() {
        let registry = registry(8);
        let seat = registry.take_seat(device(1), "1");
        registry.revoke(device(1), &["1".to_owned()]);
        registry.kick(device(1), EndReason::Administrative);
        assert_eq!(
            seat.line().until_kicked().now_or_never(),
            Some(EndReason::Revoked)
        );
    }

    #[test]
    fn a_revocation_ends_what_uses_a_revoked_certificate_and_nothing_else() {
        let registry = registry(8);
        let revoked = ["older".to_owned(), "old".to_owned()];
        let older = registry.take_seat(device(1), "old");
        registry.revoke(device(1), &revoked);
        assert_eq!(older.line().kicked(), Some(EndReason::Revoked));
        let newer = registry.take_seat(device(1), "new");
        registry.revoke(device(1), &revoked);
        assert_eq!(newer.line().kicked(), None);
    }

    #[test]
    fn whoever_comes_after_the_closing_is_kicked_at_once() {
        let registry = registry(8);
        let before = registry.take_seat(device(1), "1");
        registry.close();
        let after = registry.take_seat(device(2), "2");
        for seat in [before, after] {
            assert_eq!(seat.line().kicked(), Some(EndReason::ShuttingDown));
        }
    }

    #[test]
    fn a_seat_that_is_given_up_leaves_nothing_behind() {
        let registry = registry(8);
        let seat = registry.take_seat(device(1), "1");
        seat.go_live();
        assert_eq!(
            registry.offer(device(1), message(1)),
            Some(Offered::NotSubscribed)
        );
        drop(seat);
        assert_eq!(registry.offer(device(1), message(2)), None);
        assert_eq!(registry.live(), 0);
        assert!(registry.shard(device(1)).is_empty());
    }

    #[test]
    fn what_was_left_comes_back_only_to_the_next_session() {
        let registry = registry(8);
        let now = Instant::now();
        let leave = |epoch| registry.detach(device(1), epoch, unacknowledged(2), now);
        leave(5);
        assert_eq!(
            registry.reattach(device(1), 6, now).map(|u| u.len()),
            Some(2)
        );
        assert!(registry.reattach(device(1), 6, now).is_none(), "only once");
        leave(5);
        assert!(
            registry.reattach(device(1), 7, now).is_none(),
            "another node had it since"
        );
        leave(5);
        let later = now + Duration::from_secs(61);
        assert!(registry.reattach(device(1), 6, later).is_none(), "too old");
        leave(5);
        registry.withdraw(device(1), 9);
        assert!(registry.reattach(device(1), 6, now).is_none(), "withdrawn");
    }

    #[test]
    fn a_withdrawal_reaches_a_connection_that_is_not_live_yet() {
        let registry = registry(8);
        let seat = registry.take_seat(device(1), "1");
        seat.line().outbound().resume(unacknowledged(2));
        registry.withdraw(device(1), 9);
        assert!(seat.line().outbound().detach().is_none());
    }

    #[test]
    fn the_oldest_leftovers_go_first() {
        let registry = registry(5);
        let now = Instant::now();
        for bits in 1..=3 {
            let since = now + Duration::from_millis(bits as u64);
            registry.detach(device(bits), 1, unacknowledged(2), since);
        }
        assert!(registry.reattach(device(1), 2, now).is_none());
        assert!(registry.reattach(device(2), 2, now).is_some());
        assert!(registry.reattach(device(3), 2, now).is_some());
        assert!(lock(&registry.detached).is_empty());
    }
}
