//! What the end-to-end stories share. The stories themselves are in `tests/tests`, one file per noun.
//!
//! ```text
//! world       a platform on a database of its own, with a clock that can be moved, stopped and killed
//! api         its HTTPS side, as any client sees it
//! conformance every answer held against the OpenAPI document
//! shop        a merchant with its outlet and terminals, made through the API
//! credentials a box's own key, and what activation gave it for it
//! crowd       many boxes that do what they are ordered
//! line        one MQTT connection, down to the single PUBACK
//! simulator   boxes of the simulator that runs against any server
//! http_box    a box that speaks HTTP
//! soundbox    an honest box on such lines: verifies, hears, acknowledges
//! observer    a service that watches the fleet
//! acquirer    signed callbacks
//! bank        a payout partner that is told and asked over HTTP, and calls back
//! snap        a bank that speaks SNAP BI
//! bank_api    the bank's own API, which the platform calls for codes
//! deadlocks   how many there were, as Postgres counts them
//! books       what is in the database: which tables a step changed, and whether money adds up
//! impossible  rows that cannot be written
//! seeds       seeds of stories that try many orders of things
//! server      the platform's executable as a process, for the programs that measure
//! figures     collected times, and how they are printed
//! provision   boxes for the programs that measure
//! patience    waiting for something to become so, but not for ever
//! ```
#![expect(
    clippy::unwrap_used,
    reason = "a story that cannot go on has failed, and the panic says where"
)]

pub mod acquirer;
pub mod api;
pub mod bank;
pub mod bank_api;
pub mod books;
pub mod commits;
pub mod conformance;
pub mod credentials;
pub mod crowd;
pub mod database;
pub mod deadlocks;
pub mod figures;
pub mod http_box;
pub mod impossible;
pub mod line;
pub mod observer;
pub mod patience;
pub mod provision;
pub mod seeds;
pub mod server;
pub mod shop;
pub mod simulator;
pub mod snap;
pub mod soundbox;
pub mod world;

pub use acquirer::{Acquirer, success};
pub use api::{Answer, Api};
pub use bank::Bank;
pub use credentials::Credentials;
pub use crowd::Crowd;
pub use line::Line;
pub use patience::{eventually, within};
pub use shop::{Shop, Terminal};
pub use soundbox::Soundbox;
pub use world::{PASSWORD, World};
