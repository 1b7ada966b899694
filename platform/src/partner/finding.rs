//! What `platform partner check` finds out about a partner, a sentence each.

use std::fmt;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// It is as it should be.
    Good,
    /// It works, and somebody should look at it.
    Doubtful,
    /// It is wrong.
    Wrong,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How that ended.
    pub grade: Grade,
    /// What, and when it is wrong, what to do.
    pub words: String,
}

impl Finding {
    /// It is as it should be.
    pub fn good(words: impl Into<String>) -> Self {
        Self::of(Grade::Good, words)
    }

    /// It works, and somebody should look at it.
    pub fn doubtful(words: impl Into<String>) -> Self {
        Self::of(Grade::Doubtful, words)
    }

    /// It is wrong.
    pub fn wrong(words: impl Into<String>) -> Self {
        Self::of(Grade::Wrong, words)
    }

    fn of(grade: Grade, words: impl Into<String>) -> Self {
        Self {
            grade,
            words: words.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match self.grade {
            Grade::Good => "ok   ",
            Grade::Doubtful => "look ",
            Grade::Wrong => "WRONG",
        };
        write!(f, "{grade} {}", self.words)
    }
}
