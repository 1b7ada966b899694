//! The contract between a soundbox and the platform: ids, rupiah, topics, messages, their two encodings, the signature
//! on the platform's messages, and the sentences that a box speaks.
//!
//! There is no IO, no clock and no randomness here: times and keys are arguments. The platform and the simulated box
//! depend on this crate and not on each other.

pub mod codec;
pub mod envelope;
pub mod ids;
pub mod language;
pub mod lenient;
mod limits;
pub mod message;
pub mod rupiah;
mod simple;
pub mod speech;
#[cfg(feature = "sqlx")]
pub mod stored;
pub mod text;
pub mod time;
pub mod topic;

pub use codec::{DecodeError, EncodeError, Encoding};
pub use envelope::{OpenError, Signer, VerifyingKeys};
pub use ids::{
    AlertId, BindingId, CallbackId, CommandId, DeviceId, EventId, IncidentId, MerchantId, OutletId,
    ParseIdError, PayoutId, SettlementId, TerminalId, TokenId, TransactionId, UserId,
};
pub use language::Language;
pub use message::{DownlinkMessage, UplinkMessage};
pub use rupiah::{AmountError, Rupiah};
pub use topic::{Channel, Direction, DownlinkFilter, ParseTopicError, Topic};
