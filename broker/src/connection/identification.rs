//! CONNECT, checked against the certificate of its connection and against what the edge offers.

use certs::identity::{IdentityError, PeerIdentity, Subject};
use tokio::io::{AsyncRead, AsyncWrite};
use wire::DeviceId;

use super::observer::ConnectingObserver;
use super::{ConnectingBox, Handshaken, Peer, Proof, Shared, count};
use crate::authorize::{Action, authorize};
use crate::frame::{Frame, FrameError};
use crate::host::{Host, ProtocolVersion};
use crate::limits::Limits;
use crate::protocol::{Connect, ConnectError, ConnectRefusal, Will, read_connect};
use crate::topic_map::TopicMap;
use crate::transport::{Event, Transport};

/// A client whose CONNECT is valid and matches its certificate.
pub(super) enum Identified<S> {
    Box(ConnectingBox<S>),
    Observer(ConnectingObserver<S>),
}

impl<H: Host> Shared<H> {
    /// Reads CONNECT and checks it.
    pub(super) async fn identify<S>(&self, handshaken: Handshaken<S>) -> Option<Identified<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Handshaken {
            mut transport,
            proof,
            peer,
        } = handshaken;
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
                // A client of another version gets the CONNACK of version 3.1.1.
                let (version, why) = (ProtocolVersion::V311, ConnectRefusal::ProtocolVersion);
                self.refuse(transport, version, why, peer).await;
                return None;
            }
        };
        let version = connect.version;
        let identity = match proof {
            Proof::Certificate(identity) => identity,
            Proof::Password => return self.log_in(connect, transport, peer).await,
        };
        match check(&connect, identity, &self.limits) {
            Ok(identity) => Some(identified(identity, connect, transport, peer)),
            Err(why) => {
                self.refuse(transport, version, why, peer).await;
                None
            }
        }
    }
}

fn identified<S>(
    identity: PeerIdentity,
    connect: Connect,
    transport: Transport<S>,
    peer: Peer,
) -> Identified<S> {
    let certificate_serial = identity.serial;
    match identity.subject {
        Subject::Device(device_id) => Identified::Box(ConnectingBox {
            connect,
            device_id,
            certificate_serial,
            topics: None,
            transport,
            peer,
        }),
        Subject::Service(name) => Identified::Observer(ConnectingObserver {
            connect,
            name,
            certificate_serial,
            transport,
            peer,
        }),
    }
}

/// Waits for the first complete packet. The error is the outcome for metrics and logs.
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

/// Checks a CONNECT against the certificate of its connection, and against what the edge offers.
fn check(
    connect: &Connect,
    identity: Result<PeerIdentity, IdentityError>,
    limits: &Limits,
) -> Result<PeerIdentity, ConnectRefusal> {
    if connect.client_id.is_empty() && !may_omit_client_id(connect, identity.as_ref()) {
        return Err(ConnectRefusal::ClientId);
    }
    let identity = identity.map_err(|_| ConnectRefusal::NotAuthorized)?;
    match &identity.subject {
        Subject::Device(own) if connect.client_id.parse() == Ok(*own) => {}
        // An observer may use any client id but a device id.
        Subject::Service(_) if connect.client_id.parse::<DeviceId>().is_err() => {}
        Subject::Device(_) | Subject::Service(_) => return Err(ConnectRefusal::NotAuthorized),
    }
    if connect.authentication_method {
        return Err(ConnectRefusal::AuthenticationMethod);
    }
    if let Some(will) = &connect.will {
        check_will(&identity.subject, None, will, limits)?;
    }
    Ok(identity)
}

/// MQTT 3.1.1 section 3.1.3.1: a client without a client id must use a clean session. A box always has its client id.
fn may_omit_client_id(connect: &Connect, identity: Result<&PeerIdentity, &IdentityError>) -> bool {
    let observer = identity.is_ok_and(|identity| matches!(identity.subject, Subject::Service(_)));
    observer && (connect.clean_session || connect.version == ProtocolVersion::V5)
}

pub(super) fn check_will(
    subject: &Subject,
    topics: Option<&TopicMap>,
    will: &Will,
    limits: &Limits,
) -> Result<(), ConnectRefusal> {
    if will.qos > 1 {
        return Err(ConnectRefusal::QosNotSupported);
    }
    if will.retain {
        return Err(ConnectRefusal::RetainNotSupported);
    }
    if authorize(subject, topics, Action::LeaveWill, &will.topic).is_err() {
        metrics::counter!("mqtt_forbidden_total", "action" => "will").increment(1);
        return Err(ConnectRefusal::NotAuthorized);
    }
    if will.payload.len() > limits.will_bytes_max {
        return Err(ConnectRefusal::WillTooLarge);
    }
    Ok(())
}
