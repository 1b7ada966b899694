//! What the edge asks of the platform: who may connect, where an uplink goes, what a session has subscribed to.
//!
//! The edge knows neither SQL nor HTTP. It keeps sockets, packets and windows; whatever must outlive the process is
//! the host's. Every call carries a [`SessionKey`], so that a host that shares its database with other nodes can tell
//! a session that is over from the one that replaced it.
//!
//! The calls of one session come in this order, never two `admit`s of one device at a time:
//!
//! ```text
//! admit → (listening) → { subscriptions_changed → listening | uplink … } → ended
//! ```
//!
//! `ended` is called exactly once for each `admit` that answered `Ok`, whatever ended the session, also when it was
//! kicked while `admit` was running. It may be cut short when it takes longer than `Limits::ended_ms_max`.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;
use wire::{Channel, DeviceId, DownlinkFilter};

/// What the edge asks of the platform. Generic, not `dyn`: [`crate::Edge`] is built around one host.
pub trait Host: Send + Sync + 'static {
    /// The registry's answer to a CONNECT. The certificate and the client id are already known to belong together.
    ///
    /// Called after the connection can be kicked, so a revocation that this call does not see still ends it.
    /// On `Ok` the device's session epoch has been raised and the session is this node's. When it takes longer than
    /// `Limits::admit_ms_max` the call is dropped and the box is told to come back.
    fn admit(
        &self,
        connecting: Connecting,
    ) -> impl Future<Output = Result<Admission, Refusal>> + Send;

    /// The whole set of subscriptions after a SUBSCRIBE or UNSUBSCRIBE. For a persistent session they are durable
    /// when this answers: SUBACK is sent after it. Never called twice at a time for one session, and not called when a
    /// SUBSCRIBE repeats what the session already has (a box that subscribes at every connect costs no write).
    fn subscriptions_changed(
        &self,
        session: SessionKey,
        persistent: bool,
        subscriptions: Vec<Subscription>,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// From now on a downlink reaches the box: CONNACK has been sent with restored subscriptions, or a SUBACK. The
    /// host publishes what is pending. Must not block.
    fn listening(&self, session: SessionKey);

    /// One PUBLISH of a box, on a topic it may use. `Ok` only when the message is durable: PUBACK follows. A message
    /// that the platform rejects for its content is `Ok` too, for it must not come back.
    ///
    /// Up to `Limits::uplinks_unacknowledged_max` of these run at a time for one session, started in the order in
    /// which the messages arrived. When the session is ended the running ones may be dropped; the box, which never
    /// got its PUBACK, sends those again.
    fn uplink(&self, uplink: Uplink) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// The session's connection is over, and nothing more will come from it.
    fn ended(&self, session: SessionKey, end: SessionEnd) -> impl Future<Output = ()> + Send;

    /// Whether a service may observe the fleet. Its certificate is of our CA; whether it is still welcome is asked
    /// here, after its connection can be kicked. The same time limit holds as for [`Host::admit`].
    fn admit_observer(
        &self,
        observer: ObserverConnecting,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// A box that has proven its key and asks to be let in.
#[derive(Debug, Clone)]
pub struct Connecting {
    /// The common name of the certificate, which is also the client id.
    pub device_id: DeviceId,
    /// The serial number of the certificate that it connected with.
    pub certificate_serial: String,
    /// The box wants no state of an earlier session (v5: Clean Start).
    pub clean_session: bool,
    /// Where it connects from.
    pub remote: SocketAddr,
    /// The MQTT version it speaks.
    pub protocol: ProtocolVersion,
    /// For how many seconds after its end the session is to be kept, at most `Limits::session_expiry_s_max`. 0: not at
    /// all. MQTT 3.1.1 has no such number: it is 0 for a clean session and the limit for one that is to be kept.
    pub session_expiry_s: u32,
}

/// A service that has proven its key and asks to observe.
#[derive(Debug, Clone)]
pub struct ObserverConnecting {
    /// The common name of its certificate.
    pub name: String,
    /// The serial number of the certificate.
    pub certificate_serial: String,
    /// Where it connects from.
    pub remote: SocketAddr,
}

/// The registry lets a box in.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The device's session epoch, one higher than before. The packets that an earlier session of this process left
    /// unacknowledged are sent again only if it was the one just before, for otherwise another node has had the box
    /// since.
    pub epoch: i64,
    /// `Some`: a session was kept for this box, with these subscriptions; CONNACK then says "session present".
    pub stored: Option<Vec<Subscription>>,
}

/// The registry does not let a box in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Unknown, revoked, suspended or retired; the wrong certificate.
    NotAuthorized,
    /// It cannot be known now.
    Unavailable,
}

