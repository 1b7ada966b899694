//! The MQTT bridge: between the edge's sessions and the services.
//!
//! | file | contents |
//! |---|---|
//! | `carrier` | what the bridge needs of a broker; another broker can implement it |
//! | `host` | what the edge needs of the platform: admission, subscriptions, uplinks, ends of sessions |
//! | `uplink_batcher` | uplinks that are stored in batches, each answered when its batch is durable |
//! | `uplink` | one message of a device, from bytes to a use case |
//! | `vendor_uplink` | the same for other makers' boxes |
//! | `puback` | what other makers' boxes acknowledge by PUBACK alone |
//! | `pool_quota` | how many database connections sessions and other uplinks may hold at a time |
//! | `observer_revocation` | ends observers whose certificate was revoked |
//! | `outbox` | notifications, configurations and commands, from the database to the broker |
//! | `delivery` | when the broker received announcements, for the step up to PUBACK in their traces |
//! | `lease` | keeps this process's lease, and ends processes that do not keep theirs |
//! | `wakeup` | what processes tell each other: messages for boxes, boxes that moved, certificates that ended |
//!
//! No state here is lost by a restart: sessions, notifications, configurations and commands are rows.

mod carrier;
mod delivery;
mod host;
mod lease;
mod observer_revocation;
mod outbox;
mod pool_quota;
mod puback;
mod uplink;
mod uplink_batcher;
mod vendor_uplink;
mod wakeup;

use std::sync::Arc;

pub use carrier::Carrier;
use carrier::CarrierSessions;
pub use host::{PlatformHost, topic_map};
use service::Context;
use service::node::Lease;
use service::signal::Receivers;
use store::fleet::command::DueCommand;
use store::fleet::config::DueConfig;
use store::payment::notification::DueNotification;
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::ids::DeviceId;

/// How many sessions that became reachable may wait for their replay; the outbox's own rounds find the rest.
const LISTENING_MAX: usize = 65_536;

/// The bridge before its broker has started: the edge needs the host to start, and the host the edge to answer.
pub struct Bridge<C> {
    host: Arc<PlatformHost<C>>,
    carrier: Arc<OnceCell<C>>,
    listening: mpsc::Receiver<DeviceId>,
}

impl<C: Carrier> Bridge<C> {
    /// Starts the batchers.
    pub fn new(context: Context, tasks: &TaskTracker, stop: &CancellationToken) -> Self {
        let carrier = Arc::new(OnceCell::new());
        let (listening_sender, listening) = mpsc::channel(LISTENING_MAX);
        let batchers = uplink_batcher::UplinkBatchers::start(&context, tasks, stop);
        let pubacks = puback::Pubacks::start(context.clone(), tasks, stop);
        let host = Arc::new(PlatformHost::new(
            context,
            batchers,
            pubacks,
            Arc::clone(&carrier),
            listening_sender,
        ));
        Self {
            host,
            carrier,
            listening,
        }
    }

    /// The host that the edge is started with.
    pub fn host(&self) -> Arc<PlatformHost<C>> {
        Arc::clone(&self.host)
    }

    /// Starts the outbox, and what holds this process and the others together.
    pub fn run(
        self,
        carrier: C,
        signals: Receivers,
        lease: Lease,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let context = self.host.context().clone();
        signals.connect(Box::new(CarrierSessions {
            carrier: carrier.clone(),
            node: Arc::clone(context.node()),
        }));
        tasks.spawn(observer_revocation::watch(
            context.clone(),
            carrier.clone(),
            stop.clone(),
        ));
        tasks.spawn(lease::keep(
            context.clone(),
            carrier.clone(),
            lease,
            stop.clone(),
        ));
        tasks.spawn(wakeup::listen(
            context.clone(),
            carrier.clone(),
            stop.clone(),
        ));
        let senders = TaskTracker::new();
        tasks.spawn(wakeup::tell(
            context.clone(),
            signals.elsewhere,
            stop.clone(),
            senders.clone(),
        ));
        // Set once, here; until then the host answers `Unavailable`.
        let _ = self.carrier.set(carrier.clone());
        let outbox = outbox::Outbox::new(
            context,
            carrier,
            self.host.deliveries(),
            self.host.pubacks(),
        );
        let (wakes, listening) = (signals.wakes, Some(self.listening));
        let send = outbox.clone();
        let sending = send.run::<DueNotification>(wakes.payments, listening, stop.clone());
        tasks.spawn(senders.track_future(sending));
        let send = outbox.clone();
        let sending = send.run::<DueConfig>(wakes.configs, None, stop.clone());
        tasks.spawn(senders.track_future(sending));
        let sending = outbox.run::<DueCommand>(wakes.commands, None, stop.clone());
        tasks.spawn(senders.track_future(sending));
        senders.close();
    }
}
