//! The interface to the platform: who may connect, where uplinks go, what sessions have subscribed to.
//!
//! The edge keeps sockets, packets and windows; the host stores whatever must outlive the process. Every call carries a
//! [`SessionKey`], so that a host that shares its database with other nodes can tell a session that has ended from the
//! one that replaced it.
//!
//! The calls for one session come in this order. In one process no two connections of a device are between `admit` and
//! `ended` at a time:
//!
//! ```text
//! (authenticate) → (may_connect) → admit → (listening) → { subscriptions_changed → listening | uplink … | confirmed } → ended
//! ```
//!
//! `ended` is called exactly once for each `admit` that returned `Ok`, also when the connection was kicked while `admit`
//! was running. It is cancelled when it takes longer than `Limits::ended_ms_max`.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use wire::{Channel, DeviceId, DownlinkFilter};

use crate::topic_map::TopicMap;

/// The platform, as the edge calls it. A type parameter of [`crate::Edge`], not `dyn`.
pub trait Host: Send + Sync + 'static {
    /// Whose user name and password these are, for a box that connects without a certificate. Changes nothing.
    ///
    /// Called before anything is known of the client, as often as anybody connects, so it must be cheap; the edge limits it
    /// in time as [`Host::admit`]. `admit` follows, with the credential that this call names, and must check it again: it may
    /// have been revoked in between. A host without such boxes knows no login.
    fn authenticate(
        &self,
        login: Login,
    ) -> impl Future<Output = Result<Authenticated, LoginRefusal>> + Send {
        let _ = login;
        std::future::ready(Err(LoginRefusal::BadCredentials))
    }

    /// Whether a device may connect with a certificate (or the credential of [`Authenticated`]) now. Changes nothing.
    ///
    /// Called before `admit` when the device has an older connection, which is ended only after `Ok`: otherwise a
    /// certificate that was revoked or replaced could interrupt the device's session at any time. Limited in time as
    /// [`Host::admit`] is.
    fn may_connect(
        &self,
        device_id: DeviceId,
        certificate_serial: &str,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Decides on a CONNECT whose client id matches its certificate.
    ///
    /// Called when the connection can already be kicked, so that a revocation which this call does not see still ends it.
    /// On `Ok` the device's session epoch has been raised and the session belongs to this node. A call that takes longer
    /// than `Limits::admit_ms_max` is cancelled, and the CONNECT is refused as "server unavailable".
    fn admit(
        &self,
        connecting: Connecting,
    ) -> impl Future<Output = Result<Admission, Refusal>> + Send;

    /// Takes the whole set of subscriptions after a SUBSCRIBE or UNSUBSCRIBE. For a persistent session they are durable
    /// when this returns: SUBACK is sent after it. Never called twice at a time for one session, and not called when a
    /// SUBSCRIBE repeats what the session already has (a box that subscribes at every connect costs no write).
    fn subscriptions_changed(
        &self,
        session: SessionKey,
        persistent: bool,
        subscriptions: Vec<Subscription>,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// Downlinks reach the box from now on: CONNACK has been sent with restored subscriptions, or a SUBACK. The host
    /// publishes what is pending. Must not block.
    fn listening(&self, session: SessionKey);

    /// Takes one PUBLISH of a box, on a topic it may use. Returns `Ok` only when the message is durable: PUBACK follows.
    /// A message that the platform rejects for its content is `Ok` too, because the box must not send it again.
    ///
    /// Up to `Limits::uplinks_unacknowledged_max` of these calls run at a time for one session, started in the order in
    /// which the messages arrived. When the session ends, running calls may be cancelled; the box got no PUBACK and sends
    /// those messages again.
    fn uplink(&self, uplink: Uplink) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// The box has acknowledged (PUBACK) the downlink with this key. Must not block.
    fn confirmed(&self, session: SessionKey, key: uuid::Uuid) {
        let _ = (session, key);
    }

    /// Notes that the session has ended. No further call is made for it.
    fn ended(&self, session: SessionKey, end: SessionEnd) -> impl Future<Output = ()> + Send;

    /// Decides whether a service may observe the fleet. Its certificate was issued by the fleet's CA; this call checks
    /// that it is not revoked, when the connection can already be kicked. An older connection with the same name and
    /// client id is ended after `Ok`. Limited in time as [`Host::admit`] is.
    fn admit_observer(
        &self,
        observer: ObserverConnecting,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// The user name and password of a CONNECT, with what else the client calls itself.
#[derive(Debug, Clone)]
pub struct Login {
    /// The client id, which proves nothing.
    pub client_id: String,
    /// The user name.
    pub user_name: String,
    /// The password.
    pub password: Password,
    /// Where it connects from.
    pub remote: SocketAddr,
}

/// The longest user name, password and client id that are looked at, each in bytes.
pub(crate) const LOGIN_BYTES_MAX: usize = 256;

/// A password. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Bytes);

impl Password {
    /// A password as the client sent it.
    pub fn new(password: Bytes) -> Self {
        Self(password)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// A login that is right.
#[derive(Debug, Clone)]
pub struct Authenticated {
    /// The device that it belongs to.
    pub device_id: DeviceId,
    /// What identifies the credential, as a serial number identifies a certificate.
    pub credential: String,
    /// The device's topics.
    pub topics: Arc<TopicMap>,
}

/// Why a login is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginRefusal {
    /// The user name is not known, or the password is wrong.
    BadCredentials,
    /// The password of this device is wrong. Refused like [`LoginRefusal::BadCredentials`]; the log names the device.
    WrongPassword(DeviceId),
    /// The platform cannot decide at present.
    Unavailable,
}

/// A CONNECT of a box that has proven its key, or knows its password.
#[derive(Debug, Clone)]
pub struct Connecting {
    /// The common name of the certificate, which is also the client id; or whose password it is.
    pub device_id: DeviceId,
    /// The serial number of the certificate that it connected with, or the credential of [`Authenticated`].
    pub certificate_serial: String,
    /// The topics of a box that does not use those of the contract.
    pub topics: Option<Arc<TopicMap>>,
    /// No state of an earlier session is used (v5: Clean Start).
    pub clean_session: bool,
    /// Where it connects from.
    pub remote: SocketAddr,
    /// The MQTT version of the connection.
    pub protocol: ProtocolVersion,
    /// How long the session is kept after its connection has ended, in seconds, at most `Limits::session_expiry_s_max`.
    /// 0: not at all. MQTT 3.1.1 has no such number: it is 0 for a clean session and the limit for any other.
    pub session_expiry_s: u32,
}

/// A CONNECT of a service that has proven its key.
#[derive(Debug, Clone)]
pub struct ObserverConnecting {
    /// The common name of its certificate.
    pub name: String,
    /// The serial number of the certificate.
    pub certificate_serial: String,
    /// Where it connects from.
    pub remote: SocketAddr,
}

/// The CONNECT of a box is accepted.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The device's session epoch, one higher than before. The packets that an earlier session of this process left
    /// unacknowledged are sent again only if that session has the previous epoch; otherwise the box has been connected
    /// to another node since.
    pub epoch: i64,
    /// `Some`: a session was kept for this box, with these subscriptions; CONNACK then has "session present" set.
    pub stored: Option<Vec<Subscription>>,
}

/// Why a CONNECT is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Unknown, revoked, suspended or retired; the wrong certificate.
    NotAuthorized,
    /// The platform cannot decide at present.
    Unavailable,
}

/// The platform cannot store it at present. No acknowledgement is sent and the session is ended, so that the box tries
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the platform is unavailable at present")]
pub struct Unavailable;

/// One session of one box: the device and the epoch of its CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// The device.
    pub device_id: DeviceId,
    /// The session's epoch, which rises with every CONNECT of the device.
    pub epoch: i64,
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.device_id, self.epoch)
    }
}

