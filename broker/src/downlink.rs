//! What waits for one box: a bounded queue, the window of packets under way, and its subscriptions.
//!
//! ```text
//! router → offer → [queue] → next → [in flight] → PUBACK
//!                    ↑ full: dropped, the outbox sends again
//! ```
//!
//! Pure state without IO, so that its rules can be tested: packets leave in the order in which they were offered;
//! never more than the window are unacknowledged; a key that waits or is under way is not taken a second time; after
//! a resume the unacknowledged packets leave again first, in order, each marked DUP with its old packet identifier.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use uuid::Uuid;
use wire::Channel;

use crate::host::{Downlink, ProtocolVersion, Published, Subscription, Undelivered};
use crate::protocol::{Outgoing, Protocol};

/// One message on its way to a box.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// The topic as it stands on the wire.
    pub(crate) topic: Bytes,
    pub(crate) channel: Channel,
    pub(crate) payload: Bytes,
    pub(crate) key: Option<Uuid>,
    /// Of no use after this.
    pub(crate) expires_at: Option<Instant>,
    /// Its place among all publishes of this process.
    pub(crate) sequence: u64,
}

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    Queued,
    /// The same key waits or is under way already.
    Duplicate,
    /// The session did not subscribe to this channel.
    NotSubscribed,
    /// The queue is full.
    Full,
    /// Published before the queue was last dropped.
    Withdrawn,
}

impl Offered {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Duplicate => "duplicate",
            Self::NotSubscribed => "not_subscribed",
            Self::Full => "queue_full",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// A packet to be written now.
#[derive(Debug, Clone)]
pub(crate) struct Departure {
    pub(crate) message: Message,
    /// `None`: quality of service 0.
    pub(crate) packet_id: Option<u16>,
    pub(crate) dup: bool,
    /// Whole seconds until it expires.
    pub(crate) expires_s: Option<u32>,
}

#[derive(Debug)]
struct Queued {
    message: Message,
    qos: u8,
}

#[derive(Debug)]
struct InFlight {
    packet_id: u16,
    /// `None`: withdrawn; the identifier stays taken until the box acknowledges it.
    message: Option<Message>,
    /// Written on this connection. What was not is a resumed packet that still has to leave.
    written: bool,
}

/// The unacknowledged packets of a session whose connection is over.
#[derive(Debug)]
pub(crate) struct Unacknowledged {
    packets: VecDeque<InFlight>,
    last_packet_id: u16,
}

impl Unacknowledged {
    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }
}

/// What a box said in its CONNECT of what it takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Takes {
    pub(crate) protocol: Protocol,
    /// The largest packet.
    pub(crate) packet_bytes_max: usize,
    /// Packets that may be under way to it.
    pub(crate) window: usize,
}

impl Default for Takes {
    /// Until its CONNECT has been answered.
    fn default() -> Self {
        Self {
            protocol: Protocol(ProtocolVersion::V311),
            packet_bytes_max: usize::MAX,
            window: usize::MAX,
        }
    }
}

/// What is to be done with a message before it is given to the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Publish it; this becomes of it.
    Publish(Published),
    /// It waits or is under way already, or can go nowhere.
    Known(Published),
}

/// What waits for one box.
#[derive(Debug)]
pub(crate) struct Outbound {
    takes: Takes,
    /// The sequences of messages that are inside the router, oldest first.
    expected: VecDeque<u64>,
    /// The box does not read what is written to it.
    blocked: bool,
    subscriptions: Vec<Subscription>,
    queue: VecDeque<Queued>,
    in_flight: VecDeque<InFlight>,
    last_packet_id: u16,
    /// Messages with a lower sequence are not taken any more.
    withdrawn_before: u64,
    queue_max: usize,
}

impl Outbound {
    pub(crate) fn new(queue_max: usize) -> Self {
        Self {
            takes: Takes::default(),
            expected: VecDeque::new(),
            blocked: false,
            subscriptions: Vec::new(),
            queue: VecDeque::new(),
            in_flight: VecDeque::new(),
            last_packet_id: 0,
            withdrawn_before: 0,
            queue_max,
        }
    }

    pub(crate) fn set_subscriptions(&mut self, subscriptions: Vec<Subscription>) {
        self.subscriptions = subscriptions;
    }

    pub(crate) fn set_takes(&mut self, takes: Takes) {
        self.takes = takes;
    }

