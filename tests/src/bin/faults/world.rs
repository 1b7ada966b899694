//! A platform of one or more processes, its database, its boxes, with a proxy on every path between them.
//!
//! ```text
//! boxes ──▶ [proxy] ──▶ MQTT, HTTPS of each node ──▶ [proxy] ──▶ Postgres, on a small disk
//! acquirer, staff ──▶ [proxy] ──▶ HTTPS of each node
//! ```
//!
//! Boxes, acquirer, payout partner and webhook receiver are in this process, so what they saw survives every fault.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;
use tests::api::Api;
use tests::node_process::{NodeParts, NodeProcess};
use tests::payout_partner::{Behaviour, PayoutPartner};
use tests::server::Server;
use tests::webhook_receiver::WebhookReceiver;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::builder::{Builder, Made};
use crate::participants::Participants;
use crate::postgres::{Disk, Postgres};
use crate::proxy::{Aftermath, Mode, Proxy};
use crate::shared::Shared;

/// `node.lease_s`: short, so that a stopped process loses its sessions within a round.
const LEASE_S: u32 = 3;
/// The directory of the boxes.
const BOXES: &str = "boxes";
/// A short queue of callbacks, which a burst fills, and webhooks to this machine.
const MORE: &str = "[callbacks]\nqueue_max = 64\n[webhooks]\nallow_http = true\nallow_private_addresses = true\n[demo]\nenabled = true\n";

/// A path on which connections are disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// Between boxes and platform.
    Boxes,
    /// Between acquirer and platform; the staff is on it too.
    Acquirer,
    /// Between platform and Postgres.
    Database,
}

/// A process of the platform, and the proxies before and behind it.
pub(crate) struct Node {
    parts: NodeParts,
    process: Option<NodeProcess>,
    /// Before MQTT.
    pub(crate) mqtt: Proxy,
    /// Before MQTT of other makers' boxes.
    pub(crate) vendor: Proxy,
    /// Before HTTPS, for boxes.
    pub(crate) shop: Proxy,
    /// Before HTTPS, for acquirer and staff.
    pub(crate) acquirer: Proxy,
    database: Proxy,
}

impl Node {
    async fn new(
        server: &Server,
        postgres: &Postgres,
        number: usize,
        more: &str,
        logs: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let [http, mqtt, vendor] = [free_port()?, free_port()?, free_port()?];
        let name = format!("node-{number}");
        // A path of a socket may not be long.
        let directory = server.data_dir.join(format!("s{number}"));
        std::fs::create_dir_all(&directory)?;
        let at = postgres.socket()?;
        let file = at.file_name().context("the socket has no name")?;
        let database = Proxy::unix(directory.join(file), at.clone(), Aftermath::Closed)?;
        let mut parts = server.node_parts(&name, LEASE_S);
        parts.listen = [http, mqtt];
        parts.log_file = logs.map(|logs| logs.join(format!("{name}.log")));
        parts.database_url = postgres.url_by(&directory);
        parts.more = format!("{more}{MORE}[mqtt.vendor]\nlisten = \"{vendor}\"\n");
        Ok(Self {
            mqtt: Proxy::tcp(mqtt, Aftermath::Dead).await?,
            vendor: Proxy::tcp(vendor, Aftermath::Dead).await?,
            shop: Proxy::tcp(http, Aftermath::Closed).await?,
            acquirer: Proxy::tcp(http, Aftermath::Dead).await?,
            database,
            process: Some(parts.start().await?),
            parts,
        })
    }

    /// Its process, while it runs.
    pub(crate) fn process(&self) -> Option<&NodeProcess> {
        self.process.as_ref()
    }

    /// Ends the process with SIGKILL.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let process = self.process.as_ref().context("it does not run")?;
        process.signal(signal)
    }

    /// How it ended, if it did so by itself.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<String>> {
        let Some(process) = self.process.as_mut() else {
            return Ok(None);
        };
        let ended = process.ended()?;
        Ok(ended.map(|status| format!("{} ended by itself: {status}", self.parts.name)))
    }

    /// Starts it again, unless it runs.
    pub(crate) async fn revive(&mut self) -> anyhow::Result<()> {
        if self.ended()?.is_some() {
            self.process = None;
        }
        if self.process.is_none() {
            self.process = Some(self.parts.start().await?);
        }
        Ok(())
    }

    /// Disturbs a path.
    pub(crate) fn disturb(&self, path: Link, mode: Mode) {
        match path {
            Link::Boxes => {
                for proxy in [&self.mqtt, &self.vendor, &self.shop] {
                    proxy.set(mode);
                }
            }
            Link::Acquirer => self.acquirer.set(mode),
            Link::Database => self.database.set(mode),
        }
    }
}

