//! A box's MQTT connection: mutual TLS, a persistent session, manual acknowledgements, and a patient way back.
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

const BACKOFF_MIN: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(8);

/// The wait before the next attempt: doubled each time up to eight seconds, and then anywhere between half of that and
/// all of it, so that a fleet does not come back in step.
fn backoff(failures: u32) -> Duration {
    let whole = BACKOFF_MIN
        .saturating_mul(1 << failures.min(6))
        .min(BACKOFF_MAX);
    rand::random_range(whole / 2..=whole)
}

/// What the connection tells the box.
#[derive(Debug)]
pub enum LinkEvent {
    /// Connected.
    Connected {
        /// Whether the broker still has this box's subscriptions.
        session_present: bool,
    },
    /// A message.
    Message(Message),
    /// The broker will not have the subscription.
    SubscriptionRefused,
    /// The connection is gone, or could not be made.
    Disconnected {
        /// Why.
        reason: String,
        /// When the next attempt comes.
        retry_in: Duration,
    },
}

/// A message, and the connection it came by.
#[derive(Debug)]
pub struct Message {
    publish: Publish,
    connection: u64,
}

impl Message {
    /// Where it was published.
    pub fn topic(&self) -> &str {
        &self.publish.topic
    }

    /// What it says.
    pub fn payload(&self) -> &[u8] {
        &self.publish.payload
    }
}

enum Request {
    Publish { topic: Topic, payload: Vec<u8> },
    Confirm(Message),
}

/// One box's connection.
pub struct Link {
    client: AsyncClient,
    events: mpsc::Receiver<LinkEvent>,
    outgoing: VecDeque<Request>,
    connection: Arc<AtomicU64>,
    filter: String,
    encoding: wire::Encoding,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Link {
    /// Begins to connect, and goes on until [`close`](Self::close).
    ///
    /// # Errors
    /// Credentials that cannot be used.
    pub fn open(credentials: &Credentials, keep_alive: Duration) -> anyhow::Result<Self> {
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
        let stop = CancellationToken::new();
        let task = tokio::spawn(poll(
            eventloop,
            sender,
            Arc::clone(&connection),
            stop.clone(),
        ));
        Ok(Self {
            client,
            events,
            outgoing: VecDeque::new(),
            connection,
            filter: DownlinkFilter::All.for_device(id),
            encoding,
            stop,
            task,
        })
    }

    /// The next thing that happens; `None` when the connection's task has ended. Loses nothing when it is dropped.
    pub async fn next(&mut self) -> Option<LinkEvent> {
        let event = self.events.recv().await;
        if matches!(event, Some(LinkEvent::Disconnected { .. })) {
            // The broker delivers again what was not confirmed; a late PUBACK would confuse it.
            self.outgoing
                .retain(|request| matches!(request, Request::Publish { .. }));
        }
        event
    }

    /// Asks for everything that is for this box.
    pub fn subscribe(&self) {
        if self
            .client
            .try_subscribe(&self.filter, QoS::AtLeastOnce)
            .is_err()
        {
            tracing::warn!("no room for a subscription; it will be repeated");
        }
    }

    /// Publishes with QoS 1, when there is room.
    ///
    /// # Errors
    /// A message that breaks a limit.
    pub fn publish(
        &mut self,
        device_id: wire::DeviceId,
        message: &UplinkMessage,
    ) -> anyhow::Result<()> {
        let payload = message.encode(self.encoding)?;
        let topic = Topic::new(device_id, message.channel());
        self.push(Request::Publish { topic, payload });
        Ok(())
    }

    /// Confirms a message to the broker: it will not come again.
    pub fn confirm(&mut self, message: Message) {
        self.push(Request::Confirm(message));
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

    /// Hands over what there is room for; `true` when nothing waits any more.
    pub fn flush(&mut self) -> bool {
        while let Some(request) = self.outgoing.front() {
            let sent = match request {
                Request::Publish { topic, payload } => self.client.try_publish(
                    topic.to_string(),
                    QoS::AtLeastOnce,
                    false,
                    payload.clone(),
                ),
                Request::Confirm(message)
                    if message.connection == self.connection.load(Ordering::Acquire) =>
                {
                    self.client.try_ack(&message.publish)
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

    /// Whether something waits for room.
    pub fn is_waiting(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Says goodbye (so that the will stays unsaid) and ends, within two seconds.
    pub async fn close(mut self) {
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

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The life of the connection.
async fn poll(
    mut eventloop: EventLoop,
    events: mpsc::Sender<LinkEvent>,
    connection: Arc<AtomicU64>,
    stop: CancellationToken,
) {
    let mut connected: Option<Instant> = None;
    let mut failures = 0;
    loop {
        // Once connected, the end comes with the goodbye, which has to be polled out.
        let polled = if connected.is_some() {
            eventloop.poll().await
        } else {
            tokio::select! {
                polled = eventloop.poll() => polled,
                () = stop.cancelled() => return,
            }
        };
        let event = match polled {
            Ok(Event::Incoming(Packet::ConnAck(ack))) => {
                connected = Some(Instant::now());
                connection.fetch_add(1, Ordering::AcqRel);
                LinkEvent::Connected {
                    session_present: ack.session_present,
                }
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let connection = connection.load(Ordering::Acquire);
                LinkEvent::Message(Message {
                    publish,
                    connection,
                })
            }
            Ok(Event::Incoming(Packet::SubAck(ack)))
                if ack.return_codes.contains(&SubscribeReasonCode::Failure) =>
            {
                LinkEvent::SubscriptionRefused
            }
            // After the goodbye it is the broker that closes: to close first, with an answer of its own unread, would reset
            // the connection and could take the goodbye with it.
            Ok(_) => continue,
            Err(error) => {
                if stop.is_cancelled() {
                    return;
                }
                if connected
                    .take()
                    .is_some_and(|at| at.elapsed() >= STABLE_AFTER)
                {
                    failures = 0;
                }
                let retry_in = backoff(failures);
                failures = failures.saturating_add(1);
                let lost = LinkEvent::Disconnected {
                    reason: reason(&error),
                    retry_in,
                };
                // A listener that is gone is noticed at the next event.
                let _closed = events.send(lost).await;
                tokio::select! {
                    () = tokio::time::sleep(retry_in) => continue,
                    () = stop.cancelled() => return,
                }
            }
        };
        // While the goodbye is on its way nobody listens, and that is no reason to stop polling.
        if events.send(event).await.is_err() && !stop.is_cancelled() {
            return;
        }
    }
}

/// Why there is no connection, in a few words.
fn reason(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized) => {
            "not_authorized".to_owned()
        }
        ConnectionError::ConnectionRefused(code) => format!("refused: {code:?}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_is_patient_and_bounded() {
        for failures in [0, 1, 2, 3, 4, 5, 6, 7, 100, u32::MAX] {
            let wait = backoff(failures);
            assert!(
                wait >= BACKOFF_MIN / 2 && wait <= BACKOFF_MAX,
                "{failures}: {wait:?}"
            );
        }
        assert!(backoff(100) >= BACKOFF_MAX / 2);
    }
}
