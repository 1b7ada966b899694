//! The loudspeaker: espeak-ng when it is wanted and present, silence otherwise.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::soundbox::Sentence;

/// The longest a sentence may take.
const SENTENCE_MAX: Duration = Duration::from_secs(30);

/// espeak-ng's amplitude goes from 0 to 200, a box's volume from 0 to 10.
const AMPLITUDE_STEP: u32 = 20;

/// How a box sounds.
#[derive(Debug, Clone)]
pub enum Voice {
    /// A sentence is said in no time, and only its line is printed.
    Silent,
    /// espeak-ng says it.
    Espeak(PathBuf),
}

impl Voice {
    /// espeak-ng, if it is installed; else silence, with a word about it.
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

    /// Says it.
    ///
    /// # Errors
    /// A voice that fails or does not end.
    pub async fn say(&self, sentence: &Sentence) -> anyhow::Result<()> {
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
