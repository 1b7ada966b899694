//! From a code that is shown to an announcement that is heard.

pub mod callback;
pub mod incident;
pub mod notification;
pub mod transaction;
