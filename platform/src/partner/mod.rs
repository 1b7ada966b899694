//! Partners that we call: the other end of [`crate::service::payment::qr_partner`] and, for payouts, of
//! [`crate::service::money::payout_partner`].
//!
//! A call has a time limit; a question that may be repeated is, with growing, jittered pauses; and a partner that failed
//! several times in a row is left alone for a while ([`breaker`]), so that boxes are answered at once instead of
//! waiting for it.

pub mod bank;
pub mod breaker;
pub mod local;
pub mod snap;
