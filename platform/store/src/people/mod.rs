//! Who may come in, and the record of what they did.

pub mod audit;
pub mod login;
pub mod token;
pub mod user;
