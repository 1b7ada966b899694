//! The socket side of HTTP: TLS, connections, limits on time and number, an orderly end.
//!
//! Each connection lives in a task of its own from the first byte, handshake included, so that a
//! silent or slow client costs a task and nobody's time. A connection on which nothing is asked for
//! a while is closed, whatever its protocol. At the end no connection is accepted any more, requests
//! in hand are finished, and after a limit the rest is dropped.
//!
//! When all connections are taken, a newcomer's place is that of a connection on which nobody has shown who it is and no
//! whole request is being worked on, of the address that has the most of those ([`standing`]). Further ones are closed as
//! they arrive, and nobody waits behind them.
//!
//! Who a client is comes from the TLS handshake alone: the headers in which a proxy would name a
//! certificate are never looked at.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use broker::{AcceptRate, ConnectionCaps, ConnectionLimiter, ConnectionPermit, network_of};
use certs::identity::PeerIdentity;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

mod standing;

pub use standing::Standing;

use self::standing::{Tracked, Working};

/// The largest head of a request: 431 beyond it, for both protocols.
const HEAD_BYTES_MAX: u32 = 16 * 1024;
/// What a client may send of HTTP/2 bodies that nobody has read yet: on one stream, and on one connection.
const WINDOW_BYTES: u32 = 64 * 1024;
/// How long to wait after an accept that failed, as it does without free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 100;

/// Who is at the other end of a connection. In the extensions of every request.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Its verified client certificate, when it showed one. Whether it may still be used is the registry's to say.
    pub certificate: Option<Arc<PeerIdentity>>,
    /// What keeps its connection from being closed in favour of another.
    pub standing: Arc<Standing>,
}

/// What is spoken on the socket.
#[derive(Clone)]
pub enum Transport {
    /// HTTP/1.1 in the clear: loopback only.
    Plain,
    /// HTTPS with the configuration of the moment; a new one holds for new connections.
    Tls(Arc<ArcSwap<ServerConfig>>),
}

/// Limits on connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time.
    pub connections_max: usize,
    /// Connections of one address at a time.
    pub connections_per_address_max: usize,
    /// New connections per second from one address; 0: no limit.
    pub accepts_per_address_per_s: u32,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the head of a request, and between two requests on one HTTP/1.1 connection.
    pub head: Duration,
    /// For a connection on which nothing is asked.
    pub idle: Duration,
    /// For an idle connection that was told to close.
    pub closing: Duration,
    /// For requests in hand when asked to stop.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 20_000,
            connections_per_address_max: 15_000,
            accepts_per_address_per_s: 0,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            closing: Duration::from_secs(5),
            shutdown: Duration::from_secs(10),
        }
    }
}

/// Serves `router` on `listener` until `stop`, then finishes what is in hand and returns.
pub async fn serve(
    listener: TcpListener,
    transport: Transport,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    let limiter = Arc::new(ConnectionLimiter::new(ConnectionCaps {
        connections_max: limits.connections_max,
        per_address_max: limits.connections_per_address_max,
        pre_auth_max: limits.connections_max,
    }));
    let mut rate = (limits.accepts_per_address_per_s > 0)
        .then(|| AcceptRate::new(limits.accepts_per_address_per_s));
    let abandon = CancellationToken::new();
    while let Some((stream, address)) = accept(&listener, &stop).await {
        let network = network_of(address.ip());
        let allowed = rate
            .as_mut()
            .is_none_or(|rate| rate.allow(network, Instant::now().into_std()));
        let admitted = if allowed {
            limiter.admit(network)
        } else {
            Err("over_address_rate")
        };
        let outcome = match admitted {
            Ok((permit, pending)) => {
                let connection = Connection {
                    address,
                    transport: transport.clone(),
                    router: router.clone(),
                    limits,
                    stop: stop.clone(),
                    abandon: abandon.clone(),
                    standing: Arc::new(Standing::new(pending)),
                };
                connections.spawn(connection.run(stream, permit));
                "accepted"
            }
            Err(cap) => cap,
        };
        metrics::counter!("http_connections_total", "outcome" => outcome).increment(1);
    }
    // Nobody may wait in the queue of a socket that is not served any more.
    drop(listener);
    connections.close();
    if timeout(limits.shutdown, connections.wait()).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "requests did not finish in time and are abandoned"
        );
        abandon.cancel();
        connections.wait().await;
    }
}

/// The next connection; `None` when it is time to stop.
async fn accept(
    listener: &TcpListener,
    stop: &CancellationToken,
) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => return Some(accepted),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::select! {
                    () = stop.cancelled() => return None,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
}

/// One connection.
struct Connection {
    address: SocketAddr,
    transport: Transport,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
    abandon: CancellationToken,
    standing: Arc<Standing>,
}

/// The protocol of a connection: known from the handshake, never guessed from bytes that may not come.
#[derive(Clone, Copy)]
enum Protocol {
    Http1,
    Http2,
}

