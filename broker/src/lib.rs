//! The MQTT edge: mTLS, sessions and access rules in front of an embedded rumqttd router.
//!
//! Boxes are MQTT clients (3.1.1 and 5.0) that prove themselves with a certificate whose common name is their device
//! id. Observers are services with a certificate of their own kind, who get copies of what the fleet says and is told,
//! and can do nothing else. The edge knows what MQTT is and who may use which topic; whether a box is welcome, where its
//! messages go and what it is to be told is asked of a [`Host`], the platform.
//!
//! # As a library
//!
//! Implement [`Host`], and give it to [`Edge::start`] with an address, a TLS configuration that requires client
//! certificates (`certs::tls::server_config`) and [`Limits`]. The [`EdgeHandle`] that comes back publishes downlinks,
//! ends sessions and tells who is there; the token that was given with it stops everything. [`authorize`] is the whole
//! access policy. `examples/idle_sessions.rs` is such a program in one file.
//!
//! # Where things are
//!
//! | file | what lives there |
//! |---|---|
//! | `edge` | starting, publishing, kicking, stopping: the public face |
//! | `host` | what the edge asks of the platform |
//! | `listener`, `accept_rate`, `connection_limiter`, `pace` | the accept loop, its caps, and the handshakes' turns |
//! | `connection` | one connection: TLS, CONNECT, admission, its end |
//! | `session`, `client_rate` | an admitted box: the loop |
//! | `watch`, `observers`, `copies` | an admitted observer: the loop; who observes; how copies get there |
//! | `transport` | a connection's bytes and clocks |
//! | `frame`, `protocol` | bytes to packets and back, both versions |
//! | `authorize`, `fleet_filter` | who may do what: one pure function |
//! | `registry`, `detached` | who is connected; kicks and takeovers; what is kept for who comes back |
//! | `downlink` | what waits for one box: queue and window |
//! | `router` | the embedded router and its watchdog |
//! | `limits` | every bound |
//! | `refusal_log` | a log line for who was refused, at most some a minute |
//!
//! # What of MQTT is not offered, and how it is refused
//!
//! | | 3.1.1 | 5.0 |
//! |---|---|---|
//! | a topic that is not the box's own | connection closed | PUBACK 0x87 (quality 0: ignored) |
//! | a subscription to one | SUBACK 0x80 | SUBACK 0x87 |
//! | a will on anything but its own `uplink/status` | CONNACK 5 | CONNACK 0x87 |
//! | a will of more than [`Limits::will_bytes_max`] | CONNACK 5 | CONNACK 0x95 |
//! | another client id than the certificate's / none | CONNACK 5 / 2 | CONNACK 0x87 / 0x85 |
//! | quality of service 2 (subscribing: 1 is granted) | connection closed | DISCONNECT 0x9B |
//! | a will of quality 2 | taken as quality 1 | CONNACK 0x9B |
//! | DUP with quality 0 | ignored | DISCONNECT 0x81 |
//! | user name and password | ignored | ignored |
//! | retained messages and wills | delivered as not retained | DISCONNECT and CONNACK 0x9A |
//! | more subscriptions than [`Limits::subscriptions_max`] | SUBACK 0x80 | SUBACK 0x97 |
//! | a packet of more than [`Limits::packet_bytes_max`] | connection closed | DISCONNECT 0x95 |
//! | an empty topic, a topic that is not UTF-8 | connection closed | DISCONNECT 0x82, 0x81 |
//! | anything published by an observer | connection closed | PUBACK 0x87 (quality 0: ignored) |
//! | topic aliases, subscription identifiers, AUTH | n/a | DISCONNECT 0x94, 0xA1; CONNACK 0x8C |
//! | more messages unacknowledged than allowed | connection closed | DISCONNECT 0x93 |
//!
//! CONNACK (5.0) says so beforehand: Maximum QoS 1, Retain Available 0, no topic aliases, no subscription identifiers,
//! no shared subscriptions, Receive Maximum, Maximum Packet Size. User properties of a box's message are carried to
//! observers of version 5.
//!
//! A client that sends more packets than [`Limits::packets_per_s_max`] is not read until their turn has come, and TCP
//! slows it: nothing of it is lost. A box that publishes faster than [`Limits::publishes_per_s_max`] is slowed: its
//! messages are taken later, and their PUBACKs are withheld until then. Beyond the limit of unacknowledged messages
//! quality 0 is dropped and counted, and quality 1 ends the session: nothing that was acknowledged is ever dropped.
//!
//! A keep-alive of 0 is allowed, but such a client is not taken to be alive after [`Limits::silence_s_max`] without a
//! packet. A client of version 3.1.1 that asks for a keep-alive gets one and a half times of it; one of version 5 that
//! asks for more than the limit allows is told its Server Keep Alive. A will delay interval (5.0) is not waited for: that a box is gone is news at once.
//!
//! # Metrics
//!
//! | name | labels | counts |
//! |---|---|---|
//! | `mqtt_connections_total` | `outcome` | accepted, or the cap at which they were shed |
//! | `mqtt_connects_total` | `outcome` | admitted, or why not: from the handshake (`displaced`: made room for another address) to the registry |
//! | `mqtt_sessions_live` | | sessions that can be reached (gauge) |
//! | `mqtt_sessions_ended_total` | `reason` | ends, by [`EndReason`] |
//! | `mqtt_ended_timeouts_total` | | ends that the platform did not take note of in time |
//! | `mqtt_observers_live` | | observers that are connected (gauge) |
//! | `mqtt_observers_ended_total` | `reason` | the same for observers |
//! | `mqtt_observer_messages_total` | `outcome` | copies for observers: sent, or why not: `queue_full`, … |
//! | `mqtt_clients_slowed_total` | | times a client was not read for a while, because it sent faster than it may |
//! | `mqtt_uplinks_slowed_total` | | messages of boxes that came faster than they may |
//! | `mqtt_subscriptions_over_limit_total` | | SUBSCRIBEs that asked for more than a session may have |
//! | `mqtt_uplinks_total` | `type`, `outcome` | messages of boxes: durable, unavailable, dropped |
//! | `mqtt_forbidden_total` | `action` | attempts on topics that are not the box's own |
//! | `mqtt_downlinks_total` | `outcome` | messages for boxes: queued, sent, sent_again, or why not |
//! | `mqtt_unknown_pubacks_total` | | acknowledgements of packets that were not under way |
//! | `mqtt_router_publishes_total` | `outcome` | handed to the router, or dropped before it |
//! | `mqtt_router_overwritten_total` | | messages that the router's ring overwrote unread |
//! | `mqtt_router_unreadable_total` | | messages in the router that are not ours |
//! | `mqtt_router_restarts_total` | | times its thread ended |

