//! What is live: one task reads what changed, and every open page is told.
//!
//! ```text
//! database ── Watch, every 400 ms ──▶ feeder ── batches, encoded once ──▶ streams of the viewers
//! ```
//!
//! The feeder rests while nobody looks. Batches have numbers; the last ones are kept, so that a stream that was cut off
//! goes on where it was (`Last-Event-ID`). A stream that missed more, or comes from another process, is told to read its
//! page again (`resync`). All is bounded: streams, streams of one person, batches that are kept, batches that wait for a
//! slow viewer.

mod batch;
mod board;
mod stream;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::role::Role;
use service::payment::live::{self, Watch};
use service::shop::portal;
use service::{Context, Result};
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::ids::{MerchantId, TokenId, UserId};

use self::batch::Batch;
pub(crate) use self::board::Board;
pub(crate) use self::stream::answer;

/// How often what changed is read.
const READ_EVERY: Duration = Duration::from_millis(400);
/// How often the figures are read.
const FIGURES_EVERY: Duration = Duration::from_secs(3);
/// How often it is checked whose sessions have ended.
const SESSIONS_EVERY: Duration = Duration::from_secs(2);
/// How long the feeder goes on after the last viewer: a page that was just read opens its stream in that time.
const RESTS_AFTER: Duration = Duration::from_secs(30);
/// How old figures may be that a page is made with.
const FIGURES_AGE_MAX: TimeDelta = TimeDelta::seconds(10);
/// Batches that are kept for streams that were cut off, and that may wait for a slow one.
const KEPT_MAX: usize = 256;
/// Streams of one person.
const STREAMS_OF_ONE_MAX: usize = 10;

/// The live side of the pages; cheap to clone.
#[derive(Clone)]
pub(crate) struct Live {
    inner: Arc<Inner>,
}

struct Inner {
    context: Context,
    viewers_max: usize,
    stop: CancellationToken,
    state: Mutex<State>,
    woken: Notify,
    sender: broadcast::Sender<Arc<Batch>>,
    figures: tokio::sync::Mutex<Option<Arc<Board>>>,
}

struct State {
    /// Changes whenever batches may be missing between those before and those after.
    epoch: u64,
    /// The number of the last batch.
    last: u64,
    kept: VecDeque<Arc<Batch>>,
    viewers: HashMap<u64, Watching>,
    next_viewer: u64,
    /// When somebody last asked for a page or a stream.
    touched: Option<Instant>,
    /// From here on changes are read, while the feeder is awake.
    awake_since: Option<DateTime<Utc>>,
}

/// A viewer with an open stream.
struct Watching {
    token_id: TokenId,
    user_id: UserId,
    role: Role,
    merchant_id: Option<MerchantId>,
    end: CancellationToken,
}

