//! An admitted box: the loop between its packets, the platform's answers and what waits for it.
//!
//! One task, one loop. Each turn looks at everything that can have happened (a kick or a message, answers of the
//! platform, bytes), acts on all of it, and then writes what came of it in one go:
//!
//! ```text
//!  box ── PUBLISH ──▶ host.uplink ─ durable ─▶ PUBACK          up to 64 at a time, acknowledged in order of arrival
//!  box ── SUBSCRIBE ▶ host.subscriptions_changed ─▶ SUBACK     one at a time
//!  box ── PINGREQ ──▶ PINGRESP                                 at once, whatever else is waiting
//!  box ◀─ PUBLISH ─── window ◀── queue ◀── router              up to 16 unacknowledged
//! ```
//!
//! Back-pressure is an acknowledgement that is not sent yet. The reader never waits: a box with more messages under way
//! than it may have is ended. Payment acknowledgements are counted apart, so that a backlog of heartbeats never costs
//! one, and every call to the host starts when its message arrives, so none waits behind another. Only a SUBSCRIBE is
//! waited for by what follows it: the platform's answer to that must find the subscription in force.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::futures::Notified;
use tokio::sync::watch;
use wire::Channel;

use crate::authorize::{Action, Permit, authorize};
use crate::frame::{Frame, FrameError};
use crate::host::{
    EndReason, Host, ProtocolVersion, SessionKey, Subscription, Unavailable, Uplink,
};
use crate::limits::Limits;
use crate::protocol::{Outgoing, Packet, Protocol, Publish, Violation, goodbye_code};
use crate::registry::Line;
use crate::transport::{Event, Transport};
use certs::identity::Subject;

/// Downlinks are taken from the queue while less than this waits to be written.
const OUTPUT_FILL_BYTES: usize = 16 * 1024;

/// Why a session ended, and what is left to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) reason: EndReason,
    /// The v5 reason code to say goodbye with, if anything is said.
    pub(crate) code: Option<u8>,
    /// The box said goodbye and wants no will published.
    pub(crate) without_will: bool,
    /// The box changed how long its session is to be kept.
    pub(crate) session_expiry_s: Option<u32>,
}

impl From<EndReason> for Ending {
    fn from(reason: EndReason) -> Self {
        Self {
            reason,
            code: goodbye_code(reason),
            without_will: false,
            session_expiry_s: None,
        }
    }
}

impl From<Violation> for Ending {
    fn from(violation: Violation) -> Self {
        Self {
            code: Some(violation.code),
            ..EndReason::ProtocolError.into()
        }
    }
}

impl From<FrameError> for Ending {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::TooLarge(_) => EndReason::PacketTooLarge.into(),
            FrameError::WrongType => EndReason::ProtocolError.into(),
            FrameError::WrongFlags | FrameError::MalformedLength => Self {
                code: Some(0x81),
                ..EndReason::ProtocolError.into()
            },
        }
    }
}

impl From<Unavailable> for Ending {
    fn from(_: Unavailable) -> Self {
        EndReason::Unavailable.into()
    }
}

/// What a session is made with.
pub(crate) struct Opening<H, S> {
    pub(crate) host: Arc<H>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) protocol: Protocol,
    pub(crate) key: SessionKey,
    pub(crate) line: Arc<Line>,
    pub(crate) transport: Transport<S>,
    /// The session is to outlive its connection.
    pub(crate) persistent: bool,
    /// Packets that may be under way to the box.
    pub(crate) window: usize,
    /// The largest packet that the box takes.
    pub(crate) packet_bytes_max: usize,
    /// What it is subscribed to already.
    pub(crate) subscriptions: Vec<Subscription>,
}

pub(crate) struct Session<H, S> {
    host: Arc<H>,
    limits: Arc<Limits>,
    protocol: Protocol,
    key: SessionKey,
    line: Arc<Line>,
    pub(crate) transport: Transport<S>,
    persistent: bool,
    window: usize,
    packet_bytes_max: usize,
    /// Messages that the platform is taking, in the order in which they arrived.
    uplinks: FuturesOrdered<BoxFuture<'static, Settled>>,
    ordinary_under_way: usize,
    payment_acks_under_way: usize,
    /// The subscriptions as they will be when all changes are done.
    intended: Vec<Subscription>,
    changes: VecDeque<Change>,
    changing: Option<BoxFuture<'static, Result<(), Unavailable>>>,
    /// Dropped when no change is left, for the messages that arrived behind one.
    applying: Option<watch::Sender<()>>,
}

