//! All problems of an installation, reported at once, so that an operator can fix them in one go.

use std::path::Path;

/// What is missing or cannot be read, a line each.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    /// The value, or nothing after adding its problem. Each line of the error is a problem.
    pub(super) fn keep<T>(&mut self, outcome: anyhow::Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                for line in format!("{error:#}").lines() {
                    // The CA is used twice; its problem is reported once.
                    if !self.0.iter().any(|known| known == line) {
                        self.0.push(line.to_owned());
                    }
                }
                None
            }
        }
    }

    /// What there is, for who reports it another way.
    pub(super) fn take(self) -> Vec<String> {
        self.0
    }

    /// Ends the collection.
    ///
    /// # Errors
    /// All problems, if there are any, with the configuration file.
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
