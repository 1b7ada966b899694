//! The certificate revocation list that a process serves.

use bytes::Bytes;
use chrono::{DateTime, Utc};

/// A signed list.
#[derive(Debug)]
pub struct PublishedCrl {
    /// The list.
    pub der: Bytes,
    /// Its number.
    pub number: i64,
    /// When the next list is due.
    pub next_update: DateTime<Utc>,
}
