//! CSV files that are named on a command line.

use std::path::Path;

use anyhow::{Context as _, ensure};

/// The largest that is read, bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The bytes of a file.
///
/// # Errors
/// A file that cannot be read, or is too large.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let cannot = || format!("cannot read {}", file.display());
    let size = std::fs::metadata(file).with_context(cannot)?.len();
    ensure!(
        size <= FILE_BYTES_MAX,
        "{} has more than {FILE_BYTES_MAX} bytes",
        file.display()
    );
    std::fs::read(file).with_context(cannot)
}