impl Connection {
    /// Serves it until it ends or is evicted; its place is free afterwards.
    async fn run(self, stream: TcpStream, permit: ConnectionPermit) {
        let standing = Arc::clone(&self.standing);
        tokio::select! {
            () = self.serve(stream) => {}
            () = standing.evicted() => {
                metrics::counter!("http_connections_evicted_total").increment(1);
            }
        }
        drop(permit);
    }

    async fn serve(self, stream: TcpStream) {
        // Answers are small and whole: none of them gains by waiting for another.
        let _ = stream.set_nodelay(true);
        let address = self.address;
        match self.transport.clone() {
            Transport::Plain => self.speak(stream, Protocol::Http1, None).await,
            Transport::Tls(config) => {
                let accept = TlsAcceptor::from(config.load_full()).accept(stream);
                let shaken = tokio::select! {
                    () = self.stop.cancelled() => return,
                    shaken = timeout(self.limits.handshake, accept) => shaken,
                };
                let stream = match shaken {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(error)) => {
                        metrics::counter!("http_handshakes_failed_total").increment(1);
                        tracing::debug!(%address, %error, "the TLS handshake failed");
                        return;
                    }
                    Err(_) => {
                        metrics::counter!("http_handshakes_failed_total").increment(1);
                        tracing::debug!(%address, "the TLS handshake took too long");
                        return;
                    }
                };
                let (_, session) = stream.get_ref();
                let protocol = match session.alpn_protocol() {
                    Some(b"h2") => Protocol::Http2,
                    _ => Protocol::Http1,
                };
                let certificate = session.peer_certificates().and_then(|chain| chain.first()).and_then(|leaf| {
                    PeerIdentity::from_der(leaf)
                        .inspect_err(|error| tracing::debug!(%address, %error, "a certificate that names nobody"))
                        .ok()
                        .map(Arc::new)
                });
                self.speak(stream, protocol, certificate).await;
            }
        }
    }

    async fn speak<S>(self, stream: S, protocol: Protocol, certificate: Option<Arc<PeerIdentity>>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let address = self.address;
        if certificate.is_some() {
            self.standing.authenticated();
        }
        let peer = Peer {
            address,
            certificate,
            standing: Arc::clone(&self.standing),
        };
        let activity = Activity::new();
        let router = self.router.clone();
        let service = hyper::service::service_fn({
            let activity = activity.clone();
            move |mut request: Request<Incoming>| {
                let working = Working::new(&peer.standing);
                request.extensions_mut().insert(peer.clone());
                let request = request.map(|body| Body::new(Tracked::new(body, &working)));
                let answer = router.clone().oneshot(request);
                activity.during(async move {
                    let answer = answer.await;
                    drop(working);
                    answer
                })
            }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .max_buf_size(HEAD_BYTES_MAX as usize)
            .header_read_timeout(self.limits.head);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(HEAD_BYTES_MAX)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_concurrent_streams(STREAMS_MAX);
        let builder = match protocol {
            Protocol::Http1 => builder.http1_only(),
            Protocol::Http2 => builder.http2_only(),
        };
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let mut closing = false;
        let mut deadline = Instant::now() + self.limits.idle;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%address, %error, "a connection broke");
                    }
                    return;
                }
                () = self.abandon.cancelled() => return,
                () = self.stop.cancelled(), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = sleep_until(deadline) => match activity.idle_since() {
                    None => deadline = Instant::now() + self.limits.idle,
                    Some(since) if since + self.limits.idle > Instant::now() => deadline = since + self.limits.idle,
                    // Told to close and still there: it does not read what we write.
                    Some(_) if closing => return,
                    Some(_) => {
                        closing = true;
                        connection.as_mut().graceful_shutdown();
                        deadline = Instant::now() + self.limits.closing;
                    }
                },
            }
        }
    }
}

/// Whether something is being asked on a connection, and since when not.
#[derive(Clone)]
struct Activity {
    in_hand: Arc<AtomicUsize>,
    last: Arc<watch::Sender<Instant>>,
}

impl Activity {
    fn new() -> Self {
        Self {
            in_hand: Arc::default(),
            last: Arc::new(watch::Sender::new(Instant::now())),
        }
    }

    /// Runs a request, and counts it as in hand until it ends or is dropped.
    fn during<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        self.in_hand.fetch_add(1, Ordering::Relaxed);
        let guard = InHand(self.clone());
        async move {
            let output = work.await;
            drop(guard);
            output
        }
    }

    fn idle_since(&self) -> Option<Instant> {
        (self.in_hand.load(Ordering::Relaxed) == 0).then(|| *self.last.borrow())
    }
}

/// A request in hand.
struct InHand(Activity);

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.last.send_replace(Instant::now());
        self.0.in_hand.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Binds a socket for [`serve`].
///
/// # Errors
/// The system's, with the address.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

#[cfg(test)]
mod tests;
