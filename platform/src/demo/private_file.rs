//! The demonstration's files with secrets: readable for their owner only.

use std::path::Path;

use anyhow::Context as _;
use certs::durable_file;

/// Writes a file, as [`durable_file`] does.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn write(path: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    durable_file::replace(path, content, mode)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Creates a directory with access for its owner only.
///
/// # Errors
/// A directory that cannot be created.
pub(super) fn make_dir(dir: &Path) -> anyhow::Result<()> {
    durable_file::make_private_dir(dir).with_context(|| format!("cannot create {}", dir.display()))
}
