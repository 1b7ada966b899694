//! Messages to one box: a bounded queue, the window of packets in flight, and the session's subscriptions.
//!
//! ```text
//! router → offer → [queue] → next → [window] → PUBACK
//!                    ↑ full: dropped, the outbox sends again
//! ```
//!
//! State without IO, so that its rules can be tested: packets are sent in the order in which they were offered; never
//! more than the window are unacknowledged; a message whose key is queued or in flight is not taken a second time; after
//! a resume the unacknowledged packets are sent first, in order, each marked DUP with its old packet identifier.
//!
//! | file | contents |
//! |---|---|
//! | `window` | packets in flight, their identifiers, and what is resumed of them |

mod window;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use uuid::Uuid;
use wire::Channel;

use crate::expiry::seconds_until;
use crate::host::{Downlink, ProtocolVersion, Published, Subscription, Undelivered};
use crate::protocol::{Outgoing, Protocol};
use crate::topic_map::TopicMap;

pub(crate) use window::Unacknowledged;
use window::Window;

/// One message on its way to a box.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// The topic as it stands on the wire.
    pub(crate) topic: Bytes,
    pub(crate) channel: Channel,
    pub(crate) payload: Bytes,
    pub(crate) key: Option<Uuid>,
    /// Not sent after this.
    pub(crate) expires_at: Option<Instant>,
    /// Its position among all publishes of this process.
    pub(crate) sequence: u64,
}

/// The outcome of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    Queued,
    /// A message with the same key is queued or in flight.
    Duplicate,
    /// The session did not subscribe to this channel.
    NotSubscribed,
    /// The queue is full.
    Full,
    /// Published before the last withdrawal.
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
pub(crate) struct Transmission {
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

/// The limits of the box's connection, from its CONNECT.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientLimits {
    pub(crate) protocol: Protocol,
    /// The largest packet.
    pub(crate) packet_bytes_max: usize,
    /// Unacknowledged packets.
    pub(crate) window: usize,
}

impl Default for ClientLimits {
    /// No limits, until the CONNECT has been answered.
    fn default() -> Self {
        Self {
            protocol: Protocol(ProtocolVersion::V311),
            packet_bytes_max: usize::MAX,
            window: usize::MAX,
        }
    }
}

/// What to do with a message before it is given to the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Publish it, with this outcome.
    Publish(Published),
    /// Do not publish it: it is queued or in flight already, or cannot be sent.
    Decided(Published),
}

/// The outbound messages of one box.
#[derive(Debug)]
pub(crate) struct Outbound {
    client_limits: ClientLimits,
    /// The topics of a box that does not use those of the contract.
    topics: Option<Arc<TopicMap>>,
    /// The sequences of messages that are inside the router, oldest first.
    expected: VecDeque<u64>,
    /// The box does not read what is written to it.
    blocked: bool,
    subscriptions: Vec<Subscription>,
    queue: VecDeque<Queued>,
    /// The keys of what was sent at quality 0 to a box with a topic map.
    carried: VecDeque<Uuid>,
    window: Window,
    /// Messages with a lower sequence are refused.
    withdrawn_before: u64,
    queue_max: usize,
}

impl Outbound {
    pub(crate) fn new(queue_max: usize) -> Self {
        Self {
            client_limits: ClientLimits::default(),
            topics: None,
            expected: VecDeque::new(),
            blocked: false,
            subscriptions: Vec::new(),
            queue: VecDeque::new(),
            carried: VecDeque::new(),
            window: Window::default(),
            withdrawn_before: 0,
            queue_max,
        }
    }

    pub(crate) fn set_subscriptions(&mut self, subscriptions: Vec<Subscription>) {
        self.subscriptions = subscriptions;
    }

    pub(crate) fn set_client_limits(&mut self, limits: ClientLimits) {
        self.client_limits = limits;
    }

    pub(crate) fn set_topics(&mut self, topics: Option<Arc<TopicMap>>) {
        self.topics = topics;
    }

    /// The topic on which the box is sent a message, if it is not that of the contract.
    fn own_topic(&self, channel: Channel) -> Option<&Bytes> {
        self.topics.as_ref()?.topic_of(channel)
    }

    /// Whether the connection's output is so full that nothing more is taken from the queue.
    pub(crate) fn set_blocked(&mut self, blocked: bool) {
        self.blocked = blocked;
    }

