//! Partitions by day of arrival: made ahead, dropped whole.

use chrono::NaiveDate;
use sqlx::PgConnection;

/// A table that has a partition for each day of `received_at`, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partitioned {
    /// `heartbeats`.
    Heartbeats,
    /// `callback_bodies`.
    CallbackBodies,
    /// `rejected_callbacks`.
    RejectedCallbacks,
    /// `rejected_uplinks`.
    RejectedUplinks,
}

impl Partitioned {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Heartbeats,
        Self::CallbackBodies,
        Self::RejectedCallbacks,
        Self::RejectedUplinks,
    ];

    const fn table(self) -> &'static str {
        match self {
            Self::Heartbeats => "heartbeats",
            Self::CallbackBodies => "callback_bodies",
            Self::RejectedCallbacks => "rejected_callbacks",
            Self::RejectedUplinks => "rejected_uplinks",
        }
    }
}

/// Makes sure that the partitions of `days` days from `first` exist.
///
/// # Errors
/// `55P03` when another transaction holds the table for long.
pub async fn ensure(
    conn: &mut PgConnection,
    table: Partitioned,
    first: NaiveDate,
    days: i32,
) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT ensure_daily_partitions($1, $2, $3)",
        table.table(),
        first,
        days
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Drops the partitions of days before `before`; returns how many.
///
/// # Errors
/// `55P03` when another transaction holds the table for long.
pub async fn drop_before(
    conn: &mut PgConnection,
    table: Partitioned,
    before: NaiveDate,
) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        r#"SELECT drop_daily_partitions($1, $2) AS "dropped!""#,
        table.table(),
        before
    )
    .fetch_one(conn)
    .await
}
