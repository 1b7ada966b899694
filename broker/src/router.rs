//! The wire between the bridge and the boxes: an embedded rumqttd router, and its watchdog.
//!
//! ```text
//! EdgeHandle::publish → link → [router thread: one bounded ring] → link → pump → session, by device id
//! ```
//!
//! One in-process link publishes every downlink and subscribes to `devices/+/downlink/#`, so the router's cost does
//! not grow with the number of boxes, and it never sees a socket. It is a wire and not a store: beyond its ring it
//! overwrites (which the pump notices by the gap in the cursors, and counts), and what is in it when it dies is gone.
//! The outbox sends again what a box did not acknowledge.
//!
//! The router thread is a foreign body, so it is watched: when it ends, the link reports it, and the pump starts a new
//! router with a new link. Publishes in between are dropped and counted.
//!
//! An idle router thread costs nothing and has no stop of its own; at shutdown it is left parked on its channel.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::FutureExt as _;
use rumqttd::local::{LinkBuilder, LinkRx, LinkTx};
use rumqttd::protocol::{Packet, Publish, PublishProperties};
use rumqttd::{Forward, Notification, RouterConfig};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::{DeviceId, Topic};

use crate::downlink::Message;
use crate::host::Downlink;
use crate::limits::Limits;

/// What the edge's link receives: every downlink of every box.
const DOWNLINKS: &str = "devices/+/downlink/#";
/// Our links; observers get some when they come.
const LINKS_MAX: usize = 8;
/// Messages that the router hands over at a time.
const BATCH_MAX: u64 = 128;
/// Between a router's end and the next one's start, so that a router that cannot live does not spin.
const RESTART_PAUSE: Duration = Duration::from_millis(20);

/// The router could not be started.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// Its thread died at once.
    #[error("the router's thread could not be started")]
    Thread(#[from] tokio::task::JoinError),
    /// It did not accept our link.
    #[error("the router refused our link: {0}")]
    Link(String),
}

/// The sending end.
#[derive(Debug)]
pub(crate) struct Router {
    config: RouterConfig,
    backlog_max: usize,
    sender: Mutex<Sender>,
}

struct Sender {
    link: Option<LinkTx>,
    /// The number of the next publish, so that a withdrawal can tell what came before it.
    sequence: u64,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender")
            .field("connected", &self.link.is_some())
            .field("sequence", &self.sequence)
            .finish()
    }
}

impl Router {
    /// Starts a router thread. The receiving end is driven by [`Router::pump`].
    pub(crate) async fn start(limits: &Limits) -> Result<(Arc<Self>, Receiver), RouterError> {
        let router = Arc::new(Self {
            config: RouterConfig {
                max_connections: LINKS_MAX,
                max_outgoing_packet_count: BATCH_MAX,
                max_segment_size: limits.router_segment_bytes_max,
                max_segment_count: limits.router_segments_max,
                ..RouterConfig::default()
            },
            backlog_max: limits.router_backlog_max,
            sender: Mutex::new(Sender {
                link: None,
                sequence: 1,
            }),
        });
        let receiver = router.connect().await?;
        Ok((router, receiver))
    }

    async fn connect(&self) -> Result<Receiver, RouterError> {
        let config = self.config.clone();
        // Building a link waits for the router's thread.
        let (mut link, receiver) = tokio::task::spawn_blocking(move || {
            let events = rumqttd::Router::new(0, config).spawn();
            LinkBuilder::new("edge", events)
                .build()
                .map(|(sender, receiver, _)| (sender, receiver))
                .map_err(|error| RouterError::Link(error.to_string()))
        })
        .await??;
        link.subscribe(DOWNLINKS)
            .map_err(|error| RouterError::Link(error.to_string()))?;
        self.sender().link = Some(link);
        Ok(Receiver {
            link: receiver,
            expected: None,
        })
    }

    fn sender(&self) -> std::sync::MutexGuard<'_, Sender> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a downlink to the router. Never blocks.
    pub(crate) fn publish(&self, downlink: Downlink) {
        let topic = Topic::new(downlink.device_id, downlink.channel).to_string();
        let publish = Publish::new(Bytes::from(topic), downlink.payload, false);
        let mut sender = self.sender();
        let sequence = sender.sequence;
        sender.sequence += 1;
        let properties = PublishProperties {
            message_expiry_interval: downlink.expires_s,
            correlation_data: Some(
                Label {
                    sequence,
                    key: downlink.key,
                }
                .to_bytes(),
            ),
            ..PublishProperties::default()
        };
        let outcome = sender.send(Packet::Publish(publish, Some(properties)), self.backlog_max);
        drop(sender);
        metrics::counter!("mqtt_router_publishes_total", "outcome" => outcome).increment(1);
    }

