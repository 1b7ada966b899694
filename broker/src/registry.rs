//! The connections of devices, from before their admission until their session has ended.
//!
//! A connection gets a [`Registration`] as soon as its CONNECT matches its certificate. From then on it can be kicked,
//! so a revocation also ends a connection that is still being admitted. When the host lets the newer one connect, it
//! kicks the older connections of the same device, and the device's *admission lock* (a fair one) makes it wait until they
//! have ended: at most one connection of a device in this process is between `admit` and `ended`. Another process may
//! still hold an older one, which only the epoch tells apart.
//!
//! The registry also keeps unacknowledged packets of ended sessions for a while, for a box that reconnects to this
//! process.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::OwnedMutexGuard;
use wire::DeviceId;

use crate::connection_control::ConnectionControl;
use crate::detached::Detached;
use crate::downlink::{Message, Offered, Outbound, Unacknowledged};
use crate::host::EndReason;
use crate::lock::lock;

const SHARDS: usize = 64;

/// One connection, as the other tasks reach it: how to end it, and its outbound messages.
#[derive(Debug)]
pub(crate) struct ConnectionHandle {
    number: u64,
    certificate_serial: String,
    pub(crate) control: ConnectionControl,
    live: AtomicBool,
    /// The epoch of its session; 0 before it is live.
    epoch: AtomicI64,
    outbound: Mutex<Outbound>,
}

impl ConnectionHandle {
    pub(crate) fn outbound(&self) -> MutexGuard<'_, Outbound> {
        lock(&self.outbound)
    }

    fn is_live(&self) -> bool {
        self.live.load(Ordering::Acquire)
    }
}

/// All connections of one device, oldest first. More than one only while a newer one waits for an older one to end.
#[derive(Debug, Default)]
struct DeviceConnections {
    admission_lock: Arc<tokio::sync::Mutex<()>>,
    handles: Vec<Arc<ConnectionHandle>>,
}

impl DeviceConnections {
    fn older_than(
        &self,
        handle: &ConnectionHandle,
    ) -> impl Iterator<Item = &Arc<ConnectionHandle>> {
        let number = handle.number;
        self.handles
            .iter()
            .take_while(move |older| older.number != number)
    }
}

/// All connections of devices.
#[derive(Debug)]
pub(crate) struct Registry {
    shards: Vec<Mutex<HashMap<DeviceId, DeviceConnections>>>,
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

