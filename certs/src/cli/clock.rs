//! The command line's clock: the only use of the system's time in this crate.

use chrono::{DateTime, Utc};

#[expect(
    clippy::disallowed_methods,
    reason = "a command that runs once reads the system's time, here only"
)]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}
