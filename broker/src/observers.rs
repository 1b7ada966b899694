//! The services that watch the fleet: who they are, what they asked for, and what waits for them.
//!
//! ```text
//! a box's message, when it is durable ─┐
//! a downlink ──────────────────────────┴▶ router ─▶ offer ─▶ [queue of each observer that asked for it]
//! ```
//!
//! An observer gets copies, at quality 0 and without promises: a queue that is full drops what comes, and counts it.
//! Nothing that the fleet does ever waits for an observer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use wire::{Channel, DeviceId};

use crate::fleet_filter::FleetFilter;
use crate::host::EndReason;
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

/// What a queued copy costs beside its bytes.
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
    lines: Mutex<Vec<Arc<ObserverLine>>>,
    /// Those that have been admitted.
    watching: AtomicUsize,
    /// How many have come without a client id.
    nameless: AtomicU64,
    closed: AtomicBool,
    observers_max: usize,
    queue_bytes_max: usize,
}

/// Our end of one observer's connection.
#[derive(Debug)]
pub(crate) struct ObserverLine {
    name: String,
    client_id: String,
    certificate_serial: String,
    kicked: OnceLock<EndReason>,
    wake: Notify,
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
            lines: Mutex::default(),
            watching: AtomicUsize::new(0),
            nameless: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            observers_max,
            queue_bytes_max,
        }
    }

    /// Whether anybody watches: copies are made only then.
    pub(crate) fn any(&self) -> bool {
        self.watching.load(Ordering::Relaxed) > 0
    }

    /// A client id for an observer that has none.
    pub(crate) fn name_for(&self, name: &str) -> String {
        let number = self.nameless.fetch_add(1, Ordering::Relaxed);
        format!("{name}/{number}")
    }

    /// Registers an observer, which can be kicked from now on, and kicks the one that has the same name and client id.
    /// `None`: there are too many.
    pub(crate) fn join(
        self: &Arc<Self>,
        name: &str,
        client_id: &str,
        certificate_serial: &str,
    ) -> Option<ObserverSeat> {
        let line = Arc::new(ObserverLine {
            name: name.to_owned(),
            client_id: client_id.to_owned(),
            certificate_serial: certificate_serial.to_owned(),
            kicked: OnceLock::new(),
            wake: Notify::new(),
            state: Mutex::default(),
        });
        let mut lines = lock(&self.lines);
        let mut others = 0;
        for older in lines.iter().filter(|older| older.kicked().is_none()) {
            if older.name == name && older.client_id == client_id {
                older.kick(EndReason::TakenOver);
            } else {
                others += 1;
            }
        }
        if others >= self.observers_max {
            return None;
        }
        lines.push(Arc::clone(&line));
        drop(lines);
        // `close` sets the flag first and then kicks everyone it finds, so one of the two sees this line.
        if self.closed.load(Ordering::SeqCst) {
            line.kick(EndReason::ShuttingDown);
        }
        Some(ObserverSeat {
            observers: Arc::clone(self),
            line,
            watching: AtomicBool::new(false),
        })
    }

    /// Ends every observer, and every one that is still to come.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.kick(EndReason::ShuttingDown, |_| true);
    }

    /// Ends those that use one of these certificates.
    pub(crate) fn revoke(&self, certificate_serials: &[String]) {
        self.kick(EndReason::Revoked, |line| {
            certificate_serials.contains(&line.certificate_serial)
        });
    }

    fn kick(&self, reason: EndReason, whom: impl Fn(&ObserverLine) -> bool) {
        for line in lock(&self.lines).iter().filter(|line| whom(line)) {
            line.kick(reason);
        }
    }

    /// The certificates of those that are here.
    pub(crate) fn certificate_serials(&self) -> Vec<String> {
        let lines = lock(&self.lines);
        lines
            .iter()
            .map(|line| line.certificate_serial.clone())
            .collect()
    }

    /// Puts a copy before everyone who asked for it.
    pub(crate) fn offer(&self, copy: &Observed) {
        for line in lock(&self.lines).iter() {
            let mut waiting = lock(&line.state);
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
            line.wake.notify_one();
        }
    }
}

impl ObserverLine {
    fn kick(&self, reason: EndReason) {
        let _ = self.kicked.set(reason);
        self.wake.notify_one();
    }

