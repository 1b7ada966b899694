//! Running a session and ending it: whatever ends it, the platform is told, once.

use std::time::Instant;

use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use wire::DeviceId;

use super::{Opened, Peer, Shared, count};
use crate::connection_limiter::ConnectionPermit;
use crate::host::{Admission, EndReason, Host, ProtocolVersion, SessionEnd, SessionKey};
use crate::protocol::{ConnectRefusal, refuse};
use crate::registry::Line;
use crate::session::Ending;
use crate::transport::Transport;

impl<H: Host> Shared<H> {
    /// Runs the session and ends it, whatever ends it.
    pub(super) async fn run<S>(&self, opened: Box<Opened<H, S>>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Opened {
            mut session,
            seat,
            will,
            persistent,
            place,
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
                Some(transport) => self.part(transport, place).await,
                None => drop(place),
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

        let will = will.filter(|_| !ending.without_will);
        let end = SessionEnd {
            reason: ending.reason,
            will: will.as_ref().map(|will| will.payload.clone()),
            clean: !keep,
            session_expiry_s: ending
                .session_expiry_s
                .map(|asked| asked.min(self.limits.session_expiry_s_max)),
        };
        self.end(key, end).await;
        if let Some(will) = will {
            self.copies
                .publish_will(key, will.payload, will.user_properties);
        }
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
    pub(super) async fn end_unopened(
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
            session_expiry_s: None,
        };
        self.end(key, end).await;
    }

    pub(super) async fn end(&self, key: SessionKey, end: SessionEnd) {
        let ended = tokio::time::timeout(self.limits.ended(), self.host.ended(key, end)).await;
        if ended.is_err() {
            metrics::counter!("mqtt_ended_timeouts_total").increment(1);
            tracing::error!(device = %key.device_id, "the platform did not take note of a session's end in time");
        }
    }

    /// Refuses a CONNECT and closes the connection.
    pub(super) async fn turn_away<S>(
        &self,
        mut transport: Transport<S>,
        version: ProtocolVersion,
        why: ConnectRefusal,
        peer: Peer,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        count(why.as_str());
        let certificate = peer.certificate.as_deref();
        self.refusals.note(peer.remote, why.as_str(), certificate);
        refuse(version, why, &mut transport.output);
        self.part(transport, peer.place).await;
    }

    /// Writes the last words, and lets the connection linger in a task of its own until they are read.
    pub(super) async fn part<S>(&self, transport: Transport<S>, place: ConnectionPermit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let within = self.limits.goodbye();
        if let Some(parting) = transport.say_goodbye(within).await {
            self.tasks.spawn(async move {
                parting.linger(within).await;
                drop(place);
            });
        }
    }
}

/// A revoked box's last messages are not carried to their end, and a box that has come back sends its own again.
fn outlives_its_messages(ending: Ending) -> bool {
    matches!(ending.reason, EndReason::Revoked | EndReason::TakenOver)
}
