//! The MQTT link: mutual TLS, a persistent session, manual acknowledgements, and reconnects with backoff.
//!
//! The connection is polled in a task of its own, so that nothing the box does can delay its keepalive. Incoming
//! messages go through a bounded channel; outgoing ones are queued until the client accepts them. A message is
//! confirmed (PUBACK) only when the box has stored it, and only on the connection it came by.

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

use super::address::MqttAddress;
use super::timing::LinkTiming;
use super::{LinkEvent, Message};
use crate::credentials::Credentials;
use crate::vendor::credentials::VendorCredentials;
use crate::vendor::firmware::Login;

/// The capacity of rumqttc's request queue.
const REQUESTS_MAX: usize = 64;

/// Events that may wait for the box.
const EVENTS_MAX: usize = 64;

/// Messages that may wait to be published.
const OUTGOING_MAX: usize = 1024;

/// The longest MQTT packet, in bytes.
const PACKET_LEN_MAX: usize = 128 * 1024;

/// How long a connect may take, in seconds.
const CONNECT_TIMEOUT_S: u64 = 10;

/// The time limit of a proper disconnect.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// After a connection that lasted this long, the backoff starts anew.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// A message that can be confirmed, on the connection it came by.
#[derive(Debug)]
pub(super) struct Receipt {
    publish: Publish,
    connection: u64,
}

#[derive(Debug)]
enum Request {
    Publish { topic: String, payload: Vec<u8> },
    Confirm(Receipt),
}

/// One box's connection.
pub struct MqttLink {
    client: AsyncClient,
    events: mpsc::Receiver<LinkEvent>,
    outgoing: VecDeque<Request>,
    connection: Arc<AtomicU64>,
    filters: Vec<String>,
    encoding: wire::Encoding,
    timing: Arc<LinkTiming>,
    cuts: mpsc::Sender<Duration>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for MqttLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MqttLink")
            .field("filters", &self.filters)
            .finish_non_exhaustive()
    }
}

impl MqttLink {
    pub(super) fn open(
        credentials: &Credentials,
        mut addresses: Vec<MqttAddress>,
        keep_alive: Duration,
        timing: Arc<LinkTiming>,
    ) -> anyhow::Result<Self> {
        let device = &credentials.device;
        let id = device.device_id;
        let encoding = device.payload_encoding;
        let offline = Status {
            state: OnlineState::Offline,
            firmware_version: Some(device.firmware_version.clone()),
            reason: Some("connection_lost".to_owned()),
            nonce: None,
        };
        let will = UplinkMessage::Status(offline).encode(encoding)?;
        let will_topic = Topic::new(id, Channel::Status).to_string();
        if addresses.is_empty() {
            addresses.push(MqttAddress {
                host: device.mqtt_host.clone(),
                port: device.mqtt_port,
            });
        }
        let tls = credentials.tls()?;
        let options = addresses.iter().map(|to| {
            let mut options = MqttOptions::new(id.to_string(), &to.host, to.port);
            let tls = rumqttc::TlsConfiguration::Rustls(Arc::clone(&tls));
            let will = LastWill::new(will_topic.clone(), will.clone(), QoS::AtLeastOnce, false);
            options
                .set_transport(Transport::tls_with_config(tls))
                .set_clean_session(false)
                .set_keep_alive(keep_alive)
                .set_last_will(will);
            options
        });
        let filters = vec![DownlinkFilter::All.for_device(id)];
        Ok(Self::start(options.collect(), filters, encoding, timing))
    }

    pub(super) fn open_vendor(
        credentials: &VendorCredentials,
        login: Login,
        filters: Vec<String>,
        keep_alive: Duration,
        timing: Arc<LinkTiming>,
    ) -> anyhow::Result<Self> {
        let device = &credentials.device;
        let mut options = MqttOptions::new(login.client_id, &device.mqtt_host, device.mqtt_port);
        options
            .set_credentials(login.username, login.password)
            .set_clean_session(login.clean_session)
            .set_keep_alive(keep_alive);
        if let Some(tls) = credentials.tls()? {
            options.set_transport(Transport::tls_with_config(
                rumqttc::TlsConfiguration::Rustls(tls),
            ));
        }
        if let Some(will) = login.will {
            let will = LastWill::new(will.topic, will.payload, QoS::AtMostOnce, false);
            options.set_last_will(will);
        }
        let options = VecDeque::from([options]);
        Ok(Self::start(options, filters, wire::Encoding::Json, timing))
    }

    /// Connects by the first of these options; by the next when that fails.
    fn start(
        mut options: VecDeque<MqttOptions>,
        filters: Vec<String>,
        encoding: wire::Encoding,
        timing: Arc<LinkTiming>,
    ) -> Self {
        for one in &mut options {
            one.set_manual_acks(true)
                .set_max_packet_size(PACKET_LEN_MAX, PACKET_LEN_MAX);
        }
        let first = options.front().expect("an address").clone();
        let (client, mut eventloop) = AsyncClient::new(first, REQUESTS_MAX);
        let mut network = eventloop.network_options();
        network.set_connection_timeout(CONNECT_TIMEOUT_S);
        network.set_tcp_nodelay(true);
        eventloop.set_network_options(network);

        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let connection = Arc::new(AtomicU64::new(0));
        let (cuts, cut) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let poller = Poller {
            eventloop,
            options,
            events: sender,
            connection: Arc::clone(&connection),
            timing: Arc::clone(&timing),
            cuts: cut,
            stop: stop.clone(),
        };
        let task = tokio::spawn(poller.run());
        Self {
            client,
            events,
            outgoing: VecDeque::new(),
            connection,
            filters,
            encoding,
            timing,
            cuts,
            stop,
            task,
        }
    }

