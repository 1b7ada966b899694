//! Simulated soundboxes and a simulated acquirer, against any server of the platform's contract.
//!
//! The simulator knows the contract (`wire`) and nothing of the server, so that the two can disagree. In the middle
//! stands [`soundbox`], the honest box as a state machine without a network; [`link`] is its MQTT connection,
//! [`session`] joins the two. [`api`] is the HTTPS side. The other modules are the subcommands.

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
pub mod link;
pub mod output;
pub mod partner;
pub mod pay;
pub mod provision;
pub mod qr;
pub mod report;
pub mod run;
pub mod screen;
pub mod session;
pub mod soundbox;
pub mod voice;
