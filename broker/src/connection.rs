//! One connection, from its first byte to its last: TLS, CONNECT, admission, session, end.
//!
//! ```text
//! TLS handshake → identity → CONNECT → seat (can be kicked from here) → turn → admit → CONNACK → session → ended
//! ```
//!
//! Everything here runs in the connection's own task and is bounded in time, so a client that stops anywhere on the way
//! holds up nobody but itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use certs::identity::{IdentityError, PeerIdentity, Subject};
use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::DeviceId;

use crate::authorize::{Action, authorize};
use crate::frame::Frame;
use crate::host::{
    Admission, Connecting, EndReason, Host, ProtocolVersion, Refusal, SessionEnd, SessionKey,
};
use crate::limits::Limits;
use crate::listener::Accepted;
use crate::protocol::{
    Connect, ConnectError, ConnectRefusal, Protocol, Terms, Will, read_connect, refuse,
};
use crate::registry::{Line, Registry, Seat};
use crate::session::{Ending, Opening, Session};
use crate::transport::{Event, Transport};

/// Bytes that TLS may hold back for a box that does not read.
const TLS_OUTPUT_BYTES_MAX: usize = 16 * 1024;

/// A connection's bytes, in the clear.
type TlsSocket = Box<TlsStream<TcpStream>>;

/// What all connections share.
pub(crate) struct Shared<H> {
    pub(crate) host: Arc<H>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) tls: TlsAcceptor,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// A CONNECT that is in order and belongs to its certificate.
struct Applicant<S> {
    connect: Connect,
    device_id: DeviceId,
    certificate_serial: String,
    remote: SocketAddr,
    transport: Transport<S>,
    open: OwnedSemaphorePermit,
    unauthenticated: OwnedSemaphorePermit,
}

/// TLS is done, and CONNECT is next.
struct Greeting<S> {
    transport: Transport<S>,
    remote: SocketAddr,
    identity: Result<PeerIdentity, IdentityError>,
    open: OwnedSemaphorePermit,
    unauthenticated: OwnedSemaphorePermit,
}

/// A session that can begin.
struct Opened<H, S> {
    session: Session<H, S>,
    seat: Seat,
    will: Option<Bytes>,
    persistent: bool,
    open: OwnedSemaphorePermit,
}

impl<H: Host> Shared<H> {
    /// Serves one connection until it is over.
    ///
    /// Each phase is a future of its own, in a box that is gone when the phase is over: a box that has been connected
    /// for days does not carry the state of its handshake.
    pub(crate) async fn serve(self: Arc<Self>, accepted: Accepted) {
        if let Some(opened) = Box::pin(self.let_in(accepted)).await {
            self.run(opened).await;
        }
    }

    async fn let_in(&self, accepted: Accepted) -> Option<Box<Opened<H, TlsSocket>>> {
        let greeting = Box::pin(self.shake_hands(accepted)).await?;
        let applicant = Box::pin(self.read_application(greeting)).await?;
        Box::pin(self.admit(applicant)).await.map(Box::new)
    }

    async fn shake_hands(&self, accepted: Accepted) -> Option<Greeting<TlsSocket>> {
        let Accepted {
            stream,
            remote,
            open,
            unauthenticated,
        } = accepted;
        let handshake = self.tls.accept_with(stream, |tls| {
            tls.set_buffer_limit(Some(TLS_OUTPUT_BYTES_MAX))
        });
        let stream = tokio::select! {
            () = self.stop.cancelled() => return None,
            result = tokio::time::timeout(self.limits.handshake(), handshake) => match result {
                Ok(Ok(stream)) => Box::new(stream),
                Ok(Err(error)) => {
                    tracing::debug!(%remote, %error, "TLS handshake failed");
                    count("handshake_failed");
                    return None;
                }
                Err(_) => {
                    count("handshake_timeout");
                    return None;
                }
            },
        };
        let certificates = stream.get_ref().1.peer_certificates();
        let Some(certificate) = certificates.and_then(|chain| chain.first()) else {
            count("no_certificate");
            return None;
        };
        Some(Greeting {
            identity: PeerIdentity::from_der(certificate),
            transport: Transport::new(stream, self.limits.connect(), self.limits.write()),
            remote,
            open,
            unauthenticated,
        })
    }

