//! Outbound webhooks: endpoints that are told of what happens.
//!
//! | file | contents |
//! |---|---|
//! | `endpoint` | endpoints: made, changed, removed, given another secret, tested |
//! | `delivery` | the messages to an endpoint; sending one again |
//! | `fan_out` | from what happened to messages |
//! | `message` | what a message says |
//! | `worker` | sends messages until they are taken |
//! | `sender` | what the worker needs of an HTTP client |
//!
//! Triggers of the database write what happened in the transaction of what it tells of, and only while an endpoint wants to
//! know (`migrations/0105_webhook.sql`): whatever path a change takes, it is told of, and a crash after the commit loses
//! nothing. Messages are at least once: a process that dies between an endpoint's answer and its own commit sends the
//! message again, under the same `webhook-id`.

pub mod delivery;
pub mod endpoint;
mod fan_out;
mod message;
pub mod sender;
pub mod worker;
