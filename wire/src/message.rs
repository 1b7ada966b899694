//! Messages: the payload of each topic.
//!
//! An uplink is a flat structure, in JSON or MessagePack, with a `message_type` that must be the one of its topic.
//! A downlink's structure is the body of a signed envelope (see [`crate::envelope`]). Unknown fields are ignored in
//! both directions, so that either side may be newer than the other. Every text has a limit and may not contain control
//! characters, because it ends up in a database, a log and a terminal.

mod downlink;
mod extras;
mod request;
mod uplink;

pub use crate::limits::FieldError;
pub use downlink::{
    Command, ConfigPush, Currency, DownlinkMessage, DynamicQrResponse, ErrorBody, PaymentSuccess,
    QrOutcome, Speech, Time,
};
pub use extras::Extras;
pub use request::{ReplayRequest, TotalRequest};
pub use uplink::{
    AckStatus, CommandAck, CommandAckStatus, ConfigAck, ConfigAckStatus, DynamicQrRequest,
    Heartbeat, OnlineState, PaymentAck, Status, UplinkMessage,
};
