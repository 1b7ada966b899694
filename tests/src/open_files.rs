//! The limit of open files, for programs that connect a whole fleet.

use anyhow::bail;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Open files of a process beside one connection for each box.
const OTHERS: u64 = 1_000;

/// Raises the limit, which the platform inherits, for so many boxes.
///
/// # Errors
/// The hard limit is lower; the text says how high it must be.
pub fn allow(boxes: u64) -> anyhow::Result<()> {
    let needed = boxes + OTHERS;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if hard < needed {
        bail!(
            "{boxes} boxes need {needed} open files in this process and in the platform's, and the hard limit is {hard} \
             (ulimit -Hn): raise it, or take {} boxes",
            hard.saturating_sub(OTHERS)
        );
    }
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(needed), hard)?;
    Ok(())
}
