//! When a message expires: as seconds on the wire, as a moment in this process.

use std::time::{Duration, Instant};

/// The message has expired.
#[derive(Debug)]
pub(crate) struct Expired;

/// The moment so many seconds from now.
pub(crate) fn expires_at(expires_s: Option<u32>) -> Option<Instant> {
    expires_s.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds.into())))
}

/// Whole seconds until `expires_at`, at least one.
pub(crate) fn seconds_until(
    expires_at: Option<Instant>,
    now: Instant,
) -> Result<Option<u32>, Expired> {
    let Some(expires_at) = expires_at else {
        return Ok(None);
    };
    let left = expires_at.checked_duration_since(now).ok_or(Expired)?;
    if left.is_zero() {
        return Err(Expired);
    }
    let seconds = left.as_millis().div_ceil(1_000);
    Ok(Some(u32::try_from(seconds).unwrap_or(u32::MAX)))
}
