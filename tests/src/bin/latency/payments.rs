//! Payments to random boxes: at a steady rate, each with its times, or as fast as they go.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, stream};
use service::clock::Clock;
use sqlx::{Connection as _, PgConnection};
use tests::acquirer::Acquirer;
use tests::commits;
use tests::figures::Figures;
use tests::server::Server;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use wire::TransactionId;

use crate::costs::Used;
use crate::fleet::Fleet;
use crate::listener::Heard;
use crate::measured::Flood;

/// How long a payment may take before it counts as lost.
const HEARD_WITHIN: Duration = Duration::from_secs(20);

/// What the acquirer and the box saw of a payment. The platform runs on the same machine, so its times are of the same clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// The callback was about to be sent.
    pub(crate) sent: DateTime<Utc>,
    /// Its 200 was received.
    pub(crate) answered: DateTime<Utc>,
    /// The PUBLISH was in the box's hands.
    pub(crate) heard: DateTime<Utc>,
}

/// Payments of one row.
pub(crate) struct Payments {
    pub(crate) seen: HashMap<TransactionId, Seen>,
    /// Callback committed → `played` durable, by the platform's clock.
    pub(crate) played: Figures,
    /// Deliveries beyond the first of an event.
    pub(crate) repeated: usize,
}

impl Fleet {
    /// Pays random boxes as fast as the platform answers this many concurrent acquirers, each after its commit.
    pub(crate) async fn flood(
        &mut self,
        server: &Server,
        payments: usize,
        acquirers: usize,
    ) -> anyhow::Result<Flood> {
        let codes = self.codes(payments).await?;
        let receivers = [server.pid()?];
        flood(
            (server, &receivers),
            &server.acquirer(),
            &codes,
            acquirers,
            async { played(server, &codes).await.map(drop) },
        )
        .await
    }

    /// Pays random boxes, so many a second.
    pub(crate) async fn pay(
        &mut self,
        server: &Server,
        payments: usize,
        per_second: u32,
    ) -> anyhow::Result<Payments> {
        // The codes are requested beforehand: only the payment is measured.
        let codes = self.codes(payments).await?;
        let (seen, repeated) = pay(&server.acquirer(), &codes, per_second, &mut self.heard).await?;
        Ok(Payments {
            seen,
            played: played(server, &codes).await?,
            repeated,
        })
    }
}

/// Pays these codes as fast as this many concurrent acquirers are answered, and counts what the server's Postgres and these
/// processes use until all are `acknowledged`.
pub(crate) async fn flood(
    (server, receivers): (&Server, &[u32]),
    acquirer: &Acquirer,
    codes: &[TransactionId],
    acquirers: usize,
    acknowledged: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Flood> {
    let before = Used::now(server, receivers).await?;
    let start = Instant::now();
    let mut answers = stream::iter(codes)
        .map(|id| callback(acquirer.clone(), *id))
        .buffer_unordered(acquirers);
    while let Some(answered) = answers.next().await {
        answered?;
    }
    let payments = u64::try_from(codes.len())?;
    let callbacks_per_s = commits::per_second_of(payments, start.elapsed());
    acknowledged.await?;
    let after = Used::now(server, receivers).await?;
    Ok(Flood {
        payments,
        acquirers,
        callbacks_per_s,
        costs: Used::each(&before, &after, payments),
    })
}

/// Pays these codes, so many a second, and waits until all are heard. What was seen of each, and how many deliveries
/// were repetitions.
pub(crate) async fn pay(
    acquirer: &Acquirer,
    codes: &[TransactionId],
    per_second: u32,
    boxes: &mut mpsc::UnboundedReceiver<Heard>,
) -> anyhow::Result<(HashMap<TransactionId, Seen>, usize)> {
    let clock = Clock::system();
    let mut ticks = interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (answers, mut answered) = mpsc::unbounded_channel();
    for transaction_id in codes.iter().copied() {
        ticks.tick().await;
        let (answers, calling) = (answers.clone(), callback(acquirer.clone(), transaction_id));
        let sent = clock.now();
        tokio::spawn(async move {
            let _ = answers.send((transaction_id, sent, calling.await));
        });
    }
    let (heard, repeated) = hear(boxes, codes).await?;
    let mut seen = HashMap::new();
    for _ in codes {
        let (id, sent, answered) = answered.recv().await.context("an answer is missing")?;
        let heard = *heard.get(&id).context("a payment was not heard")?;
        let answered = answered?;
        seen.insert(
            id,
            Seen {
                sent,
                answered,
                heard,
            },
        );
    }
    Ok((seen, repeated))
}

/// When each of these payments was heard, and how many deliveries were repetitions.
async fn hear(
    boxes: &mut mpsc::UnboundedReceiver<Heard>,
    codes: &[TransactionId],
) -> anyhow::Result<(HashMap<TransactionId, DateTime<Utc>>, usize)> {
    let (mut events, mut times, mut repeated) = (HashSet::new(), HashMap::new(), 0);
    let mut open: HashSet<TransactionId> = codes.iter().copied().collect();
    while !open.is_empty() {
        let heard = tokio::time::timeout(HEARD_WITHIN, boxes.recv())
            .await
            .with_context(|| format!("{} payments were not heard", open.len()))?
            .context("no box is left")?;
        if !events.insert(heard.event_id) {
            repeated += 1;
        } else if open.remove(&heard.transaction_id) {
            times.insert(heard.transaction_id, heard.at);
        }
    }
    Ok((times, repeated))
}

/// Signs now; sends when it is awaited. When the 200 was received.
fn callback(
    acquirer: Acquirer,
    transaction_id: TransactionId,
) -> impl Future<Output = anyhow::Result<DateTime<Utc>>> + Send {
    let request = acquirer.payment(transaction_id, 50_000);
    async move {
        let answer = acquirer.post(&request).await;
        if answer.status != 200 {
            bail!("a callback was answered {}", answer.status);
        }
        Ok(Clock::system().now())
    }
}

/// How long it took from the commit of each payment until its `played` was durable, by the platform's own clock.
async fn played(server: &Server, codes: &[TransactionId]) -> anyhow::Result<Figures> {
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
            let mut figures = Figures::default();
            times
                .iter()
                .for_each(|time| figures.add(Duration::from_micros(time.unsigned_abs())));
            return Ok(figures);
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
