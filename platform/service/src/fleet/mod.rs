//! The boxes: identity, presence, commands and configuration.

pub mod binding;
pub mod bootstrap;
pub mod box_profile;
pub mod bulk_command;
pub mod command;
pub mod config;
pub mod config_layer;
pub mod credential;
pub mod crl;
pub mod device;
mod displayed_code;
pub mod expiry;
pub mod firmware;
pub mod heartbeat;
pub mod heartbeat_hour;
pub mod import;
pub mod long_poll;
pub mod observer;
pub mod password;
pub mod poll;
pub mod presence;
pub mod provisioning;
pub mod published_crl;
pub mod session;
pub mod summary;
