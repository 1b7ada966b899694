//! Many boxes that do what they are ordered, or fail as the story wants, and come back when the platform was away.
//!
//! Each carries an order out once, however often it is told, as an honest box does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use wire::message::{CommandAck, CommandAckStatus, ConfigAck, ConfigAckStatus};
use wire::{CommandId, DeviceId, DownlinkFilter, DownlinkMessage, Topic, UplinkMessage};

use crate::credentials::Credentials;
use crate::line::{Dial, Line};

/// How soon a box that lost its connection tries again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What all of them share.
struct Shared {
    /// Where the platform is now.
    to: Mutex<SocketAddr>,
    /// Of so many new orders one fails; 0: none.
    fail_every: AtomicU32,
    orders: AtomicU32,
    carried_out: Mutex<BTreeMap<DeviceId, BTreeSet<CommandId>>>,
}

/// Boxes that are switched on.
pub struct Crowd {
    shared: Arc<Shared>,
    boxes: JoinSet<()>,
}

impl Crowd {
    /// Switches boxes on, each in a task of its own; returns when all of them listen.
    pub async fn gather(to: SocketAddr, credentials: Vec<Credentials>) -> Self {
        let shared = Arc::new(Shared {
            to: Mutex::new(to),
            fail_every: AtomicU32::new(0),
            orders: AtomicU32::new(0),
            carried_out: Mutex::new(BTreeMap::new()),
        });
        let mut boxes = JoinSet::new();
        for own in credentials {
            let line = connect(&shared, &own).await.unwrap();
            boxes.spawn(live(Arc::clone(&shared), own, line));
        }
        Self { shared, boxes }
    }

    /// From now on one of so many new orders fails; 0: none.
    pub fn fail_one_of(&self, orders: u32) {
        self.shared.fail_every.store(orders, Ordering::SeqCst);
    }

    /// The platform is somewhere else now.
    pub fn moved(&self, to: SocketAddr) {
        *self
            .shared
            .to
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = to;
    }

    /// The orders that each box carried out, well or not.
    pub fn carried_out(&self) -> BTreeMap<DeviceId, BTreeSet<CommandId>> {
        let carried_out = self.shared.carried_out.lock();
        carried_out.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fails when a box has panicked.
    pub async fn disperse(mut self) {
        self.boxes.abort_all();
        while let Some(ended) = self.boxes.join_next().await {
            if let Err(error) = ended {
                assert!(error.is_cancelled(), "a box: {error}");
            }
        }
    }
}

async fn connect(shared: &Shared, own: &Credentials) -> Result<Line, rumqttc::ConnectionError> {
    let to = *shared.to.lock().unwrap_or_else(PoisonError::into_inner);
    let mut line = Line::dial(Dial {
        to,
        client_id: &own.device_id.to_string(),
        clean: false,
        tls: own.tls(),
    })
    .await?;
    let filter = DownlinkFilter::All.for_device(own.device_id);
    line.subscribe(&filter).await;
    Ok(line)
}

async fn live(shared: Arc<Shared>, own: Credentials, mut line: Line) {
    let mut outcomes = BTreeMap::new();
    loop {
        while let Some(publish) = line.hear_if_any().await {
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
                // It neither plays nor asks.
                _ => continue,
            };
            let topic = Topic::new(own.device_id, answer.channel()).to_string();
            let payload = answer.encode(own.encoding).unwrap();
            if !line.answer(&publish, &topic, payload).await {
                break;
            }
        }
        line = loop {
            tokio::time::sleep(AGAIN_AFTER).await;
            if let Ok(line) = connect(&shared, &own).await {
                break line;
            }
        };
    }
}

impl Shared {
    fn carry_out(&self, device_id: DeviceId, command_id: CommandId) -> CommandAckStatus {
        let number = self.orders.fetch_add(1, Ordering::SeqCst) + 1;
        let mut carried_out = self
            .carried_out
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        carried_out.entry(device_id).or_default().insert(command_id);
        match self.fail_every.load(Ordering::SeqCst) {
            every if every > 0 && number.is_multiple_of(every) => CommandAckStatus::Failed,
            _ => CommandAckStatus::Delivered,
        }
    }
}
