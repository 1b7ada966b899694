//! The session of an admitted observer: its subscriptions and its copies.
//!
//! Simpler than a box's session: quality 0 needs no window, no state outlives the connection, and an observer may not
//! publish.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use certs::identity::Subject;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::futures::Notified;

use crate::authorize::{Action, Permit, authorize};
use crate::ending::Ending;
use crate::expiry::seconds_until;
use crate::fairness::yield_if_busy;
use crate::fleet_filter::FleetFilter;
use crate::host::{EndReason, ProtocolVersion};
use crate::limits::Limits;
use crate::observers::{ObserverHandle, count};
use crate::protocol::{Granted, Outgoing, Packet, Protocol, Publish};
use crate::transport::{Event, OUTPUT_FILL_BYTES, Transport};

/// The parts of a new session.
pub(crate) struct ObserverSessionParts<S> {
    pub(crate) limits: Arc<Limits>,
    pub(crate) protocol: Protocol,
    pub(crate) handle: Arc<ObserverHandle>,
    pub(crate) transport: Transport<S>,
    /// The largest packet that it accepts.
    pub(crate) packet_bytes_max: usize,
}

pub(crate) struct ObserverSession<S> {
    limits: Arc<Limits>,
    protocol: Protocol,
    handle: Arc<ObserverHandle>,
    subject: Subject,
    transport: Transport<S>,
    packet_bytes_max: usize,
    /// Its subscriptions, with the text of each filter.
    subscriptions: Vec<(String, FleetFilter)>,
    warned: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ObserverSession<S> {
    pub(crate) fn new(parts: ObserverSessionParts<S>) -> Self {
        Self {
            subject: Subject::Service(parts.handle.name().to_owned()),
            limits: parts.limits,
            protocol: parts.protocol,
            handle: parts.handle,
            transport: parts.transport,
            packet_bytes_max: parts.packet_bytes_max,
            subscriptions: Vec::new(),
            warned: false,
        }
    }

    /// Serves the observer until its session ends.
    pub(crate) async fn run(&mut self) -> Ending {
        let handle = Arc::clone(&self.handle);
        let mut woken = std::pin::pin!(handle.control.notified());
        // A client may send before it has read its CONNACK, so packets may be in the buffer.
        let mut event = Some(Event::Received);
        loop {
            if let Err(ending) = self.act(event) {
                return ending;
            }
            let mut waited = false;
            let (was_woken, next) = std::future::poll_fn(|cx| {
                let turn = self.poll_turn(cx, woken.as_mut());
                waited |= turn.is_pending();
                turn
            })
            .await;
            yield_if_busy(waited).await;
            event = next;
            if was_woken {
                woken.set(handle.control.notified());
            }
        }
    }

    /// The connection of a session that has ended, with the last packet in its output.
    pub(crate) fn into_transport(self, ending: Ending) -> Option<Transport<S>> {
        ending.write_disconnect(self.protocol, self.transport, None)
    }

    fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        woken: Pin<&mut Notified<'_>>,
    ) -> Poll<(bool, Option<Event>)> {
        let woken = std::future::Future::poll(woken, cx).is_ready();
        match self.transport.poll(cx) {
            Poll::Ready(event) => Poll::Ready((woken, Some(event))),
            Poll::Pending if woken => Poll::Ready((true, None)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn act(&mut self, event: Option<Event>) -> Result<(), Ending> {
        if let Some(reason) = self.handle.control.kicked() {
            return Err(reason.into());
        }
        match event {
            Some(Event::Received) => self.take_packets()?,
            Some(event) => Ending::check(event)?,
            None => {}
        }
        self.send_copies();
        if self.transport.output.len() > self.limits.output_bytes_max + self.limits.packet_bytes_max
        {
            return Err(EndReason::WriteStalled.into());
        }
        Ok(())
    }

    fn take_packets(&mut self) -> Result<(), Ending> {
        let limit = self.limits.packet_bytes_max;
        while let Some(frame) = self.transport.take(limit)? {
            match self.protocol.read(frame)? {
                Packet::PingReq => self.protocol.write_pingresp(&mut self.transport.output),
                // Copies have quality 0 and are not acknowledged.
                Packet::PubAck { .. } => {}
                Packet::Publish(publish) => self.refuse_publish(&publish)?,
                Packet::Subscribe { packet_id, filters } => self.subscribe(packet_id, filters),
                Packet::Unsubscribe { packet_id, filters } => self.unsubscribe(packet_id, &filters),
                Packet::Disconnect { .. } => return Err(EndReason::Disconnected.into()),
            }
        }
        Ok(())
    }

    /// An observer may not publish to any topic.
    fn refuse_publish(&mut self, publish: &Publish) -> Result<(), Ending> {
        self.count_forbidden("observer_publish");
        if self.protocol.0 == ProtocolVersion::V311 {
            return Err(EndReason::NotAuthorized.into());
        }
        match publish.qos {
            0 => {}
            1 => self
                .protocol
                .write_puback_not_authorized(&mut self.transport.output, publish.packet_id),
            _ => return Err(EndReason::QosNotSupported.into()),
        }
        Ok(())
    }

    fn subscribe(&mut self, packet_id: u16, filters: Vec<(String, u8)>) {
        let mut granted = Vec::with_capacity(filters.len());
        for (text, _) in filters {
            let Ok(Permit::Observe(filter)) =
                authorize(&self.subject, None, Action::Subscribe, &text)
            else {
                self.count_forbidden("observer_subscribe");
                granted.push(Granted::NotAuthorized);
                continue;
            };
            if !self.subscriptions.iter().any(|(one, _)| *one == text) {
                if self.subscriptions.len() >= self.limits.subscriptions_max {
                    metrics::counter!("mqtt_subscriptions_over_limit_total").increment(1);
                    granted.push(Granted::QuotaExceeded);
                    continue;
                }
                self.subscriptions.push((text, filter));
            }
            // Copies are sent at quality 0.
            granted.push(Granted::Quality(0));
        }
        self.apply();
        self.protocol
            .write_suback(&mut self.transport.output, packet_id, &granted);
    }

    fn unsubscribe(&mut self, packet_id: u16, filters: &[String]) {
        let existed: Vec<bool> = filters
            .iter()
            .map(|filter| {
                let before = self.subscriptions.len();
                self.subscriptions.retain(|(one, _)| one != filter);
                self.subscriptions.len() < before
            })
            .collect();
        self.apply();
        self.protocol
            .write_unsuback(&mut self.transport.output, packet_id, &existed);
    }

    fn apply(&self) {
        let filters = self.subscriptions.iter().map(|(_, filter)| *filter);
        self.handle.set_filters(filters.collect());
    }

    fn send_copies(&mut self) {
        let (now, mut sent) = (Instant::now(), 0);
        while self.transport.output.len() < OUTPUT_FILL_BYTES {
            let Some(copy) = self.handle.next() else {
                break;
            };
            let Ok(expires_s) = seconds_until(copy.expires_at, now) else {
                count("expired", 1);
                continue;
            };
            let outgoing = Outgoing {
                topic: &copy.topic,
                payload: &copy.payload,
                dup: false,
                packet_id: None,
                expires_s,
                user_properties: &copy.user_properties,
            };
            if self.protocol.publish_len(&outgoing) > self.packet_bytes_max {
                count("larger_than_the_observer_takes", 1);
                continue;
            }
            self.protocol
                .write_publish(&mut self.transport.output, &outgoing);
            sent += 1;
        }
        if sent > 0 {
            count("sent", sent);
        }
    }

    fn count_forbidden(&mut self, action: &'static str) {
        metrics::counter!("mqtt_forbidden_total", "action" => action).increment(1);
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                observer = self.handle.name(),
                action,
                "an observer attempted a forbidden action"
            );
        }
    }
}
