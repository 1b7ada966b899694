//! The accept loop.
//!
//! Every client passes through it, so it only accepts, applies the caps and hands the socket to a task of its own; TLS
//! and CONNECT happen there. A connection over a cap is closed at once: silent connections cost a bounded number of
//! tasks and never delay the loop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::accept_rate::AcceptRate;
use crate::connection_limiter::{ConnectionLimiter, ConnectionPermit, PreAuthPermit, network_of};
use crate::fairness::yield_if_busy;
use crate::limits::Limits;

/// The listen backlog: connections that the system completes before they are accepted. The system may allow fewer.
const BACKLOG: u32 = 4_096;
/// The pause after a failed `accept`, usually for lack of file descriptors.
const ACCEPT_FAILED_PAUSE: Duration = Duration::from_millis(50);

/// A new connection with its permits.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) remote: SocketAddr,
    /// Kept as long as the connection is open.
    pub(crate) permit: ConnectionPermit,
    /// Kept until the client is admitted.
    pub(crate) pre_auth: PreAuthPermit,
}

#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    limiter: Arc<ConnectionLimiter>,
    rate: AcceptRate,
}

impl Listener {
    /// `limiter`: of all listeners together.
    pub(crate) fn bind(
        address: SocketAddr,
        limiter: Arc<ConnectionLimiter>,
        limits: &Limits,
    ) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // A restart must not wait for connections of the last process to leave TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self {
            socket: socket.listen(BACKLOG)?,
            limiter,
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
            // A burst of connections lets the live sessions run between two accepts.
            yield_if_busy(waited).await;
            let outcome = match accepted {
                Ok((stream, remote)) => match self.check(stream, remote) {
                    Ok(accepted) => {
                        serve(accepted);
                        "accepted"
                    }
                    Err(reason) => reason,
                },
                Err(error) => {
                    // A connection that was reset before it was accepted needs no action. Without file descriptors an
                    // immediate retry would spin.
                    if !concerns_only_that_connection(&error) {
                        tracing::error!(%error, "cannot accept connections");
                        tokio::select! {
                            () = stop.cancelled() => return,
                            () = tokio::time::sleep(ACCEPT_FAILED_PAUSE) => {}
                        }
                    }
                    "error"
                }
            };
            metrics::counter!("mqtt_connections_total", "outcome" => outcome).increment(1);
        }
    }

    fn check(&mut self, stream: TcpStream, remote: SocketAddr) -> Result<Accepted, &'static str> {
        let address = network_of(remote.ip());
        if !self.rate.allow(address, Instant::now()) {
            return Err("over_address_rate");
        }
        let (permit, pre_auth) = self.limiter.take(address)?;
        // Notifications are small, and Nagle's algorithm would delay them.
        stream.set_nodelay(true).map_err(|_| "error")?;
        Ok(Accepted {
            stream,
            remote,
            permit,
            pre_auth,
        })
    }
}

fn concerns_only_that_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
