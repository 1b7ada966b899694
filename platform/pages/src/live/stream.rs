//! The stream of one viewer.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http_api::listener::LiveAnswer;
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::batch::Batch;
use super::{Live, STREAMS_OF_ONE_MAX, Watching};
use crate::session::Viewer;

/// How often an idle stream shows that it is alive; proxies and the listener end silent connections later.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// Over which time a batch is spread over the streams. All at once would keep the processors from payments for as long as
/// hundreds of pages take to encrypt.
const SPREAD: Duration = Duration::from_millis(300);
/// How many turns that time has.
const TURNS: u32 = 60;
/// How soon a browser that lost its stream opens it again.
const RETRY: &str = "retry: 1000\n\n";
/// Tells a page to read itself again.
const RESYNC: &str = "event: resync\ndata: \n\n";
/// Tells a page that its session is over.
const ENDED: &str = "event: ended\ndata: \n\n";

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A viewer's stream, from the place that the browser names, or else the page.
pub(crate) fn answer(live: &Live, viewer: &Viewer, headers: &HeaderMap, page: &str) -> Response {
    // The feeder is awake from here on.
    let _ = live.place();
    let place = headers
        .get(LAST_EVENT_ID)
        .and_then(|value| value.to_str().ok())
        .unwrap_or(page);
    let Some(viewer_stream) = ViewerStream::take(live, viewer, place) else {
        metrics::counter!("page_streams_refused_total").increment(1);
        return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "10")]).into_response();
    };
    let chunks = stream::unfold(viewer_stream, |mut viewer_stream| async move {
        let chunk = viewer_stream.next().await?;
        Some((Ok::<_, Infallible>(chunk), viewer_stream))
    });
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        // A proxy that collects an answer would hold events back.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let mut response = (headers, Body::from_stream(chunks)).into_response();
    response.extensions_mut().insert(LiveAnswer);
    response
}

/// A viewer's place in the registry; given up when the stream is dropped.
struct ViewerStream {
    live: Live,
    id: u64,
    viewer: Viewer,
    waiting: VecDeque<Bytes>,
    /// How long after a batch this stream's turn is.
    turn: Duration,
    /// When what waits is sent; none: now.
    due: Option<Instant>,
    batches: broadcast::Receiver<Arc<Batch>>,
    end: CancellationToken,
    is_over: bool,
    _guard: DropGuard,
}

impl ViewerStream {
    fn take(live: &Live, viewer: &Viewer, place: &str) -> Option<Self> {
        let end = live.inner.stop.child_token();
        let mut state = live.state();
        let own = state
            .viewers
            .values()
            .filter(|one| one.user_id == viewer.user_id)
            .count();
        if state.viewers.len() >= live.inner.viewers_max || own >= STREAMS_OF_ONE_MAX {
            return None;
        }
        let id = state.next_viewer;
        state.next_viewer += 1;
        state.viewers.insert(
            id,
            Watching {
                token_id: viewer.token_id,
                user_id: viewer.user_id,
                role: viewer.role,
                merchant_id: viewer.merchant_id,
                end: end.clone(),
            },
        );
        metrics::gauge!("page_streams").set(count(state.viewers.len()));
        // Under the same lock as publishing: nothing is missed between what is kept and what comes.
        let batches = live.inner.sender.subscribe();
        let mut waiting = VecDeque::from([Bytes::from_static(RETRY.as_bytes())]);
        let seen = place.split_once('-').and_then(|(epoch, number)| {
            let epoch = u64::from_str_radix(epoch, 16).ok()?;
            let number: u64 = number.parse().ok()?;
            (epoch == state.epoch && number <= state.last).then_some(number)
        });
        let first_kept = state.kept.front().map_or(state.last + 1, |one| one.number);
        match seen {
            Some(seen) if seen + 1 >= first_kept => {
                for batch in state.kept.iter().filter(|one| one.number > seen) {
                    waiting.extend(batch.of(viewer.role, viewer.merchant_id, viewer.language));
                }
            }
            _ => {
                waiting.push_back(Bytes::from_static(RESYNC.as_bytes()));
                let place = format!(
                    "id: {:x}-{}\nevent: place\ndata: \n\n",
                    state.epoch, state.last
                );
                waiting.push_back(Bytes::from(place));
            }
        }
        drop(state);
        Some(Self {
            live: live.clone(),
            id,
            viewer: viewer.clone(),
            waiting,
            turn: turn(id),
            due: None,
            batches,
            _guard: end.clone().drop_guard(),
            end,
            is_over: false,
        })
    }

    /// The next piece; none when the stream is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.is_over {
                return None;
            }
            if self.due.is_none() && !self.waiting.is_empty() {
                let all = self.waiting.make_contiguous().concat();
                self.waiting.clear();
                return Some(all.into());
            }
            let due = self.due;
            tokio::select! {
                () = self.end.cancelled() => {
                    self.is_over = true;
                    // A browser opens a stream again after the process stopped, but not after its session ended.
                    if self.live.inner.stop.is_cancelled() {
                        return None;
                    }
                    return Some(Bytes::from_static(ENDED.as_bytes()));
                }
                batch = self.batches.recv() => match batch {
                    Ok(batch) => {
                        let (role, merchant_id) = (self.viewer.role, self.viewer.merchant_id);
                        self.waiting.extend(batch.of(role, merchant_id, self.viewer.language));
                        if !self.waiting.is_empty() {
                            self.due.get_or_insert_with(|| Instant::now() + self.turn);
                        }
                    }
                    // Too slow: it starts afresh.
                    Err(RecvError::Lagged(_)) => {
                        self.waiting.push_back(Bytes::from_static(RESYNC.as_bytes()));
                        self.due = None;
                    }
                    Err(RecvError::Closed) => return None,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.due = None,
                () = sleep(ALIVE_EVERY), if due.is_none() => {
                    return Some(Bytes::from_static(b": alive\n\n"));
                }
            }
        }
    }
}

impl Drop for ViewerStream {
    fn drop(&mut self) {
        let mut state = self.live.state();
        state.viewers.remove(&self.id);
        state.touched = Some(Instant::now());
        metrics::gauge!("page_streams").set(count(state.viewers.len()));
    }
}

/// When after a batch the stream of this viewer has its turn.
fn turn(viewer: u64) -> Duration {
    SPREAD * u32::try_from(viewer % u64::from(TURNS)).unwrap_or(0) / TURNS
}

/// A gauge's value.
fn count(viewers: usize) -> f64 {
    u32::try_from(viewers).map_or(f64::MAX, f64::from)
}
