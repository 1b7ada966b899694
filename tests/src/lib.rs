//! What the end-to-end stories share. The stories themselves are in `tests/tests`, one file per noun.
//!
//! ```text
//! world              a platform on a database of its own, with a clock that can be moved, stopped and killed
//! fixture            what most stories begin with: a world with a shop and a box
//! prelude            what most stories import
//! api                the platform's HTTPS side, as any client sees it
//! refusal, fields    expected errors, and expected fields of answers
//! conformance        every answer is checked against the OpenAPI document
//! shop               a merchant with its outlet and terminals, made through the API
//! credentials        a box's own key, and what its activation returned
//! connection         one MQTT connection, down to the single PUBACK
//! soundbox, http_box an honest box on MQTT, and one on HTTP
//! browser            a real browser, for the same
//! installed          programs and libraries of other makers
//! pages              a browser without JavaScript, for the pages of people
//! page_kind          which pages there are
//! fleet              many boxes that execute commands
//! simulator          boxes of the simulator, in this process
//! observer           a service that watches the fleet
//! acquirer           signed callbacks
//! snap               a partner that speaks SNAP BI
//! snap_partner_api   that partner's own API, which the platform calls for codes
//! payout_partner     a payout partner over HTTP, with callbacks
//! payouts            a shop whose settlements it pays
//! webhook_receiver   what endpoints are told
//! sql, snapshot      what is in the database, and which tables a step changed
//! ledger             settling, and whether money adds up
//! postgres_server    a Postgres server of a story's own, with replicas and backups
//! forwarder          an address that leads to one of several servers
//! deadlocks          how many there were, as Postgres counts them
//! failing_rows       rows that cannot be written
//! eventually         waiting with a limit
//! repeat             requests that are repeated until they are answered
//! seeds              seeds of stories that try many orders
//! outage_fleet       boxes that reconnect and are paid while processes end
//! node_process       `platform serve` as a process, beside another on the same database
//! server             the platform's executable as a process, for the programs that measure
//! mosquitto          Mosquitto, which those programs compare with
//! open_files         their limit of open files
//! provision          boxes for the programs that measure
//! figures, commits   measured times and rates
//! collector          takes exported traces; payment_trace reads those of payments
//! ```
#![expect(
    clippy::unwrap_used,
    reason = "a story that cannot go on has failed, and the panic says where"
)]

pub mod acquirer;
pub mod api;
pub mod browser;
pub mod collector;
pub mod commits;
pub mod conformance;
pub mod connection;
pub mod credentials;
pub mod database;
pub mod deadlocks;
pub mod dialects;
pub mod eventually;
pub mod failing_rows;
pub mod fields;
pub mod figures;
pub mod fixture;
pub mod fleet;
pub mod forwarder;
pub mod http_box;
pub mod installed;
pub mod issuing_acquirer;
pub mod ledger;
pub mod made_up_acquirer;
pub mod mosquitto;
pub mod node_process;
pub mod observer;
pub mod open_files;
pub mod outage_fleet;
pub mod page_kind;
pub mod pages;
pub mod partial_refunds;
pub mod payment_trace;
pub mod payout_partner;
pub mod payouts;
pub mod postgres_server;
pub mod prelude;
pub mod provision;
pub mod refusal;
pub mod repeat;
pub mod seeds;
pub mod server;
pub mod shop;
pub mod simulator;
pub mod snap;
pub mod snap_partner_api;
pub mod snapshot;
pub mod soundbox;
pub mod sql;
pub mod vendor_box;
pub mod webhook_receiver;
pub mod world;

pub use acquirer::{Acquirer, success};
pub use api::{Answer, Api};
pub use connection::Connection;
pub use credentials::Credentials;
pub use eventually::{eventually, within};
pub use fields::{text, texts};
pub use fleet::Fleet;
pub use pages::Pages;
pub use payout_partner::PayoutPartner;
pub use payouts::Payouts;
pub use shop::{Shop, Terminal};
pub use snapshot::Snapshot;
pub use soundbox::Soundbox;
pub use world::{PASSWORD, World};