/// Everything.
pub(crate) struct World {
    /// The database.
    pub(crate) postgres: Postgres,
    /// Its disk.
    pub(crate) disk: Disk,
    /// The processes.
    pub(crate) nodes: Vec<Node>,
    /// Who takes part.
    pub(crate) participants: Arc<Participants>,
    /// What was paid out.
    pub(crate) payouts: PayoutPartner,
    /// What endpoints were told.
    pub(crate) webhooks: WebhookReceiver,
    /// What the first start made: it verifies ledger and audit log.
    pub(crate) first: Server,
    stop: CancellationToken,
    boxes: Vec<JoinHandle<()>>,
    // Removed after everything in it has ended.
    dir: tempfile::TempDir,
}

impl World {
    /// Starts it.
    pub(crate) async fn start(nodes: usize, logs: Option<&Path>) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("faults").tempdir()?;
        let disk = Disk::mount(&dir.path().join("data"))?;
        // The first start makes CA, keys, database and the people who log in.
        let mut server = Server::start(dir.path()).await?;
        let made = Made::of(&server)?;
        server.end().await?;
        let postgres = Postgres::start(&server.data_dir).await?;
        let payouts = PayoutPartner::open(Behaviour::Pays).await;
        let webhooks = WebhookReceiver::open().await;
        let mut running = Vec::new();
        for number in 1..=nodes {
            let node = Node::new(&server, &postgres, number, &payouts.tables(), logs).await?;
            running.push(node);
        }
        let url = |proxy: &Proxy| format!("https://{}", proxy.address());
        let acquirers = running
            .iter()
            .map(|node| made.acquirer.at(&url(&node.acquirer)))
            .collect();
        let admins: Vec<Api> = running
            .iter()
            .map(|node| made.admin.at(&url(&node.acquirer)))
            .collect();
        let admin = admins.first().context("no nodes")?;
        webhooks.join(admin, &["payment.paid"]).await;
        let shared = Arc::new(Shared::new(acquirers, admins.clone()));
        let mut builder = Builder::new(dir.path().join(BOXES), &made, &running, &shared);
        let all_boxes = builder.all_boxes().await?;
        let (stop, boxes) = builder.running();
        let shops = running
            .iter()
            .map(|node| made.anonymous.at(&url(&node.shop)));
        let participants = Participants {
            all_boxes,
            shops: shops.collect(),
            shared,
        };
        Ok(Self {
            postgres,
            disk,
            nodes: running,
            participants: Arc::new(participants),
            payouts,
            webhooks,
            first: server,
            stop,
            boxes,
            dir,
        })
    }

    /// Where the boxes keep what they know.
    pub(crate) fn boxes_dir(&self) -> PathBuf {
        self.dir.path().join(BOXES)
    }

    /// Brings back what does not run and ends every disturbance.
    pub(crate) async fn heal(&mut self) -> anyhow::Result<()> {
        self.postgres.revive().await?;
        for node in &mut self.nodes {
            for path in [Link::Boxes, Link::Acquirer, Link::Database] {
                node.disturb(path, Mode::Pass);
            }
            if let Some(ended) = node.ended()? {
                self.participants.shared.problem(ended);
            }
            node.revive().await?;
        }
        Ok(())
    }

    /// Stops all of it.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        for one in self.boxes {
            let _ = one.await;
        }
        self.participants.all_boxes.suspended_box.end().await;
        for node in &mut self.nodes {
            if let Some(process) = node.process.take() {
                process.stop().await?;
            }
        }
        self.postgres.stop().await
    }
}

fn free_port() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    match listener.local_addr() {
        Ok(address) => Ok(address),
        Err(error) => bail!("no free port: {error}"),
    }
}