    /// Whether so much waits to be written that no more is taken from the queue.
    pub(crate) fn set_blocked(&mut self, blocked: bool) {
        self.blocked = blocked;
    }

    /// What becomes of this message, if it is published now.
    pub(crate) fn plan(&self, topic: &[u8], downlink: &Downlink) -> Plan {
        let Some(qos) = self.quality(downlink.channel) else {
            return Plan::Known(Published::Refused(Undelivered::NotSubscribed));
        };
        let outgoing = Outgoing {
            topic,
            payload: &downlink.payload,
            dup: false,
            packet_id: (qos > 0).then_some(1),
            expires_s: downlink.expires_s,
            user_properties: &[],
        };
        if self.takes.protocol.publish_len(&outgoing) > self.takes.packet_bytes_max {
            return Plan::Known(Published::Refused(Undelivered::PacketTooLarge));
        }
        if let Some(key) = downlink.key
            && let Some(known) = self.known(key)
        {
            return Plan::Known(known);
        }
        if self.queue.len() >= self.queue_max {
            return Plan::Known(Published::Refused(Undelivered::QueueFull));
        }
        let before = self.in_flight.len() + self.queue.len() + self.expected.len();
        let waits = self.blocked || (qos > 0 && before >= self.takes.window);
        Plan::Publish(if waits {
            Published::Queued
        } else {
            Published::Sent
        })
    }

    /// A message with this sequence is inside the router.
    pub(crate) fn expect(&mut self, sequence: u64) {
        self.expected.push_back(sequence);
        if self.expected.len() > self.queue_max {
            self.expected.pop_front();
        }
    }

    /// The quality of service at which the box has subscribed to a channel.
    fn quality(&self, channel: Channel) -> Option<u8> {
        self.subscriptions
            .iter()
            .filter(|subscription| subscription.filter.matches(channel))
            .map(|subscription| subscription.qos)
            .max()
    }

    /// Where the message with this key is.
    fn known(&self, key: Uuid) -> Option<Published> {
        let is = |message: &Message| message.key == Some(key);
        if self.queue.iter().any(|queued| is(&queued.message)) {
            return Some(Published::Queued);
        }
        let packet = self
            .in_flight
            .iter()
            .find(|packet| packet.message.as_ref().is_some_and(is))?;
        Some(if packet.written {
            Published::Sent
        } else {
            Published::Queued
        })
    }

    /// Takes up what an earlier connection of the same session left.
    pub(crate) fn resume(&mut self, left: Unacknowledged) {
        debug_assert!(self.in_flight.is_empty());
        self.in_flight = left.packets;
        self.last_packet_id = left.last_packet_id;
    }

    /// Gives up what is unacknowledged, for a later connection of the same session. The queue goes: the outbox knows
    /// what was in it.
    pub(crate) fn detach(&mut self) -> Option<Unacknowledged> {
        let mut packets = std::mem::take(&mut self.in_flight);
        packets.retain(|packet| packet.message.is_some());
        for packet in &mut packets {
            packet.written = false;
        }
        packets.shrink_to_fit();
        (!packets.is_empty()).then_some(Unacknowledged {
            packets,
            last_packet_id: self.last_packet_id,
        })
    }

    /// Takes a message that the router delivered.
    pub(crate) fn offer(&mut self, message: Message) -> Offered {
        // The router keeps the order, so that what was published before this has arrived or is lost.
        while self
            .expected
            .front()
            .is_some_and(|expected| *expected <= message.sequence)
        {
            self.expected.pop_front();
        }
        if self.expected.is_empty() {
            self.expected = VecDeque::new();
        }
        if message.sequence < self.withdrawn_before {
            return Offered::Withdrawn;
        }
        let Some(qos) = self.quality(message.channel) else {
            return Offered::NotSubscribed;
        };
        if message.key.is_some_and(|key| self.known(key).is_some()) {
            return Offered::Duplicate;
        }
        if self.queue.len() >= self.queue_max {
            return Offered::Full;
        }
        self.queue.push_back(Queued { message, qos });
        Offered::Queued
    }

