//! Partners that we call: the other end of [`service::payment::qr_partner`] and, for payouts, of
//! [`service::money::payout_partner`].
//!
//! [`webhook`] is the client of outbound webhooks, and [`alert_channel`] tells people of alerts.
//!
//! A call has a time limit. A query that may be repeated is repeated, with growing, jittered pauses. A partner that failed
//! several times in a row is not called for a while ([`breaker`]), so that devices get an error at once instead of waiting.

pub mod alert_channel;
pub mod bank;
pub mod breaker;
pub mod finding;
pub mod local;
pub mod snap;
mod snap_check;
pub mod webhook;