    /// Everything published so far has a lower sequence than this.
    pub(crate) fn sequence(&self) -> u64 {
        self.sender().sequence
    }

    /// Carries what comes out of the router to `deliver`, and restarts the router when it ends, until `stop`.
    pub(crate) async fn pump(
        self: Arc<Self>,
        mut receiver: Receiver,
        stop: CancellationToken,
        deliver: impl Fn(DeviceId, Message),
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = receiver.run(&deliver) => {}
            }
            tracing::error!("the router's thread has ended; starting another");
            metrics::counter!("mqtt_router_restarts_total").increment(1);
            self.sender().link = None;
            receiver = loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(RESTART_PAUSE) => {}
                }
                match self.connect().await {
                    Ok(receiver) => break receiver,
                    Err(error) => tracing::error!(%error, "the router could not be restarted"),
                }
            };
        }
    }

    /// Makes the router's thread end the way a defect in it would: by a panic. rumqttd looks up the connection of a
    /// shadow request without asking whether it still exists.
    #[cfg(test)]
    pub(crate) fn break_thread(&self) {
        let mut sender = self.sender();
        let link = sender.link.as_mut().expect("connected");
        let goodbye = Packet::Disconnect(
            rumqttd::protocol::Disconnect {
                reason_code: rumqttd::protocol::DisconnectReasonCode::NormalDisconnection,
            },
            None,
        );
        link.send(goodbye)
            .now_or_never()
            .expect("no waiting")
            .expect("running");
        link.shadow("gone").expect("running");
    }
}

impl Sender {
    /// Puts a packet before the router and says what became of it.
    ///
    /// A link is a buffer and an event that tells the router to empty it. One pending event is enough, and it is
    /// pending as long as the buffer is not empty, so the channel of events can never fill up and block us.
    fn send(&mut self, packet: Packet, backlog_max: usize) -> &'static str {
        let Some(link) = self.link.as_mut() else {
            return "router_down";
        };
        {
            let mut buffer = link.buffer();
            if buffer.len() >= backlog_max {
                return "backlog_full";
            }
            if !buffer.is_empty() {
                buffer.push_back(packet);
                return "sent";
            }
        }
        match link.send(packet).now_or_never() {
            Some(Ok(_)) => "sent",
            Some(Err(_)) => "router_down",
            None => unreachable!("sending on a link has nothing to wait for"),
        }
    }
}

/// The receiving end.
#[derive(Debug)]
pub(crate) struct Receiver {
    link: LinkRx,
    /// The offset that the next message should have.
    expected: Option<u64>,
}

impl Receiver {
    /// Delivers until the router ends.
    async fn run(&mut self, deliver: &impl Fn(DeviceId, Message)) {
        loop {
            match self.link.next().await {
                Ok(Some(Notification::Forward(forward))) => {
                    self.count_overwritten(&forward);
                    match read(forward) {
                        Some((device_id, message)) => deliver(device_id, message),
                        None => metrics::counter!("mqtt_router_unreadable_total").increment(1),
                    }
                }
                // We were not reading fast enough, and the router has stopped sending until we say that we have
                // caught up. Everything before this notification has been delivered.
                Ok(Some(Notification::Unschedule)) => {
                    if self.link.wake().await.is_err() {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
                Ok(Some(Notification::Disconnect(..))) | Err(_) => return,
                Ok(Some(_) | None) => {}
            }
        }
    }

    fn count_overwritten(&mut self, forward: &Forward) {
        let Some((_, offset)) = forward.cursor else {
            return;
        };
        if let Some(expected) = self.expected
            && offset > expected
        {
            metrics::counter!("mqtt_router_overwritten_total").increment(offset - expected);
        }
        self.expected = Some(offset + 1);
    }
}

fn read(forward: Forward) -> Option<(DeviceId, Message)> {
    let Forward {
        publish,
        properties,
        ..
    } = forward;
    let topic: Topic = std::str::from_utf8(&publish.topic).ok()?.parse().ok()?;
    let properties = properties?;
    let label = Label::from_bytes(properties.correlation_data?)?;
    let expires_at = properties
        .message_expiry_interval
        .and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds.into())));
    let message = Message {
        topic: publish.topic,
        channel: topic.channel,
        payload: publish.payload,
        key: label.key,
        expires_at,
        sequence: label.sequence,
    };
    Some((topic.device_id, message))
}