/// What became of a message of the box.
#[derive(Debug, Clone, Copy)]
struct Settled {
    channel: Option<Channel>,
    /// 0: nothing to acknowledge.
    packet_id: u16,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Durable,
    Unavailable,
    /// v5 says so in the PUBACK, which keeps its place among the others.
    NotAuthorized,
}

/// A SUBSCRIBE or UNSUBSCRIBE that waits for its answer.
#[derive(Debug)]
struct Change {
    answer: Answer,
    /// The set of subscriptions after it; `None` if it changes nothing.
    subscriptions: Option<Vec<Subscription>>,
}

#[derive(Debug)]
enum Answer {
    Subscribed {
        packet_id: u16,
        granted: Vec<Option<u8>>,
    },
    Unsubscribed {
        packet_id: u16,
        existed: Vec<bool>,
    },
}

/// All that happened since the last turn.
#[derive(Default)]
struct Turn {
    woken: bool,
    settled: Vec<Settled>,
    changed: Option<Result<(), Unavailable>>,
    event: Option<Event>,
}

impl Turn {
    fn is_empty(&self) -> bool {
        !self.woken && self.settled.is_empty() && self.changed.is_none() && self.event.is_none()
    }
}

impl<H: Host, S: AsyncRead + AsyncWrite + Unpin> Session<H, S> {
    pub(crate) fn new(opening: Opening<H, S>) -> Self {
        Self {
            host: opening.host,
            limits: opening.limits,
            protocol: opening.protocol,
            key: opening.key,
            line: opening.line,
            transport: opening.transport,
            persistent: opening.persistent,
            window: opening.window,
            packet_bytes_max: opening.packet_bytes_max,
            uplinks: FuturesOrdered::new(),
            ordinary_under_way: 0,
            payment_acks_under_way: 0,
            intended: opening.subscriptions,
            changes: VecDeque::new(),
            changing: None,
            applying: None,
        }
    }

    /// Serves the box until the session ends.
    pub(crate) async fn run(&mut self) -> Ending {
        let line = Arc::clone(&self.line);
        let mut woken = std::pin::pin!(line.notified());
        // A client may send before it has read its CONNACK, so there may be packets already.
        let mut turn = Turn {
            woken: true,
            event: Some(Event::Received),
            ..Turn::default()
        };
        loop {
            if let Err(ending) = self.act(turn) {
                return ending;
            }
            turn = std::future::poll_fn(|cx| self.poll_turn(cx, woken.as_mut())).await;
            if turn.woken {
                woken.set(line.notified());
            }
        }
    }

    pub(crate) fn key(&self) -> SessionKey {
        self.key
    }

    /// What is left of a session that has ended: its connection, with a goodbye written if there is one to say, and
    /// the messages that the platform was already taking, to be completed but not acknowledged.
    pub(crate) fn into_parts(
        mut self,
        ending: Ending,
    ) -> (Option<Transport<S>>, impl Future<Output = ()>) {
        let transport = match ending.reason {
            // There is nobody to talk to.
            EndReason::ConnectionLost | EndReason::WriteStalled => None,
            _ => {
                if let Some(code) = ending.code {
                    self.protocol
                        .write_goodbye(&mut self.transport.output, code);
                }
                Some(self.transport)
            }
        };
        let mut uplinks = self.uplinks;
        (
            transport,
            async move { while uplinks.next().await.is_some() {} },
        )
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>, woken: Pin<&mut Notified<'_>>) -> Poll<Turn> {
        let mut turn = Turn {
            woken: woken.poll(cx).is_ready(),
            ..Turn::default()
        };
        while let Poll::Ready(Some(settled)) = self.uplinks.poll_next_unpin(cx) {
            turn.settled.push(settled);
        }
        if let Some(changing) = &mut self.changing
            && let Poll::Ready(changed) = changing.poll_unpin(cx)
        {
            self.changing = None;
            turn.changed = Some(changed);
        }
        if let Poll::Ready(event) = self.transport.poll(cx) {
            turn.event = Some(event);
        }
        if turn.is_empty() {
            return Poll::Pending;
        }
        Poll::Ready(turn)
    }

