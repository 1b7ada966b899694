//! A box of another maker: the user name and password of its CONNECT instead of a certificate.
//!
//! Its client id proves nothing, and nothing depends on it: a session belongs to the device whose password it is, and a newer
//! one of that device takes it over. Makers fix the id, and people who test with a client of their own choose any. Only an id
//! of the contract's form has to be the device's own, so that a log line never names another.

use std::time::Instant;

use certs::identity::Subject;
use tokio::io::{AsyncRead, AsyncWrite};
use wire::DeviceId;

use super::identification::{Identified, check_will};
use super::{ConnectingBox, Peer, Shared};
use crate::host::{Authenticated, Host, LOGIN_BYTES_MAX, Login, LoginRefusal};
use crate::protocol::{Connect, ConnectRefusal};
use crate::transport::Transport;

impl<H: Host> Shared<H> {
    /// Checks the login of a CONNECT.
    pub(super) async fn log_in<S>(
        &self,
        mut connect: Connect,
        transport: Transport<S>,
        mut peer: Peer,
    ) -> Option<Identified<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let version = connect.version;
        match self.check_login(&mut connect, &mut peer).await {
            Ok(found) => Some(Identified::Box(ConnectingBox {
                connect,
                device_id: found.device_id,
                certificate_serial: found.credential,
                topics: Some(found.topics),
                transport,
                peer,
            })),
            Err(why) => {
                self.refuse(transport, version, why, peer).await;
                None
            }
        }
    }

    async fn check_login(
        &self,
        connect: &mut Connect,
        peer: &mut Peer,
    ) -> Result<Authenticated, ConnectRefusal> {
        if connect.client_id.is_empty() {
            return Err(ConnectRefusal::ClientId);
        }
        if connect.authentication_method {
            return Err(ConnectRefusal::AuthenticationMethod);
        }
        let login = connect.login.take();
        let (user_name, password) = login.ok_or(ConnectRefusal::BadCredentials)?;
        let lengths = [
            connect.client_id.len(),
            user_name.len(),
            password.as_bytes().len(),
        ];
        if lengths.iter().any(|length| *length > LOGIN_BYTES_MAX) {
            return Err(ConnectRefusal::BadCredentials);
        }
        let asking = self.host.authenticate(Login {
            client_id: connect.client_id.clone(),
            user_name: user_name.clone(),
            password,
            remote: peer.remote,
        });
        let answer = tokio::time::timeout(self.limits.admit(), asking).await;
        let refusal = match answer.unwrap_or(Err(LoginRefusal::Unavailable)) {
            Ok(found) => return check_connect(connect, found, self),
            Err(refusal) => refusal,
        };
        if refusal == LoginRefusal::Unavailable {
            return Err(ConnectRefusal::Unavailable);
        }
        if let LoginRefusal::WrongPassword(device_id) = refusal {
            peer.certificate = Some(device_id.to_string());
        }
        let now = Instant::now();
        let held_back = self.failed_logins.note(peer.remote, &user_name, now);
        if !held_back.is_zero() {
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(held_back) => {}
            }
        }
        Err(ConnectRefusal::BadCredentials)
    }
}

fn check_connect<H: Host>(
    connect: &Connect,
    found: Authenticated,
    shared: &Shared<H>,
) -> Result<Authenticated, ConnectRefusal> {
    let named = connect.client_id.parse::<DeviceId>();
    if named.is_ok_and(|named| named != found.device_id) {
        return Err(ConnectRefusal::NotAuthorized);
    }
    if let Some(will) = &connect.will {
        let subject = Subject::Device(found.device_id);
        check_will(&subject, Some(&found.topics), will, &shared.limits)?;
    }
    Ok(found)
}
