//! Fixtures of this crate's tests: a small fleet with its certificates, a host in memory whose answers can be delayed,
//! and a client that sends given bytes.

pub(crate) mod client;
pub(crate) mod fleet;
pub(crate) mod host;
pub(crate) mod hostility;
pub(crate) mod neighbours;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use broker::{
    Authenticated, Downlink, Edge, EdgeConfig, EdgeHandle, Limits, PasswordListeners, TopicMap,
};
use bytes::Bytes;
use certs::tls::{ClientAuth, ServerOptions};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::{Channel, DeviceId, Topic};

use client::Client;
use fleet::{Credentials, Fleet};
use host::FakeHost;

/// The longest that a test waits for one event: far more than any takes, so that a hang fails with a description.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Waits for `future` within the timeout.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(TIMEOUT, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen"),
    }
}

/// A running edge with its fleet and its host.
pub(crate) struct World {
    pub(crate) fleet: Fleet,
    pub(crate) host: Arc<FakeHost>,
    pub(crate) edge: EdgeHandle,
    pub(crate) stop: CancellationToken,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let fleet = Fleet::new();
        let host = Arc::new(FakeHost::default());
        let stop = CancellationToken::new();
        let edge = start(&fleet, Arc::clone(&host), limits, stop.clone()).await;
        Self {
            fleet,
            host,
            edge,
            stop,
        }
    }

    pub(crate) fn device(&self, number: u128) -> Credentials {
        self.fleet.device(device(number))
    }

    /// A TLS connection before CONNECT.
    pub(crate) async fn dial(&self, number: u128) -> Client {
        self.dial_with(&self.device(number)).await
    }

    /// A TLS connection before CONNECT, with these credentials.
    pub(crate) async fn dial_with(&self, credentials: &Credentials) -> Client {
        let dialled = Client::dial(self.edge.local_addr(), credentials);
        within("a handshake", dialled).await.unwrap()
    }

    /// A box that has sent CONNECT for a clean session.
    pub(crate) async fn connecting_box(&self, number: u128) -> Client {
        let mut client = self.dial(number).await;
        client.send_connect(device(number)).await;
        client
    }

    /// A box with a persistent session that is subscribed to all of its downlinks at quality 1.
    pub(crate) async fn persistent_box(&self, number: u128) -> Client {
        let mut client = self.dial(number).await;
        client.connect(device(number), false).await;
        client.subscribe_all(device(number)).await;
        client
    }

    /// A box with a clean session that is subscribed to all of its downlinks at quality 1.
    pub(crate) async fn listening_box(&self, number: u128) -> Client {
        let mut client = self.connected_box(number).await;
        client.subscribe_all(device(number)).await;
        client
    }

    /// A box with a clean session.
    pub(crate) async fn connected_box(&self, number: u128) -> Client {
        let mut client = self.dial(number).await;
        client.connect(device(number), true).await;
        client
    }

    /// A password of this box, which uses the topics `box/{number}/…` from now on. Returns the user name.
    pub(crate) fn allow_login(&self, number: u128, password: &str) -> String {
        let user_name = format!("SN{number}");
        let topics = TopicMap::new(
            vec![
                (format!("box/{number}/up"), Channel::Heartbeat),
                (format!("box/{number}/ack"), Channel::PaymentAck),
                // All boxes publish to this one.
                ("qris/request".to_owned(), Channel::DynamicQrRequest),
            ],
            vec![format!("box/{number}/pay"), format!("box/{number}/rest")],
            Channel::DOWNLINKS.map(|channel| match channel {
                Channel::PaymentSuccess => format!("box/{number}/pay"),
                _ => format!("box/{number}/rest"),
            }),
        );
        let found = Authenticated {
            device_id: device(number),
            credential: format!("password of {number}"),
            topics: Arc::new(topics.unwrap()),
        };
        let login = (password.as_bytes().to_vec(), found);
        let mut logins = self.host.logins.lock().unwrap();
        logins.insert(user_name.clone(), login);
        user_name
    }

    /// A connection to the listener for passwords, with TLS or without, before CONNECT.
    pub(crate) async fn dial_for_password(&self, plain: bool) -> Client {
        if plain {
            let dialled = Client::dial_plain(self.edge.plain_addr().unwrap());
            return within("a connection", dialled).await.unwrap();
        }
        let credentials = self.fleet.without_certificate();
        let dialled = Client::dial(self.edge.password_addr().unwrap(), &credentials);
        within("a handshake", dialled).await.unwrap()
    }

    pub(crate) fn publish(&self, number: u128, event: u128) {
        self.edge.publish(payment(number, event));
    }
}

pub(crate) async fn start(
    fleet: &Fleet,
    host: Arc<FakeHost>,
    limits: Limits,
    stop: CancellationToken,
) -> EdgeHandle {
    let (chain, key) = fleet.server();
    let tls = certs::tls::server_config(
        chain,
        key,
        ClientAuth::Required(fleet.roots()),
        ServerOptions::default(),
    )
    .unwrap();
    let (chain, key) = fleet.server();
    let without_certificate =
        certs::tls::server_config(chain, key, ClientAuth::NotAsked, ServerOptions::default())
            .unwrap();
    let any_port = "127.0.0.1:0".parse().unwrap();
    let config = EdgeConfig {
        listen: any_port,
        tls,
        password: PasswordListeners {
            tls: Some((any_port, without_certificate)),
            plain: Some(any_port),
        },
        limits,
        server_reference: None,
    };
    Edge::start(config, host, stop).await.unwrap()
}

pub(crate) fn device(number: u128) -> DeviceId {
    DeviceId::from_uuid(Uuid::from_u128(number))
}

pub(crate) fn topic(number: u128, channel: Channel) -> String {
    Topic::new(device(number), channel).to_string()
}

/// The notification of an event. Its payload is the event's number, as text.
pub(crate) fn payment(number: u128, event: u128) -> Downlink {
    Downlink {
        device_id: device(number),
        channel: Channel::PaymentSuccess,
        payload: Bytes::from(event.to_string()),
        key: Some(Uuid::from_u128(event)),
        expires_s: None,
    }
}