    fn act(&mut self, turn: Turn) -> Result<(), Ending> {
        if let Some(reason) = self.line.kicked() {
            return Err(reason.into());
        }
        for settled in turn.settled {
            self.settle(settled)?;
        }
        if let Some(changed) = turn.changed {
            changed?;
            self.finish_change();
            self.start_changes();
        }
        match turn.event {
            Some(Event::Received) => self.take_packets()?,
            Some(Event::Lost) => return Err(EndReason::ConnectionLost.into()),
            Some(Event::Silent) => return Err(EndReason::KeepAliveTimeout.into()),
            Some(Event::Stalled) => return Err(EndReason::WriteStalled.into()),
            Some(Event::Written) | None => {}
        }
        self.send_downlinks();
        if self.transport.output.len() > self.limits.output_bytes_max {
            return Err(EndReason::WriteStalled.into());
        }
        Ok(())
    }

    fn take_packets(&mut self) -> Result<(), Ending> {
        let limit = self.limits.packet_bytes_max;
        while let Some(frame) = Frame::take(&mut self.transport.input, limit)? {
            self.transport.heard();
            match self.protocol.read(frame)? {
                Packet::PingReq => self.protocol.write_pingresp(&mut self.transport.output),
                Packet::PubAck { packet_id } => self.acknowledged(packet_id),
                Packet::Publish(publish) => self.published(publish)?,
                Packet::Subscribe { packet_id, filters } => self.subscribe(packet_id, &filters)?,
                Packet::Unsubscribe { packet_id, filters } => {
                    self.unsubscribe(packet_id, &filters)?;
                }
                Packet::Disconnect {
                    with_will,
                    session_expiry_s,
                } => return Err(self.disconnected(with_will, session_expiry_s)),
            }
        }
        self.transport.release_input();
        Ok(())
    }

    fn disconnected(&self, with_will: bool, session_expiry_s: Option<u32>) -> Ending {
        // A session that was to end with its connection cannot be made to outlive it (MQTT 5.0 section 3.14.2.2.2).
        if !self.persistent && session_expiry_s.is_some_and(|seconds| seconds > 0) {
            return EndReason::ProtocolError.into();
        }
        Ending {
            without_will: !with_will,
            session_expiry_s,
            ..EndReason::Disconnected.into()
        }
    }

    // Uplinks.

    fn published(&mut self, publish: Publish) -> Result<(), Ending> {
        if publish.qos > 1 {
            return Err(EndReason::QosNotSupported.into());
        }
        if publish.retain {
            return Err(EndReason::RetainNotSupported.into());
        }
        let subject = Subject::Device(self.key.device_id);
        let Ok(Permit::Publish(channel)) = authorize(&subject, Action::Publish, &publish.topic)
        else {
            return self.forbidden(&publish);
        };
        if !self.has_room(channel)? {
            if publish.qos == 0 {
                count_uplink(channel, "dropped");
                return Ok(());
            }
            return Err(EndReason::TooManyUnacknowledged.into());
        }
        *self.under_way(Some(channel)) += 1;
        let host = Arc::clone(&self.host);
        let uplink = Uplink {
            session: self.key,
            channel,
            payload: publish.payload,
        };
        let packet_id = publish.packet_id;
        let applying = (!self.changes.is_empty()).then(|| {
            let applying = self.applying.get_or_insert_with(|| watch::Sender::new(()));
            applying.subscribe()
        });
        self.uplinks.push_back(
            async move {
                if let Some(mut applying) = applying {
                    // Nothing is ever sent here. When the session ends first, what it said still counts.
                    let _dropped = applying.changed().await;
                }
                let outcome = match host.uplink(uplink).await {
                    Ok(()) => Outcome::Durable,
                    Err(Unavailable) => Outcome::Unavailable,
                };
                Settled {
                    channel: Some(channel),
                    packet_id,
                    outcome,
                }
            }
            .boxed(),
        );
        Ok(())
    }

