//! The command line's clock: the one place in this crate that looks at the time.

use chrono::{DateTime, Utc};

#[expect(
    clippy::disallowed_methods,
    reason = "a command that runs once takes its time from the system, here and nowhere else"
)]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}
