//! The MQTT edge: mTLS, sessions and access rules in front of an embedded rumqttd router.
//!
//! Boxes are MQTT clients (3.1.1 and 5.0) that authenticate with a certificate whose common name is their device id.
//! Observers are services with a certificate of another kind; they receive copies of the fleet's messages and may not
//! publish. Boxes of other makers connect to listeners of their own with user name and password, and each uses its maker's
//! topics, which the platform names. The edge implements MQTT and the access policy for topics. A [`Host`], the platform, decides which boxes are
//! admitted, stores their messages and publishes to them.
//!
//! # As a library
//!
//! Implement [`Host`], and give it to [`Edge::start`] with an address, a TLS configuration that requires client
//! certificates (`certs::tls::server_config`) and [`Limits`]. The returned [`EdgeHandle`] publishes downlinks, ends
//! sessions and reports the live ones; the cancellation token stops everything. [`authorize`] is the whole access policy.
//! `examples/idle_sessions.rs` is such a program in one file.
//!
//! # Where things are
//!
//! | file | contents |
//! |---|---|
//! | `edge` | the public interface: starting, publishing, kicking, stopping |
//! | `host` | the interface to the platform |
//! | `listener`, `accept_rate`, `connection_limiter` | the accept loop and its caps |
//! | `connection`, `handshake_executor` | one connection: TLS, CONNECT, admission, its end |
//! | `session`, `ending` | the session of a box; why sessions end |
//! | `observer_session`, `observers`, `copies` | the session of an observer; all observers; copies for them |
//! | `transport` | a connection's bytes and timeouts |
//! | `frame`, `protocol` | bytes to packets and back, both versions |
//! | `authorize`, `fleet_filter`, `topic_map` | the access policy: one pure function; topics of other makers' boxes |
//! | `registry`, `connection_control`, `detached` | the connections of devices; kicks and takeovers; packets kept for a reconnect |
//! | `downlink`, `expiry` | the outbound messages of one box: queue and window |
//! | `router` | the embedded router and its supervision |
//! | `limits`, `cell_rate`, `fairness` | every limit; rates; busy connections let others run |
//! | `refusal_log`, `failed_logins` | the log of refused connections, limited; wrong passwords are answered late |
//! | `lock` | locks whose holder may have panicked |
//!
//! # What of MQTT is not supported, and how it is refused
//!
//! | | 3.1.1 | 5.0 |
//! |---|---|---|
//! | a topic that is not the box's own | connection closed | PUBACK 0x87 (quality 0: ignored) |
//! | a subscription to one | SUBACK 0x80 | SUBACK 0x87 |
//! | a will on anything but its own `uplink/status` (with a topic map: what it may publish) | CONNACK 5 | CONNACK 0x87 |
//! | a will of more than [`Limits::will_bytes_max`] | CONNACK 5 | CONNACK 0x95 |
//! | another client id than the certificate's / none | CONNACK 5 / 2 | CONNACK 0x87 / 0x85 |
//! | quality of service 2 (subscribing: 1 is granted) | connection closed | DISCONNECT 0x9B |
//! | a will of quality 2 | taken as quality 1 | CONNACK 0x9B |
//! | DUP with quality 0 | ignored | DISCONNECT 0x81 |
//! | user name and password beside a certificate | ignored | ignored |
//! | a wrong user name or password, where there is no certificate | CONNACK 4 | CONNACK 0x86 |
//! | retained messages and wills | delivered as not retained | DISCONNECT and CONNACK 0x9A |
//! | more subscriptions than [`Limits::subscriptions_max`] | SUBACK 0x80 | SUBACK 0x97 |
//! | a packet of more than [`Limits::packet_bytes_max`] | connection closed | DISCONNECT 0x95 |
//! | an empty topic, a topic that is not UTF-8 | connection closed | DISCONNECT 0x82, 0x81 |
//! | anything published by an observer | connection closed | PUBACK 0x87 (quality 0: ignored) |
//! | topic aliases, subscription identifiers, AUTH | n/a | DISCONNECT 0x94, 0xA1; CONNACK 0x8C |
//! | more messages unacknowledged than allowed | connection closed | DISCONNECT 0x93 |
//!
//! CONNACK (5.0) states this: Maximum QoS 1, Retain Available 0, no topic aliases, no subscription identifiers,
//! no shared subscriptions, Receive Maximum, Maximum Packet Size. User properties of a box's message are carried to
//! observers of version 5.
//!
//! A client that sends more packets than [`Limits::packets_per_s_max`] is not read for a while, so that TCP slows it:
//! nothing of it is lost. The messages of a box that publishes faster than [`Limits::publishes_per_s_max`] are delayed
//! together with their PUBACKs. Beyond the limit of unacknowledged messages quality 0 is dropped and counted, and quality
//! 1 ends the session: an acknowledged message is never dropped.
//!
//! A keep-alive of 0 is allowed, but such a client is disconnected after [`Limits::silence_s_max`] without a packet. A
//! client of version 3.1.1 may be silent for one and a half times its keep-alive; one of version 5 whose keep-alive is
//! over the limit gets a Server Keep Alive. A will delay interval (5.0) is ignored: the end of a session is reported at
//! once.
//!
//! # Metrics
//!
//! | name | labels | counts |
//! |---|---|---|
//! | `mqtt_connections_total` | `outcome` | accepted, refused by a cap or by the rate of one address (`over_…`), or `error` |
//! | `mqtt_connects_total` | `outcome` | admitted, or why not, from the handshake (`displaced`: evicted in favour of another address) to the platform |
//! | `mqtt_plain_listeners` | | listeners without TLS (gauge) |
//! | `mqtt_sessions_live` | | live sessions (gauge) |
//! | `mqtt_sessions_ended_total` | `reason` | ends, by [`EndReason`] |
//! | `mqtt_ended_timeouts_total` | | ends that the platform did not record in time |
//! | `mqtt_observers_live` | | connected observers (gauge) |
//! | `mqtt_observers_ended_total` | `reason` | the same for observers |
//! | `mqtt_observer_messages_total` | `outcome` | copies for observers: sent, or why not: `queue_full`, … |
//! | `mqtt_clients_slowed_total` | | pauses of clients over their packet rate |
//! | `mqtt_uplinks_slowed_total` | | messages of boxes that were delayed by the publish rate |
//! | `mqtt_subscriptions_over_limit_total` | | SUBSCRIBEs that exceeded the limit of subscriptions |
//! | `mqtt_uplinks_total` | `type`, `outcome` | messages of boxes: durable, unavailable, dropped |
//! | `mqtt_forbidden_total` | `action` | attempts on topics that the client may not use |
//! | `mqtt_downlinks_total` | `outcome` | messages to boxes: queued, sent, sent_again, or why not |
//! | `mqtt_unknown_pubacks_total` | | acknowledgements of packets that were not in flight |
//! | `mqtt_router_publishes_total` | `outcome` | handed to the router, or dropped before it |
//! | `mqtt_router_overwritten_total` | | messages that the router's ring overwrote unread |
//! | `mqtt_router_unreadable_total` | | messages in the router that the edge did not publish |
//! | `mqtt_router_restarts_total` | | times its thread ended |

