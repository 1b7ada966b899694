//! Simulated soundboxes and a simulated acquirer, against any server of the platform's contract.
//!
//! The simulator knows the contract (`wire`) and nothing of the server, so that the two can disagree. In the middle
//! stands [`soundbox`], the honest box as a state machine without a network; [`link`] is its connection, by MQTT or by
//! HTTPS, and [`session`] joins the two. [`luck`] is what may go wrong around a box, [`faults`] around an acquirer. [`api`] is the HTTPS side. The
//! other modules are the subcommands and what they share.

pub mod acquirer;
pub mod api;
pub mod bank;
pub mod cli;
pub mod clock;
mod code;
pub mod credentials;
pub mod duration;
pub mod faults;
pub mod fleet;
pub mod latency;
pub mod link;
pub mod luck;
pub mod output;
pub mod partner;
pub mod pay;
pub mod payout_bank;
pub mod provision;
pub mod qr;
pub mod qr_code;
pub mod rate;
pub mod report;
pub mod run;
pub mod scenario;
pub mod screen;
pub mod session;
pub mod soundbox;
pub mod voice;
