//! What an installation lacks, all of it at once: an operator mends it in one go.

use std::path::Path;

/// What is missing or does not read, a line each.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    /// The value, or nothing and its problem kept. Of a text with several lines each line is a problem.
    pub(super) fn keep<T>(&mut self, outcome: anyhow::Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                for line in format!("{error:#}").lines() {
                    // A CA is needed for two things and is still one thing to mend.
                    if !self.0.iter().any(|known| known == line) {
                        self.0.push(line.to_owned());
                    }
                }
                None
            }
        }
    }

    /// Refuses to go on when there is a problem.
    ///
    /// # Errors
    /// All problems, and the configuration that asks for what is missing.
    pub(super) fn finish(self, file: Option<&Path>) -> anyhow::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let configuration = file.map_or_else(
            || "the default configuration".to_owned(),
            |file| file.display().to_string(),
        );
        Err(anyhow::anyhow!(
            "keys or secrets that {configuration} names are missing or do not read:\n  - {}",
            self.0.join("\n  - ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_named_once() {
        let mut problems = Problems::default();
        assert_eq!(problems.keep(anyhow::Ok(1)), Some(1));
        for text in [
            "a: is missing",
            "b: is missing\nc: is missing",
            "a: is missing",
        ] {
            assert_eq!(problems.keep::<()>(Err(anyhow::anyhow!(text))), None);
        }
        let error = problems
            .finish(Some(Path::new("x.toml")))
            .unwrap_err()
            .to_string();
        assert!(error.contains("x.toml"), "{error}");
        assert_eq!(error.lines().count(), 4, "{error}");
        assert!(Problems::default().finish(None).is_ok());
    }
}