    fn shard(&self, device: DeviceId) -> MutexGuard<'_, HashMap<DeviceId, DeviceConnections>> {
        let hash = self.hasher.hash_one(device) as usize;
        lock(&self.shards[hash % SHARDS])
    }

    /// Registers a connection of this device. Those it already has are not affected.
    pub(crate) fn register(
        self: &Arc<Self>,
        device: DeviceId,
        certificate_serial: &str,
    ) -> Registration {
        let handle = Arc::new(ConnectionHandle {
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            certificate_serial: certificate_serial.to_owned(),
            control: ConnectionControl::default(),
            live: AtomicBool::new(false),
            epoch: AtomicI64::new(0),
            outbound: Mutex::new(Outbound::new(self.queue_max)),
        });
        let admission_lock = {
            let mut shard = self.shard(device);
            let connections = shard.entry(device).or_default();
            connections.handles.push(Arc::clone(&handle));
            Arc::clone(&connections.admission_lock)
        };
        // `close` sets the flag and then kicks every connection it finds: this one is kicked here or there.
        if self.closed.load(Ordering::SeqCst) {
            handle.control.kick(EndReason::ShuttingDown);
        }
        Registration {
            registry: Arc::clone(self),
            device,
            handle,
            admission_lock,
            admission_guard: None,
        }
    }

    /// Ends every connection, and every one that registers later.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.kick_all(EndReason::ShuttingDown);
    }

    pub(crate) fn kick(&self, device: DeviceId, reason: EndReason) {
        if let Some(connections) = self.shard(device).get(&device) {
            for handle in &connections.handles {
                handle.control.kick(reason);
            }
        }
    }

    /// Ends the device's live connection if its session is older than the one with this epoch, which another process has.
    pub(crate) fn kick_older_than(&self, device: DeviceId, epoch: i64) {
        if let Some(handle) = self.live_handle(device)
            && handle.epoch.load(Ordering::Acquire) < epoch
        {
            handle.control.kick(EndReason::TakenOver);
        }
    }

    /// Ends every connection of a device that there is now.
    pub(crate) fn kick_all(&self, reason: EndReason) {
        for shard in &self.shards {
            for connections in lock(shard).values() {
                for handle in &connections.handles {
                    handle.control.kick(reason);
                }
            }
        }
    }

    /// The live connections.
    pub(crate) fn live_handles(&self) -> Vec<Arc<ConnectionHandle>> {
        let mut handles = Vec::with_capacity(self.live());
        for shard in &self.shards {
            let shard = lock(shard);
            let all = shard.values().flat_map(|connections| &connections.handles);
            handles.extend(all.filter(|handle| handle.is_live()).cloned());
        }
        handles
    }

    /// Kicks the device's connections that use one of these certificates, because they were revoked or replaced.
    pub(crate) fn kick_certificates(&self, device: DeviceId, certificate_serials: &[String]) {
        if let Some(connections) = self.shard(device).get(&device) {
            for handle in &connections.handles {
                if certificate_serials.contains(&handle.certificate_serial) {
                    handle.control.kick(EndReason::Revoked);
                }
            }
        }
    }

    pub(crate) fn live_handle(&self, device: DeviceId) -> Option<Arc<ConnectionHandle>> {
        let shard = self.shard(device);
        let handles = &shard.get(&device)?.handles;
        handles.iter().find(|handle| handle.is_live()).cloned()
    }

    pub(crate) fn is_live(&self, device: DeviceId) -> bool {
        self.live_handle(device).is_some()
    }

    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Offers a message to the device's live session. `None`: it has none.
    pub(crate) fn offer(&self, device: DeviceId, message: Message) -> Option<Offered> {
        let handle = self.live_handle(device)?;
        let offered = handle.outbound().offer(message);
        if offered == Offered::Queued {
            handle.control.wake();
        }
        Some(offered)
    }

    /// Drops the device's queued messages, also those published before `sequence` that are still inside the router.
    pub(crate) fn withdraw(&self, device: DeviceId, sequence: u64) {
        // A connection may move packets between `detached` and its handle meanwhile, in either direction. So `detached` is
        // cleared, then the handles, then `detached` again.
        self.forget(device);
        let handles = self
            .shard(device)
            .get(&device)
            .map(|connections| connections.handles.clone());
        for handle in handles.into_iter().flatten() {
            handle.outbound().withdraw(sequence);
        }
        self.forget(device);
    }

    /// Keeps the unacknowledged packets of an ended session. The caller holds its handle's lock.
    pub(crate) fn detach(&self, device: DeviceId, epoch: i64, left: Unacknowledged, now: Instant) {
        lock(&self.detached).put(device, epoch, left, now);
    }

    /// The unacknowledged packets of the device's last session in this process, if that session has the epoch before
    /// `epoch`. The caller holds its handle's lock.
    pub(crate) fn reattach(
        &self,
        device: DeviceId,
        epoch: i64,
        now: Instant,
    ) -> Option<Unacknowledged> {
        lock(&self.detached).take(device, epoch, now)
    }

    /// Drops the unacknowledged packets of the device's last session.
    pub(crate) fn forget(&self, device: DeviceId) {
        lock(&self.detached).forget(device);
    }
}

/// A connection's place in the registry. Dropping it removes the connection and then releases the admission lock.
#[derive(Debug)]
pub(crate) struct Registration {
    registry: Arc<Registry>,
    device: DeviceId,
    handle: Arc<ConnectionHandle>,
    admission_lock: Arc<tokio::sync::Mutex<()>>,
    admission_guard: Option<OwnedMutexGuard<()>>,
}

impl Registration {
    pub(crate) fn handle(&self) -> &Arc<ConnectionHandle> {
        &self.handle
    }

    /// Whether the device has an older connection that is not being ended.
    pub(crate) fn has_older(&self) -> bool {
        let shard = self.registry.shard(self.device);
        shard.get(&self.device).is_some_and(|connections| {
            connections
                .older_than(&self.handle)
                .any(|older| older.control.kicked().is_none())
        })
    }

    /// Ends the device's older connections.
    pub(crate) fn kick_older(&self) {
        if let Some(connections) = self.registry.shard(self.device).get(&self.device) {
            for older in connections.older_than(&self.handle) {
                older.control.kick(EndReason::TakenOver);
            }
        }
    }

    /// Waits until every older connection of the device has ended.
    pub(crate) async fn wait_for_older(&mut self) {
        self.admission_guard = Some(Arc::clone(&self.admission_lock).lock_owned().await);
    }

    /// Routes the device's messages to this connection from now on, whose session has this epoch.
    pub(crate) fn go_live(&self, epoch: i64) {
        self.handle.epoch.store(epoch, Ordering::Release);
        if !self.handle.live.swap(true, Ordering::AcqRel) {
            self.registry.live.fetch_add(1, Ordering::Relaxed);
            metrics::gauge!("mqtt_sessions_live").increment(1);
        }
    }

