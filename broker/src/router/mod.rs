//! The embedded rumqttd router between publishers and sessions, and its supervision.
//!
//! ```text
//! EdgeHandle::publish → link → [router thread: bounded rings] → link → pump → session, by device id
//! uplinks' copies ────▶ link → [                            ] → link → pump → observers, by their filters
//! ```
//!
//! One in-process link publishes every downlink and subscribes to `devices/+/downlink/#`, so the router's cost does
//! not grow with the number of boxes, and it never reads a socket. A second link with buffers of its own carries the
//! copies for observers; it subscribes to both directions when the first observer connects. The router does not store:
//! beyond its ring it overwrites (the pump counts the gaps in the cursors), and what is in it when it ends is lost. The
//! outbox sends again what a box did not acknowledge.
//!
//! The router's thread runs code of another project, so it is supervised: when it ends, the link reports it, and the
//! pump starts a new router with new links. Publishes in between are dropped and counted.
//!
//! | file | contents |
//! |---|---|
//! | `receive` | reading what the router forwards, and counting what it overwrote |
//! | `label` | the metadata of a downlink inside the router |
//!
//! An idle router thread costs nothing and cannot be stopped; at shutdown it stays parked on its channel.

mod label;
mod receive;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use rumqttd::RouterConfig;
use rumqttd::local::{LinkBuilder, LinkError, LinkTx};
use rumqttd::protocol::{Packet, Publish, PublishProperties};
use tokio_util::sync::CancellationToken;
use wire::{DeviceId, Topic};

use crate::downlink::Message;
use crate::host::Downlink;
use crate::limits::Limits;
use crate::lock::lock;
use crate::observers::Observed;
use crate::protocol::UserProperties;
use label::Label;
pub(crate) use receive::Receivers;
use receive::{Receiver, read, read_observed};

/// Every downlink of every box.
const DOWNLINKS: &str = "devices/+/downlink/#";
/// Every uplink of every box.
const UPLINKS: &str = "devices/+/uplink/#";
/// More than the two links of the edge.
const LINKS_MAX: usize = 8;
/// Messages that the router hands over at a time.
const BATCH_MAX: u64 = 128;
/// The pause before a restart, so that a router that fails at once does not spin.
const RESTART_PAUSE: Duration = Duration::from_millis(20);

/// The router could not be started.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// Its thread ended at once.
    #[error("the router's thread could not be started")]
    Thread(#[from] tokio::task::JoinError),
    /// It refused a link.
    #[error("the router refused a link: {0}")]
    Link(String),
}

/// The sending side.
#[derive(Debug)]
pub(crate) struct Router {
    config: RouterConfig,
    backlog_max: usize,
    sender: Mutex<Sender>,
}

