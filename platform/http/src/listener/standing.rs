//! Whether a connection may be evicted for a new one.
//!
//! An unauthenticated connection may be evicted before the handshake, between two requests, and while a request is still
//! being received. It is retained while a complete request is being handled, and for good once its client has
//! authenticated.

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};

use broker::PreAuthPermit;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// The standing of one connection.
#[derive(Debug)]
pub struct Standing {
    pending: PreAuthPermit,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    authenticated: bool,
    /// Complete requests that are being handled.
    working: usize,
}

impl Standing {
    pub(super) fn new(pending: PreAuthPermit) -> Self {
        Self {
            pending,
            state: Mutex::default(),
        }
    }

    /// The client has authenticated on this connection.
    pub fn authenticated(&self) {
        self.change(|state| state.authenticated = true);
    }

    /// Resolves when the connection must end.
    pub(super) async fn evicted(&self) {
        self.pending.evicted().await;
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.is_retained();
        change(&mut state);
        match (before, state.is_retained()) {
            (false, true) => self.pending.retain(),
            (true, false) => self.pending.release(),
            _ => {}
        }
    }
}

impl State {
    fn is_retained(&self) -> bool {
        self.authenticated || self.working > 0
    }
}

/// A request that is being handled. Once it is received completely, its connection is retained.
#[derive(Clone)]
pub(super) struct Working {
    standing: Arc<Standing>,
    whole: Arc<OnceLock<Whole>>,
}

impl Working {
    pub(super) fn new(standing: &Arc<Standing>) -> Self {
        Self {
            standing: Arc::clone(standing),
            whole: Arc::default(),
        }
    }

    fn is_whole(&self) {
        self.whole.get_or_init(|| {
            self.standing.change(|state| state.working += 1);
            Whole(Arc::clone(&self.standing))
        });
    }
}

/// A complete request. Dropped with the last of its [`Working`]s.
struct Whole(Arc<Standing>);

impl Drop for Whole {
    fn drop(&mut self) {
        self.0.change(|state| state.working -= 1);
    }
}

/// A request's body, which reports when it is complete.
pub(super) struct Tracked {
    body: Incoming,
    working: Working,
}

impl Tracked {
    pub(super) fn new(body: Incoming, working: &Working) -> Self {
        if body.is_end_stream() {
            working.is_whole();
        }
        Self {
            body,
            working: working.clone(),
        }
    }
}

impl Body for Tracked {
    type Data = <Incoming as Body>::Data;
    type Error = <Incoming as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.working.is_whole();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
