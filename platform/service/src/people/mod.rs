//! Who may come in, and the record of what they did.

pub mod audit;
pub mod login;
pub mod own_password;
pub mod password;
pub mod setup_code;
pub mod token;
pub mod user;
