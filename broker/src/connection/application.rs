//! CONNECT, held against the certificate that it came with and against what we offer.

use certs::identity::{IdentityError, PeerIdentity, Subject};
use tokio::io::{AsyncRead, AsyncWrite};
use wire::DeviceId;

use super::observer::ObserverApplicant;
use super::{Applicant, Greeting, Peer, Shared, count};
use crate::authorize::{Action, authorize};
use crate::frame::{Frame, FrameError};
use crate::host::{Host, ProtocolVersion};
use crate::limits::Limits;
use crate::protocol::{Connect, ConnectError, ConnectRefusal, Will, read_connect};
use crate::transport::{Event, Transport};

/// Who has said what it is, and may ask to be let in.
pub(super) enum Introduced<S> {
    Box(Applicant<S>),
    Observer(ObserverApplicant<S>),
}

impl<H: Host> Shared<H> {
    /// Reads CONNECT and holds it against the certificate.
    pub(super) async fn read_application<S>(&self, greeting: Greeting<S>) -> Option<Introduced<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Greeting {
            mut transport,
            identity,
            peer,
        } = greeting;
        let frame = tokio::select! {
            () = self.stop.cancelled() => return None,
            frame = first_frame(&mut transport, self.limits.packet_bytes_max) => frame,
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(why) => {
                count(why);
                let certificate = peer.certificate.as_deref();
                self.refusals.note(peer.remote, why, certificate);
                return None;
            }
        };
        let connect = match read_connect(frame) {
            Ok(connect) => connect,
            Err(ConnectError::Malformed) => {
                count("malformed_connect");
                let certificate = peer.certificate.as_deref();
                self.refusals
                    .note(peer.remote, "malformed_connect", certificate);
                return None;
            }
            Err(ConnectError::Version) => {
                // Whoever speaks another version is told in the words of the oldest.
                let (version, why) = (ProtocolVersion::V311, ConnectRefusal::ProtocolVersion);
                self.turn_away(transport, version, why, peer).await;
                return None;
            }
        };
        let version = connect.version;
        match check(&connect, identity, &self.limits) {
            Ok(applicant) => Some(introduce(applicant, connect, transport, peer)),
            Err(why) => {
                self.turn_away(transport, version, why, peer).await;
                None
            }
        }
    }
}

fn introduce<S>(
    identity: PeerIdentity,
    connect: Connect,
    transport: Transport<S>,
    peer: Peer,
) -> Introduced<S> {
    let certificate_serial = identity.serial;
    match identity.subject {
        Subject::Device(device_id) => Introduced::Box(Applicant {
            connect,
            device_id,
            certificate_serial,
            transport,
            peer,
        }),
        Subject::Service(name) => Introduced::Observer(ObserverApplicant {
            connect,
            name,
            certificate_serial,
            transport,
            peer,
        }),
    }
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
        match transport.take(body_bytes_max) {
            Ok(None) => {}
            Ok(Some(frame)) => return Ok(frame),
            Err(FrameError::TooLarge(_)) => return Err("connect_too_large"),
            Err(_) => return Err("malformed_connect"),
        }
    }
}

/// Holds a CONNECT against the certificate that it came with, and against what we offer.
fn check(
    connect: &Connect,
    identity: Result<PeerIdentity, IdentityError>,
    limits: &Limits,
) -> Result<PeerIdentity, ConnectRefusal> {
    if connect.client_id.is_empty() && !may_be_nameless(connect, identity.as_ref()) {
        return Err(ConnectRefusal::ClientId);
    }
    let identity = identity.map_err(|_| ConnectRefusal::NotAuthorized)?;
    match &identity.subject {
        Subject::Device(own) if connect.client_id.parse() == Ok(*own) => {}
        // An observer may call its connections what it likes, but not after a box.
        Subject::Service(_) if connect.client_id.parse::<DeviceId>().is_err() => {}
        Subject::Device(_) | Subject::Service(_) => return Err(ConnectRefusal::NotAuthorized),
    }
    if connect.authentication_method {
        return Err(ConnectRefusal::AuthenticationMethod);
    }
    if let Some(will) = &connect.will {
        check_will(&identity.subject, will, limits)?;
    }
    Ok(identity)
}

/// MQTT 3.1.1 section 3.1.3.1: a client without a name can have no session that is kept. A box has a name.
fn may_be_nameless(connect: &Connect, identity: Result<&PeerIdentity, &IdentityError>) -> bool {
    let observer = identity.is_ok_and(|identity| matches!(identity.subject, Subject::Service(_)));
    observer && (connect.clean_session || connect.version == ProtocolVersion::V5)
}

fn check_will(subject: &Subject, will: &Will, limits: &Limits) -> Result<(), ConnectRefusal> {
    if will.qos > 1 {
        return Err(ConnectRefusal::QosNotSupported);
    }
    if will.retain {
        return Err(ConnectRefusal::RetainNotSupported);
    }
    if authorize(subject, Action::LeaveWill, &will.topic).is_err() {
        metrics::counter!("mqtt_forbidden_total", "action" => "will").increment(1);
        return Err(ConnectRefusal::NotAuthorized);
    }
    if will.payload.len() > limits.will_bytes_max {
        return Err(ConnectRefusal::WillTooLarge);
    }
    Ok(())
}
