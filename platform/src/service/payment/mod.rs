//! From a code that is shown to an announcement that is heard.

pub mod callback;
pub mod dynamic_qr;
pub mod notification;
pub mod transaction;