/// The platform cannot take it now. No acknowledgement is sent and the session is ended, so that the box tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the platform cannot take it now")]
pub struct Unavailable;

/// One session of one box: the device and the epoch that its CONNECT was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// Whose session it is.
    pub device_id: DeviceId,
    /// Which of the device's sessions.
    pub epoch: i64,
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.device_id, self.epoch)
    }
}

/// What a session has asked to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subscription {
    /// Which of the box's own downlinks.
    pub filter: DownlinkFilter,
    /// The quality of service that was granted: 0 or 1.
    pub qos: u8,
}

/// One message of a box.
#[derive(Debug, Clone)]
pub struct Uplink {
    /// Whose it is.
    pub session: SessionKey,
    /// On which of its uplink channels.
    pub channel: Channel,
    /// The bytes, unread.
    pub payload: Bytes,
}

/// One message for a box.
#[derive(Debug, Clone)]
pub struct Downlink {
    /// For whom.
    pub device_id: DeviceId,
    /// On which of its downlink channels.
    pub channel: Channel,
    /// The signed bytes.
    pub payload: Bytes,
    /// What it is about (an event, a command). While a message with this key waits for the box or for its PUBACK on a
    /// live session, another one with the same key is not sent.
    pub key: Option<uuid::Uuid>,
    /// After how many seconds it is of no use: not sent after that, and told to a v5 box as Message Expiry Interval.
    pub expires_s: Option<u32>,
}

/// What became of a message that was given to [`crate::EdgeHandle::publish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It has been written to the box's connection, or is written next: nothing that the box does stands before it.
    Sent,
    /// It waits in the session's queue until the box acknowledges others or reads what it was sent.
    Queued,
    /// It goes nowhere.
    Refused(Undelivered),
}

/// Why a message goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undelivered {
    /// The box has no session here.
    NotConnected,
    /// Its session has not subscribed to this channel.
    NotSubscribed,
    /// It is larger than the box says that it takes (MQTT 5.0, Maximum Packet Size).
    PacketTooLarge,
    /// As many as may wait for the box do so already.
    QueueFull,
    /// The router is being started again, or is behind.
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
    /// Why.
    pub reason: EndReason,
    /// The payload of the box's will, to be treated as if the box had sent it on `uplink/status`. `None` if it left
    /// none, or said goodbye properly.
    pub will: Option<Bytes>,
    /// The session's state is to be dropped: it was a clean session, or the box asked for no more.
    pub clean: bool,
    /// For how many seconds the session is to be kept, if a v5 box changed that with its DISCONNECT.
    pub session_expiry_s: Option<u32>,
}

/// Which MQTT a box speaks.
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
    /// The connection was closed or broke without one.
    ConnectionLost,
    /// Nothing was heard for one and a half keep-alive periods.
    KeepAliveTimeout,
    /// The same device connected again.
    TakenOver,
    /// Its credential was revoked, or the device suspended or retired.
    Revoked,
    /// An operator ended it.
    Administrative,
    /// It sent bytes that are not MQTT, or a packet that a client must not send.
    ProtocolError,
    /// It announced a packet larger than the limit.
    PacketTooLarge,
    /// It published where it may not.
    NotAuthorized,
    /// It published with quality of service 2.
    QosNotSupported,
    /// It published a retained message.
    RetainNotSupported,
    /// It had more messages unacknowledged than it may.
    TooManyUnacknowledged,
    /// It does not read what it is sent.
    WriteStalled,
    /// The platform could not take a message.
    Unavailable,
    /// This process is going down.
    ShuttingDown,
}

impl EndReason {
    /// Every reason.
    pub const ALL: [Self; 15] = [
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
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
