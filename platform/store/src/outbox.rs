//! What the tables of the outbox have in common: notifications, configurations, commands. A row is sent to its box until
//! the box has acknowledged it, or its time is over.

use std::fmt::Debug;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use wire::Encoding;
use wire::ids::DeviceId;

/// How many rows one statement reads.
pub(crate) const BATCH_MAX: i64 = 1000;

/// What is read of the outbox.
#[derive(Debug, Clone, Copy)]
pub struct Selection {
    /// The time of the round.
    pub now: DateTime<Utc>,
    /// Also what is not due again yet, because the box has just become reachable.
    pub all: bool,
}

impl Selection {
    /// What is due by then is read.
    pub(crate) fn due_by(self) -> DateTime<Utc> {
        if self.all {
            DateTime::<Utc>::MAX_UTC
        } else {
            self.now
        }
    }
}

/// What the outbox reads of every row, whatever the message is.
#[derive(Debug, Clone, Copy)]
pub struct Header<I> {
    /// The box.
    pub device_id: DeviceId,
    /// The message.
    pub id: I,
    /// How often it was sent.
    pub attempts: i32,
    /// How the box reads messages.
    pub encoding: Encoding,
    /// When it is of no more use.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A row of the outbox that is due.
pub trait OutboxRow: Send + Sync + Sized + 'static {
    /// What identifies a message among those of its table.
    type Id: Debug + Copy + Send + Sync + 'static;

    /// What the outbox reads of it.
    fn header(&self) -> Header<Self::Id>;

    /// What is due to these boxes, in the order in which each receives it.
    fn due(
        conn: &mut PgConnection,
        devices: &[DeviceId],
        selection: Selection,
    ) -> impl Future<Output = sqlx::Result<Vec<Self>>> + Send;

    /// Boxes connected to this node to which something is due by `now`.
    fn devices_with_due(
        conn: &mut PgConnection,
        incarnation: i64,
        now: DateTime<Utc>,
        limit: i64,
    ) -> impl Future<Output = sqlx::Result<Vec<DeviceId>>> + Send;

    /// Marks messages as sent, each with the time of its next attempt. Rows are locked in the order of their keys.
    fn mark_sent(
        conn: &mut PgConnection,
        sent: &[(Self::Id, DateTime<Utc>)],
        now: DateTime<Utc>,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Postpones messages that were not sent, as they were read, until `until`; no attempt is counted.
    fn postpone(
        conn: &mut PgConnection,
        unsent: &[Header<Self::Id>],
        until: DateTime<Utc>,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Ends a message that cannot be sent, as it was read; `false` when it has ended meanwhile.
    fn fail(
        conn: &mut PgConnection,
        unsent: &Header<Self::Id>,
        reason: &str,
        now: DateTime<Utc>,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;
}
