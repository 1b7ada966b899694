//! From a valid CONNECT to a session: registration, takeover, the host's decision, CONNACK.

use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};
use wire::DeviceId;

use super::{ConnectingBox, OpenSession, Shared, count, kicked_refusal};
use crate::connection_limiter::PreAuthPermit;
use crate::downlink::ClientLimits;
use crate::host::{Admission, Connecting, Host, SessionKey};
use crate::protocol::{Connect, ConnectRefusal, Protocol, Terms};
use crate::registry::Registration;
use crate::session::{Session, SessionParts};
use crate::topic_map::TopicMap;
use crate::transport::Transport;

/// What a session is opened with.
struct Opening {
    connect: Connect,
    key: SessionKey,
    admission: Admission,
    topics: Option<Arc<TopicMap>>,
    session_expiry_s: u32,
}

impl<H: Host> Shared<H> {
    /// Registers the connection, ends the device's older ones, and calls the host. Opens the session, or refuses the box.
    pub(super) async fn admit<S>(
        &self,
        connecting: ConnectingBox<S>,
        pre_auth: PreAuthPermit,
    ) -> Option<OpenSession<H, S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let ConnectingBox {
            mut connect,
            device_id,
            certificate_serial,
            topics,
            transport,
            peer,
        } = connecting;
        let version = connect.version;
        let mut registration = self.registry.register(device_id, &certificate_serial);
        let handle = Arc::clone(registration.handle());

        let waited = tokio::select! {
            biased;
            reason = handle.control.until_kicked() => Err(kicked_refusal(reason)),
            result = self.take_over(&mut registration, device_id, &certificate_serial) => result,
        };
        if let Err(why) = waited {
            self.refuse(transport, version, why, peer).await;
            return None;
        }

        let session_expiry_s = connect
            .session_expiry_s
            .min(self.limits.session_expiry_s_max);
        let mut admission = Box::pin(tokio::time::timeout(
            self.limits.admit(),
            self.host.admit(Connecting {
                device_id,
                certificate_serial,
                topics: topics.clone(),
                clean_session: connect.clean_session,
                remote: peer.remote,
                protocol: version,
                session_expiry_s,
            }),
        ));
        let answer = tokio::select! {
            biased;
            answer = &mut admission => Ok(answer),
            reason = handle.control.until_kicked() => Err(reason),
        };
        // A kick that coincides with the answer counts: the host may have decided before what led to the kick.
        let (answer, reason) = match (answer, handle.control.kicked()) {
            (Ok(answer), None) => (answer, None),
            (Ok(answer), Some(reason)) => (answer, Some(reason)),
            (Err(reason), _) => {
                // The box is refused now. The host's call is still completed: if it admits the box, the host must be
                // notified that the session has ended.
                self.refuse(transport, version, kicked_refusal(reason), peer)
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
                self.refuse(transport, version, refusal.into(), peer).await;
                return None;
            }
            Err(_) => {
                let why = not_in_time(device_id);
                self.refuse(transport, version, why, peer).await;
                return None;
            }
        };
        if let Some(reason) = reason {
            self.refuse(transport, version, kicked_refusal(reason), peer)
                .await;
            self.end_unopened(device_id, &admission, reason, session_expiry_s)
                .await;
            return None;
        }
        drop(pre_auth);
        count("admitted");
        let key = SessionKey {
            device_id,
            epoch: admission.epoch,
        };
        let will = connect.will.take();
        Some(OpenSession {
            session: self.open(
                Opening {
                    connect,
                    key,
                    admission,
                    topics,
                    session_expiry_s,
                },
                transport,
                &registration,
            ),
            registration,
            will,
            persistent: session_expiry_s > 0,
            permit: peer.permit,
        })
    }

    /// Ends the device's older connections, if the host lets this one connect, and waits until they have ended.
    async fn take_over(
        &self,
        registration: &mut Registration,
        device_id: DeviceId,
        certificate_serial: &str,
    ) -> Result<(), ConnectRefusal> {
        if registration.has_older() {
            let check = self.host.may_connect(device_id, certificate_serial);
            let answer = tokio::time::timeout(self.limits.admit(), check).await;
            answer.map_err(|_| not_in_time(device_id))??;
            registration.kick_older();
        }
        tokio::time::timeout(self.limits.takeover(), registration.wait_for_older())
            .await
            .map_err(|_| ConnectRefusal::Unavailable)
    }

    /// Writes CONNACK and connects the session to the router.
    fn open<S>(
        &self,
        opening: Opening,
        mut transport: Transport<S>,
        registration: &Registration,
    ) -> Session<H, S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Opening {
            connect,
            key,
            admission,
            topics,
            session_expiry_s,
        } = opening;
        let limits = &self.limits;
        let protocol = Protocol(connect.version);
        let stored = admission.stored.filter(|_| !connect.clean_session);
        let session_present = stored.is_some();
        let subscriptions = stored.unwrap_or_default();

        transport.set_silence_max(limits.silence(connect.version, connect.keep_alive_s));
        let terms = Terms {
            session_expiry_s: (session_expiry_s != connect.session_expiry_s)
                .then_some(session_expiry_s),
            ..self.terms(&connect)
        };
        protocol.write_connack(&mut transport.output, session_present, terms);

        let handle = Arc::clone(registration.handle());
        let window = limits
            .in_flight_max
            .min(usize::from(connect.receive_maximum));
        {
            let mut outbound = handle.outbound();
            outbound.set_client_limits(ClientLimits {
                protocol,
                packet_bytes_max: connect.packet_bytes_max,
                window,
            });
            outbound.set_topics(topics.clone());
        }
        if session_present {
            let mut outbound = handle.outbound();
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
        registration.go_live(key.epoch);
        if !subscriptions.is_empty() {
            self.host.listening(key);
        }
        tracing::debug!(
            device = %key.device_id, epoch = key.epoch, protocol = ?connect.version, session_present,
            "connected"
        );
        Session::new(SessionParts {
            host: Arc::clone(&self.host),
            limits: Arc::clone(&self.limits),
            protocol,
            key,
            handle,
            copies: self.copies.clone(),
            topics,
            transport,
            persistent: session_expiry_s > 0,
            window,
            packet_bytes_max: connect.packet_bytes_max,
            subscriptions,
            server_reference: self.server_reference.clone(),
        })
    }
}

fn not_in_time(device_id: DeviceId) -> ConnectRefusal {
    tracing::warn!(device = %device_id, "the platform did not answer a CONNECT in time");
    ConnectRefusal::Unavailable
}
