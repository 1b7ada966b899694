//! By MQTT: mutual TLS, a persistent session, manual acknowledgements, and a patient way back.
//!
//! The connection is polled in a task of its own, so that nothing the box does can hold up its keepalive. What comes
//! in goes through a bounded channel; what goes out is taken when there is room. A message is confirmed (PUBACK)
//! only when the box says so, and only on the connection it came by.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions,
    Packet, Publish, QoS, SubscribeReasonCode, Transport,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::message::{OnlineState, Status};
use wire::{Channel, DownlinkFilter, Topic, UplinkMessage};

use super::pace::Pace;
use super::{LinkEvent, Message};
use crate::credentials::Credentials;

/// Requests that rumqttc takes at once.
const REQUESTS_MAX: usize = 64;

/// Messages that may wait for the box.
const EVENTS_MAX: usize = 64;

/// Messages that may wait to be published.
const OUTGOING_MAX: usize = 1024;

/// The longest MQTT packet, in bytes.
const PACKET_LEN_MAX: usize = 128 * 1024;

/// How long a connect may take, in seconds.
const CONNECT_TIMEOUT_S: u64 = 10;

/// How long a goodbye may take.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// A connection that lasted so long was a good one: the next attempt is not delayed by earlier failures.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// A message that can be confirmed, on the connection it came by.
#[derive(Debug)]
pub(super) struct Receipt {
    publish: Publish,
    connection: u64,
}

#[derive(Debug)]
enum Request {
    Publish { topic: Topic, payload: Vec<u8> },
    Confirm(Receipt),
}

/// One box's connection.
pub struct MqttLink {
    client: AsyncClient,
    events: mpsc::Receiver<LinkEvent>,
    outgoing: VecDeque<Request>,
    connection: Arc<AtomicU64>,
    filter: String,
    encoding: wire::Encoding,
    pace: Arc<Pace>,
    cuts: mpsc::Sender<Duration>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for MqttLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MqttLink")
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}

impl MqttLink {
    pub(super) fn open(credentials: &Credentials, keep_alive: Duration) -> anyhow::Result<Self> {
        let device = &credentials.device;
        let id = device.device_id;
        let encoding = device.payload_encoding;
        let gone = Status {
            state: OnlineState::Offline,
            firmware_version: Some(device.firmware_version.clone()),
            reason: Some("connection_lost".to_owned()),
            nonce: None,
        };
        let will = UplinkMessage::Status(gone).encode(encoding)?;
        let will_topic = Topic::new(id, Channel::Status).to_string();
        let mut options = MqttOptions::new(id.to_string(), &device.mqtt_host, device.mqtt_port);
        options
            .set_transport(Transport::tls_with_config(
                rumqttc::TlsConfiguration::Rustls(credentials.tls()?),
            ))
            .set_clean_session(false)
            .set_keep_alive(keep_alive)
            .set_manual_acks(true)
            .set_max_packet_size(PACKET_LEN_MAX, PACKET_LEN_MAX)
            .set_last_will(LastWill::new(will_topic, will, QoS::AtLeastOnce, false));
        let (client, mut eventloop) = AsyncClient::new(options, REQUESTS_MAX);
        let mut network = eventloop.network_options();
        network.set_connection_timeout(CONNECT_TIMEOUT_S);
        network.set_tcp_nodelay(true);
        eventloop.set_network_options(network);

        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let connection = Arc::new(AtomicU64::new(0));
        let pace = Arc::new(Pace::default());
        let (cuts, cut) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let poller = Poller {
            eventloop,
            events: sender,
            connection: Arc::clone(&connection),
            pace: Arc::clone(&pace),
            cuts: cut,
            stop: stop.clone(),
        };
        let task = tokio::spawn(poller.run());
        Ok(Self {
            client,
            events,
            outgoing: VecDeque::new(),
            connection,
            filter: DownlinkFilter::All.for_device(id),
            encoding,
            pace,
            cuts,
            stop,
            task,
        })
    }

    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    pub(super) fn cuts(&self) -> &mpsc::Sender<Duration> {
        &self.cuts
    }

    pub(super) async fn next(&mut self) -> Option<LinkEvent> {
        let event = self.events.recv().await;
        if matches!(event, Some(LinkEvent::Disconnected { .. })) {
            // The broker delivers again what was not confirmed; a late PUBACK would confuse it.
            self.outgoing
                .retain(|request| matches!(request, Request::Publish { .. }));
        }
        event
    }

    pub(super) fn subscribe(&self) {
        if self
            .client
            .try_subscribe(&self.filter, QoS::AtLeastOnce)
            .is_err()
        {
            tracing::warn!("no room for a subscription; it will be repeated");
        }
    }

    /// Publishes with QoS 1.
    pub(super) fn publish(
        &mut self,
        device_id: wire::DeviceId,
        message: &UplinkMessage,
    ) -> anyhow::Result<()> {
        let payload = message.encode(self.encoding)?;
        let topic = Topic::new(device_id, message.channel());
        self.push(Request::Publish { topic, payload });
        Ok(())
    }

    pub(super) fn confirm(&mut self, receipt: Receipt) {
        self.push(Request::Confirm(receipt));
    }

