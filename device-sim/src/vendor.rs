//! Boxes of other makers: no key, no signatures, a user name and a password, and the maker's messages.
//!
//! [`firmware`] is what each of them does with a message, written from what is published about the box and not from the
//! platform's profiles, so that the two can disagree. [`credentials`] is what is typed into the box, [`provision`] fetches
//! it, and [`session`] runs one over MQTT.

pub mod credentials;
pub mod dev_config;
pub mod firmware;
pub mod provision;
pub mod session;
