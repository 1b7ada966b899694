//! The MQTT edge: mTLS, sessions and access rules in front of an embedded rumqttd router.

mod authorize;
mod downlink;
mod frame;
mod host;
mod limits;
mod protocol;
mod registry;
mod router;

pub use authorize::{Action, Forbidden, Permit, authorize};
pub use host::{
    Admission, Connecting, Downlink, EndReason, Host, ProtocolVersion, Refusal, SessionEnd,
    SessionKey, Subscription, Unavailable, Uplink,
};
pub use limits::Limits;
