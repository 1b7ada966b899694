//! The time of callbacks: the acquirer's clock is this machine's, as the platform's is.

use chrono::{DateTime, Utc};

#[expect(
    clippy::disallowed_methods,
    reason = "the platform runs by the real clock, and so does whoever calls it"
)]
pub(super) fn now() -> DateTime<Utc> {
    Utc::now()
}
