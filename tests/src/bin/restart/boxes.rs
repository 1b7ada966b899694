//! Boxes that keep their journal and session and reconnect by themselves.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use device_sim::link::timing::LinkTiming;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rumqttc::Publish;
use tests::commits::per_second_of;
use tests::connection::Connection;
use tests::figures::{Figures, print_heading};
use tests::provision::{Provisioned, heartbeat};
use tests::server::Server;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout_at};
use wire::{DownlinkMessage, EventId};

use crate::tally::Tally;

/// How many boxes are made at a time.
const AT_A_TIME: usize = 16;

/// A box lost its connection, or has one again.
struct Change {
    number: usize,
    connected: Option<Instant>,
}

/// Connected boxes, each in a task of its own.
pub(crate) struct Fleet {
    pub(crate) boxes: Vec<Provisioned>,
    changes: mpsc::UnboundedReceiver<Change>,
    /// Since when each is connected.
    connected: Vec<Option<Instant>>,
}

impl Fleet {
    /// Makes boxes at terminals of their own and connects them.
    pub(crate) async fn switch_on(
        server: &Server,
        count: u32,
        every: Duration,
        jitter: Duration,
        tally: &Arc<Tally>,
    ) -> anyhow::Result<Self> {
        let admin = server.api("admin")?;
        let outlet = server.outlet()?;
        let (sender, changes) = mpsc::unbounded_channel();
        let boxes: BTreeMap<usize, Provisioned> = stream::iter(0..usize::try_from(count)?)
            .map(|number| {
                let (admin, changes, tally) = (admin.clone(), sender.clone(), Arc::clone(tally));
                async move {
                    let made = Provisioned::new(server, &admin, number, Some(outlet)).await?;
                    let connection = made.resume().await?.context("a connection ended")?;
                    let timing = LinkTiming::default();
                    timing.set(every, jitter);
                    let soundbox = Soundbox {
                        number,
                        made: made.clone(),
                        timing,
                        journal: HashSet::new(),
                        changes,
                        tally,
                    };
                    tokio::spawn(soundbox.live(connection));
                    anyhow::Ok((number, made))
                }
            })
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await?;
        let connected = vec![Some(Instant::now()); boxes.len()];
        Ok(Self {
            boxes: boxes.into_values().collect(),
            changes,
            connected,
        })
    }

    /// How many are not connected now.
    pub(crate) fn away(&mut self) -> usize {
        while let Ok(change) = self.changes.try_recv() {
            self.note(&change);
        }
        self.missing()
    }

    /// After a kill: waits until all are connected again.
    pub(crate) async fn all_back(&mut self, deadline: Instant) -> Returns {
        // A box may not have noticed yet that it has no connection.
        self.connected.fill(None);
        while self.missing() > 0
            && let Ok(Some(change)) = timeout_at(deadline, self.changes.recv()).await
        {
            self.note(&change);
        }
        Returns(self.connected.iter().copied().flatten().collect())
    }

    fn note(&mut self, change: &Change) {
        if let Some(one) = self.connected.get_mut(change.number) {
            *one = change.connected;
        }
    }

    fn missing(&self) -> usize {
        self.connected.iter().filter(|one| one.is_none()).count()
    }
}

/// When each box was admitted and subscribed again.
pub(crate) struct Returns(Vec<Instant>);

impl Returns {
    pub(crate) fn len(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    pub(crate) fn print(&self, killed: Instant, ready: Instant) {
        print_heading("");
        for (name, since) in [
            ("new process ready → a box is back", ready),
            ("kill → a box is back", killed),
        ] {
            let mut times = Figures::default();
            for at in &self.0 {
                times.add(at.saturating_duration_since(since));
            }
            times.print(name);
        }
        if let (Some(first), Some(last)) = (self.0.iter().min(), self.0.iter().max()) {
            let rate = per_second_of(self.len(), *last - *first);
            println!(
                "{:<44} {rate:>8}/s",
                "connects, from the first box to the last"
            );
        }
    }
}

struct Soundbox {
    number: usize,
    made: Provisioned,
    timing: LinkTiming,
    /// Events that it has spoken.
    journal: HashSet<EventId>,
    changes: mpsc::UnboundedSender<Change>,
    tally: Arc<Tally>,
}

impl Soundbox {
    /// Until the fleet is dropped.
    async fn live(mut self, mut connection: Connection) {
        loop {
            self.talk(&mut connection).await;
            if !self.report(None) {
                return;
            }
            let (mut failures, mut lost) = (0, true);
            connection = loop {
                sleep(self.timing.retry_in(failures, lost)).await;
                if let Ok(Some(connection)) = self.made.resume().await {
                    break connection;
                }
                (failures, lost) = (failures.saturating_add(1), false);
            };
            self.report(Some(Instant::now()));
        }
    }

    fn report(&self, connected: Option<Instant>) -> bool {
        let number = self.number;
        self.changes.send(Change { number, connected }).is_ok()
    }

    /// Until the connection ends.
    async fn talk(&mut self, connection: &mut Connection) {
        let every = self.timing.heartbeat_interval();
        let first = Instant::now() + every.mul_f64(rand::random());
        let mut heartbeats = interval_at(first, every);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                publish = connection.try_receive() => {
                    let Some(publish) = publish else { return };
                    if !self.hear(connection, &publish).await {
                        return;
                    }
                }
                _ = heartbeats.tick() => {
                    let (topic, payload) = heartbeat(self.made.device_id);
                    if !connection.try_send(&topic, payload).await {
                        return;
                    }
                }
            }
        }
    }

    /// Journals, speaks and acknowledges; what is in the journal is only acknowledged.
    async fn hear(&mut self, connection: &mut Connection, publish: &Publish) -> bool {
        let message = self.made.open(publish);
        if let Some(DownlinkMessage::PaymentSuccess(payment)) = &message {
            if self.journal.insert(payment.event_id) {
                self.tally.spoken(payment.transaction_id);
            } else {
                self.tally.redelivered();
            }
        }
        self.made
            .answer(connection, publish, message.as_ref())
            .await
    }
}