    /// Whether to publish this message, and the outcome.
    pub(crate) fn plan(&self, topic: &[u8], downlink: &Downlink) -> Plan {
        let Some(qos) = self.quality(downlink.channel) else {
            return Plan::Decided(Published::Refused(Undelivered::NotSubscribed));
        };
        let own_topic = self.own_topic(downlink.channel);
        let outgoing = Outgoing {
            topic: own_topic.map_or(topic, |own| own.as_ref()),
            payload: &downlink.payload,
            dup: false,
            packet_id: (qos > 0).then_some(1),
            expires_s: downlink.expires_s,
            user_properties: &[],
        };
        let limits = self.client_limits;
        if limits.protocol.publish_len(&outgoing) > limits.packet_bytes_max {
            return Plan::Decided(Published::Refused(Undelivered::PacketTooLarge));
        }
        if let Some(key) = downlink.key
            && let Some(known) = self.find(key)
        {
            return Plan::Decided(known);
        }
        if self.queue.len() >= self.queue_max {
            return Plan::Decided(Published::Refused(Undelivered::QueueFull));
        }
        let before = self.window.len() + self.queue.len() + self.expected.len();
        let waits = self.blocked || (qos > 0 && before >= limits.window);
        Plan::Publish(if waits {
            Published::Queued
        } else {
            Published::Sent
        })
    }

    /// Notes that a message with this sequence is inside the router.
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

    /// Whether the message with this key is queued or sent. `None`: neither.
    fn find(&self, key: Uuid) -> Option<Published> {
        let mut queued = self.queue.iter().map(|queued| &queued.message);
        if queued.any(|message| message.key == Some(key)) {
            return Some(Published::Queued);
        }
        if self.carried.contains(&key) {
            return Some(Published::Sent);
        }
        self.window.find(key)
    }

    /// Takes over the unacknowledged packets of an earlier connection of the same session.
    pub(crate) fn resume(&mut self, left: Unacknowledged) {
        self.window.resume(left);
    }

    /// Hands over the unacknowledged packets, for a later connection of the same session. The queue is dropped: the
    /// outbox sends its messages again.
    pub(crate) fn detach(&mut self) -> Option<Unacknowledged> {
        self.window.detach()
    }

    /// Takes a message from the router.
    pub(crate) fn offer(&mut self, mut message: Message) -> Offered {
        // The router keeps the order, so what was published before this has arrived or is lost.
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
        if message.key.is_some_and(|key| self.find(key).is_some()) {
            return Offered::Duplicate;
        }
        if self.queue.len() >= self.queue_max {
            return Offered::Full;
        }
        if let Some(own) = self.own_topic(message.channel) {
            message.topic = own.clone();
        }
        self.queue.push_back(Queued { message, qos });
        Offered::Queued
    }

    /// The next packet to write, if the window allows one. Counts in `expired` the messages that were dropped before it.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        window: usize,
        expired: &mut u64,
    ) -> Option<Transmission> {
        if let Some(transmission) = self.window.next_resumed(now, window, expired) {
            return Some(transmission);
        }
        loop {
            let queued = self.queue.front()?;
            if queued.qos > 0 && self.window.len() >= window {
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
            let packet_id = (qos > 0).then(|| self.window.push(message.clone()));
            if qos == 0 {
                self.remember_carried(message.key);
            }
            return Some(Transmission {
                message,
                packet_id,
                dup: false,
                expires_s,
            });
        }
    }

    /// Remembers what was sent at quality 0, so that it is not sent again while this connection stands: other makers' boxes
    /// may announce whatever comes, and no PUBACK says that it came. The contract's boxes recognise a repetition.
    fn remember_carried(&mut self, key: Option<Uuid>) {
        let Some(key) = key.filter(|_| self.topics.is_some()) else {
            return;
        };
        if self.carried.len() >= self.queue_max {
            self.carried.pop_front();
        }
        self.carried.push_back(key);
    }

    /// The key of the message in flight with this packet identifier.
    pub(crate) fn key_of(&self, packet_id: u16) -> Option<Uuid> {
        self.window.key_of(packet_id)
    }

    /// Removes an acknowledged packet from the window. `false`: it was not in flight.
    pub(crate) fn acknowledged(&mut self, packet_id: u16) -> bool {
        self.window.acknowledged(packet_id)
    }

    /// Drops the queue, and whatever was published before `sequence` and is still inside the router. What has been sent
    /// cannot be called back, but is not sent again.
    pub(crate) fn withdraw(&mut self, sequence: u64) {
        self.withdrawn_before = sequence;
        self.expected = VecDeque::new();
        self.queue = VecDeque::new();
        self.window.withdraw();
    }
}

#[cfg(test)]
mod tests;