    fn forbidden(&mut self, publish: &Publish) -> Result<(), Ending> {
        metrics::counter!("mqtt_forbidden_total", "action" => "publish").increment(1);
        tracing::warn!(device = %self.key.device_id, "published where it may not");
        if self.protocol.0 == ProtocolVersion::V311 {
            return Err(EndReason::NotAuthorized.into());
        }
        if publish.qos == 0 {
            return Ok(());
        }
        // Counted like any message, or a flood of them would wait without bound behind one slow uplink.
        if !self.has_room(Channel::Heartbeat)? {
            return Err(EndReason::TooManyUnacknowledged.into());
        }
        *self.under_way(None) += 1;
        let settled = Settled {
            channel: None,
            packet_id: publish.packet_id,
            outcome: Outcome::NotAuthorized,
        };
        self.uplinks.push_back(std::future::ready(settled).boxed());
        Ok(())
    }

    fn under_way(&mut self, channel: Option<Channel>) -> &mut usize {
        match channel {
            Some(Channel::PaymentAck) => &mut self.payment_acks_under_way,
            _ => &mut self.ordinary_under_way,
        }
    }

    /// Whether another message may be under way, after those that the platform has finished with meanwhile.
    fn has_room(&mut self, channel: Channel) -> Result<bool, Ending> {
        let limit = match channel {
            Channel::PaymentAck => self.limits.payment_acks_unacknowledged_max,
            _ => self.limits.uplinks_unacknowledged_max,
        };
        if *self.under_way(Some(channel)) < limit {
            return Ok(true);
        }
        // A burst that arrived in one piece has not been looked at since. The loop polls again before it waits, so
        // nothing is lost by polling here without a waker.
        while let Some(Some(settled)) = self.uplinks.next().now_or_never() {
            self.settle(settled)?;
        }
        Ok(*self.under_way(Some(channel)) < limit)
    }

    fn settle(&mut self, settled: Settled) -> Result<(), Ending> {
        *self.under_way(settled.channel) -= 1;
        let outcome = match settled.outcome {
            Outcome::Durable => "durable",
            Outcome::Unavailable => "unavailable",
            Outcome::NotAuthorized => "not_authorized",
        };
        if let Some(channel) = settled.channel {
            count_uplink(channel, outcome);
        }
        let output = &mut self.transport.output;
        match (settled.packet_id, settled.outcome) {
            // Quality 0 promises nothing: the next heartbeat will do.
            (0, _) => {}
            (_, Outcome::Unavailable) => return Err(EndReason::Unavailable.into()),
            (id, Outcome::Durable) => self.protocol.write_puback(output, id),
            (id, Outcome::NotAuthorized) => self.protocol.write_puback_not_authorized(output, id),
        }
        Ok(())
    }

    // Subscriptions.

    fn subscribe(&mut self, packet_id: u16, filters: &[(String, u8)]) -> Result<(), Ending> {
        let subject = Subject::Device(self.key.device_id);
        let mut after = self.intended.clone();
        let granted = filters
            .iter()
            .map(|(filter, asked)| {
                let Ok(Permit::Subscribe(filter)) = authorize(&subject, Action::Subscribe, filter)
                else {
                    metrics::counter!("mqtt_forbidden_total", "action" => "subscribe").increment(1);
                    tracing::warn!(device = %self.key.device_id, "subscribed to what it may not");
                    return None;
                };
                let qos = (*asked).min(1);
                match after.iter_mut().find(|held| held.filter == filter) {
                    Some(held) => held.qos = qos,
                    None => after.push(Subscription { filter, qos }),
                }
                Some(qos)
            })
            .collect();
        self.change(Answer::Subscribed { packet_id, granted }, after)
    }

