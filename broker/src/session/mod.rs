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
//!
//! | file | what lives there |
//! |---|---|
//! | `uplinks` | what the box says |
//! | `subscriptions` | what it asks to hear |
//! | `downlinks` | what it is sent |

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

use crate::client_rate::ClientRate;
use crate::copies::Copies;
use crate::frame::FrameError;
use crate::host::{EndReason, Host, SessionKey, Subscription, Unavailable};
use crate::limits::Limits;
use crate::pace::turn_taken;
use crate::protocol::{Packet, Protocol, Violation, goodbye_code};
use crate::registry::Line;
use crate::transport::{Event, Transport};

pub(crate) use downlinks::count_downlinks;
use subscriptions::Change;
use uplinks::Settled;

/// Messages are taken from a queue while less than this waits to be written.
pub(crate) const OUTPUT_FILL_BYTES: usize = 16 * 1024;

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
    /// Where observers get theirs.
    pub(crate) copies: Copies,
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
    copies: Copies,
    pub(crate) transport: Transport<S>,
    persistent: bool,
    window: usize,
    packet_bytes_max: usize,
    /// The box does not read what it is sent, and nothing more is taken from its queue.
    blocked: bool,
    /// Messages that the platform is taking, in the order in which they arrived.
    uplinks: FuturesOrdered<BoxFuture<'static, Settled>>,
    ordinary_under_way: usize,
    payment_acks_under_way: usize,
    ordinary_rate: ClientRate,
    payment_ack_rate: ClientRate,
    /// It has tried what it may not, and that has been logged.
    warned: bool,
    /// The subscriptions as they will be when all changes are done.
    intended: Vec<Subscription>,
    changes: VecDeque<Change>,
    changing: Option<BoxFuture<'static, Result<(), Unavailable>>>,
    /// Dropped when no change is left, for the messages that arrived behind one.
    applying: Option<watch::Sender<()>>,
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
        let rate = ClientRate::new(opening.limits.publishes_per_s_max);
        Self {
            host: opening.host,
            limits: opening.limits,
            protocol: opening.protocol,
            key: opening.key,
            line: opening.line,
            copies: opening.copies,
            transport: opening.transport,
            persistent: opening.persistent,
            window: opening.window,
            packet_bytes_max: opening.packet_bytes_max,
            blocked: false,
            uplinks: FuturesOrdered::new(),
            ordinary_under_way: 0,
            payment_acks_under_way: 0,
            ordinary_rate: rate,
            payment_ack_rate: rate,
            warned: false,
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
            let mut waited = false;
            turn = std::future::poll_fn(|cx| {
                let turn = self.poll_turn(cx, woken.as_mut());
                waited |= turn.is_pending();
                turn
            })
            .await;
            turn_taken(waited).await;
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

    /// Counts an attempt on what is not the box's own; logs the first, so that a flood of them does not fill the log.
    fn count_forbidden(&mut self, action: &'static str) {
        metrics::counter!("mqtt_forbidden_total", "action" => action).increment(1);
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(device = %self.key.device_id, action, "tried what it may not");
        }
    }
}
