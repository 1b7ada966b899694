//! The socket side of HTTP: TLS, connections, limits on time and number, an orderly end.
//!
//! Each connection has a task of its own from the first byte, handshake included, so that a silent or
//! slow client costs one task and delays no other client. An idle connection is closed, whatever its
//! protocol. When the process stops, no connection is accepted any more, running requests are finished,
//! and after a time limit the rest is dropped.
//!
//! At the limit of connections a new one evicts an unauthenticated connection without a complete request, of the address
//! that has the most of those ([`standing`]). If there is none, the new connection is closed at once.
//!
//! The client's identity comes from the TLS handshake alone: headers in which a proxy would name a
//! certificate are never read.

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
use axum::response::Response;
use broker::{AcceptRate, ConnectionCaps, ConnectionLimiter, ConnectionPermit, network_of};
use certs::identity::PeerIdentity;
use http_body_util::BodyExt as _;
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
/// How many bytes of unread HTTP/2 bodies a client may send: on one stream, and on one connection.
const WINDOW_BYTES: u32 = 64 * 1024;
/// How long to wait after a failed accept, for example when no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 100;

/// The client of a connection. In the extensions of every request.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Its verified client certificate, if it presented one. Whether it was revoked is checked in the registry.
    pub certificate: Option<Arc<PeerIdentity>>,
    /// Whether the connection may be evicted.
    pub standing: Arc<Standing>,
}

/// The protocol below HTTP.
#[derive(Clone)]
pub enum Transport {
    /// HTTP/1.1 in the clear: loopback only.
    Plain,
    /// HTTPS; a replaced configuration is used for new connections.
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
    /// For a connection without requests.
    pub idle: Duration,
    /// For an idle connection to close after it was asked to.
    pub closing: Duration,
    /// For running requests when the process stops.
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

/// Serves `router` on `listener` until `stop`, then finishes running requests and returns.
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
            limiter.take(network)
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
    // No client may wait in the backlog of a socket that is no longer served.
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

/// The protocol of a connection: known from the handshake, never guessed from the first bytes, which may not come.
#[derive(Clone, Copy)]
enum Protocol {
    Http1,
    Http2,
}

impl Connection {
    /// Serves it until it ends or is evicted; its permit is free afterwards.
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
        // Answers are small and written whole, so Nagle's algorithm would only delay them.
        let _ = stream.set_nodelay(true);
        let address = self.address;
        match self.transport.clone() {
            Transport::Plain => self.serve_http(stream, Protocol::Http1, None).await,
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
                        .inspect_err(|error| tracing::debug!(%address, %error, "a client certificate without a known name"))
                        .ok()
                        .map(Arc::new)
                });
                self.serve_http(stream, protocol, certificate).await;
            }
        }
    }

    async fn serve_http<S>(
        self,
        stream: S,
        protocol: Protocol,
        certificate: Option<Arc<PeerIdentity>>,
    ) where
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
                let shown = activity.clone();
                activity.during(async move {
                    let answer = answer.await;
                    drop(working);
                    answer.map(|answer| shown.of_live(answer))
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
                    // Asked to close and still open: the client does not read.
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

/// Marks an answer that goes on while its client looks, and says something within every idle time.
#[derive(Debug, Clone, Copy)]
pub struct LiveAnswer;

/// The number of running requests of a connection, and when the last one ended.
#[derive(Clone)]
struct Activity {
    running: Arc<AtomicUsize>,
    last: Arc<watch::Sender<Instant>>,
}

impl Activity {
    fn new() -> Self {
        Self {
            running: Arc::default(),
            last: Arc::new(watch::Sender::new(Instant::now())),
        }
    }

    /// Runs a request and counts it until it ends or is dropped.
    fn during<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        self.running.fetch_add(1, Ordering::Relaxed);
        let guard = RunningRequest(self.clone());
        async move {
            let output = work.await;
            drop(guard);
            output
        }
    }

    /// A live answer keeps its connection from being idle while the client takes its pieces.
    fn of_live(self, answer: Response) -> Response {
        if answer.extensions().get::<LiveAnswer>().is_none() {
            return answer;
        }
        answer.map(|body| {
            Body::new(body.map_frame(move |frame| {
                self.last.send_replace(Instant::now());
                frame
            }))
        })
    }

    fn idle_since(&self) -> Option<Instant> {
        (self.running.load(Ordering::Relaxed) == 0).then(|| *self.last.borrow())
    }
}

/// A running request.
struct RunningRequest(Activity);

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.0.last.send_replace(Instant::now());
        self.0.running.fetch_sub(1, Ordering::Relaxed);
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
