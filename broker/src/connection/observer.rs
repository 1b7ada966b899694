//! An observer: registration, the host's decision, CONNACK, and its session.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Peer, Shared, count, kicked_refusal};
use crate::connection_limiter::{ConnectionPermit, PreAuthPermit};
use crate::host::{EndReason, Host, ObserverConnecting};
use crate::observer_session::{ObserverSession, ObserverSessionParts};
use crate::observers::ObserverRegistration;
use crate::protocol::{Connect, ConnectRefusal, Protocol, Terms};
use crate::transport::Transport;

/// A service whose CONNECT is valid and matches its certificate.
pub(super) struct ConnectingObserver<S> {
    pub(super) connect: Connect,
    pub(super) name: String,
    pub(super) certificate_serial: String,
    pub(super) transport: Transport<S>,
    pub(super) peer: Peer,
}

/// The session of an admitted observer.
pub(super) struct OpenObserverSession<S> {
    session: ObserverSession<S>,
    registration: ObserverRegistration,
    permit: ConnectionPermit,
}

impl<H: Host> Shared<H> {
    /// Registers the observer, calls the host, and ends an older connection of the same client.
    pub(super) async fn admit_observer<S>(
        &self,
        connecting: ConnectingObserver<S>,
        pre_auth: PreAuthPermit,
    ) -> Option<OpenObserverSession<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let ConnectingObserver {
            mut connect,
            name,
            certificate_serial,
            transport,
            peer,
        } = connecting;
        let version = connect.version;
        let observers = &self.copies.observers;
        let without_client_id = connect.client_id.is_empty();
        if without_client_id {
            connect.client_id = observers.assign_client_id(&name);
        }
        let Some(registration) = observers.register(&name, &connect.client_id, &certificate_serial)
        else {
            let why = ConnectRefusal::Unavailable;
            self.refuse(transport, version, why, peer).await;
            return None;
        };
        let handle = Arc::clone(registration.handle());
        let admission = tokio::time::timeout(
            self.limits.admit(),
            self.host.admit_observer(ObserverConnecting {
                name,
                certificate_serial,
                remote: peer.remote,
            }),
        );
        // A kick that coincides with the answer counts: the host may have decided before what led to the kick.
        let answer = tokio::select! {
            biased;
            reason = handle.control.until_kicked() => Err(kicked_refusal(reason)),
            answer = admission => match (handle.control.kicked(), answer) {
                (Some(reason), _) => Err(kicked_refusal(reason)),
                (None, Ok(Ok(()))) => Ok(()),
                (None, Ok(Err(refusal))) => Err(refusal.into()),
                (None, Err(_)) => Err(ConnectRefusal::Unavailable),
            },
        };
        if let Err(why) = answer {
            self.refuse(transport, version, why, peer).await;
            return None;
        }
        registration.kick_older();
        drop(pre_auth);
        count("observer_admitted");
        let assigned_client_id = without_client_id.then(|| connect.client_id.clone());
        Some(self.open_observer(
            &connect,
            assigned_client_id,
            transport,
            registration,
            peer.permit,
        ))
    }

    /// Writes CONNACK and lets copies flow.
    fn open_observer<S>(
        &self,
        connect: &Connect,
        assigned_client_id: Option<String>,
        mut transport: Transport<S>,
        registration: ObserverRegistration,
        permit: ConnectionPermit,
    ) -> OpenObserverSession<S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let limits = &self.limits;
        transport.set_silence_max(limits.silence(connect.version, connect.keep_alive_s));
        let terms = Terms {
            // Its session always ends with its connection.
            session_expiry_s: (connect.session_expiry_s > 0).then_some(0),
            assigned_client_id,
            ..self.terms(connect)
        };
        let protocol = Protocol(connect.version);
        protocol.write_connack(&mut transport.output, false, terms);
        registration.go_live();
        self.copies.router.observe();
        let handle = registration.handle();
        tracing::info!(
            name = handle.name(),
            serial = handle.certificate_serial(),
            "an observer connected"
        );
        OpenObserverSession {
            session: ObserverSession::new(ObserverSessionParts {
                limits: Arc::clone(limits),
                protocol,
                handle: Arc::clone(handle),
                transport,
                packet_bytes_max: connect.packet_bytes_max,
            }),
            registration,
            permit,
        }
    }

    /// Runs an observer's session and ends it.
    pub(super) async fn run_observer<S>(&self, open: Box<OpenObserverSession<S>>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let OpenObserverSession {
            mut session,
            registration,
            permit,
        } = *open;
        let ending = session.run().await;
        let reason: EndReason = ending.reason;
        metrics::counter!("mqtt_observers_ended_total", "reason" => reason.as_str()).increment(1);
        tracing::info!(name = registration.handle().name(), %reason, "an observer's session ended");
        drop(registration);
        if let Some(transport) = session.into_transport(ending) {
            self.close(transport, permit).await;
        }
    }
}
