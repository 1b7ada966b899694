//! When what happened to a payment, as its trace says.

use chrono::{DateTime, TimeDelta, Utc};

use crate::collector::Span;

/// The steps of one payment for one box, from a complete trace.
#[derive(Debug, Clone, Copy)]
pub struct PaymentTrace {
    /// The callback came.
    pub received: DateTime<Utc>,
    /// Its signature was checked and its body read.
    pub verified: DateTime<Utc>,
    /// The unit of work in which it was committed began.
    pub begun: DateTime<Utc>,
    /// It was decided what to write.
    pub decided: DateTime<Utc>,
    /// Everything was written, and COMMIT began.
    pub written: DateTime<Utc>,
    /// It was durable.
    pub committed: DateTime<Utc>,
    /// How long it took to sign the notification.
    pub signing: TimeDelta,
    /// The notification was handed to the broker.
    pub handed_over: DateTime<Utc>,
}

impl PaymentTrace {
    /// Reads the spans of one trace; `None` when one is missing.
    #[must_use]
    pub fn read(spans: &[Span]) -> Option<Self> {
        let first = |name: &str| {
            let named = spans.iter().filter(|span| {
                // The spans of a notification have the topic after the operation.
                span.name.split(' ').next() == Some(name)
            });
            named.min_by_key(|span| span.start_time_unix_nano)
        };
        let seal = first("seal")?;
        Some(Self {
            received: began(first("verify")?),
            verified: began(first("queue")?),
            begun: began(first("judge")?),
            decided: began(first("write")?),
            written: began(first("COMMIT")?),
            committed: ended(first("COMMIT")?),
            signing: ended(seal) - began(seal),
            handed_over: began(first("publish")?),
        })
    }
}

fn began(span: &Span) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(span.start_time_unix_nano.cast_signed())
}

fn ended(span: &Span) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(span.end_time_unix_nano.cast_signed())
}
