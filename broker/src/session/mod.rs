//! The session of an admitted box: its packets, the platform's answers and its outbound messages.
//!
//! One task runs one loop. Each turn polls everything that can have happened (a kick or a message, answers of the
//! platform, bytes), acts on all of it, and then writes the resulting packets in one piece:
//!
//! ```text
//!  box ── PUBLISH ──▶ host.uplink ─ durable ─▶ PUBACK          up to 64 at a time, acknowledged in order of arrival
//!  box ── SUBSCRIBE ▶ host.subscriptions_changed ─▶ SUBACK     one at a time
//!  box ── PINGREQ ──▶ PINGRESP                                 at once, whatever else is waiting
//!  box ◀─ PUBLISH ─── window ◀── queue ◀── router              up to 16 unacknowledged
//! ```
//!
//! Back-pressure is a withheld acknowledgement. The reader never waits: a box that exceeds the limit of unacknowledged
//! messages is disconnected. Payment acknowledgements are counted apart, so a backlog of heartbeats never costs one.
//! Every call to the host starts when its message arrives, so none waits behind another. Only messages that follow a
//! SUBSCRIBE wait for it: the platform's answer to them needs the subscription.
//!
//! | file | contents |
//! |---|---|
//! | `uplinks` | from PUBLISH to PUBACK |
//! | `subscriptions` | SUBSCRIBE and UNSUBSCRIBE |
//! | `downlinks` | packets to the box |

mod downlinks;
mod subscriptions;
mod uplinks;

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

use crate::cell_rate::CellRate;
use crate::copies::Copies;
use crate::ending::Ending;
use crate::fairness::yield_if_busy;
use crate::host::{EndReason, Host, SessionKey, Subscription, Unavailable};
use crate::limits::Limits;
use crate::protocol::{Packet, Protocol};
use crate::registry::ConnectionHandle;
use crate::topic_map::TopicMap;
use crate::transport::{Event, Transport};

pub(crate) use downlinks::count_downlinks;
use subscriptions::Change;
use uplinks::Settled;

/// The bytes of a DISCONNECT beside the server that it names, at most.
const DISCONNECT_LEN: usize = 16;

/// The parts of a new session.
pub(crate) struct SessionParts<H, S> {
    pub(crate) host: Arc<H>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) protocol: Protocol,
    pub(crate) key: SessionKey,
    pub(crate) handle: Arc<ConnectionHandle>,
    /// Copies of its messages, for observers.
    pub(crate) copies: Copies,
    /// The topics of a box that does not use those of the contract.
    pub(crate) topics: Option<Arc<TopicMap>>,
    pub(crate) transport: Transport<S>,
    /// The session outlives its connection.
    pub(crate) persistent: bool,
    /// Unacknowledged packets to the box, at most.
    pub(crate) window: usize,
    /// The largest packet that the box accepts.
    pub(crate) packet_bytes_max: usize,
    /// The restored subscriptions.
    pub(crate) subscriptions: Vec<Subscription>,
    /// The server to use instead, for a box of version 5 that is to connect elsewhere.
    pub(crate) server_reference: Option<Arc<str>>,
}

pub(crate) struct Session<H, S> {
    host: Arc<H>,
    limits: Arc<Limits>,
    protocol: Protocol,
    key: SessionKey,
    handle: Arc<ConnectionHandle>,
    copies: Copies,
    topics: Option<Arc<TopicMap>>,
    pub(crate) transport: Transport<S>,
    persistent: bool,
    window: usize,
    packet_bytes_max: usize,
    server_reference: Option<Arc<str>>,
    /// The output is full, because the box does not read: nothing more is taken from the queue.
    blocked: bool,
    /// The running calls to the host, in the order in which the messages arrived.
    uplinks: FuturesOrdered<BoxFuture<'static, Settled>>,
    ordinary_running: usize,
    payment_acks_running: usize,
    ordinary_rate: CellRate,
    payment_ack_rate: CellRate,
    /// A forbidden action has been logged.
    warned: bool,
    /// The subscriptions as they will be after all changes.
    intended: Vec<Subscription>,
    changes: VecDeque<Change>,
    changing: Option<BoxFuture<'static, Result<(), Unavailable>>>,
    /// Dropped when no change is left: releases the messages that arrived after a change.
    applying: Option<watch::Sender<()>>,
}

