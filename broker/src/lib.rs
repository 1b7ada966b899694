//! The MQTT edge: mTLS, sessions and access rules in front of an embedded rumqttd router.

mod host;

pub use host::{
    Admission, Connecting, Downlink, EndReason, Host, ProtocolVersion, Refusal, SessionEnd,
    SessionKey, Subscription, Unavailable, Uplink,
};
