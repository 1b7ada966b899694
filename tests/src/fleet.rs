//! Many boxes that execute commands, or fail a share of them, and reconnect when the platform was restarted.
//!
//! Each executes a command once, however often it receives it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use wire::message::{CommandAck, CommandAckStatus, ConfigAck, ConfigAckStatus};
use wire::{CommandId, DeviceId, DownlinkFilter, DownlinkMessage, Topic, UplinkMessage};

use crate::connection::{ConnectOptions, Connection};
use crate::credentials::Credentials;

/// How soon a box that lost its connection reconnects.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// State of the whole fleet.
struct Shared {
    /// The platform's address.
    to: Mutex<SocketAddr>,
    /// One of so many new commands fails; 0: none.
    fail_every: AtomicU32,
    orders: AtomicU32,
    executed: Mutex<BTreeMap<DeviceId, BTreeSet<CommandId>>>,
}

/// Connected boxes.
pub struct Fleet {
    shared: Arc<Shared>,
    boxes: JoinSet<()>,
}

impl Fleet {
    /// Connects boxes, each in a task of its own; returns when all have subscribed.
    pub async fn connect(to: SocketAddr, credentials: Vec<Credentials>) -> Self {
        let shared = Arc::new(Shared {
            to: Mutex::new(to),
            fail_every: AtomicU32::new(0),
            orders: AtomicU32::new(0),
            executed: Mutex::new(BTreeMap::new()),
        });
        let mut boxes = JoinSet::new();
        for own in credentials {
            let connection = connect(&shared, &own).await.unwrap();
            boxes.spawn(live(Arc::clone(&shared), own, connection));
        }
        Self { shared, boxes }
    }

    /// From now on one of so many new commands fails; 0: none.
    pub fn fail_one_of(&self, orders: u32) {
        self.shared.fail_every.store(orders, Ordering::SeqCst);
    }

    /// The platform has another address from now on.
    pub fn moved(&self, to: SocketAddr) {
        *self
            .shared
            .to
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = to;
    }

    /// The commands that each box executed, whether they succeeded or failed.
    pub fn executed(&self) -> BTreeMap<DeviceId, BTreeSet<CommandId>> {
        let executed = self.shared.executed.lock();
        executed.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Disconnects all boxes; fails when one has panicked.
    pub async fn disconnect(mut self) {
        self.boxes.abort_all();
        while let Some(ended) = self.boxes.join_next().await {
            if let Err(error) = ended {
                assert!(error.is_cancelled(), "a box: {error}");
            }
        }
    }
}

async fn connect(
    shared: &Shared,
    own: &Credentials,
) -> Result<Connection, rumqttc::ConnectionError> {
    let to = *shared.to.lock().unwrap_or_else(PoisonError::into_inner);
    let mut connection = Connection::open(ConnectOptions {
        address: to,
        client_id: &own.device_id.to_string(),
        clean: false,
        tls: own.tls(),
    })
    .await?;
    let filter = DownlinkFilter::All.for_device(own.device_id);
    connection.subscribe(&filter).await;
    Ok(connection)
}

async fn live(shared: Arc<Shared>, own: Credentials, mut connection: Connection) {
    let mut outcomes = BTreeMap::new();
    loop {
        while let Some(publish) = connection.try_receive().await {
            let topic: Topic = publish.topic.parse().unwrap();
            let message = own
                .keys
                .open(own.device_id, topic.channel, &publish.payload)
                .unwrap();
            let answer = match message {
                DownlinkMessage::Command(command) => {
                    let outcome = *outcomes
                        .entry(command.command_id)
                        .or_insert_with(|| shared.carry_out(own.device_id, command.command_id));
                    UplinkMessage::CommandAck(CommandAck {
                        device_id: own.device_id,
                        command_id: command.command_id,
                        status: outcome,
                        reason: None,
                        result_payload: None,
                    })
                }
                DownlinkMessage::ConfigPush(push) => UplinkMessage::ConfigAck(ConfigAck {
                    version: push.version,
                    status: ConfigAckStatus::Applied,
                    reason: None,
                }),
                // These boxes neither play nor request anything.
                _ => continue,
            };
            let topic = Topic::new(own.device_id, answer.channel()).to_string();
            let payload = answer.encode(own.encoding).unwrap();
            if !connection.answer(&publish, &topic, payload).await {
                break;
            }
        }
        connection = loop {
            tokio::time::sleep(AGAIN_AFTER).await;
            if let Ok(connection) = connect(&shared, &own).await {
                break connection;
            }
        };
    }
}

impl Shared {
    fn carry_out(&self, device_id: DeviceId, command_id: CommandId) -> CommandAckStatus {
        let number = self.orders.fetch_add(1, Ordering::SeqCst) + 1;
        let mut executed = self.executed.lock().unwrap_or_else(PoisonError::into_inner);
        executed.entry(device_id).or_default().insert(command_id);
        match self.fail_every.load(Ordering::SeqCst) {
            every if every > 0 && number.is_multiple_of(every) => CommandAckStatus::Failed,
            _ => CommandAckStatus::Delivered,
        }
    }
}
