//! Simulated soundboxes and a simulated acquirer.
pub mod soundbox;
