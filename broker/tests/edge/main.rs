//! Tests of the edge, over real TLS connections, with a host in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod beside_hostile;
mod common;
mod connecting;
mod downlinks;
mod hostile;
mod neighbours_topics;
mod observers;
mod passwords;
mod real_clients;
mod uplinks;
mod version5;