    fn unsubscribe(&mut self, packet_id: u16, filters: &[String]) -> Result<(), Ending> {
        let subject = Subject::Device(self.key.device_id);
        let mut after = self.intended.clone();
        let existed = filters
            .iter()
            .map(|filter| {
                let Ok(Permit::Subscribe(filter)) = authorize(&subject, Action::Subscribe, filter)
                else {
                    return false;
                };
                let before = after.len();
                after.retain(|held| held.filter != filter);
                after.len() < before
            })
            .collect();
        self.change(Answer::Unsubscribed { packet_id, existed }, after)
    }

    fn change(&mut self, answer: Answer, after: Vec<Subscription>) -> Result<(), Ending> {
        if self.changes.len() >= self.limits.subscription_changes_max {
            return Err(EndReason::TooManyUnacknowledged.into());
        }
        let subscriptions = (after != self.intended).then(|| after.clone());
        self.intended = after;
        self.changes.push_back(Change {
            answer,
            subscriptions,
        });
        self.start_changes();
        Ok(())
    }

    /// Starts the next change when none is under way; those that change nothing are answered at once.
    fn start_changes(&mut self) {
        while self.changing.is_none() {
            match self.changes.front() {
                None => {
                    self.changes = VecDeque::new();
                    self.applying = None;
                    return;
                }
                Some(Change {
                    subscriptions: Some(subscriptions),
                    ..
                }) => {
                    let (host, key) = (Arc::clone(&self.host), self.key);
                    let (persistent, after) = (self.persistent, subscriptions.clone());
                    self.changing = Some(
                        async move { host.subscriptions_changed(key, persistent, after).await }
                            .boxed(),
                    );
                }
                Some(_) => self.finish_change(),
            }
        }
    }

    /// The oldest change is durable: it takes effect and is answered.
    fn finish_change(&mut self) {
        let Some(change) = self.changes.pop_front() else {
            return;
        };
        if let Some(subscriptions) = change.subscriptions {
            self.line.outbound().set_subscriptions(subscriptions);
        }
        let output = &mut self.transport.output;
        match change.answer {
            Answer::Subscribed { packet_id, granted } => {
                self.protocol.write_suback(output, packet_id, &granted);
                if granted.iter().any(Option::is_some) {
                    // Whatever this brings is written after the SUBACK, which stands in the output already.
                    self.host.listening(self.key);
                }
            }
            Answer::Unsubscribed { packet_id, existed } => {
                self.protocol.write_unsuback(output, packet_id, &existed);
            }
        }
    }

    // Downlinks.

    fn acknowledged(&mut self, packet_id: u16) {
        if !self.line.outbound().acknowledged(packet_id) {
            // It may answer a packet of its last connection. There is nothing to do about the others either.
            metrics::counter!("mqtt_unknown_pubacks_total").increment(1);
        }
    }

    fn send_downlinks(&mut self) {
        let now = std::time::Instant::now();
        let mut expired = 0;
        while self.transport.output.len() < OUTPUT_FILL_BYTES {
            let next = self.line.outbound().next(now, self.window, &mut expired);
            let Some(departure) = next else { break };
            let outgoing = Outgoing {
                topic: &departure.message.topic,
                payload: &departure.message.payload,
                dup: departure.dup,
                packet_id: departure.packet_id,
                expires_s: departure.expires_s,
            };
            if self.protocol.publish_len(&outgoing) > self.packet_bytes_max {
                // MQTT 5.0 section 3.1.2.11.4: as if it had been sent.
                if let Some(packet_id) = departure.packet_id {
                    self.line.outbound().acknowledged(packet_id);
                }
                count_downlinks("larger_than_the_box_takes", 1);
                continue;
            }
            self.protocol
                .write_publish(&mut self.transport.output, &outgoing);
            count_downlinks(if departure.dup { "sent_again" } else { "sent" }, 1);
        }
        if expired > 0 {
            count_downlinks("expired", expired);
        }
    }
}

fn count_uplink(channel: Channel, outcome: &'static str) {
    let channel = channel.message_type();
    metrics::counter!("mqtt_uplinks_total", "type" => channel, "outcome" => outcome).increment(1);
}

/// Counts what became of messages for boxes.
pub(crate) fn count_downlinks(outcome: &'static str, count: u64) {
    metrics::counter!("mqtt_downlinks_total", "outcome" => outcome).increment(count);
}
