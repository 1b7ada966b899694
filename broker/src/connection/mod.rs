//! One connection, from its first byte to its last: TLS, CONNECT, admission, session, end.
//!
//! ```text
//! TLS handshake → identity → CONNECT ┬ box ──────▶ registration (can be kicked from here) → takeover → admit → session → ended
//!                                    └ observer ─▶ registration (can be kicked from here) → admit → copies
//! ```
//!
//! On the listeners of other makers' boxes CONNECT carries user name and password, which take the place of the certificate;
//! everything after that is the same.
//!
//! Everything here runs in the connection's own task and is bounded in time, so a client that stops at any step delays
//! no other client.
//!
//! | file | contents |
//! |---|---|
//! | `socket` | the bytes, with TLS or without |
//! | `identification` | CONNECT is checked against the certificate and against what the edge offers |
//! | `login` | user name and password instead of a certificate |
//! | `admission` | a box: registration, the host's decision, CONNACK |
//! | `run` | a box's session is run and ended |
//! | `observer` | the same for an observer |

mod admission;
mod identification;
mod login;
mod observer;
mod run;
mod socket;

use std::net::SocketAddr;
use std::sync::Arc;

use certs::identity::{IdentityError, PeerIdentity};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::DeviceId;

use crate::connection_limiter::ConnectionPermit;
use crate::copies::Copies;
use crate::failed_logins::FailedLogins;
use crate::handshake_executor::HandshakeExecutor;
use crate::host::{EndReason, Host};
use crate::limits::Limits;
use crate::listener::Accepted;
use crate::protocol::{Connect, ConnectRefusal, Terms, Will};
use crate::refusal_log::RefusalLog;
use crate::registry::{Registration, Registry};
use crate::session::Session;
use crate::topic_map::TopicMap;
use crate::transport::{Transport, TransportLimits};

use identification::Identified;
use observer::OpenObserverSession;
use socket::Socket;

/// Bytes that TLS may buffer for a client that does not read.
const TLS_OUTPUT_BYTES_MAX: usize = 16 * 1024;

/// What a listener asks of its clients.
#[derive(Clone)]
pub(crate) enum Entrance {
    /// TLS with a client certificate.
    Certificate(TlsAcceptor),
    /// TLS with the server's certificate; user name and password.
    Password(TlsAcceptor),
    /// No TLS; user name and password.
    PlainPassword,
}

/// How a client proves who it is.
enum Proof {
    /// By the certificate of its TLS connection.
    Certificate(Result<PeerIdentity, IdentityError>),
    /// By user name and password, in CONNECT.
    Password,
}

/// What all connections use.
pub(crate) struct Shared<H> {
    pub(crate) host: Arc<H>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) copies: Copies,
    pub(crate) handshakes: HandshakeExecutor,
    pub(crate) refusals: RefusalLog,
    pub(crate) failed_logins: FailedLogins,
    pub(crate) server_reference: Option<Arc<str>>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// The peer of a connection.
#[derive(Debug)]
struct Peer {
    remote: SocketAddr,
    /// The common name in its certificate, or the device whose password it does not know.
    certificate: Option<String>,
    permit: ConnectionPermit,
}

/// A connection that is ready for CONNECT.
struct Handshaken<S> {
    transport: Transport<S>,
    proof: Proof,
    peer: Peer,
}

/// A box whose CONNECT is valid and matches its certificate or its password.
struct ConnectingBox<S> {
    connect: Connect,
    device_id: DeviceId,
    certificate_serial: String,
    topics: Option<Arc<TopicMap>>,
    transport: Transport<S>,
    peer: Peer,
}

/// The session of an admitted box.
struct OpenSession<H, S> {
    session: Session<H, S>,
    registration: Registration,
    will: Option<Will>,
    persistent: bool,
    permit: ConnectionPermit,
}

/// An admitted client.
enum Admitted<H, S> {
    Box(Box<OpenSession<H, S>>),
    Observer(Box<OpenObserverSession<S>>),
}

impl<H: Host> Shared<H> {
    /// Serves one connection until it has ended.
    ///
    /// Each phase is a boxed future of its own, freed at the end of the phase: a connection that lasts for days does not
    /// keep the memory of its handshake.
    pub(crate) async fn serve(self: Arc<Self>, accepted: Accepted, entrance: Entrance) {
        match Box::pin(self.establish(accepted, entrance)).await {
            Some(Admitted::Box(open)) => self.run(open).await,
            Some(Admitted::Observer(open)) => Box::pin(self.run_observer(open)).await,
            None => {}
        }
    }

