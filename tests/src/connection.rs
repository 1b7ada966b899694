//! One MQTT 3.1.1 connection of a real client, down to the single PUBACK. It does not reconnect.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnAck, ConnectReturnCode, ConnectionError, Event, MqttOptions, Outgoing, Packet,
    Publish, QoS, SubscribeReasonCode, TlsConfiguration, Transport,
};
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::eventually::within;

/// How a connection is made.
pub struct ConnectOptions<'a> {
    /// The server's address.
    pub address: SocketAddr,
    /// The client id.
    pub client_id: &'a str,
    /// Clean session: no session is resumed, and none is kept.
    pub clean: bool,
    /// The certificate that is shown, and the roots that are trusted.
    pub tls: Arc<ClientConfig>,
}

/// How long a connect may take, as in the simulator's boxes.
const CONNECT_TIMEOUT_S: u64 = 10;
/// The largest packet of a connection, bytes.
const PACKET_BYTES_MAX: usize = 64 * 1024;

/// Expects CONNACK 5: not authorized.
#[track_caller]
pub fn assert_not_authorized(refused: Result<Connection, ConnectionError>) {
    match refused {
        Err(ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized)) => {}
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it was admitted"),
    }
}

/// A live connection.
pub struct Connection {
    client: AsyncClient,
    events: mpsc::UnboundedReceiver<Event>,
    inbox: VecDeque<Publish>,
    task: JoinHandle<ConnectionError>,
    /// Whether the broker still had this client's session.
    pub session_present: bool,
}

