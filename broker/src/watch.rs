//! An admitted observer: the loop between what it asks for and the copies that wait for it.
//!
//! Far simpler than a box's session, because nothing here is promised: no windows, no state that outlives the
//! connection, and nothing that it may publish.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use certs::identity::Subject;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::futures::Notified;

use crate::authorize::{Action, Permit, authorize};
use crate::downlink::seconds_until;
use crate::fleet_filter::FleetFilter;
use crate::host::{EndReason, ProtocolVersion};
use crate::limits::Limits;
use crate::observers::{ObserverLine, count};
use crate::pace::turn_taken;
use crate::protocol::{Granted, Outgoing, Packet, Protocol, Publish};
use crate::session::{Ending, OUTPUT_FILL_BYTES};
use crate::transport::{Event, Transport};

/// What an observer's session is made with.
pub(crate) struct Opening<S> {
    pub(crate) limits: Arc<Limits>,
    pub(crate) protocol: Protocol,
    pub(crate) line: Arc<ObserverLine>,
    pub(crate) transport: Transport<S>,
    /// The largest packet that it takes.
    pub(crate) packet_bytes_max: usize,
}

pub(crate) struct Watch<S> {
    limits: Arc<Limits>,
    protocol: Protocol,
    line: Arc<ObserverLine>,
    subject: Subject,
    transport: Transport<S>,
    packet_bytes_max: usize,
    /// What it subscribed to, as it wrote it.
    subscriptions: Vec<(String, FleetFilter)>,
    warned: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Watch<S> {
    pub(crate) fn new(opening: Opening<S>) -> Self {
        Self {
            subject: Subject::Service(opening.line.name().to_owned()),
            limits: opening.limits,
            protocol: opening.protocol,
            line: opening.line,
            transport: opening.transport,
            packet_bytes_max: opening.packet_bytes_max,
            subscriptions: Vec::new(),
            warned: false,
        }
    }

    /// Serves the observer until its session ends.
    pub(crate) async fn run(&mut self) -> Ending {
        let line = Arc::clone(&self.line);
        let mut woken = std::pin::pin!(line.notified());
        // A client may send before it has read its CONNACK, so there may be packets already.
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
            turn_taken(waited).await;
            event = next;
            if was_woken {
                woken.set(line.notified());
            }
        }
    }

    /// What is left of a session that has ended: its connection, with a goodbye written if there is one to say.
    pub(crate) fn into_transport(mut self, ending: Ending) -> Option<Transport<S>> {
        if matches!(
            ending.reason,
            EndReason::ConnectionLost | EndReason::WriteStalled
        ) {
            return None;
        }
        if let Some(code) = ending.code {
            self.protocol
                .write_goodbye(&mut self.transport.output, code);
        }
        Some(self.transport)
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
        if let Some(reason) = self.line.kicked() {
            return Err(reason.into());
        }
        match event {
            Some(Event::Received) => self.take_packets()?,
            Some(Event::Lost) => return Err(EndReason::ConnectionLost.into()),
            Some(Event::Silent) => return Err(EndReason::KeepAliveTimeout.into()),
            Some(Event::Stalled) => return Err(EndReason::WriteStalled.into()),
            Some(Event::Written) | None => {}
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
                // It is sent nothing that it could acknowledge.
                Packet::PubAck { .. } => {}
                Packet::Publish(publish) => self.refuse_publish(&publish)?,
                Packet::Subscribe { packet_id, filters } => self.subscribe(packet_id, filters),
                Packet::Unsubscribe { packet_id, filters } => self.unsubscribe(packet_id, &filters),
                Packet::Disconnect { .. } => return Err(EndReason::Disconnected.into()),
            }
        }
        Ok(())
    }

    /// An observer publishes nothing, whatever the topic.
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
            let Ok(Permit::Observe(filter)) = authorize(&self.subject, Action::Subscribe, &text)
            else {
                self.count_forbidden("observer_subscribe");
                granted.push(Granted::NotAuthorized);
                continue;
            };
            if !self.subscriptions.iter().any(|(held, _)| *held == text) {
                if self.subscriptions.len() >= self.limits.subscriptions_max {
                    metrics::counter!("mqtt_subscriptions_over_limit_total").increment(1);
                    granted.push(Granted::QuotaExceeded);
                    continue;
                }
                self.subscriptions.push((text, filter));
            }
            // Copies are made at quality 0.
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
                self.subscriptions.retain(|(held, _)| held != filter);
                self.subscriptions.len() < before
            })
            .collect();
        self.apply();
        self.protocol
            .write_unsuback(&mut self.transport.output, packet_id, &existed);
    }

    fn apply(&self) {
        let filters = self.subscriptions.iter().map(|(_, filter)| *filter);
        self.line.set_filters(filters.collect());
    }

    fn send_copies(&mut self) {
        let (now, mut sent) = (Instant::now(), 0);
        while self.transport.output.len() < OUTPUT_FILL_BYTES {
            let Some(copy) = self.line.next() else { break };
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
            tracing::warn!(observer = self.line.name(), action, "tried what it may not");
        }
    }
}