// A few tests inside this crate use the same fixtures as tests/edge.
#[cfg(test)]
#[path = "../tests/edge/common/mod.rs"]
#[expect(dead_code, reason = "tests/edge uses more of it")]
mod common;
#[cfg(test)]
extern crate self as broker;

mod accept_rate;
mod authorize;
mod cell_rate;
mod connection;
mod connection_control;
mod connection_limiter;
mod copies;
mod detached;
mod downlink;
mod edge;
mod ending;
mod expiry;
mod failed_logins;
mod fairness;
mod fleet_filter;
mod frame;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod handshake_executor;
mod host;
mod limits;
mod listener;
mod lock;
mod observer_session;
mod observers;
mod protocol;
mod refusal_log;
mod registry;
mod router;
mod session;
mod topic_map;
mod transport;

pub use accept_rate::AcceptRate;
pub use authorize::{Action, Forbidden, Permit, authorize};
pub use connection_limiter::{
    ConnectionCaps, ConnectionLimiter, ConnectionPermit, PreAuthPermit, network_of,
};
pub use edge::{Edge, EdgeConfig, EdgeError, EdgeHandle, PasswordListeners};
pub use fleet_filter::FleetFilter;
pub use host::{
    Admission, Authenticated, Connecting, Downlink, EndReason, Host, Login, LoginRefusal,
    ObserverConnecting, Password, ProtocolVersion, Published, Refusal, SessionEnd, SessionKey,
    Subscription, Unavailable, Undelivered, Uplink,
};
pub use limits::Limits;
pub use refusal_log::RefusalLog;
pub use router::RouterError;
pub use topic_map::{TopicMap, TopicMapError};
