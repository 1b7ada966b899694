//! Whether so many boxes can be connected: each is a descriptor here and one in the platform.

use anyhow::ensure;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors for other uses, here or in the platform.
const OTHERS: usize = 1_000;

/// Raises the limit as far as the system allows; the platform inherits it.
///
/// # Errors
/// It is too low for so many boxes.
pub(crate) fn prepare(boxes: usize) -> anyhow::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    let needed = boxes + OTHERS;
    ensure!(
        u64::try_from(needed)? <= hard,
        "{boxes} boxes need {needed} descriptors in this process and as many in the platform, and each may open {hard} \
         (RLIMIT_NOFILE): raise the limit (ulimit -Hn {needed}) or ask for fewer boxes"
    );
    Ok(())
}
