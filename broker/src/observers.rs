//! The services that observe the fleet: their connections, their subscriptions and their queues.
//!
//! ```text
//! a box's message, when it is durable ─┐
//! a downlink ──────────────────────────┴▶ router ─▶ offer ─▶ [queue of each observer that subscribed to it]
//! ```
//!
//! An observer gets copies at quality 0: a full queue drops further copies and counts them, and no message of the fleet
//! waits for an observer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use wire::{Channel, DeviceId};

use crate::connection_control::ConnectionControl;
use crate::fleet_filter::FleetFilter;
use crate::host::EndReason;
use crate::lock::lock;
use crate::protocol::UserProperties;

/// A copy of a message.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    pub(crate) device_id: DeviceId,
    pub(crate) channel: Channel,
    /// As it stands on the wire.
    pub(crate) topic: Bytes,
    pub(crate) payload: Bytes,
    pub(crate) expires_at: Option<Instant>,
    pub(crate) user_properties: UserProperties,
}

/// The memory of a queued copy beside its topic, payload and properties.
const OBSERVED_BYTES: usize = 128;

impl Observed {
    fn bytes(&self) -> usize {
        let user = |(name, value): &(String, String)| name.len() + value.len();
        let user = self.user_properties.iter().map(user).sum::<usize>();
        OBSERVED_BYTES + self.topic.len() + self.payload.len() + user
    }
}

/// All observers.
#[derive(Debug)]
pub(crate) struct Observers {
    handles: Mutex<Vec<Arc<ObserverHandle>>>,
    /// Those that have been admitted.
    live: AtomicUsize,
    /// How many client ids have been assigned.
    assigned_ids: AtomicU64,
    closed: AtomicBool,
    observers_max: usize,
    queue_bytes_max: usize,
}

/// One observer's connection, as the other tasks reach it: how to end it, its subscriptions and its queue.
#[derive(Debug)]
pub(crate) struct ObserverHandle {
    name: String,
    client_id: String,
    certificate_serial: String,
    pub(crate) control: ConnectionControl,
    state: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    filters: Vec<FleetFilter>,
    queue: VecDeque<Observed>,
    bytes: usize,
}

impl Observers {
    pub(crate) fn new(observers_max: usize, queue_bytes_max: usize) -> Self {
        Self {
            handles: Mutex::default(),
            live: AtomicUsize::new(0),
            assigned_ids: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            observers_max,
            queue_bytes_max,
        }
    }

    /// Whether there is an observer: copies are made only then.
    pub(crate) fn any(&self) -> bool {
        self.live.load(Ordering::Relaxed) > 0
    }

    /// Assigns a client id to an observer that sent none.
    pub(crate) fn assign_client_id(&self, name: &str) -> String {
        let number = self.assigned_ids.fetch_add(1, Ordering::Relaxed);
        format!("{name}/{number}")
    }

    /// Registers an observer, which can be kicked from now on. One with the same name and client id is not affected.
    /// `None`: the limit of observers is reached.
    pub(crate) fn register(
        self: &Arc<Self>,
        name: &str,
        client_id: &str,
        certificate_serial: &str,
    ) -> Option<ObserverRegistration> {
        let handle = Arc::new(ObserverHandle {
            name: name.to_owned(),
            client_id: client_id.to_owned(),
            certificate_serial: certificate_serial.to_owned(),
            control: ConnectionControl::default(),
            state: Mutex::default(),
        });
        let mut handles = lock(&self.handles);
        let others = handles
            .iter()
            .filter(|other| other.control.kicked().is_none() && !other.is_same_client(&handle));
        if others.count() >= self.observers_max {
            return None;
        }
        handles.push(Arc::clone(&handle));
        drop(handles);
        // `close` sets the flag and then kicks every observer it finds: this one is kicked here or there.
        if self.closed.load(Ordering::SeqCst) {
            handle.control.kick(EndReason::ShuttingDown);
        }
        Some(ObserverRegistration {
            observers: Arc::clone(self),
            handle,
            live: AtomicBool::new(false),
        })
    }

    /// Ends every observer, and every one that registers later.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.kick(EndReason::ShuttingDown, |_| true);
    }

    /// Ends those that use one of these certificates, because they were revoked.
    pub(crate) fn kick_certificates(&self, certificate_serials: &[String]) {
        self.kick(EndReason::Revoked, |handle| {
            certificate_serials.contains(&handle.certificate_serial)
        });
    }

    fn kick(&self, reason: EndReason, is_affected: impl Fn(&ObserverHandle) -> bool) {
        for handle in lock(&self.handles)
            .iter()
            .filter(|handle| is_affected(handle))
        {
            handle.control.kick(reason);
        }
    }

    /// The certificates of the connected observers.
    pub(crate) fn certificate_serials(&self) -> Vec<String> {
        let handles = lock(&self.handles);
        handles
            .iter()
            .map(|handle| handle.certificate_serial.clone())
            .collect()
    }

    /// Queues a copy for every observer that subscribed to it.
    pub(crate) fn offer(&self, copy: &Observed) {
        for handle in lock(&self.handles).iter() {
            let mut waiting = lock(&handle.state);
            let filters = &waiting.filters;
            if !filters
                .iter()
                .any(|filter| filter.matches(copy.device_id, copy.channel))
            {
                continue;
            }
            let bytes = copy.bytes();
            if waiting.bytes + bytes > self.queue_bytes_max {
                drop(waiting);
                count("queue_full", 1);
                continue;
            }
            waiting.bytes += bytes;
            waiting.queue.push_back(copy.clone());
            drop(waiting);
            handle.control.wake();
        }
    }
}