    /// The next packet to write, if the window has room for it. `expired` counts what was dropped on the way.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        window: usize,
        expired: &mut u64,
    ) -> Option<Departure> {
        if let Some(departure) = self.next_resumed(now, window, expired) {
            return Some(departure);
        }
        loop {
            let queued = self.queue.front()?;
            if queued.qos > 0 && self.in_flight.len() >= window {
                return None;
            }
            let Queued { message, qos } = self.queue.pop_front()?;
            if self.queue.is_empty() {
                // An idle session holds no buffers.
                self.queue = VecDeque::new();
            }
            let Ok(expires_s) = seconds_until(message.expires_at, now) else {
                *expired += 1;
                continue;
            };
            let packet_id = (qos > 0).then(|| self.depart(message.clone()));
            return Some(Departure {
                message,
                packet_id,
                dup: false,
                expires_s,
            });
        }
    }

    /// Packets of an earlier connection, in their order.
    fn next_resumed(
        &mut self,
        now: Instant,
        window: usize,
        expired: &mut u64,
    ) -> Option<Departure> {
        loop {
            let index = self.in_flight.iter().position(|packet| !packet.written)?;
            // Resumed packets precede all others, so this is also the number that is under way.
            if index >= window {
                return None;
            }
            let packet = &mut self.in_flight[index];
            let Some((message, expires_s)) = packet.message.as_ref().and_then(|message| {
                let left = seconds_until(message.expires_at, now).ok()?;
                Some((message.clone(), left))
            }) else {
                *expired += 1;
                self.in_flight.remove(index);
                continue;
            };
            packet.written = true;
            return Some(Departure {
                message,
                packet_id: Some(packet.packet_id),
                dup: true,
                expires_s,
            });
        }
    }

    fn depart(&mut self, message: Message) -> u16 {
        let packet_id = self.free_packet_id();
        self.in_flight.push_back(InFlight {
            packet_id,
            message: Some(message),
            written: true,
        });
        packet_id
    }

    /// The next identifier that is not under way. The window is far smaller than the 65,535 there are.
    fn free_packet_id(&mut self) -> u16 {
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            let id = self.last_packet_id;
            if self.in_flight.iter().all(|packet| packet.packet_id != id) {
                return id;
            }
        }
    }

    /// The box has acknowledged a packet. `false`: it was not under way.
    pub(crate) fn acknowledged(&mut self, packet_id: u16) -> bool {
        let Some(index) = self
            .in_flight
            .iter()
            .position(|packet| packet.packet_id == packet_id && packet.written)
        else {
            return false;
        };
        self.in_flight.remove(index);
        if self.in_flight.is_empty() {
            self.in_flight = VecDeque::new();
        }
        true
    }

    /// Drops all that waits, and whatever else was published before `sequence` and is still inside the router. What
    /// the box has been sent already cannot be called back, but it is not sent again either.
    pub(crate) fn withdraw(&mut self, sequence: u64) {
        self.withdrawn_before = sequence;
        self.expected = VecDeque::new();
        self.queue = VecDeque::new();
        self.in_flight.retain(|packet| packet.written);
        for packet in &mut self.in_flight {
            packet.message = None;
        }
    }
}

/// Whole seconds until then, at least one; `Err` when it has come.
pub(crate) fn seconds_until(
    expires_at: Option<Instant>,
    now: Instant,
) -> Result<Option<u32>, Expired> {
    let Some(expires_at) = expires_at else {
        return Ok(None);
    };
    let left = expires_at.checked_duration_since(now).ok_or(Expired)?;
    if left.is_zero() {
        return Err(Expired);
    }
    let seconds = left.as_millis().div_ceil(1_000);
    Ok(Some(u32::try_from(seconds).unwrap_or(u32::MAX)))
}

