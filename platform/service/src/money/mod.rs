//! What a payment costs, and how the rest reaches its merchant.

pub mod approval;
pub mod fee;
pub(crate) mod hold;
pub mod ledger;
pub mod payout;
mod payout_account;
pub mod payout_callback;
pub mod payout_partner;
pub mod reconciliation;
pub mod settlement;
pub mod settlement_run;
pub mod statement;
