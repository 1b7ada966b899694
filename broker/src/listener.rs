//! The accept loop: the one place where all clients meet, so it does nothing for any of them.
//!
//! It accepts, counts, and hands the socket to a task of its own; TLS, CONNECT and everything else happen there. What
//! is over a cap is closed at once, so a flood of silent connections costs tasks up to a bound and never the loop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::accept_rate::AcceptRate;
use crate::connection_limiter::{
    ConnectionCaps, ConnectionLimiter, ConnectionPermit, PendingPermit, network_of,
};
use crate::limits::Limits;
use crate::pace::turn_taken;

/// Connections that the system completes while we are not looking; it may allow fewer.
const BACKLOG: u32 = 4_096;
/// After the system refused an `accept`, usually for want of descriptors.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);

/// A new connection and its share of the caps.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) remote: SocketAddr,
    /// Held as long as the connection is open.
    pub(crate) place: ConnectionPermit,
    /// Held until it is admitted.
    pub(crate) pending: PendingPermit,
}

#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    limiter: Arc<ConnectionLimiter>,
    rate: AcceptRate,
}

impl Listener {
    pub(crate) fn bind(address: SocketAddr, limits: &Limits) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // A restart must not wait for connections of the last process to leave TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self {
            socket: socket.listen(BACKLOG)?,
            limiter: Arc::new(ConnectionLimiter::new(ConnectionCaps {
                connections_max: limits.connections_max,
                per_address_max: limits.connections_per_address_max,
                pending_max: limits.unauthenticated_max,
            })),
            rate: AcceptRate::new(limits.accepts_per_address_per_s),
        })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts until `stop`, then closes the listening socket.
    pub(crate) async fn run(mut self, stop: CancellationToken, mut serve: impl FnMut(Accepted)) {
        loop {
            let mut waited = false;
            let accept = std::future::poll_fn(|cx| {
                let accepted = self.socket.poll_accept(cx);
                waited |= accepted.is_pending();
                accepted
            });
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = accept => accepted,
            };
            // A thousand connections at once are accepted between the turns of the sessions that are there already.
            turn_taken(waited).await;
            let outcome = match accepted {
                Ok((stream, remote)) => match self.admit(stream, remote) {
                    Ok(accepted) => {
                        serve(accepted);
                        "accepted"
                    }
                    Err(reason) => reason,
                },
                Err(error) => {
                    // A connection that was reset before we came to it is nothing; out of descriptors is, and calling
                    // again at once would spin.
                    if !is_of_one_connection(&error) {
                        tracing::error!(%error, "cannot accept connections");
                        tokio::select! {
                            () = stop.cancelled() => return,
                            () = tokio::time::sleep(REFUSED_PAUSE) => {}
                        }
                    }
                    "error"
                }
            };
            metrics::counter!("mqtt_connections_total", "outcome" => outcome).increment(1);
        }
    }

    fn admit(&mut self, stream: TcpStream, remote: SocketAddr) -> Result<Accepted, &'static str> {
        let address = network_of(remote.ip());
        if !self.rate.allow(address, Instant::now()) {
            return Err("over_address_rate");
        }
        let (place, pending) = self.limiter.admit(address)?;
        // Announcements are small and must not wait for more bytes to fill a segment.
        stream.set_nodelay(true).map_err(|_| "error")?;
        Ok(Accepted {
            stream,
            remote,
            place,
            pending,
        })
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
