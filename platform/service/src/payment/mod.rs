//! From a code that is shown to an announcement that is heard.

mod booking;
pub mod callback;
pub mod device_request;
pub mod dynamic_qr;
pub mod incident;
pub mod live;
pub mod notification;
pub mod partner;
pub mod partner_clock;
mod partner_name;
pub mod partner_order;
pub mod partner_token;
pub mod qr_partner;
pub mod refund;
pub mod reversal;
pub mod stats;
pub mod trace;
pub mod transaction;
pub mod transaction_export;
pub mod unmatched_payment;
