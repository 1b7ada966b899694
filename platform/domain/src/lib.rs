//! Pure rules of payments and fleet: states, fees, QRIS codes, signatures. No IO, no clock, no database.
//!
//! Everything here is a function of its arguments: time and randomness come in from outside, and an
//! answer is a value. The layers above (`store`, `service`, `http`) carry the answers out; a rule that is here is
//! decided nowhere else.

pub mod alert;
pub mod alert_group;
pub mod announcement;
pub mod approval;
pub mod attribution;
pub mod audit;
pub mod backoff;
pub mod box_profile;
pub mod business_day;
pub mod callback;
pub mod command;
pub mod config;
pub mod credential;
pub mod csv_file;
pub mod delivery;
pub mod device;
pub mod device_request;
pub mod dialect;
pub mod fee;
pub mod free_text;
pub mod health;
pub mod ledger;
pub mod merchant;
pub mod partner_message;
pub mod partner_signature;
pub mod payment_time;
pub mod payout;
pub mod payout_callback;
pub mod qris;
pub mod reconciliation;
pub mod refund;
pub mod registration;
pub mod role;
pub mod rollout;
pub mod settlement;
pub mod snap;
pub mod tag;
pub mod total;
pub mod transaction;
pub mod user;
pub mod validation;
pub mod webhook;
pub mod wib;
pub mod zone;

mod checked_text;
mod text_enum;