    /// Routes no more messages to this connection.
    pub(crate) fn go_offline(&self) {
        if self.handle.live.swap(false, Ordering::AcqRel) {
            self.registry.live.fetch_sub(1, Ordering::Relaxed);
            metrics::gauge!("mqtt_sessions_live").decrement(1);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.go_offline();
        let mut shard = self.registry.shard(self.device);
        if let Some(connections) = shard.get_mut(&self.device) {
            connections
                .handles
                .retain(|handle| handle.number != self.handle.number);
            if connections.handles.is_empty() {
                shard.remove(&self.device);
            }
        }
    }
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
    async fn a_newer_connection_kicks_the_older_one_and_waits_until_it_has_ended() {
        let registry = registry(8);
        let mut first = registry.register(device(1), "1");
        first.wait_for_older().await;
        first.go_live(1);
        assert!(!first.has_older());
        let mut second = registry.register(device(1), "1");
        assert!(second.has_older());
        assert_eq!(first.handle().control.kicked(), None);
        second.kick_older();
        assert_eq!(first.handle().control.kicked(), Some(EndReason::TakenOver));
        assert!(!second.has_older(), "it is being ended");
        assert!(second.wait_for_older().now_or_never().is_none());
        drop(first);
        second.wait_for_older().await;
        assert_eq!(second.handle().control.kicked(), None);
        assert!(!registry.is_live(device(1)));
        second.go_live(2);
        assert!(registry.is_live(device(1)));
        assert_eq!(registry.live(), 1);
    }

    #[tokio::test]
    async fn a_third_waits_for_the_first_although_the_second_gave_up() {
        let registry = registry(8);
        let mut first = registry.register(device(1), "1");
        first.wait_for_older().await;
        let second = registry.register(device(1), "1");
        let mut third = registry.register(device(1), "1");
        second.kick_older();
        assert_eq!(third.handle().control.kicked(), None, "it is newer");
        third.kick_older();
        assert_eq!(second.handle().control.kicked(), Some(EndReason::TakenOver));
        drop(second);
        assert!(third.wait_for_older().now_or_never().is_none());
        drop(first);
        third.wait_for_older().await;
    }

    #[test]
    fn a_newer_session_elsewhere_ends_older_ones_only() {
        let registry = registry(8);
        let registration = registry.register(device(1), "1");
        registry.kick_older_than(device(1), 9);
        registration.go_live(5);
        registry.kick_older_than(device(1), 5);
        assert_eq!(registration.handle().control.kicked(), None);
        registry.kick_older_than(device(1), 6);
        assert_eq!(
            registration.handle().control.kicked(),
            Some(EndReason::TakenOver)
        );
    }

    #[test]
    fn a_kick_finds_a_connection_that_is_not_yet_live() {
        let registry = registry(8);
        let registration = registry.register(device(1), "1");
        registry.kick_certificates(device(1), &["1".to_owned()]);
        registry.kick(device(1), EndReason::Administrative);
        assert_eq!(
            registration.handle().control.until_kicked().now_or_never(),
            Some(EndReason::Revoked)
        );
    }

    #[test]
    fn a_revocation_ends_what_uses_a_revoked_certificate_and_nothing_else() {
        let registry = registry(8);
        let revoked = ["older".to_owned(), "old".to_owned()];
        let older = registry.register(device(1), "old");
        registry.kick_certificates(device(1), &revoked);
        assert_eq!(older.handle().control.kicked(), Some(EndReason::Revoked));
        let newer = registry.register(device(1), "new");
        registry.kick_certificates(device(1), &revoked);
        assert_eq!(newer.handle().control.kicked(), None);
    }

    #[test]
    fn a_connection_after_the_closing_is_kicked_at_once() {
        let registry = registry(8);
        let before = registry.register(device(1), "1");
        registry.close();
        let after = registry.register(device(2), "2");
        for registration in [before, after] {
            assert_eq!(
                registration.handle().control.kicked(),
                Some(EndReason::ShuttingDown)
            );
        }
    }

    #[test]
    fn a_dropped_registration_leaves_nothing_behind() {
        let registry = registry(8);
        let registration = registry.register(device(1), "1");
        registration.go_live(1);
        assert_eq!(
            registry.offer(device(1), message(1)),
            Some(Offered::NotSubscribed)
        );
        drop(registration);
        assert_eq!(registry.offer(device(1), message(2)), None);
        assert_eq!(registry.live(), 0);
        assert!(registry.shard(device(1)).is_empty());
    }

    #[test]
    fn detached_packets_are_reattached_only_by_the_next_session() {
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
        let registration = registry.register(device(1), "1");
        registration.handle().outbound().resume(unacknowledged(2));
        registry.withdraw(device(1), 9);
        assert!(registration.handle().outbound().detach().is_none());
    }

    #[test]
    fn the_oldest_detached_packets_are_dropped_first() {
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
