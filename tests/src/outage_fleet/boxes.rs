//! Boxes that keep their journal and session and reconnect by themselves.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::commits::per_second_of;
use crate::connection::Connection;
use crate::figures::{Figures, print_heading};
use crate::provision::{Provisioned, heartbeat};
use anyhow::Context as _;
use device_sim::link::timing::LinkTiming;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rumqttc::Publish;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout_at};
use wire::{DownlinkMessage, EventId};

use super::tally::Tally;

/// How many boxes are made at a time.
const AT_A_TIME: usize = 16;

/// A box lost its connection, or has one again.
struct Change {
    number: usize,
    connected: Option<Instant>,
}

/// Connected boxes, each in a task of its own.
pub struct Fleet {
    /// The boxes.
    pub boxes: Vec<Provisioned>,
    changes: mpsc::UnboundedReceiver<Change>,
    /// Since when each is connected.
    connected: Vec<Option<Instant>>,
}

impl Fleet {
    /// Connects boxes.
    pub async fn switch_on(
        boxes: Vec<Provisioned>,
        every: Duration,
        jitter: Duration,
        tally: &Arc<Tally>,
    ) -> anyhow::Result<Self> {
        let (sender, changes) = mpsc::unbounded_channel();
        stream::iter(boxes.iter().cloned().enumerate())
            .map(|(number, made)| {
                let (changes, tally) = (sender.clone(), Arc::clone(tally));
                async move {
                    let connection = made.resume().await?.context("a connection ended")?;
                    let timing = LinkTiming::default();
                    timing.set(every, jitter);
                    let soundbox = Soundbox {
                        number,
                        made,
                        timing,
                        journal: HashSet::new(),
                        changes,
                        tally,
                    };
                    tokio::spawn(soundbox.live(connection));
                    anyhow::Ok(())
                }
            })
            .buffer_unordered(AT_A_TIME)
            .try_collect::<Vec<()>>()
            .await?;
        let connected = vec![Some(Instant::now()); boxes.len()];
        Ok(Self {
            boxes,
            changes,
            connected,
        })
    }

    /// How many are not connected now.
    pub fn away(&mut self) -> usize {
        while let Ok(change) = self.changes.try_recv() {
            self.note(&change);
        }
        self.missing()
    }

    /// Waits until these boxes have lost their connections and are connected again, and all others are connected.
    pub async fn back(&mut self, lost: &[usize], deadline: Instant) -> Returns {
        for number in lost {
            self.note(&Change {
                number: *number,
                connected: None,
            });
        }
        while self.missing() > 0
            && let Ok(Some(change)) = timeout_at(deadline, self.changes.recv()).await
        {
            self.note(&change);
        }
        let back = lost.iter().filter_map(|number| self.connected.get(*number));
        Returns(back.copied().flatten().collect())
    }

    /// After a kill: waits until all are connected again.
    pub async fn all_back(&mut self, deadline: Instant) -> Returns {
        // A box may not have noticed yet that it has no connection.
        let all: Vec<usize> = (0..self.connected.len()).collect();
        self.back(&all, deadline).await
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
pub struct Returns(Vec<Instant>);

impl Returns {
    /// How many.
    pub fn count(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    /// When the last of them was back.
    pub fn last(&self) -> Option<Instant> {
        self.0.iter().max().copied()
    }

    /// Prints how long after each of these moments boxes were back.
    pub fn print(&self, moments: &[(&str, Instant)]) {
        print_heading("");
        for (name, since) in moments.iter().copied() {
            let mut times = Figures::default();
            for at in &self.0 {
                times.add(at.saturating_duration_since(since));
            }
            times.print(name);
        }
        if let (Some(first), Some(last)) = (self.0.iter().min(), self.0.iter().max()) {
            let rate = per_second_of(self.count(), *last - *first);
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
            self.made.try_next();
            let (mut failures, mut lost) = (0, true);
            connection = loop {
                sleep(self.timing.retry_in(failures, lost)).await;
                if let Ok(Some(connection)) = self.made.resume().await {
                    break connection;
                }
                self.made.try_next();
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
