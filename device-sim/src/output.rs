//! Standard output: one JSON object per line with `--json`, otherwise text. Logs go to standard error.

use std::io::{self, Write};

use serde::Serialize;

/// The form of standard output.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// JSON lines, or text.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether events are printed as JSON.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Prints an event.
    pub fn emit(self, event: &impl Serialize, text: impl FnOnce() -> String) {
        let line = if self.json {
            match serde_json::to_string(event) {
                Ok(line) => line,
                Err(error) => {
                    tracing::error!(%error, "cannot print an event as JSON");
                    return;
                }
            }
        } else {
            text()
        };
        // A closed pipe must not stop a box.
        let mut stdout = io::stdout().lock();
        let _gone = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    }
}
