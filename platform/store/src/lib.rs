//! All the SQL there is: free functions on a connection, one file for each noun.
//!
//! A function never begins or ends a database transaction (services do), so any of them compose
//! into one. Not found is `None` or an empty list; a wrong row count is an error. Whatever reads a
//! tenant's data takes the [`Scope`] it may see as an argument.
//!
//! Every function may fail with the database's error; an `# Errors` section names the constraints that callers tell apart.

pub mod alert;
pub mod alert_channel;
pub mod database_origin;
pub mod fleet;
pub mod idempotency;
pub mod money;
pub mod node;
pub mod outage;
pub mod outbox;
pub mod partition;
pub mod payment;
pub mod people;
pub mod replica;
pub mod shop;
pub mod webhook;
pub mod write_probe;

use chrono::{DateTime, Utc};
use domain::total::Total;
use uuid::Uuid;
use wire::ids::MerchantId;

/// Whose data a query may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Staff: every merchant's.
    All,
    /// Only this merchant's.
    Merchant(MerchantId),
}

impl Scope {
    /// This scope, narrowed to one merchant if one is named. The scope of a merchant's own people stays theirs: naming
    /// another merchant never widens it.
    pub fn narrowed_to(self, merchant: Option<MerchantId>) -> Self {
        match (self, merchant) {
            (Self::All, Some(id)) => Self::Merchant(id),
            (scope, _) => scope,
        }
    }

    /// The parameter for `($n::uuid IS NULL OR merchant_id = $n)`.
    pub fn merchant(self) -> Option<Uuid> {
        match self {
            Self::All => None,
            Self::Merchant(id) => Some(id.as_uuid()),
        }
    }
}

/// One column of rows that a statement takes as arrays.
pub(crate) fn column<'a, R, T>(rows: &'a [R], field: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(field).collect()
}

/// One page of a list, newest first.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// How many rows at most, 1–200.
    pub limit: i64,
    /// The last row of the page before: its creation time and id.
    pub after: Option<(DateTime<Utc>, Uuid)>,
}

impl Page {
    pub(crate) fn after_time(&self) -> Option<DateTime<Utc>> {
        self.after.map(|(time, _)| time)
    }

    pub(crate) fn after_id(&self) -> Option<Uuid> {
        self.after.map(|(_, id)| id)
    }
}

/// A `numeric` sum that was read as text: it may be beyond 64 bits.
pub(crate) fn total(text: &str) -> sqlx::Result<Total> {
    text.parse()
        .map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// When the rows of a list were made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Period {
    /// At this moment or later.
    pub from: Option<DateTime<Utc>>,
    /// Before this moment.
    pub to: Option<DateTime<Utc>>,
}

/// Fails unless the statement changed exactly one row: a concurrent transaction may have been first.
pub(crate) fn exactly_one(result: &sqlx::postgres::PgQueryResult) -> sqlx::Result<()> {
    exactly(result, 1)
}

/// The same for a number of rows.
pub(crate) fn exactly(result: &sqlx::postgres::PgQueryResult, rows: usize) -> sqlx::Result<()> {
    match usize::try_from(result.rows_affected()) {
        Ok(changed) if changed == rows => Ok(()),
        _ => Err(sqlx::Error::RowNotFound),
    }
}

/// Takes the advisory lock of this name until the database transaction ends.
pub async fn serialise(conn: &mut sqlx::PgConnection, name: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 2))",
        name
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Sets the transaction's one savepoint.
pub async fn savepoint(conn: &mut sqlx::PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SAVEPOINT trial").execute(conn).await?;
    Ok(())
}

/// Releases the savepoint; what was done since stays.
pub async fn release(conn: &mut sqlx::PgConnection) -> sqlx::Result<()> {
    sqlx::query!("RELEASE SAVEPOINT trial")
        .execute(conn)
        .await?;
    Ok(())
}

/// Rolls back to the savepoint.
pub async fn undo(conn: &mut sqlx::PgConnection) -> sqlx::Result<()> {
    sqlx::query!("ROLLBACK TO SAVEPOINT trial")
        .execute(conn)
        .await?;
    Ok(())
}
