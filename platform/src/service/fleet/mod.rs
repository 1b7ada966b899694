//! The boxes: identity, presence, orders and configuration.

pub mod binding;
pub mod command;
pub mod config;
pub mod credential;
pub mod device;
pub mod heartbeat;
pub mod observer;
pub mod provisioning;
pub mod session;
