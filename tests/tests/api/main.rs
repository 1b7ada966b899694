//! The stories of the HTTP API itself: admission, limits, idempotency, and what is recorded.
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
mod route_table;
mod text;
mod user;
