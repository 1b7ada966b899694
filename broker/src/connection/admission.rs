//! From a CONNECT that is in order to a session: the seat, the device's turn, the host's word, CONNACK.

use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Applicant, Opened, Shared, count, kicked_refusal};
use crate::connection_limiter::PendingPermit;
use crate::downlink::Takes;
use crate::host::{Admission, Connecting, Host, Refusal, SessionKey};
use crate::protocol::{Connect, ConnectRefusal, Protocol, Terms};
use crate::registry::Seat;
use crate::session::{Opening, Session};
use crate::transport::Transport;

impl<H: Host> Shared<H> {
    /// Takes a seat, waits for the device's turn, and asks the host.
    pub(super) async fn admit<S>(
        &self,
        applicant: Applicant<S>,
        pending: PendingPermit,
    ) -> Option<Opened<H, S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Applicant {
            mut connect,
            device_id,
            certificate_serial,
            transport,
            peer,
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
            self.turn_away(transport, version, why, peer).await;
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
                clean_session: connect.clean_session,
                remote: peer.remote,
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
                self.turn_away(transport, version, kicked_refusal(reason), peer)
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
                self.turn_away(transport, version, why, peer).await;
                return None;
            }
            Err(_) => {
                tracing::warn!(device = %device_id, "the platform did not answer a CONNECT in time");
                self.turn_away(transport, version, ConnectRefusal::Unavailable, peer)
                    .await;
                return None;
            }
        };
        if let Some(reason) = reason {
            self.turn_away(transport, version, kicked_refusal(reason), peer)
                .await;
            self.end_unopened(device_id, &admission, reason, session_expiry_s)
                .await;
            return None;
        }
        drop(pending);
        count("admitted");
        let key = SessionKey {
            device_id,
            epoch: admission.epoch,
        };
        let will = connect.will.take();
        Some(Opened {
            session: self.open(connect, key, admission, transport, &seat, session_expiry_s),
            seat,
            will,
            persistent: session_expiry_s > 0,
            place: peer.place,
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

        transport.set_silence_max(limits.silence(connect.version, connect.keep_alive_s));
        let terms = Terms {
            session_expiry_s: (session_expiry_s != connect.session_expiry_s)
                .then_some(session_expiry_s),
            receive_maximum: u16::try_from(limits.uplinks_unacknowledged_max).unwrap_or(u16::MAX),
            packet_bytes_max: u32::try_from(limits.packet_bytes_max).unwrap_or(u32::MAX),
            keep_alive_s: limits.server_keep_alive_s(connect.keep_alive_s),
            assigned_client_id: None,
        };
        protocol.write_welcome(&mut transport.output, session_present, terms);

        let line = Arc::clone(seat.line());
        let window = limits
            .in_flight_max
            .min(usize::from(connect.receive_maximum));
        line.outbound().set_takes(Takes {
            protocol,
            packet_bytes_max: connect.packet_bytes_max,
            window,
        });
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
            copies: self.copies.clone(),
            transport,
            persistent: session_expiry_s > 0,
            window,
            packet_bytes_max: connect.packet_bytes_max,
            subscriptions,
        })
    }
}
