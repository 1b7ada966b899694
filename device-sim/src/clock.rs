//! The simulator's wall clock and random ids. A real box's wall clock is unreliable, so this one is used for log lines
//! and by the acquirer, never to decide what is spoken.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// This machine's time.
#[expect(clippy::disallowed_methods, reason = "this is the simulator's clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// A random UUID (version 4), for idempotency keys and references.
pub fn random_uuid() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}

/// An unpredictable nonce: 128 random bits in hex.
pub fn nonce() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}
