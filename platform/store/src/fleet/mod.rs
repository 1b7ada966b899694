//! The boxes: identity, presence, commands and configuration.

pub mod activation;
pub mod binding;
pub mod bootstrap;
pub mod bulk_command;
pub mod command;
pub mod config;
pub mod config_layer;
pub mod credential;
pub mod crl;
pub mod device;
pub mod device_view;
pub mod firmware;
pub mod health;
pub mod heartbeat;
pub mod heartbeat_hour;
pub mod long_poll;
pub mod observer;
pub mod password;
pub mod presence;
pub mod session;
pub mod summary;
