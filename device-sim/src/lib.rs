//! Simulated soundboxes and a simulated acquirer, against any server that implements the platform's contract.
//!
//! The simulator depends on the contract (`wire`) and not on the server's code, so that the two can disagree. Its core is
//! [`soundbox`], the box as a state machine without a network. [`link`] is its connection, by MQTT or HTTPS, and
//! [`session`] runs both. [`vendor`] is boxes of other makers, by MQTT alone. [`fault_injection`] affects a box from outside, [`callback_faults`] an acquirer. [`api`] is the
//! HTTPS client. The other modules are the subcommands and what they share.
//!
//! A function may fail with the platform's refusal, without an answer, or with a file that it cannot read or write; an
//! `# Errors` section names what else can go wrong.

pub mod acquirer;
pub mod api;
pub mod api_faults;
pub mod callback_faults;
pub mod cli;
pub mod clock;
pub mod credentials;
pub mod duration;
pub mod fault_injection;
pub mod fleet;
pub mod issuer_orders;
pub mod latency;
pub mod link;
pub mod output;
pub mod partner;
pub mod pay;
pub mod payout_bank;
pub mod provision;
pub mod qr;
pub mod qr_code;
pub mod qr_issuer;
pub mod qris_payload;
pub mod rate;
pub mod report;
pub mod run;
pub mod scenario;
pub mod screen;
pub mod session;
pub mod soundbox;
pub mod trigger;
pub mod vendor;
pub mod voice;
pub mod webhook_listener;
