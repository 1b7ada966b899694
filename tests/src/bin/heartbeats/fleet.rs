//! Boxes that send heartbeats, and report what they receive.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rumqttc::Publish;
use tests::connection::Connection;
use tests::provision::{Provisioned, answer_to, encode, heartbeat};
use tests::server::Server;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use wire::{DownlinkMessage, EventId, TransactionId};

use crate::report::{Counters, Measured, Report};

/// How many boxes are made or connected at a time.
const AT_A_TIME: usize = 16;

/// When callbacks were sent.
pub(crate) type Sent = Arc<Mutex<HashMap<TransactionId, Instant>>>;

/// Connected boxes, each in a task of its own.
pub(crate) struct Fleet {
    /// Those that are paid.
    pub(crate) customers: Vec<Provisioned>,
    pub(crate) sent: Sent,
    period: watch::Sender<Option<Duration>>,
}

impl Fleet {
    /// Makes and connects them; the first `paid` are bound to terminals.
    pub(crate) async fn switch_on(
        server: &Server,
        boxes: usize,
        paid: usize,
        report: &Report,
    ) -> anyhow::Result<Self> {
        let admin = server.api("admin")?;
        let outlet = server.outlet()?;
        let (period, _) = watch::channel(None);
        let sent = Sent::default();
        let customers: Vec<Option<Provisioned>> = stream::iter(0..boxes)
            .map(|number| {
                let (admin, sent, period) = (admin.clone(), Arc::clone(&sent), period.subscribe());
                let (counters, times) = (Arc::clone(&report.counters), report.sender.clone());
                async move {
                    let place = (number < paid).then_some(outlet);
                    let made = Provisioned::new(server, &admin, number, place).await?;
                    let connection = made.listen().await?;
                    let soundbox = Soundbox {
                        connection,
                        made: made.clone(),
                        counters,
                        times,
                        sent,
                        heard: HashSet::new(),
                    };
                    tokio::spawn(soundbox.live(period));
                    anyhow::Ok(place.map(|_| made))
                }
            })
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await?;
        Ok(Self {
            customers: customers.into_iter().flatten().collect(),
            sent,
            period,
        })
    }

    /// From now on each sends heartbeats with this period, with a random offset.
    pub(crate) fn beat_every(&self, period: Duration) {
        self.period.send_replace(Some(period));
    }

    /// Stops the heartbeats; payments still arrive.
    pub(crate) fn stop_beating(&self) {
        self.period.send_replace(None);
    }
}

struct Soundbox {
    connection: Connection,
    made: Provisioned,
    counters: Arc<Counters>,
    times: mpsc::UnboundedSender<Measured>,
    sent: Sent,
    heard: HashSet<EventId>,
}

impl Soundbox {
    /// Runs until the fleet is dropped.
    async fn live(mut self, mut period: watch::Receiver<Option<Duration>>) {
        let mut next: Option<Instant> = None;
        loop {
            tokio::select! {
                changed = period.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    next = period.borrow_and_update().map(|period| Instant::now() + period.mul_f64(rand::random()));
                }
                () = async { sleep_until(next.unwrap_or_else(Instant::now)).await }, if next.is_some() => {
                    let length = *period.borrow();
                    next = next.zip(length).map(|(last, length)| last + length);
                    if !self.heartbeat().await {
                        self.counters.broken.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                }
                publish = self.connection.try_receive() => match publish {
                    Some(publish) => self.hear(&publish).await,
                    None => {
                        self.counters.broken.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                },
            }
        }
    }

    async fn heartbeat(&mut self) -> bool {
        let (topic, payload) = heartbeat(self.made.device_id);
        let start = Instant::now();
        self.counters.sent.fetch_add(1, Ordering::Relaxed);
        let acknowledged = self.connection.publish(&topic, payload).await;
        if acknowledged {
            self.counters.acknowledged.fetch_add(1, Ordering::Relaxed);
            let _ = self.times.send(Measured::Heartbeat(start.elapsed()));
        }
        acknowledged
    }

    /// Acknowledges a message as a box does.
    async fn hear(&mut self, publish: &Publish) {
        let at = Instant::now();
        let opened = self.made.open(publish);
        self.connection.confirm(publish).await;
        let Some(message) = opened else { return };
        if let DownlinkMessage::PaymentSuccess(payment) = &message {
            if self.heard.insert(payment.event_id) {
                let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(start) = sent.get(&payment.transaction_id) {
                    let _ = self
                        .times
                        .send(Measured::Payment(at.duration_since(*start)));
                }
                self.counters.heard.fetch_add(1, Ordering::Relaxed);
            } else {
                self.counters.repeated.fetch_add(1, Ordering::Relaxed);
            }
        }
        let Some(ack) = answer_to(&message) else {
            return;
        };
        let (topic, bytes) = encode(self.made.device_id, &ack);
        self.connection.publish(&topic, bytes).await;
    }
}