/// A subscription of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subscription {
    /// Which of the box's own downlinks.
    pub filter: DownlinkFilter,
    /// The quality of service that was granted: 0 or 1.
    pub qos: u8,
}

/// One message from a box.
#[derive(Debug, Clone)]
pub struct Uplink {
    /// The session that it came from.
    pub session: SessionKey,
    /// The uplink channel that it was published on; with a [`TopicMap`] the one as which it counts.
    pub channel: Channel,
    /// The topic that it was published on, if the session has a [`TopicMap`].
    pub topic: Option<Arc<str>>,
    /// The payload, not decoded.
    pub payload: Bytes,
}

/// One message to a box.
#[derive(Debug, Clone)]
pub struct Downlink {
    /// The addressee.
    pub device_id: DeviceId,
    /// The downlink channel to publish it on.
    pub channel: Channel,
    /// The payload, as the box reads it.
    pub payload: Bytes,
    /// Identifies what it is about (an event, a command). While a message with this key is queued or waits for its
    /// PUBACK on a live session, another one with the same key is not sent.
    pub key: Option<uuid::Uuid>,
    /// Seconds until it expires: it is not sent after that. A v5 box receives them as Message Expiry Interval.
    pub expires_s: Option<u32>,
}

/// The outcome of [`crate::EdgeHandle::publish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It has been written to the box's connection, or is written next without waiting for the box.
    Sent,
    /// It waits in the session's queue until the box acknowledges other messages or reads what was written.
    Queued,
    /// It is not sent.
    Refused(Undelivered),
}