    async fn establish(
        &self,
        accepted: Accepted,
        entrance: Entrance,
    ) -> Option<Admitted<H, Socket>> {
        let Accepted {
            stream,
            remote,
            permit,
            pre_auth,
        } = accepted;
        let identification = async {
            let handshaken = Box::pin(self.handshake(stream, entrance, remote, permit)).await?;
            Box::pin(self.identify(handshaken)).await
        };
        let identified = tokio::select! {
        () = pre_auth.evicted() => {
            count("displaced");
            return None;
        }
        identified = identification => identified?,
        };
        // From here on the host may have recorded a session, so the connection may no longer be evicted.
        pre_auth.retain();
        match identified {
            Identified::Box(connecting) => Box::pin(self.admit(connecting, pre_auth))
                .await
                .map(|open| Admitted::Box(Box::new(open))),
            Identified::Observer(connecting) => Box::pin(self.admit_observer(connecting, pre_auth))
                .await
                .map(|open| Admitted::Observer(Box::new(open))),
        }
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        entrance: Entrance,
        remote: SocketAddr,
        permit: ConnectionPermit,
    ) -> Option<Handshaken<Socket>> {
        let (tls, with_certificate) = match entrance {
            Entrance::Certificate(tls) => (tls, true),
            Entrance::Password(tls) => (tls, false),
            Entrance::PlainPassword => {
                let socket = Socket::Plain(Box::new(stream));
                return Some(self.by_password(socket, remote, permit));
            }
        };
        let handshake = self.handshakes.run(async move {
            tls.accept_with(stream, |tls| {
                tls.set_buffer_limit(Some(TLS_OUTPUT_BYTES_MAX))
            })
            .await
            .map_err(|error| (error, certs::take_refused_name()))
        });
        let stream = tokio::select! {
            () = self.stop.cancelled() => return None,
            result = tokio::time::timeout(self.limits.handshake(), handshake) => match result {
                Ok(Ok(stream)) => Box::new(stream),
                Ok(Err((error, certificate))) => {
                    count("handshake_failed");
                    let reason = error.to_string();
                    self.refusals.note(remote, &reason, certificate.as_deref());
                    return None;
                }
                Err(_) => {
                    count("handshake_timeout");
                    self.refusals.note(remote, "handshake_timeout", None);
                    return None;
                }
            },
        };
        if !with_certificate {
            return Some(self.by_password(Socket::Tls(stream), remote, permit));
        }
        let certificates = stream.get_ref().1.peer_certificates();
        let Some(certificate) = certificates.and_then(|chain| chain.first()) else {
            count("no_certificate");
            self.refusals.note(remote, "no_certificate", None);
            return None;
        };
        Some(Handshaken {
            proof: Proof::Certificate(PeerIdentity::from_der(certificate)),
            peer: Peer {
                remote,
                certificate: certs::common_name(certificate),
                permit,
            },
            transport: self.transport(Socket::Tls(stream)),
        })
    }

    fn by_password(
        &self,
        socket: Socket,
        remote: SocketAddr,
        permit: ConnectionPermit,
    ) -> Handshaken<Socket> {
        Handshaken {
            proof: Proof::Password,
            peer: Peer {
                remote,
                certificate: None,
                permit,
            },
            transport: self.transport(socket),
        }
    }

    fn transport(&self, socket: Socket) -> Transport<Socket> {
        let limits = TransportLimits {
            silence_max: self.limits.connect(),
            stalled_max: self.limits.write(),
            packets_per_s_max: self.limits.packets_per_s_max,
        };
        Transport::new(socket, limits)
    }

    /// The CONNACK properties that do not depend on the session.
    fn terms(&self, connect: &Connect) -> Terms {
        let limits = &self.limits;
        Terms {
            session_expiry_s: None,
            receive_maximum: u16::try_from(limits.uplinks_unacknowledged_max).unwrap_or(u16::MAX),
            packet_bytes_max: u32::try_from(limits.packet_bytes_max).unwrap_or(u32::MAX),
            keep_alive_s: limits.server_keep_alive_s(connect.keep_alive_s),
            assigned_client_id: None,
        }
    }
}

/// The refusal of a client that was kicked before it was admitted.
fn kicked_refusal(reason: EndReason) -> ConnectRefusal {
    match reason {
        EndReason::Revoked => ConnectRefusal::NotAuthorized,
        _ => ConnectRefusal::Unavailable,
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("mqtt_connects_total", "outcome" => outcome).increment(1);
}
