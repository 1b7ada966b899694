//! Stories about the edge, told with real TLS connections against a platform in memory.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

mod beside_hostile;
mod common;
mod connecting;
mod downlinks;
mod hostile;
mod neighbours_topics;
mod observers;
mod real_clients;
mod uplinks;
mod version5;