/// Everything that happened since the last turn.
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
    pub(crate) fn new(parts: SessionParts<H, S>) -> Self {
        let rate = CellRate::new(parts.limits.publishes_per_s_max);
        Self {
            host: parts.host,
            limits: parts.limits,
            protocol: parts.protocol,
            key: parts.key,
            handle: parts.handle,
            copies: parts.copies,
            topics: parts.topics,
            transport: parts.transport,
            persistent: parts.persistent,
            window: parts.window,
            packet_bytes_max: parts.packet_bytes_max,
            server_reference: parts.server_reference,
            blocked: false,
            uplinks: FuturesOrdered::new(),
            ordinary_running: 0,
            payment_acks_running: 0,
            ordinary_rate: rate,
            payment_ack_rate: rate,
            warned: false,
            intended: parts.subscriptions,
            changes: VecDeque::new(),
            changing: None,
            applying: None,
        }
    }

    /// Serves the box until the session ends.
    pub(crate) async fn run(&mut self) -> Ending {
        let handle = Arc::clone(&self.handle);
        let mut woken = std::pin::pin!(handle.control.notified());
        // A client may send before it has read its CONNACK, so packets may be in the buffer.
        let mut turn = Turn {
            woken: true,
            event: Some(Event::Received),
            ..Turn::default()
        };
        loop {
            if let Err(ending) = self.act(turn) {
                return ending;
            }
            let mut waited = false;
            turn = std::future::poll_fn(|cx| {
                let turn = self.poll_turn(cx, woken.as_mut());
                waited |= turn.is_pending();
                turn
            })
            .await;
            yield_if_busy(waited).await;
            if turn.woken {
                woken.set(handle.control.notified());
            }
        }
    }

    pub(crate) fn key(&self) -> SessionKey {
        self.key
    }

    /// The rest of a session that has ended: its connection, with the last packet in its output, and the running calls
    /// to the host. They are completed but not acknowledged; after a takeover or a revocation they are dropped.
    pub(crate) fn into_parts(
        self,
        ending: Ending,
    ) -> (Option<Transport<S>>, impl Future<Output = ()>) {
        let mut uplinks = self.uplinks;
        let fits = |reference: &Arc<str>| reference.len() + DISCONNECT_LEN <= self.packet_bytes_max;
        let reference = self.server_reference.filter(fits);
        (
            ending.write_disconnect(self.protocol, self.transport, reference.as_deref()),
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
        if let Some(reason) = self.handle.control.kicked() {
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
            Some(event) => Ending::check(event)?,
            None => {}
        }
        self.send_downlinks();
        if self.transport.output.len() > self.limits.output_bytes_max {
            return Err(EndReason::WriteStalled.into());
        }
        Ok(())
    }

    fn take_packets(&mut self) -> Result<(), Ending> {
        let limit = self.limits.packet_bytes_max;
        while let Some(frame) = self.transport.take(limit)? {
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
        Ok(())
    }

    fn disconnected(&self, with_will: bool, session_expiry_s: Option<u32>) -> Ending {
        // A session with expiry 0 cannot get another one in DISCONNECT (MQTT 5.0 section 3.14.2.2.2).
        if !self.persistent && session_expiry_s.is_some_and(|seconds| seconds > 0) {
            return EndReason::ProtocolError.into();
        }
        Ending {
            without_will: !with_will,
            session_expiry_s,
            ..EndReason::Disconnected.into()
        }
    }

    /// Counts a forbidden action, and logs the first of the session.
    fn count_forbidden(&mut self, action: &'static str) {
        metrics::counter!("mqtt_forbidden_total", "action" => action).increment(1);
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(device = %self.key.device_id, action, "a box attempted a forbidden action");
        }
    }
}
