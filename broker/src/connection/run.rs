//! Running a box's session and ending it: the platform is notified of every end exactly once.

use std::time::Instant;

use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use wire::DeviceId;

use super::{OpenSession, Peer, Shared, count};
use crate::connection_limiter::ConnectionPermit;
use crate::ending::Ending;
use crate::host::{Admission, EndReason, Host, ProtocolVersion, SessionEnd, SessionKey};
use crate::protocol::{ConnectRefusal, write_refusal};
use crate::registry::ConnectionHandle;
use crate::transport::Transport;

impl<H: Host> Shared<H> {
    /// Runs the session to its end, and ends it.
    pub(super) async fn run<S>(&self, open: Box<OpenSession<H, S>>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let OpenSession {
            mut session,
            registration,
            will,
            persistent,
            permit,
        } = *open;
        let key = session.key();
        // A panic in the session must not leave the platform with a session that never ends.
        let running = std::panic::AssertUnwindSafe(session.run()).catch_unwind();
        let ending = running.await.unwrap_or_else(|_| {
            tracing::error!(device = %key.device_id, "a session panicked");
            EndReason::ConnectionLost.into()
        });
        registration.go_offline();
        metrics::counter!("mqtt_sessions_ended_total", "reason" => ending.reason.as_str())
            .increment(1);
        tracing::debug!(
            device = %key.device_id, epoch = key.epoch, reason = %ending.reason, "session ended"
        );

        let keep = ending
            .session_expiry_s
            .map_or(persistent, |seconds| seconds > 0);
        self.keep_unacknowledged(key, registration.handle(), keep);

        let (transport, uplinks) = session.into_parts(ending);
        // The connection is closed at once, while the calls for earlier messages are completed.
        let closing = async {
            match transport {
                Some(transport) => self.close(transport, permit).await,
                None => drop(permit),
            }
        };
        let draining = async {
            if cancels_messages(ending) {
                return;
            }
            tokio::select! {
                () = uplinks => {}
                // A newer connection waits for this one, or the process stops: the box sends again what got no PUBACK. Or
                // the box was revoked, and its messages are not wanted.
                _ = registration.handle().control.until_kicked() => {}
                () = tokio::time::sleep(self.limits.drain()) => {}
            }
        };
        futures_util::future::join(closing, draining).await;

        let will = will.filter(|_| !ending.without_will);
        let end = SessionEnd {
            reason: ending.reason,
            will: will.as_ref().map(|will| will.payload.clone()),
            clean: !keep,
            session_expiry_s: ending
                .session_expiry_s
                .map(|requested| requested.min(self.limits.session_expiry_s_max)),
        };
        self.end(key, end).await;
        if let Some(will) = will {
            self.copies
                .publish_will(key, will.payload, will.user_properties);
        }
        drop(registration);
    }

    /// Keeps the unacknowledged packets, if the session is kept.
    fn keep_unacknowledged(&self, key: SessionKey, handle: &ConnectionHandle, keep: bool) {
        let mut outbound = handle.outbound();
        match outbound.detach().filter(|_| keep) {
            Some(left) => self
                .registry
                .detach(key.device_id, key.epoch, left, Instant::now()),
            None => self.registry.forget(key.device_id),
        }
    }

    /// Ends a session that the host admitted and whose box got no CONNACK.
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
            tracing::error!(device = %key.device_id, "the platform did not record the end of a session in time");
        }
    }

    /// Refuses a CONNECT and closes the connection.
    pub(super) async fn refuse<S>(
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
        write_refusal(version, why, &mut transport.output);
        self.close(transport, peer.permit).await;
    }

    /// Writes the output and closes the connection; a task of its own waits until the peer has read the output.
    pub(super) async fn close<S>(&self, transport: Transport<S>, permit: ConnectionPermit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let within = self.limits.close();
        if let Some(lingering) = transport.shut_down(within).await {
            self.tasks.spawn(async move {
                lingering.linger(within).await;
                drop(permit);
            });
        }
    }
}

/// Whether the running calls to the host are cancelled: the messages of a revoked box are not wanted, and a box that has
/// reconnected sends its own again.
fn cancels_messages(ending: Ending) -> bool {
    matches!(ending.reason, EndReason::Revoked | EndReason::TakenOver)
}
