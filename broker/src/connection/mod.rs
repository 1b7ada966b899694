//! One connection, from its first byte to its last: TLS, CONNECT, admission, session, end.
//!
//! ```text
//! TLS handshake → identity → CONNECT ┬ box ──────▶ seat (can be kicked from here) → turn → admit → session → ended
//!                                    └ observer ─▶ place (can be kicked from here) → admit → copies
//! ```
//!
//! Everything here runs in the connection's own task and is bounded in time, so a client that stops anywhere on the way
//! holds up nobody but itself.
//!
//! | file | what lives there |
//! |---|---|
//! | `application` | CONNECT, held against the certificate and against what we offer |
//! | `admission` | a box: the host's word, CONNACK |
//! | `ending` | a box's session is run and ended |
//! | `observer` | the same for an observer |

mod admission;
mod application;
mod ending;
mod observer;

use std::net::SocketAddr;
use std::sync::Arc;

use certs::identity::{IdentityError, PeerIdentity};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::DeviceId;

use crate::connection_limiter::ConnectionPermit;
use crate::copies::Copies;
use crate::host::{EndReason, Host};
use crate::limits::Limits;
use crate::listener::Accepted;
use crate::pace::Pace;
use crate::protocol::{Connect, ConnectRefusal, Will};
use crate::refusal_log::RefusalLog;
use crate::registry::{Registry, Seat};
use crate::session::Session;
use crate::transport::{Patience, Transport};

use application::Introduced;
use observer::Watching;

/// Bytes that TLS may hold back for a client that does not read.
const TLS_OUTPUT_BYTES_MAX: usize = 16 * 1024;

/// A connection's bytes, in the clear.
type TlsSocket = Box<TlsStream<TcpStream>>;

/// What all connections share.
pub(crate) struct Shared<H> {
    pub(crate) host: Arc<H>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) copies: Copies,
    pub(crate) tls: TlsAcceptor,
    pub(crate) pace: Pace,
    pub(crate) refusals: RefusalLog,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// The other end of a connection.
#[derive(Debug)]
struct Peer {
    remote: SocketAddr,
    /// The common name in its certificate.
    certificate: Option<String>,
    place: ConnectionPermit,
}

/// TLS is done, and CONNECT is next.
struct Greeting<S> {
    transport: Transport<S>,
    identity: Result<PeerIdentity, IdentityError>,
    peer: Peer,
}

/// A box whose CONNECT is in order and belongs to its certificate.
struct Applicant<S> {
    connect: Connect,
    device_id: DeviceId,
    certificate_serial: String,
    transport: Transport<S>,
    peer: Peer,
}

/// A session that can begin.
struct Opened<H, S> {
    session: Session<H, S>,
    seat: Seat,
    will: Option<Will>,
    persistent: bool,
    place: ConnectionPermit,
}

/// Who has been let in.
enum Entered<H, S> {
    Box(Box<Opened<H, S>>),
    Observer(Box<Watching<S>>),
}

impl<H: Host> Shared<H> {
    /// Serves one connection until it is over.
    ///
    /// Each phase is a future of its own, in a box that is gone when the phase is over: a box that has been connected
    /// for days does not carry the state of its handshake.
    pub(crate) async fn serve(self: Arc<Self>, accepted: Accepted) {
        match Box::pin(self.let_in(accepted)).await {
            Some(Entered::Box(opened)) => self.run(opened).await,
            Some(Entered::Observer(watching)) => Box::pin(self.watch(watching)).await,
            None => {}
        }
    }

    async fn let_in(&self, accepted: Accepted) -> Option<Entered<H, TlsSocket>> {
        let Accepted {
            stream,
            remote,
            place,
            pending,
        } = accepted;
        let introduction = async {
            let greeting = Box::pin(self.shake_hands(stream, remote, place)).await?;
            Box::pin(self.read_application(greeting)).await
        };
        let introduced = tokio::select! {
            () = pending.evicted() => {
                count("displaced");
                return None;
            }
            introduced = introduction => introduced?,
        };
        // The platform may be asked from here on, and whoever it lets in must not be dropped halfway.
        pending.retain();
        match introduced {
            Introduced::Box(applicant) => Box::pin(self.admit(applicant, pending))
                .await
                .map(|opened| Entered::Box(Box::new(opened))),
            Introduced::Observer(applicant) => Box::pin(self.admit_observer(applicant, pending))
                .await
                .map(|watching| Entered::Observer(Box::new(watching))),
        }
    }

    async fn shake_hands(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
        place: ConnectionPermit,
    ) -> Option<Greeting<TlsSocket>> {
        let tls = self.tls.clone();
        let handshake = self.pace.keep(async move {
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
        let certificates = stream.get_ref().1.peer_certificates();
        let Some(certificate) = certificates.and_then(|chain| chain.first()) else {
            count("no_certificate");
            self.refusals.note(remote, "no_certificate", None);
            return None;
        };
        let patience = Patience {
            silence_max: self.limits.connect(),
            stalled_max: self.limits.write(),
            packets_per_s_max: self.limits.packets_per_s_max,
        };
        Some(Greeting {
            identity: PeerIdentity::from_der(certificate),
            peer: Peer {
                remote,
                certificate: certs::common_name(certificate),
                place,
            },
            transport: Transport::new(stream, patience),
        })
    }
}

/// What a client is told that was kicked before it was let in.
fn kicked_refusal(reason: EndReason) -> ConnectRefusal {
    match reason {
        EndReason::Revoked => ConnectRefusal::NotAuthorized,
        _ => ConnectRefusal::Unavailable,
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("mqtt_connects_total", "outcome" => outcome).increment(1);
}