/// What travels with a publish through the router as its correlation data, and goes no further.
#[derive(Debug, PartialEq, Eq)]
struct Label {
    sequence: u64,
    key: Option<Uuid>,
}

impl Label {
    fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(24);
        bytes.put_u64(self.sequence);
        if let Some(key) = self.key {
            bytes.put_slice(key.as_bytes());
        }
        bytes.freeze()
    }

    fn from_bytes(mut bytes: Bytes) -> Option<Self> {
        if bytes.len() < 8 {
            return None;
        }
        let sequence = bytes.get_u64();
        let key = match bytes.len() {
            0 => None,
            _ => Some(Uuid::from_slice(&bytes).ok()?),
        };
        Some(Self { sequence, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;
    use wire::Channel;

    use crate::common::within;

    fn downlink(number: u128) -> Downlink {
        Downlink {
            device_id: DeviceId::from_uuid(Uuid::from_u128(number % 50)),
            channel: Channel::PaymentSuccess,
            payload: Bytes::from(number.to_string()),
            key: Some(Uuid::from_u128(number)),
            expires_s: None,
        }
    }

    struct Running {
        router: Arc<Router>,
        delivered: mpsc::UnboundedReceiver<(DeviceId, Message)>,
        stop: CancellationToken,
        pump: tokio::task::JoinHandle<()>,
    }

    async fn running(limits: &Limits) -> Running {
        let (router, receiver) = Router::start(limits).await.unwrap();
        let (deliver, delivered) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let pump = tokio::spawn(Arc::clone(&router).pump(
            receiver,
            stop.clone(),
            move |device, message| {
                let _ = deliver.send((device, message));
            },
        ));
        Running {
            router,
            delivered,
            stop,
            pump,
        }
    }

    #[tokio::test]
    async fn what_is_published_comes_out_in_order_with_its_key() {
        let mut running = running(&Limits::default()).await;
        // Many more than the router hands over at a time, so that it pauses and has to be woken.
        const COUNT: u128 = 5_000;
        for number in 0..COUNT {
            running.router.publish(downlink(number));
        }
        for number in 0..COUNT {
            let delivered = within("a delivery", running.delivered.recv());
            let (device, message) = delivered.await.unwrap();
            assert_eq!(device, downlink(number).device_id);
            assert_eq!(message.key, Some(Uuid::from_u128(number)));
            assert_eq!(message.payload, number.to_string());
            assert_eq!(message.channel, Channel::PaymentSuccess);
        }
        running.stop.cancel();
        running.pump.await.unwrap();
    }

    #[tokio::test]
    async fn after_its_thread_has_ended_another_router_carries_on() {
        let mut running = running(&Limits::default()).await;
        running.router.publish(downlink(1));
        running.delivered.recv().await.unwrap();
        for round in 2..4 {
            running.router.break_thread();
            // What is published while it is down is lost; the outbox would send it again, as this loop does. What the
            // router before had carried more than once may still come.
            let mut again = tokio::time::interval(Duration::from_millis(5));
            let carried = within("a delivery of this round", async {
                loop {
                    tokio::select! {
                        delivered = running.delivered.recv() => {
                            if delivered.unwrap().1.key == Some(Uuid::from_u128(round)) {
                                return;
                            }
                        }
                        _ = again.tick() => running.router.publish(downlink(round)),
                    }
                }
            });
            carried.await;
        }
        running.stop.cancel();
        running.pump.await.unwrap();
    }

    #[tokio::test]
    async fn a_publish_to_a_router_that_is_down_is_dropped() {
        let (router, receiver) = Router::start(&Limits::default()).await.unwrap();
        router.sender().link = None;
        router.publish(downlink(1));
        assert_eq!(router.sequence(), 2);
        drop(receiver);
    }

    #[test]
    fn a_label_reads_back_as_itself() {
        for key in [None, Some(Uuid::from_u128(7))] {
            let label = Label { sequence: 9, key };
            assert_eq!(Label::from_bytes(label.to_bytes()), Some(label));
        }
        for bytes in [&b""[..], b"1234567", b"123456781234567"] {
            assert_eq!(Label::from_bytes(Bytes::copy_from_slice(bytes)), None);
        }
    }
}