struct Sender {
    link: Option<LinkTx>,
    /// The observers' link.
    copies: Option<LinkTx>,
    /// The observers' link is subscribed; that of the next router will be too.
    observed: bool,
    /// The number of the next publish. A withdrawal affects those with lower numbers.
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
    /// Starts a router thread. [`Router::pump`] runs the receiving sides.
    pub(crate) async fn start(limits: &Limits) -> Result<(Arc<Self>, Receivers), RouterError> {
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
                copies: None,
                observed: false,
                sequence: 1,
            }),
        });
        let receivers = router.connect().await?;
        Ok((router, receivers))
    }

    async fn connect(&self) -> Result<Receivers, RouterError> {
        let config = self.config.clone();
        // Building a link waits for the router's thread.
        let links = tokio::task::spawn_blocking(move || {
            let events = rumqttd::Router::new(0, config).spawn();
            let build = |name| {
                LinkBuilder::new(name, events.clone())
                    .build()
                    .map(|(sender, receiver, _)| (sender, receiver))
                    .map_err(link_error)
            };
            Ok::<_, RouterError>((build("edge")?, build("observers")?))
        })
        .await?;
        let ((mut link, downlinks), (mut copies, observed)) = links?;
        link.subscribe(DOWNLINKS).map_err(link_error)?;
        let mut sender = self.sender();
        if sender.observed {
            subscribe_copies(&mut copies)?;
        }
        sender.link = Some(link);
        sender.copies = Some(copies);
        drop(sender);
        Ok(Receivers {
            downlinks: Receiver::new(downlinks),
            observed: Receiver::new(observed),
        })
    }

    fn sender(&self) -> std::sync::MutexGuard<'_, Sender> {
        lock(&self.sender)
    }

    /// Hands a downlink to the router, and returns its sequence. Never blocks. `None`: the router is down or its backlog
    /// is full.
    pub(crate) fn publish(&self, downlink: Downlink) -> Option<u64> {
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
        let packet = Packet::Publish(publish, Some(properties));
        let outcome = match sender.link.as_mut() {
            Some(link) => send(link, packet, self.backlog_max),
            None => "router_down",
        };
        drop(sender);
        metrics::counter!("mqtt_router_publishes_total", "outcome" => outcome).increment(1);
        (outcome == "sent").then_some(sequence)
    }

    /// Opens the observers' link for copies. Nothing may be published there before: the router ends a link that
    /// publishes to a topic without any subscription.
    pub(crate) fn observe(&self) {
        let mut sender = self.sender();
        if std::mem::replace(&mut sender.observed, true) {
            return;
        }
        if let Some(copies) = sender.copies.as_mut()
            && let Err(error) = subscribe_copies(copies)
        {
            // The router has ended; the next one subscribes.
            tracing::warn!(%error, "the observers' link could not subscribe");
        }
    }

    /// Hands the copy of an uplink to the router. Never blocks; a copy is dropped when the backlog is full.
    pub(crate) fn publish_uplink(
        &self,
        topic: Topic,
        payload: Bytes,
        user_properties: UserProperties,
    ) {
        let publish = Publish::new(Bytes::from(topic.to_string()), payload, false);
        let properties = PublishProperties {
            user_properties,
            ..PublishProperties::default()
        };
        let packet = Packet::Publish(publish, Some(properties));
        let mut sender = self.sender();
        if !sender.observed {
            return;
        }
        let outcome = match sender.copies.as_mut() {
            Some(link) => send(link, packet, self.backlog_max),
            None => "router_down",
        };
        drop(sender);
        if outcome != "sent" {
            crate::observers::count(outcome, 1);
        }
    }

    /// The next sequence: everything published so far has a lower one.
    pub(crate) fn sequence(&self) -> u64 {
        self.sender().sequence
    }

    /// Passes downlinks to `deliver` and observers' copies to `observe`, and restarts the router when it ends, until
    /// `stop`.
    pub(crate) async fn pump(
        self: Arc<Self>,
        mut receivers: Receivers,
        stop: CancellationToken,
        deliver: impl Fn(DeviceId, Message),
        observe: impl Fn(Observed) + Clone + Send + Sync + 'static,
    ) {
        loop {
            let Receivers {
                mut downlinks,
                mut observed,
            } = receivers;
            // In a task of its own, which ends with its router, so that a flood of copies does not delay a downlink.
            let observe = observe.clone();
            let copies = tokio::spawn(async move {
                observed
                    .run(|forward| {
                        if let Some(copy) = read_observed(forward) {
                            observe(copy);
                        }
                    })
                    .await;
            });
            tokio::select! {
                () = stop.cancelled() => {
                    copies.abort();
                    return;
                }
                () = downlinks.run(|forward| match read(forward) {
                    Some((device_id, message)) => deliver(device_id, message),
                    None => metrics::counter!("mqtt_router_unreadable_total").increment(1),
                }) => {}
            }
            tracing::error!("the router's thread has ended; starting another");
            metrics::counter!("mqtt_router_restarts_total").increment(1);
            copies.abort();
            {
                let mut sender = self.sender();
                sender.link = None;
                sender.copies = None;
            }
            receivers = loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(RESTART_PAUSE) => {}
                }
                match self.connect().await {
                    Ok(receivers) => break receivers,
                    Err(error) => tracing::error!(%error, "the router could not be restarted"),
                }
            };
        }
    }

    /// Makes the router's thread end as a defect in it would: by a panic. rumqttd looks up the connection of a shadow
    /// request without checking that it still exists.
    #[cfg(test)]
    pub(crate) fn break_thread(&self) {
        let mut sender = self.sender();
        let link = sender.link.as_mut().expect("connected");
        let disconnect = Packet::Disconnect(
            rumqttd::protocol::Disconnect {
                reason_code: rumqttd::protocol::DisconnectReasonCode::NormalDisconnection,
            },
            None,
        );
        link.send(disconnect)
            .now_or_never()
            .expect("no waiting")
            .expect("running");
        link.shadow("gone").expect("running");
    }
}

