//! What a payment costs, and how the rest reaches its merchant.

pub mod fee;
pub mod ledger;
pub mod settlement;
