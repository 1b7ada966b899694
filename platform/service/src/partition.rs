//! The partitions of tables that are kept by day: created ahead, dropped after their retention.

use chrono::TimeDelta;
use store::partition::Partitioned;

use super::{Context, Result};

/// Partitions are made this many days ahead.
const DAYS_AHEAD: i32 = 4;

/// For how many days each table is kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Heartbeats.
    pub heartbeat_days: u32,
    /// The bytes of verified callbacks.
    pub callback_body_days: u32,
    /// Callbacks of unproven senders.
    pub rejected_callback_days: u32,
    /// Uplinks that broke a rule.
    pub rejected_uplink_days: u32,
}

impl Retention {
    fn of(self, table: Partitioned) -> u32 {
        match table {
            Partitioned::Heartbeats => self.heartbeat_days,
            Partitioned::CallbackBodies => self.callback_body_days,
            Partitioned::RejectedCallbacks => self.rejected_callback_days,
            Partitioned::RejectedUplinks => self.rejected_uplink_days,
        }
    }
}

/// Creates the partitions of the coming days and drops those past their retention.
pub async fn maintain(context: &Context, retention: Retention) -> Result<()> {
    make(context).await?;
    let today = context.clock().now().date_naive();
    let mut conn = context.pool().acquire().await?;
    for table in Partitioned::ALL {
        let before = today - TimeDelta::days(i64::from(retention.of(table)));
        store::partition::drop_before(&mut conn, table, before).await?;
    }
    Ok(())
}

/// Creates today's partitions if they are missing: the clock jumped, or the job failed for days.
pub(super) async fn ensure_today(context: &Context) -> Result<()> {
    if context
        .known_days()
        .lacks(context.clock().now().date_naive())
    {
        make(context).await?;
    }
    Ok(())
}

async fn make(context: &Context) -> Result<()> {
    // From yesterday on, for what was received just before midnight and stored just after.
    let first = context.clock().now().date_naive() - TimeDelta::days(1);
    let days = DAYS_AHEAD + 1;
    let mut conn = context.pool().acquire().await?;
    for table in Partitioned::ALL {
        store::partition::ensure(&mut conn, table, first, days).await?;
    }
    let last = first + TimeDelta::days(i64::from(days) - 1);
    context.known_days().set(first..=last);
    Ok(())
}
