//! What most stories import.

pub use domain::role::Role;
pub use serde_json::{Value, json};

pub use crate::acquirer::{Acquirer, but_status, reference, success};
pub use crate::api::{Answer, Api, with_status};
pub use crate::connection::{Connection, assert_not_authorized};
pub use crate::credentials::{Credentials, bind, register};
pub use crate::eventually::{eventually, within};
pub use crate::fields::{text, texts};
pub use crate::fleet::Fleet;
pub use crate::http_box::HttpBox;
pub use crate::ledger::settle;
pub use crate::payout_partner::PayoutPartner;
pub use crate::payouts::Payouts;
pub use crate::refusal::*;
pub use crate::shop::{Shop, Terminal};
pub use crate::snapshot::Snapshot;
pub use crate::soundbox::Soundbox;
pub use crate::world::{PASSWORD, World};
pub use crate::{assert_fields, assert_refused, fixture, ledger};
