//! An observer: its place among the others, the host's word, CONNACK, and then its copies.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Peer, Shared, count, kicked_refusal};
use crate::connection_limiter::{ConnectionPermit, PendingPermit};
use crate::host::{EndReason, Host, ObserverConnecting, Refusal};
use crate::observers::ObserverSeat;
use crate::protocol::{Connect, ConnectRefusal, Protocol, Terms};
use crate::transport::Transport;
use crate::watch::{self, Watch};

/// A service whose CONNECT is in order.
pub(super) struct ObserverApplicant<S> {
    pub(super) connect: Connect,
    pub(super) name: String,
    pub(super) certificate_serial: String,
    pub(super) transport: Transport<S>,
    pub(super) peer: Peer,
}

/// An observer that has been let in.
pub(super) struct Watching<S> {
    watch: Watch<S>,
    seat: ObserverSeat,
    place: ConnectionPermit,
}

impl<H: Host> Shared<H> {
    /// Takes a place, and asks the host.
    pub(super) async fn admit_observer<S>(
        &self,
        applicant: ObserverApplicant<S>,
        pending: PendingPermit,
    ) -> Option<Watching<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let ObserverApplicant {
            mut connect,
            name,
            certificate_serial,
            transport,
            peer,
        } = applicant;
        let version = connect.version;
        let observers = &self.copies.observers;
        let nameless = connect.client_id.is_empty();
        if nameless {
            connect.client_id = observers.name_for(&name);
        }
        let Some(seat) = observers.join(&name, &connect.client_id, &certificate_serial) else {
            let why = ConnectRefusal::Unavailable;
            self.turn_away(transport, version, why, peer).await;
            return None;
        };
        let line = Arc::clone(seat.line());
        let asked = tokio::time::timeout(
            self.limits.admit(),
            self.host.admit_observer(ObserverConnecting {
                name,
                certificate_serial,
                remote: peer.remote,
            }),
        );
        // A kick that comes together with the answer counts: the answer may not know of it.
        let answer = tokio::select! {
            biased;
            reason = line.until_kicked() => Err(kicked_refusal(reason)),
            answer = asked => match (line.kicked(), answer) {
                (Some(reason), _) => Err(kicked_refusal(reason)),
                (None, Ok(Ok(()))) => Ok(()),
                (None, Ok(Err(Refusal::NotAuthorized))) => Err(ConnectRefusal::NotAuthorized),
                (None, Ok(Err(Refusal::Unavailable)) | Err(_)) => Err(ConnectRefusal::Unavailable),
            },
        };
        if let Err(why) = answer {
            self.turn_away(transport, version, why, peer).await;
            return None;
        }
        drop(pending);
        count("observer_admitted");
        let assigned_client_id = nameless.then(|| connect.client_id.clone());
        Some(self.welcome_observer(&connect, assigned_client_id, transport, seat, peer.place))
    }

    fn welcome_observer<S>(
        &self,
        connect: &Connect,
        assigned_client_id: Option<String>,
        mut transport: Transport<S>,
        seat: ObserverSeat,
        place: ConnectionPermit,
    ) -> Watching<S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let limits = &self.limits;
        transport.set_silence_max(limits.silence(connect.version, connect.keep_alive_s));
        let terms = Terms {
            // Its session ends with its connection, whatever it asked for.
            session_expiry_s: (connect.session_expiry_s > 0).then_some(0),
            receive_maximum: u16::try_from(limits.uplinks_unacknowledged_max).unwrap_or(u16::MAX),
            packet_bytes_max: u32::try_from(limits.packet_bytes_max).unwrap_or(u32::MAX),
            keep_alive_s: limits.server_keep_alive_s(connect.keep_alive_s),
            assigned_client_id,
        };
        let protocol = Protocol(connect.version);
        protocol.write_welcome(&mut transport.output, false, terms);
        seat.watch();
        self.copies.router.observe();
        let line = seat.line();
        tracing::info!(
            name = line.name(),
            serial = line.certificate_serial(),
            "an observer connected"
        );
        Watching {
            watch: Watch::new(watch::Opening {
                limits: Arc::clone(limits),
                protocol,
                line: Arc::clone(line),
                transport,
                packet_bytes_max: connect.packet_bytes_max,
            }),
            seat,
            place,
        }
    }

    /// Runs an observer's session and ends it.
    pub(super) async fn watch<S>(&self, watching: Box<Watching<S>>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Watching {
            mut watch,
            seat,
            place,
        } = *watching;
        let ending = watch.run().await;
        let reason: EndReason = ending.reason;
        metrics::counter!("mqtt_observers_ended_total", "reason" => reason.as_str()).increment(1);
        tracing::info!(name = seat.line().name(), %reason, "an observer's session ended");
        drop(seat);
        if let Some(transport) = watch.into_transport(ending) {
            self.part(transport, place).await;
        }
    }
}
