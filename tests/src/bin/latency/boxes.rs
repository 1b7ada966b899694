//! Boxes that receive payments, take the time, and acknowledge.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rand::seq::IndexedRandom as _;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tests::acquirer::Acquirer;
use tests::api::Api;
use tests::commits;
use tests::connection::Connection;
use tests::provision::{Provisioned, answer_to};
use tests::server::Server;
use tests::text;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use wire::{DeviceId, DownlinkMessage, Encoding, EventId, Topic, TransactionId, VerifyingKeys};

use crate::costs::{Costs, Used};
use crate::legs::Legs;

/// How many boxes are provisioned or connected at a time.
const AT_A_TIME: usize = 16;
/// How long a payment may take before it counts as lost.
const HEARD_WITHIN: Duration = Duration::from_secs(20);

/// A box that is connected; its task owns the connection.
struct Listener {
    api: Api,
    device_id: DeviceId,
}

/// A payment that reached a box.
struct Heard {
    transaction_id: TransactionId,
    event_id: EventId,
    at: Instant,
}

/// Connected boxes.
pub(crate) struct Fleet {
    listeners: Vec<Listener>,
    sender: mpsc::UnboundedSender<Heard>,
    heard: mpsc::UnboundedReceiver<Heard>,
}

impl Default for Fleet {
    fn default() -> Self {
        let (sender, heard) = mpsc::unbounded_channel();
        Self {
            listeners: Vec::new(),
            sender,
            heard,
        }
    }
}

impl Fleet {
    pub(crate) fn len(&self) -> usize {
        self.listeners.len()
    }

    /// Provisions and connects boxes until there are `count`.
    pub(crate) async fn grow(&mut self, server: &Server, count: usize) -> anyhow::Result<()> {
        let admin = server.api("admin")?;
        let outlet = server.outlet()?;
        let missing = self.listeners.len()..count;
        let sender = self.sender.clone();
        let new: Vec<Listener> = stream::iter(missing)
            .map(|number| switch_on(server, &admin, outlet, number, sender.clone()))
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await?;
        self.listeners.extend(new);
        Ok(())
    }

    /// Codes that random boxes request.
    async fn codes(&self, count: usize) -> anyhow::Result<Vec<TransactionId>> {
        let mut rng = rand::rng();
        let customers: Vec<&Listener> = (0..count)
            .filter_map(|_| self.listeners.choose(&mut rng))
            .collect();
        stream::iter(customers)
            .map(ask)
            .buffered(AT_A_TIME)
            .try_collect()
            .await
    }

    /// Pays random boxes as fast as the platform answers this many concurrent acquirers: how many a second were answered,
    /// each after its commit, and what each cost until `played` was durable.
    pub(crate) async fn flood(
        &mut self,
        server: &Server,
        payments: usize,
        acquirers: usize,
    ) -> anyhow::Result<(u128, Costs)> {
        let codes = self.codes(payments).await?;
        let acquirer = server.acquirer();
        let before = Used::now(server).await?;
        let start = Instant::now();
        let mut answers = stream::iter(&codes)
            .map(|id| callback(acquirer.clone(), *id))
            .buffer_unordered(acquirers);
        while let Some((status, _)) = answers.next().await {
            if status != 200 {
                bail!("a callback was answered {status}");
            }
        }
        let payments = u64::try_from(payments)?;
        let rate = commits::per_second_of(payments, start.elapsed());
        played(server, &codes, &mut Legs::default()).await?;
        let after = Used::now(server).await?;
        Ok((rate, Used::each(&before, &after, payments)))
    }

    /// Pays random boxes, one every `period`.
    pub(crate) async fn pay(
        &mut self,
        server: &Server,
        payments: usize,
        period: Duration,
    ) -> anyhow::Result<Legs> {
        // The codes are requested beforehand: only the payment is measured.
        let codes = self.codes(payments).await?;
        let acquirer = server.acquirer();
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (answers, mut answered) = mpsc::unbounded_channel();
        let mut sent = HashMap::new();
        for transaction_id in &codes {
            ticks.tick().await;
            let (answers, calling) = (answers.clone(), callback(acquirer.clone(), *transaction_id));
            sent.insert(*transaction_id, Instant::now());
            tokio::spawn(async move {
                let _ = answers.send(calling.await);
            });
        }
        let mut legs = Legs::default();
        self.collect(&codes, &sent, &mut legs).await?;
        for _ in &codes {
            let (status, time) = answered.recv().await.context("an answer is missing")?;
            if status != 200 {
                bail!("a callback was answered {status}");
            }
            legs.answered.add(time);
        }
        played(server, &codes, &mut legs).await?;
        Ok(legs)
    }

