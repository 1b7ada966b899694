//! Webhooks: endpoints, what happened that they want to know of, and the messages to them.

pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod subject;