impl Connection {
    /// Connects.
    pub async fn open(to: ConnectOptions<'_>) -> Result<Self, ConnectionError> {
        // rumqttc resolves the name itself; the certificate names the address too.
        let mut options =
            MqttOptions::new(to.client_id, to.address.ip().to_string(), to.address.port());
        options
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(to.tls)))
            .set_clean_session(to.clean)
            .set_keep_alive(Duration::from_secs(60));
        Self::open_with(options).await
    }

    /// Connects by these options.
    pub async fn open_with(mut options: MqttOptions) -> Result<Self, ConnectionError> {
        options
            // The platform's limit; the client's default is 10 KiB.
            .set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX)
            .set_manual_acks(true);
        let (client, mut eventloop) = AsyncClient::new(options, 64);
        // A PUBACK and what follows it are two small writes: without this the second waits for the first's TCP ACK.
        let mut network = eventloop.network_options();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(CONNECT_TIMEOUT_S);
        eventloop.set_network_options(network);
        let connack = within("the answer to CONNECT", async {
            loop {
                match eventloop.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(connack))) => return Ok(connack),
                    Ok(_) => {}
                    Err(error) => return Err(error),
                }
            }
        })
        .await?;
        let ConnAck {
            session_present,
            code,
        } = connack;
        assert_eq!(code, ConnectReturnCode::Success);
        let (sender, events) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            loop {
                match eventloop.poll().await {
                    Ok(event) => {
                        let _ = sender.send(event);
                    }
                    Err(error) => return error,
                }
            }
        });
        Ok(Self {
            client,
            events,
            inbox: VecDeque::new(),
            task,
            session_present,
        })
    }

    /// The next event that is not a message; messages are kept in the inbox. `None`: the connection has ended.
    async fn next_event(&mut self) -> Option<Event> {
        loop {
            match self.events.recv().await? {
                Event::Incoming(Packet::Publish(publish)) => self.inbox.push_back(publish),
                event => return Some(event),
            }
        }
    }

    /// Subscribes; the reason code of the SUBACK.
    pub async fn subscribe(&mut self, filter: &str) -> SubscribeReasonCode {
        self.try_subscribe(filter).await.expect("a connection")
    }

    /// Subscribes with this quality; the reason code of the SUBACK.
    pub async fn subscribe_at(&mut self, filter: &str, quality: QoS) -> SubscribeReasonCode {
        let answer = self.subscribe_with(filter, quality).await;
        answer.expect("a connection")
    }

    /// Subscribes; the reason code of the SUBACK, `None` when the connection ended before it came.
    pub async fn try_subscribe(&mut self, filter: &str) -> Option<SubscribeReasonCode> {
        self.subscribe_with(filter, QoS::AtLeastOnce).await
    }

    async fn subscribe_with(&mut self, filter: &str, quality: QoS) -> Option<SubscribeReasonCode> {
        let sent = self.client.subscribe(filter, quality).await;
        sent.ok()?;
        within("SUBACK", async {
            loop {
                if let Event::Incoming(Packet::SubAck(suback)) = self.next_event().await? {
                    return Some(suback.return_codes[0]);
                }
            }
        })
        .await
    }

    /// Publishes with QoS 1 without waiting for anything.
    pub async fn send(&mut self, topic: &str, payload: Vec<u8>) {
        self.client
            .publish(topic, QoS::AtLeastOnce, false, payload)
            .await
            .unwrap();
    }

    /// Publishes with QoS 1 without waiting for anything; whether there was a connection to publish on.
    pub async fn try_send(&mut self, topic: &str, payload: Vec<u8>) -> bool {
        let sent = self
            .client
            .publish(topic, QoS::AtLeastOnce, false, payload)
            .await;
        sent.is_ok()
    }

    /// Publishes with QoS 1; whether it was acknowledged before the connection ended. No other publish may be unacknowledged.
    pub async fn publish(&mut self, topic: &str, payload: Vec<u8>) -> bool {
        self.send(topic, payload).await;
        within("PUBACK or the end", async {
            let mut sent = None;
            loop {
                match self.next_event().await {
                    Some(Event::Outgoing(Outgoing::Publish(id))) => sent = Some(id),
                    Some(Event::Incoming(Packet::PubAck(ack))) if Some(ack.pkid) == sent => {
                        return true;
                    }
                    Some(_) => {}
                    None => return false,
                }
            }
        })
        .await
    }

    /// Waits for one acknowledgement of what was sent; `false` when the connection ended before.
    pub async fn acknowledged(&mut self) -> bool {
        within("PUBACK or the end", async {
            loop {
                match self.next_event().await {
                    Some(Event::Incoming(Packet::PubAck(_))) => return true,
                    Some(_) => {}
                    None => return false,
                }
            }
        })
        .await
    }

    /// The next message, not confirmed.
    pub async fn receive(&mut self) -> Publish {
        within("a message", self.try_receive())
            .await
            .expect("a message before the connection ended")
    }

    /// The next message, or `None` when the connection ended before one came. Loses nothing when it is dropped.
    pub async fn try_receive(&mut self) -> Option<Publish> {
        loop {
            if let Some(publish) = self.inbox.pop_front() {
                return Some(publish);
            }
            if let Event::Incoming(Packet::Publish(publish)) = self.events.recv().await? {
                self.inbox.push_back(publish);
            }
        }
    }

    /// Confirms a message: PUBACK.
    pub async fn confirm(&mut self, publish: &Publish) {
        self.client.ack(publish).await.unwrap();
    }

    /// Confirms a message; `false`: the connection has ended.
    pub async fn try_confirm(&mut self, publish: &Publish) -> bool {
        self.client.ack(publish).await.is_ok()
    }

    /// Confirms a message and answers it with QoS 1; `false`: the connection has ended.
    pub async fn answer(&mut self, publish: &Publish, topic: &str, payload: Vec<u8>) -> bool {
        let at_least_once = QoS::AtLeastOnce;
        self.client.ack(publish).await.is_ok()
            && self
                .client
                .publish(topic, at_least_once, false, payload)
                .await
                .is_ok()
    }

    /// Sends DISCONNECT.
    pub async fn disconnect(self) {
        self.client.disconnect().await.unwrap();
        let _ = within("the end of the connection", self.task).await;
    }

    /// Ends the connection without a DISCONNECT.
    pub async fn abort(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Waits until the server has ended the connection.
    pub async fn ended(self) -> ConnectionError {
        within("the end of the connection", self.task)
            .await
            .unwrap()
    }
}