/// Hands a packet to the router, and returns the outcome.
///
/// A link is a buffer and an event that makes the router empty it. One pending event is enough, and it is pending as
/// long as the buffer is not empty, so the channel of events never fills up and never blocks the caller.
fn send(link: &mut LinkTx, packet: Packet, backlog_max: usize) -> &'static str {
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

fn subscribe_copies(link: &mut LinkTx) -> Result<(), RouterError> {
    link.subscribe(UPLINKS).map_err(link_error)?;
    link.subscribe(DOWNLINKS).map_err(link_error)?;
    Ok(())
}

fn link_error(error: LinkError) -> RouterError {
    RouterError::Link(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;
    use uuid::Uuid;
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
        observed: mpsc::UnboundedReceiver<Observed>,
        stop: CancellationToken,
        pump: tokio::task::JoinHandle<()>,
    }

    async fn running(limits: &Limits) -> Running {
        let (router, receivers) = Router::start(limits).await.unwrap();
        let (deliver, delivered) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let (observe, observed) = mpsc::unbounded_channel();
        let pump = tokio::spawn(Arc::clone(&router).pump(
            receivers,
            stop.clone(),
            move |device, message| {
                let _ = deliver.send((device, message));
            },
            move |copy| {
                let _ = observe.send(copy);
            },
        ));
        Running {
            router,
            delivered,
            observed,
            stop,
            pump,
        }
    }

    #[tokio::test]
    async fn downlinks_are_delivered_in_order_with_their_keys() {
        let mut running = running(&Limits::default()).await;
        // Many more than the router forwards at a time, so that it pauses and must be woken.
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

    fn uplink(number: u128) -> (Topic, Bytes, UserProperties) {
        let device_id = DeviceId::from_uuid(Uuid::from_u128(number));
        (
            Topic::new(device_id, Channel::Heartbeat),
            Bytes::from(number.to_string()),
            vec![("number".to_owned(), number.to_string())],
        )
    }

    #[tokio::test]
    async fn observers_get_copies_of_both_directions_also_after_the_routers_thread_has_ended() {
        let mut running = running(&Limits::default()).await;
        let (topic, payload, user) = uplink(0);
        // Without an observer, this is dropped.
        running.router.publish_uplink(topic, payload, user);
        running.router.observe();
        for round in 1..3 {
            let mut again = tokio::time::interval(Duration::from_millis(5));
            let mut received = [false; 2];
            within("copies of this round", async {
                while received != [true; 2] {
                    tokio::select! {
                        copy = running.observed.recv() => {
                            let copy = copy.unwrap();
                            if copy.payload != round.to_string() {
                                continue;
                            }
                            if copy.channel == Channel::Heartbeat {
                                let expected = [("number".to_owned(), round.to_string())];
                                assert_eq!(copy.user_properties, expected);
                                received[0] = true;
                            } else {
                                assert!(copy.user_properties.is_empty());
                                received[1] = true;
                            }
                        }
                        _ = again.tick() => {
                            let (topic, payload, user) = uplink(round);
                            running.router.publish_uplink(topic, payload, user);
                            running.router.publish(downlink(round));
                        }
                    }
                }
            })
            .await;
            running.router.break_thread();
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
            // What is published while it is down is lost; the outbox would send it again, as this loop does. Duplicates
            // from the previous router may still arrive.
            let mut again = tokio::time::interval(Duration::from_millis(5));
            let carried = within("a delivery of this round", async {
                loop {
                    tokio::select! {
                        delivered = running.delivered.recv() => {
                            if delivered.unwrap().1.key == Some(Uuid::from_u128(round)) {
                                return;
                            }
                        }
                        _ = again.tick() => {
                            running.router.publish(downlink(round));
                        }
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
}