impl Live {
    pub(crate) fn new(context: Context, viewers_max: usize, stop: CancellationToken) -> Self {
        let (sender, _) = broadcast::channel(KEPT_MAX);
        Self {
            inner: Arc::new(Inner {
                context,
                viewers_max,
                stop,
                state: Mutex::new(State {
                    epoch: 0,
                    last: 0,
                    kept: VecDeque::new(),
                    viewers: HashMap::new(),
                    next_viewer: 0,
                    touched: None,
                    awake_since: None,
                }),
                woken: Notify::new(),
                sender,
                figures: tokio::sync::Mutex::new(None),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the feeder, and returns the place from which a page that is read now is to be followed.
    pub(crate) fn place(&self) -> String {
        let now = self.inner.context.clock().now();
        let mut state = self.state();
        state.touched = Some(Instant::now());
        if state.awake_since.is_none() {
            state.awake_since = Some(now);
            // Not to be confused with the places of another process, or of before the rest.
            state.epoch = self.inner.context.clock().uuid().as_u64_pair().1;
            state.kept.clear();
            self.inner.woken.notify_one();
        }
        format!("{:x}-{}", state.epoch, state.last)
    }

    /// The figures, at most some seconds old. Of several pages at once one reads them.
    pub(crate) async fn figures(&self) -> Result<Arc<Board>> {
        self.figures_since(FIGURES_AGE_MAX).await
    }

    async fn figures_since(&self, age_max: TimeDelta) -> Result<Arc<Board>> {
        let mut kept = self.inner.figures.lock().await;
        let now = self.inner.context.clock().now();
        if let Some(figures) = kept.as_ref()
            && now - figures.figures.at < age_max
            && now >= figures.figures.at
        {
            return Ok(Arc::clone(figures));
        }
        let known = kept.as_ref().map(|board| &board.figures.by_hour);
        let figures = live::figures(&self.inner.context, known).await?;
        let read = Arc::new(match kept.as_ref() {
            Some(board) if Arc::ptr_eq(&board.figures.by_hour, &figures.by_hour) => Board {
                figures,
                chart: Arc::clone(&board.chart),
            },
            _ => Board::of(figures),
        });
        *kept = Some(Arc::clone(&read));
        Ok(read)
    }

    /// Reads what changed and tells it, until the process stops.
    pub(crate) async fn feed(self) {
        loop {
            tokio::select! {
                () = self.inner.stop.cancelled() => return,
                () = self.inner.woken.notified() => {}
            }
            let Some(since) = self.state().awake_since else {
                continue;
            };
            tokio::select! {
                () = self.inner.stop.cancelled() => return,
                () = self.feed_while_watched(since) => {}
            }
        }
    }

    async fn feed_while_watched(&self, since: DateTime<Utc>) {
        let mut watch = Watch::new(since);
        let mut ticks = tokio::time::interval(READ_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut figures_at, mut sessions_at) = (Instant::now(), Instant::now());
        let mut encoder = batch::Encoder::default();
        let mut told = None;
        loop {
            ticks.tick().await;
            if self.rests() {
                return;
            }
            if sessions_at.elapsed() >= SESSIONS_EVERY {
                sessions_at = Instant::now();
                self.end_sessions().await;
            }
            let changes = match watch.changes(&self.inner.context).await {
                Ok(changes) => changes,
                Err(error) => {
                    tracing::warn!(%error, "what changed for the pages could not be read");
                    continue;
                }
            };
            encoder.payments(&changes);
            let shops = self.shops_among(&changes);
            for merchant_id in shops {
                match portal::summary(&self.inner.context, merchant_id).await {
                    Ok(summary) => encoder.takings(merchant_id, &summary),
                    Err(error) => {
                        tracing::warn!(%error, %merchant_id, "a shop's day could not be added up");
                    }
                }
            }
            if figures_at.elapsed() >= FIGURES_EVERY && self.has_staff() {
                figures_at = Instant::now();
                let age_max = TimeDelta::from_std(FIGURES_EVERY).unwrap_or(FIGURES_AGE_MAX);
                match self.figures_since(age_max).await {
                    Ok(board) => {
                        let by_hour = &board.figures.by_hour;
                        let is_new = told.as_ref().is_none_or(|told| !Arc::ptr_eq(told, by_hour));
                        told = Some(Arc::clone(by_hour));
                        encoder.figures(&board, is_new);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the figures of the pages could not be read");
                    }
                }
            }
            self.publish(&mut encoder);
        }
    }

    /// Goes to rest when nobody has looked for a while.
    fn rests(&self) -> bool {
        let mut state = self.state();
        let is_forgotten = state
            .touched
            .is_none_or(|touched| touched.elapsed() > RESTS_AFTER);
        let rests = state.viewers.is_empty() && is_forgotten;
        if rests {
            state.awake_since = None;
        }
        rests
    }

    fn has_staff(&self) -> bool {
        self.state()
            .viewers
            .values()
            .any(|one| !one.role.is_of_merchant())
    }

    /// The merchants with changes that somebody looks at.
    fn shops_among(&self, changes: &[store::payment::live::LivePayment]) -> Vec<MerchantId> {
        let state = self.state();
        let mut shops: Vec<MerchantId> = state
            .viewers
            .values()
            .filter_map(|one| one.merchant_id)
            .filter(|id| changes.iter().any(|one| one.merchant_id == *id))
            .collect();
        shops.sort_unstable();
        shops.dedup();
        shops
    }

    fn publish(&self, encoder: &mut batch::Encoder) {
        let mut state = self.state();
        let place = format!("{:x}-{}", state.epoch, state.last + 1);
        let Some(batch) = encoder.finish(state.last + 1, &place) else {
            return;
        };
        state.last += 1;
        let batch = Arc::new(batch);
        if state.kept.len() == KEPT_MAX {
            state.kept.pop_front();
        }
        state.kept.push_back(Arc::clone(&batch));
        // Without viewers nobody takes it.
        let _ = self.inner.sender.send(batch);
    }

    /// Ends the streams whose sessions have ended: one query for all.
    async fn end_sessions(&self) {
        let tokens: Vec<TokenId> = {
            let state = self.state();
            let mut tokens: Vec<TokenId> = state.viewers.values().map(|one| one.token_id).collect();
            tokens.sort_unstable();
            tokens.dedup();
            tokens
        };
        if tokens.is_empty() {
            return;
        }
        match live::still_valid(&self.inner.context, &tokens).await {
            Ok(valid) => {
                for one in self.state().viewers.values() {
                    if tokens.contains(&one.token_id) && !valid.contains(&one.token_id) {
                        one.end.cancel();
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the sessions of the viewers could not be checked");
            }
        }
    }
}
