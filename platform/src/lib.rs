//! The QRIS soundbox platform, assembled.
//!
//! ```text
//! wire ← domain ← store ← service ← { http, bridge } ← platform { app, jobs, partner }
//! ```
//!
//! [`store`] is all the SQL there is, as free functions on a connection; [`service`] holds the use cases and owns each
//! database transaction; [`http_api`], [`bridge`] (MQTT) and [`jobs`] call services and never the store. [`partner`]
//! calls the partners that a service asks for. [`app`] builds the whole from a [`config::Config`] and runs it; the
//! executable adds the command line and the demonstration, which nothing here depends on.

pub mod app;
pub mod config;
pub mod jobs;
pub mod partner;
pub mod telemetry;