// One of the stories of tests/edge is told inside this crate (in `edge`), with what the others are told with.
#[cfg(test)]
#[path = "../tests/edge/common/mod.rs"]
#[expect(dead_code, reason = "the stories use more of it")]
mod common;
#[cfg(test)]
extern crate self as broker;

mod accept_rate;
mod authorize;
mod client_rate;
mod connection;
mod connection_limiter;
mod copies;
mod detached;
mod downlink;
mod edge;
mod fleet_filter;
mod frame;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod host;
mod limits;
mod listener;
mod observers;
mod pace;
mod protocol;
mod refusal_log;
mod registry;
mod router;
mod session;
mod transport;
mod watch;

pub use accept_rate::AcceptRate;
pub use authorize::{Action, Forbidden, Permit, authorize};
pub use connection_limiter::{
    ConnectionCaps, ConnectionLimiter, ConnectionPermit, PendingPermit, network_of,
};
pub use edge::{Edge, EdgeConfig, EdgeError, EdgeHandle};
pub use fleet_filter::FleetFilter;
pub use host::{
    Admission, Connecting, Downlink, EndReason, Host, ObserverConnecting, ProtocolVersion,
    Published, Refusal, SessionEnd, SessionKey, Subscription, Unavailable, Undelivered, Uplink,
};
pub use limits::Limits;
pub use refusal_log::RefusalLog;
pub use router::RouterError;