    fn push(&mut self, request: Request) {
        if self.outgoing.len() >= OUTGOING_MAX {
            // Nothing is lost for good: what the platform needs to hear it asks for again.
            tracing::warn!("too much waits to be sent; the oldest is dropped");
            self.outgoing.pop_front();
        }
        self.outgoing.push_back(request);
        self.flush();
    }

    pub(super) fn flush(&mut self) -> bool {
        while let Some(request) = self.outgoing.front() {
            let sent = match request {
                Request::Publish { topic, payload } => self.client.try_publish(
                    topic.to_string(),
                    QoS::AtLeastOnce,
                    false,
                    payload.clone(),
                ),
                Request::Confirm(receipt)
                    if receipt.connection == self.connection.load(Ordering::Acquire) =>
                {
                    self.client.try_ack(&receipt.publish)
                }
                Request::Confirm(_) => Ok(()),
            };
            if sent.is_err() {
                return false;
            }
            self.outgoing.pop_front();
        }
        true
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Says goodbye (so that the will stays unsaid) and ends, within two seconds.
    pub(super) async fn close(mut self) {
        self.flush();
        self.stop.cancel();
        let said = self.client.try_disconnect().is_ok();
        // Nobody listens any more: the task must not wait for room in the channel.
        self.events.close();
        if !said
            || tokio::time::timeout(GOODBYE_MAX, &mut self.task)
                .await
                .is_err()
        {
            self.task.abort();
        }
    }
}

impl Drop for MqttLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The life of the connection.
struct Poller {
    eventloop: EventLoop,
    events: mpsc::Sender<LinkEvent>,
    connection: Arc<AtomicU64>,
    pace: Arc<Pace>,
    cuts: mpsc::Receiver<Duration>,
    stop: CancellationToken,
}

/// What came of one look at the connection.
enum Polled {
    Event(Event),
    Lost { reason: String, away: Duration },
    Stopped,
}

impl Poller {
    async fn run(mut self) {
        let mut connected: Option<Instant> = None;
        let mut failures = 0;
        loop {
            let event = match self.poll(connected.is_some()).await {
                Polled::Stopped => return,
                Polled::Event(Event::Incoming(Packet::ConnAck(ack))) => {
                    connected = Some(Instant::now());
                    self.connection.fetch_add(1, Ordering::AcqRel);
                    LinkEvent::Connected {
                        session_present: ack.session_present,
                    }
                }
                Polled::Event(Event::Incoming(Packet::Publish(publish))) => {
                    let connection = self.connection.load(Ordering::Acquire);
                    LinkEvent::Message(Message {
                        topic: publish.topic.clone(),
                        payload: publish.payload.clone(),
                        receipt: Some(Receipt {
                            publish,
                            connection,
                        }),
                    })
                }
                Polled::Event(Event::Incoming(Packet::SubAck(ack)))
                    if ack.return_codes.contains(&SubscribeReasonCode::Failure) =>
                {
                    LinkEvent::SubscriptionRefused
                }
                // After the goodbye it is the broker that closes: to close first, with an answer of its own unread,
                // would reset the connection and could take the goodbye with it.
                Polled::Event(_) => continue,
                Polled::Lost { .. } if self.stop.is_cancelled() => return,
                Polled::Lost { reason, away } => {
                    let lived = connected.take();
                    if lived.is_some_and(|at| at.elapsed() >= STABLE_AFTER) {
                        failures = 0;
                    }
                    let retry_in = self.pace.retry_in(failures, lived.is_some()).max(away);
                    failures = failures.saturating_add(1);
                    let lost = LinkEvent::Disconnected { reason, retry_in };
                    // A listener that is gone is noticed at the next event.
                    let _closed = self.events.send(lost).await;
                    tokio::select! {
                        () = tokio::time::sleep(retry_in) => {}
                        () = self.stop.cancelled() => return,
                    }
                    // Whoever cut a connection that was not there has got what was wanted.
                    while self.cuts.try_recv().is_ok() {}
                    continue;
                }
            };
            // While the goodbye is on its way nobody listens, and that is no reason to stop polling.
            if self.events.send(event).await.is_err() && !self.stop.is_cancelled() {
                return;
            }
        }
    }

    async fn poll(&mut self, connected: bool) -> Polled {
        let polled = tokio::select! {
            polled = self.eventloop.poll() => polled,
            Some(away) = self.cuts.recv() => {
                // The socket is dropped as it is; what was not acknowledged is kept and sent again.
                self.eventloop.clean();
                return Polled::Lost { reason: "cut".to_owned(), away };
            }
            // Once connected, the end comes with the goodbye, which has to be polled out.
            () = self.stop.cancelled(), if !connected => return Polled::Stopped,
        };
        match polled {
            Ok(event) => Polled::Event(event),
            Err(error) => Polled::Lost {
                reason: reason(&error, self.eventloop.mqtt_options.broker_address()),
                away: Duration::ZERO,
            },
        }
    }
}

/// Why there is no connection, in a few words.
fn reason(error: &ConnectionError, (host, port): (String, u16)) -> String {
    match error {
        ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized) => {
            "not_authorized".to_owned()
        }
        ConnectionError::ConnectionRefused(code) => format!("refused: {code:?}"),
        other => format!("{host}:{port}: {other}"),
    }
}
