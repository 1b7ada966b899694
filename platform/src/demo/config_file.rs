//! config.toml, with which the command line works on the running demonstration (`platform audit verify --config …`).

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::private_file;

const FILE: &str = "config.toml";

/// The path of config.toml.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// Writes the file, readable for its owner only: the URL may hold a password.
///
/// # Errors
/// A path that is not UTF-8; a file that cannot be written.
pub(super) fn write(data_dir: &Path, database_url: &str) -> anyhow::Result<()> {
    let text = content(data_dir, database_url)?;
    private_file::write(&path(data_dir), text.as_bytes(), 0o600)
}

fn content(data_dir: &Path, database_url: &str) -> anyhow::Result<String> {
    let dir = data_dir
        .to_str()
        .with_context(|| format!("{} is not UTF-8", data_dir.display()))?;
    // A JSON string is a TOML string too.
    Ok(format!(
        "# Written by `platform demo` at each start, for commands that work on it while it runs.\n\
         data_dir = {}\n\n[database]\nurl = {}\n\n[demo]\nenabled = true\n",
        serde_json::to_string(dir)?,
        serde_json::to_string(database_url)?
    ))
}

#[cfg(test)]
mod tests {
    use platform::config::Config;

    use super::*;

    #[test]
    fn the_platform_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("a \"b\" \\ ü");
        std::fs::create_dir(&odd).unwrap();
        write(&odd, "postgres://soundbox@localhost/soundbox?host=/a%20b").unwrap();
        let text = std::fs::read_to_string(path(&odd)).unwrap();
        let config = Config::load(Some(&path(&odd))).unwrap();
        assert_eq!(config.data_dir, odd, "{text}");
        assert!(config.demo.enabled);
    }
}
