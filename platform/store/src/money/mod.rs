//! What a payment costs, and how the rest reaches its merchant.

pub mod approval;
pub mod fee;
pub mod ledger;
pub mod payout;
pub mod payout_message;
pub mod payout_reference;
pub mod proof;
pub mod reconciliation;
pub mod settlement;
pub mod settlement_item;
pub mod settlement_run;