    /// Reads CONNECT and holds it against the certificate.
    async fn read_application<S>(&self, greeting: Greeting<S>) -> Option<Applicant<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Greeting {
            mut transport,
            remote,
            identity,
            open,
            unauthenticated,
        } = greeting;
        let frame = tokio::select! {
            () = self.stop.cancelled() => return None,
            frame = first_frame(&mut transport, self.limits.packet_bytes_max) => frame,
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(why) => {
                count(why);
                return None;
            }
        };
        transport.heard();
        let connect = match read_connect(frame) {
            Ok(connect) => connect,
            Err(ConnectError::Malformed) => {
                count("malformed_connect");
                return None;
            }
            Err(ConnectError::Version) => {
                // Whoever speaks another version is told in the words of the oldest.
                let (version, why) = (ProtocolVersion::V311, ConnectRefusal::ProtocolVersion);
                self.turn_away(transport, version, why, open).await;
                return None;
            }
        };
        let version = connect.version;
        let (device_id, certificate_serial) = match check(&connect, identity) {
            Ok(passed) => passed,
            Err(why) => {
                tracing::warn!(%remote, reason = why.as_str(), "CONNECT refused");
                self.turn_away(transport, version, why, open).await;
                return None;
            }
        };
        Some(Applicant {
            connect,
            device_id,
            certificate_serial,
            remote,
            transport,
            open,
            unauthenticated,
        })
    }

    /// Takes a seat, waits for the device's turn, and asks the host.
    async fn admit<S>(&self, applicant: Applicant<S>) -> Option<Opened<H, S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Applicant {
            connect,
            device_id,
            certificate_serial,
            remote,
            transport,
            open,
            unauthenticated,
        } = applicant;
        let version = connect.version;
        let mut seat = self.registry.take_seat(device_id, &certificate_serial);
        let line = Arc::clone(seat.line());

        let waited = tokio::select! {
            biased;
            reason = line.until_kicked() => Err(kicked_refusal(reason)),
            turn = tokio::time::timeout(self.limits.takeover(), seat.wait_for_turn()) => {
                turn.map_err(|_| ConnectRefusal::Unavailable)
            }
        };
        if let Err(why) = waited {
            self.turn_away(transport, version, why, open).await;
            return None;
        }

        let session_expiry_s = match version {
            ProtocolVersion::V311 => connect.session_expiry_s,
            ProtocolVersion::V5 => connect
                .session_expiry_s
                .min(self.limits.session_expiry_s_max),
        };
        let mut admission = Box::pin(tokio::time::timeout(
            self.limits.admit(),
            self.host.admit(Connecting {
                device_id,
                certificate_serial,
                clean_session: connect.clean_session,
                remote,
                protocol: version,
                session_expiry_s,
            }),
        ));
        let answer = tokio::select! {
            biased;
            answer = &mut admission => Ok(answer),
            reason = line.until_kicked() => Err(reason),
        };
        // A kick that came together with the answer counts: the answer may not know of it.
        let (answer, reason) = match (answer, line.kicked()) {
            (Ok(answer), None) => (answer, None),
            (Ok(answer), Some(reason)) => (answer, Some(reason)),
            (Err(reason), _) => {
                // The box goes now. The host is still asked to the end, for if it has let the box in it must hear
                // that the session is over.
                self.turn_away(transport, version, kicked_refusal(reason), open)
                    .await;
                if let Ok(Ok(admission)) = admission.await {
                    self.end_unopened(device_id, &admission, reason, session_expiry_s)
                        .await;
                }
                return None;
            }
        };
        drop(admission);
        let admission = match answer {
            Ok(Ok(admission)) => admission,
            Ok(Err(refusal)) => {
                let why = match refusal {
                    Refusal::NotAuthorized => ConnectRefusal::NotAuthorized,
                    Refusal::Unavailable => ConnectRefusal::Unavailable,
                };
                self.turn_away(transport, version, why, open).await;
                return None;
            }
            Err(_) => {
                tracing::warn!(device = %device_id, "the platform did not answer a CONNECT in time");
                self.turn_away(transport, version, ConnectRefusal::Unavailable, open)
                    .await;
                return None;
            }
        };
        if let Some(reason) = reason {
            self.turn_away(transport, version, kicked_refusal(reason), open)
                .await;
            self.end_unopened(device_id, &admission, reason, session_expiry_s)
                .await;
            return None;
        }
        drop(unauthenticated);
        count("admitted");
        let key = SessionKey {
            device_id,
            epoch: admission.epoch,
        };
        let will = connect.will.as_ref().map(|will| will.payload.clone());
        Some(Opened {
            session: self.open(connect, key, admission, transport, &seat, session_expiry_s),
            seat,
            will,
            persistent: session_expiry_s > 0,
            open,
        })
    }

    /// Says CONNACK and puts the session within reach of the router.
    fn open<S>(
        &self,
        connect: Connect,
        key: SessionKey,
        admission: Admission,
        mut transport: Transport<S>,
        seat: &Seat,
        session_expiry_s: u32,
    ) -> Session<H, S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let limits = &self.limits;
        let protocol = Protocol(connect.version);
        let stored = admission.stored.filter(|_| !connect.clean_session);
        let session_present = stored.is_some();
        let subscriptions = stored.unwrap_or_default();

        transport.set_silence_max(limits.silence(connect.keep_alive_s));
        let terms = Terms {
            session_expiry_s: (session_expiry_s != connect.session_expiry_s)
                .then_some(session_expiry_s),
            receive_maximum: u16::try_from(limits.uplinks_unacknowledged_max).unwrap_or(u16::MAX),
            packet_bytes_max: u32::try_from(limits.packet_bytes_max).unwrap_or(u32::MAX),
            keep_alive_s: limits.server_keep_alive_s(connect.keep_alive_s),
        };
        protocol.write_welcome(&mut transport.output, session_present, terms);

        let line = Arc::clone(seat.line());
        if session_present {
            let mut outbound = line.outbound();
            let left = self
                .registry
                .reattach(key.device_id, key.epoch, Instant::now());
            outbound.set_subscriptions(subscriptions.clone());
            if let Some(left) = left {
                outbound.resume(left);
            }
        } else {
            self.registry.forget(key.device_id);
        }
        seat.go_live();
        if !subscriptions.is_empty() {
            self.host.listening(key);
        }
        tracing::debug!(
            device = %key.device_id, epoch = key.epoch, protocol = ?connect.version, session_present,
            "connected"
        );
        Session::new(Opening {
            host: Arc::clone(&self.host),
            limits: Arc::clone(&self.limits),
            protocol,
            key,
            line,
            transport,
            persistent: session_expiry_s > 0,
            window: limits
                .in_flight_max
                .min(usize::from(connect.receive_maximum)),
            packet_bytes_max: connect.packet_bytes_max,
            subscriptions,
        })
    }

    /// Runs the session and ends it, whatever ends it.
    async fn run<S>(&self, opened: Box<Opened<H, S>>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Opened {
            mut session,
            seat,
            will,
            persistent,
            open,
        } = *opened;
        let key = session.key();
        // A defect in the session must not leave the platform with a session that never ends.
        let running = std::panic::AssertUnwindSafe(session.run()).catch_unwind();
        let ending = running.await.unwrap_or_else(|_| {
            tracing::error!(device = %key.device_id, "a session panicked");
            EndReason::ConnectionLost.into()
        });
        seat.leave();
        metrics::counter!("mqtt_sessions_ended_total", "reason" => ending.reason.as_str())
            .increment(1);
        tracing::debug!(
            device = %key.device_id, epoch = key.epoch, reason = %ending.reason, "session ended"
        );

        let keep = ending
            .session_expiry_s
            .map_or(persistent, |seconds| seconds > 0);
        self.keep_unacknowledged(key, seat.line(), keep);

        let (transport, uplinks) = session.into_parts(ending);
        // The box hears it at once; what it sent before is brought to its end meanwhile.
        let parting = async {
            match transport {
                Some(transport) => self.part(transport, open).await,
                None => drop(open),
            }
        };
        let draining = async {
            if outlives_its_messages(ending) {
                return;
            }
            tokio::select! {
                () = uplinks => {}
                // A newer connection of the box waits, and it will send again what it got no PUBACK for.
                _ = seat.line().until_kicked() => {}
                () = tokio::time::sleep(self.limits.drain()) => {}
            }
        };
        futures_util::future::join(parting, draining).await;

        let end = SessionEnd {
            reason: ending.reason,
            will: will.filter(|_| !ending.without_will),
            clean: !keep,
        };
        self.end(key, end).await;
        drop(seat);
    }

    /// Puts aside what the box has not acknowledged, if its session is kept.
    fn keep_unacknowledged(&self, key: SessionKey, line: &Line, keep: bool) {
        let mut outbound = line.outbound();
        match outbound.detach().filter(|_| keep) {
            Some(left) => self
                .registry
                .detach(key.device_id, key.epoch, left, Instant::now()),
            None => self.registry.forget(key.device_id),
        }
    }

    /// The end of a session whose box never got its CONNACK.
    async fn end_unopened(
        &self,
        device_id: DeviceId,
        admission: &Admission,
        reason: EndReason,
        session_expiry_s: u32,
    ) {
        let key = SessionKey {
            device_id,
            epoch: admission.epoch,
        };
        let end = SessionEnd {
            reason,
            will: None,
            clean: session_expiry_s == 0,
        };
        self.end(key, end).await;
    }

    async fn end(&self, key: SessionKey, end: SessionEnd) {
        let ended = tokio::time::timeout(self.limits.ended(), self.host.ended(key, end)).await;
        if ended.is_err() {
            metrics::counter!("mqtt_ended_timeouts_total").increment(1);
            tracing::error!(device = %key.device_id, "the platform did not take note of a session's end in time");
        }
    }

    /// Refuses a CONNECT and closes the connection.
    async fn turn_away<S>(
        &self,
        mut transport: Transport<S>,
        version: ProtocolVersion,
        why: ConnectRefusal,
        open: OwnedSemaphorePermit,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        count(why.as_str());
        refuse(version, why, &mut transport.output);
        self.part(transport, open).await;
    }

    /// Writes the last words, and lets the connection linger in a task of its own until they are read.
    async fn part<S>(&self, transport: Transport<S>, open: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let within = self.limits.goodbye();
        if let Some(parting) = transport.say_goodbye(within).await {
            self.tasks.spawn(async move {
                parting.linger(within).await;
                drop(open);
            });
        }
    }
}