    async fn collect(
        &mut self,
        codes: &[TransactionId],
        sent: &HashMap<TransactionId, Instant>,
        legs: &mut Legs,
    ) -> anyhow::Result<()> {
        let mut events = HashSet::new();
        let mut open: HashSet<TransactionId> = codes.iter().copied().collect();
        while !open.is_empty() {
            let heard = tokio::time::timeout(HEARD_WITHIN, self.heard.recv())
                .await
                .with_context(|| format!("{} payments were not heard", open.len()))?
                .context("no box is left")?;
            if !events.insert(heard.event_id) {
                legs.repeated += 1;
            } else if let (true, Some(start)) = (
                open.remove(&heard.transaction_id),
                sent.get(&heard.transaction_id),
            ) {
                legs.heard.add(heard.at.duration_since(*start));
            }
        }
        Ok(())
    }
}

/// Signs now; sends when it is awaited. The status of the answer, and how long it took.
fn callback(
    acquirer: Acquirer,
    transaction_id: TransactionId,
) -> impl Future<Output = (u16, Duration)> + Send {
    let request = acquirer.payment(transaction_id, 50_000);
    async move {
        let start = Instant::now();
        let answer = acquirer.post(&request).await;
        (answer.status, start.elapsed())
    }
}

async fn ask(listener: &Listener) -> anyhow::Result<TransactionId> {
    let key = format!("{:032x}", rand::random::<u128>());
    let body = json!({ "device_id": listener.device_id, "amount": 50_000, "currency": "IDR", "request_id": key });
    let headers = [("idempotency-key", key.as_str())];
    let answer = listener
        .api
        .post_with("/device/transactions/dynamic-qr", &headers, &body)
        .await
        .expect(201);
    Ok(text(&answer.json(), "transaction_id").parse()?)
}

/// A terminal and a box at it, through the public API, connected.
async fn switch_on(
    server: &Server,
    admin: &Api,
    outlet: &str,
    number: usize,
    heard: mpsc::UnboundedSender<Heard>,
) -> anyhow::Result<Listener> {
    let made = Provisioned::new(server, admin, number, Some(outlet)).await?;
    let connection = made.listen().await?;
    tokio::spawn(listen(connection, made.device_id, made.keys, heard));
    Ok(Listener {
        api: made.api,
        device_id: made.device_id,
    })
}

/// Takes the time of each payment, then acknowledges it as a box does.
async fn listen(
    mut connection: Connection,
    device_id: DeviceId,
    keys: VerifyingKeys,
    heard: mpsc::UnboundedSender<Heard>,
) {
    while let Some(publish) = connection.try_receive().await {
        let at = Instant::now();
        let channel = publish.topic.parse::<Topic>().map(|topic| topic.channel);
        let opened = channel
            .ok()
            .and_then(|channel| keys.open(device_id, channel, &publish.payload).ok());
        connection.confirm(&publish).await;
        let Some(message) = opened else { continue };
        if let DownlinkMessage::PaymentSuccess(payment) = &message {
            let seen = Heard {
                transaction_id: payment.transaction_id,
                event_id: payment.event_id,
                at,
            };
            if heard.send(seen).is_err() {
                return;
            }
        }
        let Some(ack) = answer_to(&message) else {
            continue;
        };
        if let Ok(bytes) = ack.encode(Encoding::Json) {
            let topic = Topic::new(device_id, ack.channel()).to_string();
            connection.send(&topic, bytes).await;
        }
    }
}

/// How long it took from the commit of each payment until its `played` was durable, by the platform's own clock.
async fn played(server: &Server, codes: &[TransactionId], legs: &mut Legs) -> anyhow::Result<()> {
    let ids: Vec<uuid::Uuid> = codes.iter().map(|id| id.as_uuid()).collect();
    let mut conn = PgConnection::connect(&server.demo.database_url).await?;
    let deadline = Instant::now() + HEARD_WITHIN;
    loop {
        let times: Vec<i64> = sqlx::query_scalar(
            "SELECT (extract(epoch FROM acked_at - created_at) * 1000000)::bigint FROM notifications
             WHERE transaction_id = ANY($1) AND status = 'played'",
        )
        .bind(&ids)
        .fetch_all(&mut conn)
        .await?;
        if times.len() == codes.len() {
            times
                .iter()
                .for_each(|time| legs.played.add(Duration::from_micros(time.unsigned_abs())));
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "only {} of {} payments are played in the database",
                times.len(),
                codes.len()
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
