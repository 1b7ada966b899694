//! Boxes, of which as many are connected as a row asks for.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rand::seq::IndexedRandom as _;
use tests::provision::Provisioned;
use tests::server::Server;
use tokio::sync::mpsc;
use tokio::time::Instant;
use wire::TransactionId;

use crate::listener::{Heard, Listener};

/// How many boxes are provisioned or connected, or request a code, at a time.
const AT_A_TIME: usize = 16;
/// Of so many boxes it is said how long they took.
const MANY: usize = 500;

/// All boxes that were made; the first of them are connected.
pub(crate) struct Fleet {
    made: Vec<Provisioned>,
    connected: Vec<Listener>,
    sender: mpsc::UnboundedSender<Heard>,
    /// What they hear.
    pub(crate) heard: mpsc::UnboundedReceiver<Heard>,
}

impl Default for Fleet {
    fn default() -> Self {
        let (sender, heard) = mpsc::unbounded_channel();
        Self {
            made: Vec::new(),
            connected: Vec::new(),
            sender,
            heard,
        }
    }
}

impl Fleet {
    /// Connects boxes until so many are connected, and makes those that are missing.
    pub(crate) async fn grow(&mut self, server: &Server, count: usize) -> anyhow::Result<()> {
        self.make(server, count).await?;
        let began = Instant::now();
        let missing = self
            .made
            .get(self.connected.len()..count)
            .unwrap_or_default();
        let sender = &self.sender;
        let new: Vec<Listener> = stream::iter(missing)
            .map(|made| Listener::connect(made, sender.clone()))
            .buffered(AT_A_TIME)
            .try_collect()
            .await?;
        say(new.len(), "connected", began);
        self.connected.extend(new);
        Ok(())
    }

    async fn make(&mut self, server: &Server, count: usize) -> anyhow::Result<()> {
        let admin = &server.api("admin")?;
        let outlet = Some(server.outlet()?);
        let began = Instant::now();
        let new: Vec<Provisioned> = stream::iter(self.made.len()..count)
            .map(|number| Provisioned::new(server, admin, number, outlet))
            .buffered(AT_A_TIME)
            .try_collect()
            .await?;
        say(new.len(), "made", began);
        self.made.extend(new);
        Ok(())
    }

    /// The platform was stopped and started again, and has other addresses.
    pub(crate) async fn moved(&mut self, server: &Server) -> anyhow::Result<()> {
        for listener in self.connected.drain(..) {
            listener.ended().await?;
        }
        let (api, mqtt) = (server.anonymous(), server.mqtt().await?);
        for made in &mut self.made {
            made.moved(&api, mqtt);
        }
        Ok(())
    }

    /// Codes that random connected boxes request.
    pub(crate) async fn codes(&self, count: usize) -> anyhow::Result<Vec<TransactionId>> {
        let mut rng = rand::rng();
        let customers: Vec<&Listener> = (0..count)
            .filter_map(|_| self.connected.choose(&mut rng))
            .collect();
        stream::iter(customers)
            .map(Listener::code)
            .buffered(AT_A_TIME)
            .try_collect()
            .await
    }
}

fn say(boxes: usize, what: &str, began: Instant) {
    if boxes >= MANY {
        println!("{boxes} boxes {what} in {:.1?}", began.elapsed());
    }
}
