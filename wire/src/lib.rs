//! What a soundbox and the platform agree on, and nothing else: ids, rupiah, topics, messages, their two encodings,
//! the signature on what the platform says, and the words in which a box says it.
//!
//! There is no IO, no clock and no randomness here: times and keys are arguments. Both sides of the contract (the
//! platform and the simulated box) depend on this crate and on nothing of each other.

pub mod codec;
pub mod envelope;
pub mod ids;
pub mod lenient;
pub mod message;
pub mod rupiah;
pub mod speech;
pub mod text;
pub mod time;
pub mod topic;
pub mod words;

pub use codec::{DecodeError, EncodeError, Encoding};
pub use envelope::{OpenError, Signer, VerifyingKeys};
pub use ids::{
    AlertId, BindingId, CallbackId, CommandId, DeviceId, EventId, IncidentId, MerchantId, OutletId,
    ParseIdError, PayoutId, SettlementId, TerminalId, TokenId, TransactionId, UserId,
};
pub use message::{DownlinkMessage, UplinkMessage};
pub use rupiah::{AmountError, Rupiah};
pub use topic::{Channel, Direction, DownlinkFilter, ParseTopicError, Topic};
