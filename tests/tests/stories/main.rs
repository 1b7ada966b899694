//! The stories of the platform: each a few real parties, one platform, and what must be true in the end.
#![expect(
    clippy::unwrap_used,
    reason = "a story that cannot go on has failed, and the panic says where"
)]

mod absence;
mod activation;
mod alert;
mod amount;
mod approval;
mod binding;
mod bulk_command;
mod callback;
mod clients;
mod clock;
mod command;
mod config_layer;
mod conflict;
mod crash;
mod crl;
mod dynamic_qr;
mod expiry;
mod fallback;
mod firmware;
mod fleet_file;
mod hanging_up;
mod heartbeat;
mod heartbeat_hour;
mod http_box;
mod identity;
mod interleaving;
mod lists;
mod lock_order;
mod long_poll;
mod money;
mod money_interleaving;
mod observer;
mod outage;
mod partner_api;
mod patch;
mod payment;
mod payout;
mod portal;
mod presence;
mod qr_image;
mod reconciliation;
mod rejected;
mod renewal;
mod revocation;
mod role;
mod seed;
mod session;
mod settlement;
mod simulated_bank;
mod simulator;
mod snap;
mod statement;
mod stats;
mod storm;
mod tip;
mod tls;
mod undeliverable;
mod unmatched;
mod view;