/// A revoked box's last messages are not carried to their end, and a box that has come back sends its own again.
fn outlives_its_messages(ending: Ending) -> bool {
    matches!(ending.reason, EndReason::Revoked | EndReason::TakenOver)
}

/// Waits for the first whole packet; says why there is none.
async fn first_frame<S>(
    transport: &mut Transport<S>,
    body_bytes_max: usize,
) -> Result<Frame, &'static str>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match transport.next().await {
            Event::Received => {}
            Event::Written => continue,
            Event::Lost => return Err("lost_before_connect"),
            Event::Silent | Event::Stalled => return Err("connect_timeout"),
        }
        match Frame::take(&mut transport.input, body_bytes_max) {
            Ok(None) => {}
            Ok(Some(frame)) => {
                transport.release_input();
                return Ok(frame);
            }
            Err(_) => return Err("malformed_connect"),
        }
    }
}

/// Holds a CONNECT against the certificate that it came with, and against what we offer.
fn check(
    connect: &Connect,
    identity: Result<PeerIdentity, IdentityError>,
) -> Result<(DeviceId, String), ConnectRefusal> {
    if connect.client_id.is_empty() {
        return Err(ConnectRefusal::ClientId);
    }
    let identity = identity.map_err(|_| ConnectRefusal::NotAuthorized)?;
    let device_id = match identity.subject {
        Subject::Device(device_id) => device_id,
        // Observers get in here when they come.
        Subject::Service(_) => return Err(ConnectRefusal::NotAuthorized),
    };
    if connect.client_id.parse() != Ok(device_id) {
        return Err(ConnectRefusal::NotAuthorized);
    }
    if connect.authentication_method {
        return Err(ConnectRefusal::AuthenticationMethod);
    }
    if let Some(will) = &connect.will {
        check_will(device_id, will)?;
    }
    Ok((device_id, identity.serial))
}

fn check_will(device_id: DeviceId, will: &Will) -> Result<(), ConnectRefusal> {
    if will.qos > 1 {
        return Err(ConnectRefusal::QosNotSupported);
    }
    if will.retain {
        return Err(ConnectRefusal::RetainNotSupported);
    }
    let subject = Subject::Device(device_id);
    if authorize(&subject, Action::LeaveWill, &will.topic).is_err() {
        metrics::counter!("mqtt_forbidden_total", "action" => "will").increment(1);
        return Err(ConnectRefusal::NotAuthorized);
    }
    Ok(())
}

/// What a box is told that was kicked before it was let in.
fn kicked_refusal(reason: EndReason) -> ConnectRefusal {
    match reason {
        EndReason::Revoked => ConnectRefusal::NotAuthorized,
        _ => ConnectRefusal::Unavailable,
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("mqtt_connects_total", "outcome" => outcome).increment(1);
}
