//! From a code that is shown to an announcement that is heard.

pub mod callback;
pub mod device_request;
pub mod external_id;
pub mod incident;
pub mod live;
pub mod notification;
pub mod partner;
pub mod partner_order;
pub mod partner_token;
pub mod payee;
pub mod refund;
pub mod stats;
pub mod success;
pub mod transaction;
pub mod transaction_export;
pub mod unmatched_payment;
