//! What a payment costs, and how the rest reaches its merchant.

pub mod approval;
pub mod fee;
pub(crate) mod hold;
pub mod ledger;
pub mod payout;
pub mod payout_callback;
pub mod payout_list;
pub mod payout_partner;
mod proposal;
pub mod reconciliation;
pub mod settlement;
pub mod settlement_run;
pub mod statement;