    pub(crate) fn kicked(&self) -> Option<EndReason> {
        self.kicked.get().copied()
    }

    /// Resolves when there is something to look at: a kick or a copy. One waiter at a time.
    pub(crate) fn notified(&self) -> Notified<'_> {
        self.wake.notified()
    }

    /// Resolves when the observer has been kicked.
    pub(crate) async fn until_kicked(&self) -> EndReason {
        loop {
            if let Some(reason) = self.kicked() {
                return reason;
            }
            self.notified().await;
        }
    }

    /// The name in its certificate.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn certificate_serial(&self) -> &str {
        &self.certificate_serial
    }

    /// Its subscriptions. The queue keeps what passed the ones before.
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

/// An observer's place. Dropping it gives up the place.
#[derive(Debug)]
pub(crate) struct ObserverSeat {
    observers: Arc<Observers>,
    line: Arc<ObserverLine>,
    watching: AtomicBool,
}

impl ObserverSeat {
    pub(crate) fn line(&self) -> &Arc<ObserverLine> {
        &self.line
    }

    /// It has been admitted: copies are made from now on.
    pub(crate) fn watch(&self) {
        if !self.watching.swap(true, Ordering::AcqRel) {
            self.observers.watching.fetch_add(1, Ordering::Relaxed);
            metrics::gauge!("mqtt_observers_live").increment(1);
        }
    }
}

impl Drop for ObserverSeat {
    fn drop(&mut self) {
        if *self.watching.get_mut() {
            self.observers.watching.fetch_sub(1, Ordering::Relaxed);
            metrics::gauge!("mqtt_observers_live").decrement(1);
        }
        lock(&self.observers.lines).retain(|line| !Arc::ptr_eq(line, &self.line));
    }
}

/// Counts what became of copies for observers.
pub(crate) fn count(outcome: &'static str, count: u64) {
    metrics::counter!("mqtt_observer_messages_total", "outcome" => outcome).increment(count);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn each_gets_what_it_asked_for_and_once() {
        let observers = observers(100_000);
        let one = observers.join("analytics", "a", "1").unwrap();
        let two = observers.join("analytics", "b", "1").unwrap();
        one.line()
            .set_filters(filters(&["devices/+/uplink/#", "devices/+/uplink/status"]));
        observers.offer(&copy(1, Channel::Status, 1));
        observers.offer(&copy(1, Channel::Time, 1));
        assert_eq!(one.line().next().unwrap().channel, Channel::Status);
        assert!(one.line().next().is_none());
        assert!(two.line().next().is_none(), "nothing was asked for");
    }

    #[test]
    fn a_queue_that_is_full_drops_and_has_room_again_when_it_is_read() {
        let observers = observers(1_000);
        let seat = observers.join("analytics", "a", "1").unwrap();
        seat.line().set_filters(filters(&["devices/+/uplink/#"]));
        for _ in 0..10 {
            observers.offer(&copy(1, Channel::Status, 300));
        }
        assert_eq!(lock(&seat.line().state).queue.len(), 2);
        while seat.line().next().is_some() {}
        assert_eq!(lock(&seat.line().state).bytes, 0);
        observers.offer(&copy(1, Channel::Status, 300));
        assert!(seat.line().next().is_some());
    }

    #[test]
    fn the_same_client_takes_over_and_too_many_are_refused() {
        let observers = observers(1_000);
        let first = observers.join("analytics", "a", "1").unwrap();
        let second = observers.join("analytics", "a", "2").unwrap();
        assert_eq!(first.line().kicked(), Some(EndReason::TakenOver));
        let _third = observers.join("other", "a", "3").unwrap();
        assert!(observers.join("other", "b", "3").is_none());
        observers.revoke(&["2".to_owned()]);
        assert_eq!(second.line().kicked(), Some(EndReason::Revoked));
        drop((first, second));
        assert_eq!(observers.certificate_serials(), ["3"]);
        observers.close();
        let late = observers.join("late", "a", "4").unwrap();
        assert_eq!(late.line().kicked(), Some(EndReason::ShuttingDown));
    }

    #[test]
    fn copies_are_made_only_while_somebody_watches() {
        let observers = observers(1_000);
        let seat = observers.join("analytics", "a", "1").unwrap();
        assert!(!observers.any());
        seat.watch();
        assert!(observers.any());
        drop(seat);
        assert!(!observers.any());
    }
}