/// It is of no use any more.
#[derive(Debug)]
pub(crate) struct Expired;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::time::Duration;
    use wire::DownlinkFilter;

    const WINDOW: usize = 4;
    const QUEUE_MAX: usize = 8;

    fn outbound(qos: u8) -> Outbound {
        let mut outbound = Outbound::new(QUEUE_MAX);
        outbound.set_subscriptions(vec![Subscription {
            filter: DownlinkFilter::All,
            qos,
        }]);
        outbound
    }

    fn message(sequence: u64) -> Message {
        Message {
            topic: Bytes::from_static(b"t"),
            channel: Channel::PaymentSuccess,
            payload: Bytes::from(sequence.to_string()),
            key: Some(Uuid::from_u128(u128::from(sequence))),
            expires_at: None,
            sequence,
        }
    }

    fn next(outbound: &mut Outbound) -> Option<Departure> {
        outbound.next(Instant::now(), WINDOW, &mut 0)
    }

    fn drain(outbound: &mut Outbound) -> Vec<(u64, Option<u16>, bool)> {
        std::iter::from_fn(|| next(outbound))
            .map(|d| (d.message.sequence, d.packet_id, d.dup))
            .collect()
    }

    #[test]
    fn the_window_holds_back_what_exceeds_it_and_an_acknowledgement_frees_it() {
        let mut outbound = outbound(1);
        for sequence in 1..=6 {
            assert_eq!(outbound.offer(message(sequence)), Offered::Queued);
        }
        assert_eq!(
            drain(&mut outbound),
            [
                (1, Some(1), false),
                (2, Some(2), false),
                (3, Some(3), false),
                (4, Some(4), false)
            ]
        );
        assert!(!outbound.acknowledged(9));
        assert!(outbound.acknowledged(2));
        assert!(!outbound.acknowledged(2));
        assert_eq!(drain(&mut outbound), [(5, Some(5), false)]);
    }

    #[test]
    fn quality_0_needs_no_window() {
        let mut outbound = outbound(0);
        for sequence in 1..=6 {
            outbound.offer(message(sequence));
        }
        assert_eq!(drain(&mut outbound).len(), 6);
        assert!(outbound.detach().is_none());
    }

    #[test]
    fn a_full_queue_drops_the_newest() {
        let mut outbound = outbound(1);
        for sequence in 1..=QUEUE_MAX as u64 {
            assert_eq!(outbound.offer(message(sequence)), Offered::Queued);
        }
        assert_eq!(outbound.offer(message(99)), Offered::Full);
    }

    #[test]
    fn a_key_that_waits_or_is_under_way_is_not_taken_again() {
        let mut outbound = outbound(1);
        assert_eq!(outbound.offer(message(1)), Offered::Queued);
        assert_eq!(outbound.offer(message(1)), Offered::Duplicate);
        let id = next(&mut outbound).unwrap().packet_id.unwrap();
        assert_eq!(outbound.offer(message(1)), Offered::Duplicate);
        outbound.acknowledged(id);
        assert_eq!(outbound.offer(message(1)), Offered::Queued);
    }

    #[test]
    fn only_what_was_subscribed_to_is_taken() {
        let mut outbound = Outbound::new(QUEUE_MAX);
        assert_eq!(outbound.offer(message(1)), Offered::NotSubscribed);
        outbound.set_subscriptions(vec![Subscription {
            filter: DownlinkFilter::Exact(Channel::Time),
            qos: 1,
        }]);
        assert_eq!(outbound.offer(message(1)), Offered::NotSubscribed);
    }

    #[test]
    fn what_was_unacknowledged_leaves_first_after_a_resume_marked_dup_with_its_old_id() {
        let mut before = outbound(1);
        for sequence in 1..=3 {
            before.offer(message(sequence));
        }
        drain(&mut before);
        before.acknowledged(2);
        let left = before.detach().unwrap();
        assert_eq!(left.len(), 2);

        let mut after = outbound(1);
        after.resume(left);
        assert_eq!(after.offer(message(1)), Offered::Duplicate);
        assert_eq!(after.offer(message(4)), Offered::Queued);
        assert!(!after.acknowledged(1), "not sent on this connection yet");
        assert_eq!(
            drain(&mut after),
            [(1, Some(1), true), (3, Some(3), true), (4, Some(4), false)]
        );
    }

    #[test]
    fn a_resumed_window_may_be_smaller_than_what_was_under_way() {
        let mut before = outbound(1);
        for sequence in 1..=4 {
            before.offer(message(sequence));
        }
        drain(&mut before);
        let mut after = outbound(1);
        after.resume(before.detach().unwrap());
        let mut small = || after.next(Instant::now(), 2, &mut 0).map(|d| d.packet_id);
        assert_eq!(
            [small(), small(), small()],
            [Some(Some(1)), Some(Some(2)), None]
        );
    }

    #[test]
    fn what_expired_is_not_sent() {
        let now = Instant::now();
        let mut outbound = outbound(1);
        let expiring = |sequence, ms| Message {
            expires_at: Some(now + Duration::from_millis(ms)),
            ..message(sequence)
        };
        outbound.offer(expiring(1, 500));
        outbound.offer(expiring(2, 2_500));
        let mut expired = 0;
        let departure = outbound
            .next(now + Duration::from_secs(1), WINDOW, &mut expired)
            .unwrap();
        assert_eq!(
            (departure.message.sequence, departure.expires_s),
            (2, Some(2))
        );
        assert_eq!(expired, 1);
    }

    #[test]
    fn a_withdrawal_empties_the_queue_and_stops_what_is_still_inside_the_router() {
        let mut outbound = outbound(1);
        outbound.offer(message(1));
        let id = next(&mut outbound).unwrap().packet_id.unwrap();
        outbound.offer(message(2));
        outbound.withdraw(10);
        assert!(next(&mut outbound).is_none());
        assert_eq!(outbound.offer(message(9)), Offered::Withdrawn);
        assert_eq!(outbound.offer(message(10)), Offered::Queued);
        assert_ne!(next(&mut outbound).unwrap().packet_id, Some(id));
        assert!(
            outbound.acknowledged(id),
            "the box may still acknowledge it"
        );
        let left = outbound.detach().unwrap();
        assert_eq!(left.len(), 1, "only the one after the withdrawal");
    }

    #[test]
    fn a_withdrawn_packet_is_not_sent_again_after_a_resume() {
        let mut outbound = outbound(1);
        outbound.offer(message(1));
        next(&mut outbound);
        outbound.withdraw(2);
        assert!(outbound.detach().is_none());
    }

    #[test]
    fn packet_identifiers_wrap_around_zero_and_what_is_taken() {
        let mut outbound = outbound(1);
        outbound.last_packet_id = u16::MAX - 1;
        outbound.offer(message(1));
        outbound.offer(message(2));
        assert_eq!(
            drain(&mut outbound),
            [(1, Some(u16::MAX), false), (2, Some(1), false)]
        );
        outbound.last_packet_id = u16::MAX - 1;
        outbound.offer(message(3));
        assert_eq!(drain(&mut outbound), [(3, Some(2), false)]);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Offer(u64),
        Send,
        Acknowledge(usize),
        Reconnect,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_u64..40).prop_map(Step::Offer),
            4 => Just(Step::Send),
            3 => (0_usize..4).prop_map(Step::Acknowledge),
            1 => Just(Step::Reconnect),
        ]
    }

    proptest! {
        #[test]
        fn the_window_order_and_identifiers_hold_in_every_history(steps in prop::collection::vec(step(), 0..200)) {
            let mut outbound = outbound(1);
            let mut under_way: Vec<u16> = Vec::new();
            let mut first_sent: Vec<u64> = Vec::new();
            let mut offered: Vec<u64> = Vec::new();
            let mut sequence = 0;
            for step in steps {
                match step {
                    Step::Offer(key) => {
                        sequence += 1;
                        let key = Some(Uuid::from_u128(u128::from(key)));
                        if outbound.offer(Message { key, ..message(sequence) }) == Offered::Queued {
                            offered.push(sequence);
                        }
                    }
                    Step::Send => {
                        if let Some(departure) = next(&mut outbound) {
                            let id = departure.packet_id.unwrap();
                            prop_assert!(!under_way.contains(&id));
                            under_way.push(id);
                            if departure.dup {
                                prop_assert!(first_sent.contains(&departure.message.sequence));
                            } else {
                                first_sent.push(departure.message.sequence);
                            }
                        }
                        prop_assert!(under_way.len() <= WINDOW);
                    }
                    Step::Acknowledge(index) => {
                        if index < under_way.len() {
                            prop_assert!(outbound.acknowledged(under_way.remove(index)));
                        }
                    }
                    Step::Reconnect => {
                        let queued: HashSet<u64> = outbound.queue.iter().map(|q| q.message.sequence).collect();
                        offered.retain(|sequence| !queued.contains(sequence));
                        let left = outbound.detach();
                        let subscriptions = outbound.subscriptions.clone();
                        outbound = Outbound::new(QUEUE_MAX);
                        outbound.set_subscriptions(subscriptions);
                        if let Some(left) = left {
                            outbound.resume(left);
                        }
                        under_way.clear();
                    }
                }
            }
            prop_assert!(first_sent.is_sorted(), "sent in the order in which they were offered");
            prop_assert_eq!(&offered[..first_sent.len()], &first_sent[..], "each once, none skipped");
        }
    }
}
