//! What goes to standard output: one JSON object per line with `--json`, a sentence for people without. Logs go to
//! standard error.

use std::io::{self, Write};

use serde::Serialize;

/// The standard output of a subcommand.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// JSON lines, or sentences.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether it is JSON lines.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Prints one thing that happened, in the form that was asked for.
    pub fn say(self, event: &impl Serialize, sentence: impl FnOnce() -> String) {
        let line = if self.json {
            match serde_json::to_string(event) {
                Ok(line) => line,
                Err(error) => {
                    tracing::error!(%error, "cannot print an event as JSON");
                    return;
                }
            }
        } else {
            sentence()
        };
        // A reader that has gone away is no reason to stop a box.
        let mut stdout = io::stdout().lock();
        let _gone = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    }
}
