//! The stories of the HTTP API as such: who gets in, how often, and what is kept of it.
#![expect(
    clippy::unwrap_used,
    reason = "a story that cannot go on has failed, and the panic says where"
)]

mod audit;
mod body_budget;
mod certificate;
mod contract;
mod idempotency;
mod log;
mod openapi;
mod query;
mod race;
mod rate;
mod route;
mod text;
mod user;