impl ObserverHandle {
    /// The name in its certificate.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn certificate_serial(&self) -> &str {
        &self.certificate_serial
    }

    fn is_same_client(&self, other: &Self) -> bool {
        self.name == other.name && self.client_id == other.client_id
    }

    /// Replaces its subscriptions. Copies that are already queued stay.
    pub(crate) fn set_filters(&self, filters: Vec<FleetFilter>) {
        lock(&self.state).filters = filters;
    }

    /// The next copy to write.
    pub(crate) fn next(&self) -> Option<Observed> {
        let mut waiting = lock(&self.state);
        let copy = waiting.queue.pop_front()?;
        waiting.bytes -= copy.bytes();
        if waiting.queue.is_empty() {
            waiting.queue = VecDeque::new();
        }
        Some(copy)
    }
}

/// An observer's entry. Dropping it removes the entry.
#[derive(Debug)]
pub(crate) struct ObserverRegistration {
    observers: Arc<Observers>,
    handle: Arc<ObserverHandle>,
    live: AtomicBool,
}

impl ObserverRegistration {
    pub(crate) fn handle(&self) -> &Arc<ObserverHandle> {
        &self.handle
    }

    /// Ends the older connections with the same name and client id.
    pub(crate) fn kick_older(&self) {
        for older in lock(&self.observers.handles)
            .iter()
            .take_while(|handle| !Arc::ptr_eq(handle, &self.handle))
            .filter(|older| older.is_same_client(&self.handle))
        {
            older.control.kick(EndReason::TakenOver);
        }
    }

    /// Notes that it has been admitted: copies are made from now on.
    pub(crate) fn go_live(&self) {
        if !self.live.swap(true, Ordering::AcqRel) {
            self.observers.live.fetch_add(1, Ordering::Relaxed);
            metrics::gauge!("mqtt_observers_live").increment(1);
        }
    }
}

impl Drop for ObserverRegistration {
    fn drop(&mut self) {
        if *self.live.get_mut() {
            self.observers.live.fetch_sub(1, Ordering::Relaxed);
            metrics::gauge!("mqtt_observers_live").decrement(1);
        }
        lock(&self.observers.handles).retain(|handle| !Arc::ptr_eq(handle, &self.handle));
    }
}

/// Counts copies for observers by outcome.
pub(crate) fn count(outcome: &'static str, count: u64) {
    metrics::counter!("mqtt_observer_messages_total", "outcome" => outcome).increment(count);
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;
    use wire::Topic;

    fn copy(bits: u128, channel: Channel, payload_len: usize) -> Observed {
        let device_id = DeviceId::from_uuid(Uuid::from_u128(bits));
        Observed {
            device_id,
            channel,
            topic: Topic::new(device_id, channel).to_string().into(),
            payload: vec![b'x'; payload_len].into(),
            expires_at: None,
            user_properties: Vec::new(),
        }
    }

    fn observers(queue_bytes_max: usize) -> Arc<Observers> {
        Arc::new(Observers::new(2, queue_bytes_max))
    }

    fn filters(texts: &[&str]) -> Vec<FleetFilter> {
        texts
            .iter()
            .map(|text| FleetFilter::parse(text).unwrap())
            .collect()
    }

    #[test]
    fn each_observer_gets_what_it_subscribed_to_and_once() {
        let observers = observers(100_000);
        let one = observers.register("analytics", "a", "1").unwrap();
        let two = observers.register("analytics", "b", "1").unwrap();
        one.handle()
            .set_filters(filters(&["devices/+/uplink/#", "devices/+/uplink/status"]));
        observers.offer(&copy(1, Channel::Status, 1));
        observers.offer(&copy(1, Channel::Time, 1));
        assert_eq!(one.handle().next().unwrap().channel, Channel::Status);
        assert!(one.handle().next().is_none());
        assert!(two.handle().next().is_none(), "it has no subscription");
    }

    #[test]
    fn a_full_queue_drops_copies_until_it_is_read() {
        let observers = observers(1_000);
        let registration = observers.register("analytics", "a", "1").unwrap();
        registration
            .handle()
            .set_filters(filters(&["devices/+/uplink/#"]));
        for _ in 0..10 {
            observers.offer(&copy(1, Channel::Status, 300));
        }
        assert_eq!(lock(&registration.handle().state).queue.len(), 2);
        while registration.handle().next().is_some() {}
        assert_eq!(lock(&registration.handle().state).bytes, 0);
        observers.offer(&copy(1, Channel::Status, 300));
        assert!(registration.handle().next().is_some());
    }

    #[test]
    fn the_same_client_takes_over_and_observers_over_the_limit_are_refused() {
        let observers = observers(1_000);
        let first = observers.register("analytics", "a", "1").unwrap();
        let second = observers.register("analytics", "a", "2").unwrap();
        assert_eq!(first.handle().control.kicked(), None);
        first.kick_older();
        second.kick_older();
        assert_eq!(second.handle().control.kicked(), None);
        assert_eq!(first.handle().control.kicked(), Some(EndReason::TakenOver));
        let _third = observers.register("other", "a", "3").unwrap();
        assert!(observers.register("other", "b", "3").is_none());
        observers.kick_certificates(&["2".to_owned()]);
        assert_eq!(second.handle().control.kicked(), Some(EndReason::Revoked));
        drop((first, second));
        assert_eq!(observers.certificate_serials(), ["3"]);
        observers.close();
        let late = observers.register("late", "a", "4").unwrap();
        assert_eq!(
            late.handle().control.kicked(),
            Some(EndReason::ShuttingDown)
        );
    }

    #[test]
    fn copies_are_made_only_while_there_is_an_observer() {
        let observers = observers(1_000);
        let registration = observers.register("analytics", "a", "1").unwrap();
        assert!(!observers.any());
        registration.go_live();
        assert!(observers.any());
        drop(registration);
        assert!(!observers.any());
    }
}