    pub(super) fn timing(&self) -> &LinkTiming {
        &self.timing
    }

    pub(super) fn cuts(&self) -> &mpsc::Sender<Duration> {
        &self.cuts
    }

    pub(super) async fn next(&mut self) -> Option<LinkEvent> {
        let event = self.events.recv().await;
        if matches!(event, Some(LinkEvent::Disconnected { .. })) {
            // The broker redelivers what was not confirmed; a PUBACK on a later connection would be a protocol error.
            self.outgoing
                .retain(|request| matches!(request, Request::Publish { .. }));
        }
        event
    }

    pub(super) fn subscribe(&self) {
        for filter in &self.filters {
            let asked = self.client.try_subscribe(filter, QoS::AtLeastOnce);
            if asked.is_err() {
                tracing::warn!("the client's queue is full; the subscription will be repeated");
            }
        }
    }

    /// Publishes with QoS 1.
    pub(super) fn publish(
        &mut self,
        device_id: wire::DeviceId,
        message: &UplinkMessage,
    ) -> anyhow::Result<()> {
        let payload = message.encode(self.encoding)?;
        let topic = Topic::new(device_id, message.channel()).to_string();
        self.publish_to(topic, payload);
        Ok(())
    }

    /// Publishes bytes with QoS 1.
    pub(super) fn publish_to(&mut self, topic: String, payload: Vec<u8>) {
        self.push(Request::Publish { topic, payload });
    }

    pub(super) fn confirm(&mut self, receipt: Receipt) {
        self.push(Request::Confirm(receipt));
    }

    fn push(&mut self, request: Request) {
        if self.outgoing.len() >= OUTGOING_MAX {
            // Nothing is lost for good: the platform sends again what was not acknowledged.
            tracing::warn!("the queue of outgoing messages is full; the oldest is dropped");
            self.outgoing.pop_front();
        }
        self.outgoing.push_back(request);
        self.flush();
    }

    pub(super) fn flush(&mut self) -> bool {
        while let Some(request) = self.outgoing.front() {
            let sent = match request {
                Request::Publish { topic, payload } => {
                    self.client
                        .try_publish(topic.clone(), QoS::AtLeastOnce, false, payload.clone())
                }
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

    /// Sends DISCONNECT (so that the will is not published) and ends, within two seconds.
    pub(super) async fn close(mut self) {
        self.flush();
        self.stop.cancel();
        let sent = self.client.try_disconnect().is_ok();
        // Events are no longer received: the task must not wait for room in the channel.
        self.events.close();
        if !sent
            || tokio::time::timeout(CLOSE_WITHIN, &mut self.task)
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

/// Polls the connection and reconnects.
struct Poller {
    eventloop: EventLoop,
    /// The addresses with all that belongs to them; the first is in use.
    options: VecDeque<MqttOptions>,
    events: mpsc::Sender<LinkEvent>,
    connection: Arc<AtomicU64>,
    timing: Arc<LinkTiming>,
    cuts: mpsc::Receiver<Duration>,
    stop: CancellationToken,
}

/// The result of one poll.
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
                Polled::Event(Event::Incoming(Packet::SubAck(_))) => LinkEvent::Subscribed,
                // After DISCONNECT the broker closes the connection. Closing it here first, with unread data, would
                // reset it and could discard the DISCONNECT.
                Polled::Event(_) => continue,
                Polled::Lost { .. } if self.stop.is_cancelled() => return,
                Polled::Lost { reason, away } => {
                    let connected_at = connected.take();
                    if connected_at.is_some_and(|at| at.elapsed() >= STABLE_AFTER) {
                        failures = 0;
                    }
                    let retry_in = self
                        .timing
                        .retry_in(failures, connected_at.is_some())
                        .max(away);
                    failures = failures.saturating_add(1);
                    self.try_next();
                    let lost = LinkEvent::Disconnected { reason, retry_in };
                    // A dropped receiver is noticed at the next event.
                    let _closed = self.events.send(lost).await;
                    tokio::select! {
                        () = tokio::time::sleep(retry_in) => {}
                        () = self.stop.cancelled() => return,
                    }
                    // Cuts that arrived meanwhile have no connection left to cut.
                    while self.cuts.try_recv().is_ok() {}
                    continue;
                }
            };
            // While DISCONNECT is being sent the receiver is closed, but polling must go on.
            if self.events.send(event).await.is_err() && !self.stop.is_cancelled() {
                return;
            }
        }
    }

    /// From now on it uses the next address.
    fn try_next(&mut self) {
        self.options.rotate_left(1);
        if let Some(options) = self.options.front() {
            self.eventloop.mqtt_options = options.clone();
        }
    }

    async fn poll(&mut self, connected: bool) -> Polled {
        let polled = tokio::select! {
            polled = self.eventloop.poll() => polled,
            Some(away) = self.cuts.recv() => {
                // Drops the socket; the client keeps what was not acknowledged and sends it again.
                self.eventloop.clean();
                return Polled::Lost { reason: "cut".to_owned(), away };
            }
            // Once connected, DISCONNECT has to be sent by polling.
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

/// A short reason for a lost or failed connection.
fn reason(error: &ConnectionError, (host, port): (String, u16)) -> String {
    match error {
        ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized) => {
            "not_authorized".to_owned()
        }
        ConnectionError::ConnectionRefused(code) => format!("refused: {code:?}"),
        other => format!("{host}:{port}: {other}"),
    }
}