/// Why a message is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undelivered {
    /// The box has no session here.
    NotConnected,
    /// Its session has not subscribed to this channel.
    NotSubscribed,
    /// It is larger than the box's Maximum Packet Size (MQTT 5.0).
    PacketTooLarge,
    /// The session's queue is full.
    QueueFull,
    /// The router is restarting, or its backlog is full.
    RouterUnavailable,
}

impl Undelivered {
    /// The reason as one word, for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotConnected => "not_connected",
            Self::NotSubscribed => "not_subscribed",
            Self::PacketTooLarge => "larger_than_the_box_takes",
            Self::QueueFull => "queue_full",
            Self::RouterUnavailable => "router_unavailable",
        }
    }
}

/// How a session ended.
#[derive(Debug, Clone)]
pub struct SessionEnd {
    /// The reason.
    pub reason: EndReason,
    /// The payload of the box's will, to be treated as if the box had sent it on `uplink/status`. `None` if it has no
    /// will, or sent a DISCONNECT that discards it.
    pub will: Option<Bytes>,
    /// The session's state is to be deleted: it was a clean session, or the box set its expiry to 0.
    pub clean: bool,
    /// The new session expiry in seconds, if a v5 box changed it with its DISCONNECT.
    pub session_expiry_s: Option<u32>,
}

/// The MQTT version of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProtocolVersion {
    /// MQTT 3.1.1 (protocol level 4).
    V311,
    /// MQTT 5.0 (protocol level 5).
    V5,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The box sent DISCONNECT.
    Disconnected,
    /// The connection was closed or broke without DISCONNECT.
    ConnectionLost,
    /// No packet arrived for one and a half keep-alive periods.
    KeepAliveTimeout,
    /// The same device connected again.
    TakenOver,
    /// The credential was revoked, or the device suspended or retired.
    Revoked,
    /// An operator ended it.
    Administrative,
    /// The client sent bytes that are not MQTT, or a packet that a client must not send.
    ProtocolError,
    /// The client began a packet larger than the limit.
    PacketTooLarge,
    /// The client published to a topic that it may not use.
    NotAuthorized,
    /// The client published with quality of service 2.
    QosNotSupported,
    /// The client published a retained message.
    RetainNotSupported,
    /// The client exceeded the limit of unacknowledged messages.
    TooManyUnacknowledged,
    /// The client does not read what it is sent.
    WriteStalled,
    /// The platform could not store a message.
    Unavailable,
    /// This process is stopping.
    ShuttingDown,
    /// This process is about to stop, and the box is to connect to another one.
    ServerMoved,
    /// This process no longer owns its sessions: another one may serve the box already.
    LeaseLost,
}

impl EndReason {
    /// Every reason.
    pub const ALL: [Self; 17] = [
        Self::Disconnected,
        Self::ConnectionLost,
        Self::KeepAliveTimeout,
        Self::TakenOver,
        Self::Revoked,
        Self::Administrative,
        Self::ProtocolError,
        Self::PacketTooLarge,
        Self::NotAuthorized,
        Self::QosNotSupported,
        Self::RetainNotSupported,
        Self::TooManyUnacknowledged,
        Self::WriteStalled,
        Self::Unavailable,
        Self::ShuttingDown,
        Self::ServerMoved,
        Self::LeaseLost,
    ];

    /// The reason as one word, for metrics, events and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::ConnectionLost => "connection_lost",
            Self::KeepAliveTimeout => "keep_alive_timeout",
            Self::TakenOver => "taken_over",
            Self::Revoked => "revoked",
            Self::Administrative => "administrative",
            Self::ProtocolError => "protocol_error",
            Self::PacketTooLarge => "packet_too_large",
            Self::NotAuthorized => "not_authorized",
            Self::QosNotSupported => "qos_not_supported",
            Self::RetainNotSupported => "retain_not_supported",
            Self::TooManyUnacknowledged => "too_many_unacknowledged",
            Self::WriteStalled => "write_stalled",
            Self::Unavailable => "unavailable",
            Self::ShuttingDown => "shutting_down",
            Self::ServerMoved => "server_moved",
            Self::LeaseLost => "lease_lost",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
