//! The loudspeaker: espeak-ng when it is requested and installed, silent otherwise.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::soundbox::Sentence;

/// The time limit of a sentence.
const SENTENCE_MAX: Duration = Duration::from_secs(30);

/// espeak-ng's amplitude goes from 0 to 200, a box's volume from 0 to 10.
const AMPLITUDE_STEP: u32 = 20;

/// The loudspeaker of a box.
#[derive(Debug, Clone)]
pub enum Voice {
    /// Sentences take no time and are only printed.
    Silent,
    /// espeak-ng speaks.
    Espeak(PathBuf),
}

impl Voice {
    /// espeak-ng if it is installed, otherwise silent with a warning.
    pub fn find() -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path)
            .map(|dir| dir.join("espeak-ng"))
            .find(|file| Path::is_file(file));
        found.map_or_else(
            || {
                tracing::warn!("espeak-ng is not installed: sentences are only printed");
                Self::Silent
            },
            Self::Espeak,
        )
    }

    /// Speaks a sentence.
    pub async fn speak(&self, sentence: &Sentence) -> anyhow::Result<()> {
        let Self::Espeak(program) = self else {
            return Ok(());
        };
        let language = sentence.language.split('-').next().unwrap_or("id");
        let mut child = Command::new(program)
            .args(["-v", language])
            .args([
                "-a",
                &(AMPLITUDE_STEP * u32::from(sentence.volume)).to_string(),
            ])
            .args(["--", &sentence.text])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let status = tokio::time::timeout(SENTENCE_MAX, child.wait()).await??;
        anyhow::ensure!(status.success(), "espeak-ng ended with {status}");
        Ok(())
    }
}
