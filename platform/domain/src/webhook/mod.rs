//! Outbound webhooks: what endpoints are told, how a message is signed, when it is sent again, and where it may go.

mod event;
mod retry;
mod signature;
mod target;

pub use event::{DeliveryStatus, WebhookEvent};
pub use retry::{ABANDON_AFTER, LEASE, wait};
pub use signature::{ID_HEADER, SIGNATURE_HEADER, Secret, TIMESTAMP_HEADER, header};
pub use target::{TargetError, TargetPolicy, URL_LEN_MAX, check_url, is_public};
