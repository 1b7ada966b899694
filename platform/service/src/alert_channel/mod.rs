//! How people are told of alerts: by mail, by messenger, or by a program of theirs.
//!
//! | file | contents |
//! |---|---|
//! | `group` | from alerts to groups, and what is said of them |
//! | `worker` | says it |
//!
//! Channels are in the configuration. What was said of which alert is in the database, so that a restart says nothing twice and
//! several processes say everything once.

mod group;
pub mod worker;

use domain::alert::AlertKind;
use domain::alert_group::{Phase, Text};
use domain::health::TradingHours;
use futures_util::future::BoxFuture;
use uuid::Uuid;
use wire::ids::MerchantId;

/// Where people are told of alerts.
pub struct Channel {
    /// Its name in the configuration.
    pub name: String,
    /// Which alerts; all when there are none.
    pub kinds: Vec<AlertKind>,
    /// Of whom; of everybody when there are none.
    pub merchants: Vec<MerchantId>,
    /// When nothing is said that can wait (WIB).
    pub quiet_hours: Option<TradingHours>,
    /// Which kinds cannot wait.
    pub urgent: Vec<AlertKind>,
    /// How it is said.
    pub sender: Box<dyn AlertSender>,
}

/// Why something could not be said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotSaid(pub String);

/// Says something to people. A call ends by itself.
pub trait AlertSender: Send + Sync {
    /// Says it. `id` is the same when it is said again, because it is not known whether it was.
    fn say<'a>(
        &'a self,
        id: Uuid,
        phase: Phase,
        text: &'a Text,
    ) -> BoxFuture<'a, Result<(), NotSaid>>;
}
