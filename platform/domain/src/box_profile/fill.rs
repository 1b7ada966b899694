//! The values of one message, by placeholder.

use serde::Deserialize;

use super::error::RenderError;
use super::template::{Placeholder, Template};

/// The most clips of one sentence.
const CLIPS_MAX: usize = 64;
/// The longest name of a clip, in bytes.
const CLIP_LEN_MAX: usize = 64;

/// How clips stand in a text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Clips {
    /// What is added to each name.
    #[serde(default)]
    pub(super) suffix: String,
    /// What stands between two.
    pub(super) join: String,
}

/// A value of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A text.
    Text(String),
    /// A number, also in JSON.
    Number(i64),
    /// Clips.
    List(Vec<String>),
}

/// The values of one message.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    values: Vec<(Placeholder, Value)>,
    clips: Option<&'a Clips>,
    /// What no value of a text message may contain.
    refuse: &'a [String],
}

impl<'a> Fields<'a> {
    pub(super) fn new(clips: Option<&'a Clips>, refuse: &'a [String]) -> Self {
        Self {
            values: Vec::new(),
            clips,
            refuse,
        }
    }

    pub(super) fn set(&mut self, placeholder: Placeholder, value: Value) {
        self.values.push((placeholder, value));
    }

    pub(super) fn set_text(&mut self, placeholder: Placeholder, text: impl Into<String>) {
        self.set(placeholder, Value::Text(text.into()));
    }

    pub(super) fn set_number(&mut self, placeholder: Placeholder, number: i64) {
        self.set(placeholder, Value::Number(number));
    }

    /// Takes the clips of a sentence. Names that could end a clip's name in a list of clips are refused when they are
    /// used, not here: a box that speaks for itself needs none.
    pub(super) fn set_clips(&mut self, clips: &[String]) {
        self.set(Placeholder::Clips, Value::List(clips.to_vec()));
    }

    /// Whether a placeholder has a value.
    pub(super) fn has(&self, placeholder: Placeholder) -> bool {
        self.values.iter().any(|(known, _)| *known == placeholder)
    }

    /// The value of a placeholder.
    ///
    /// # Errors
    /// This message has none, or one that is refused.
    pub(super) fn get(&self, placeholder: Placeholder) -> Result<Value, RenderError> {
        let found = self
            .values
            .iter()
            .rev()
            .find(|(known, _)| *known == placeholder);
        let value = found.map(|(_, value)| value).ok_or(RenderError::Value {
            placeholder,
            problem: "this message has none",
        })?;
        if let Value::List(clips) = value {
            check_clips(placeholder, clips)?;
        }
        Ok(value.clone())
    }

    /// A text with its values.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(super) fn text(&self, template: &Template) -> Result<String, RenderError> {
        template.fill(|placeholder| {
            let text = match self.get(placeholder)? {
                Value::Text(text) => {
                    self.check_text(placeholder, &text)?;
                    text
                }
                Value::Number(number) => number.to_string(),
                Value::List(clips) => {
                    let Clips { suffix, join } = self.clips.ok_or(RenderError::Unsupported)?;
                    let names: Vec<String> =
                        clips.iter().map(|clip| format!("{clip}{suffix}")).collect();
                    names.join(join)
                }
            };
            Ok(text)
        })
    }

    /// The values with each of the clips in turn.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(super) fn each_clip(&self) -> Result<Vec<Self>, RenderError> {
        let Value::List(clips) = self.get(Placeholder::Clips)? else {
            return Ok(Vec::new());
        };
        let each = |clip: String| {
            let mut fields = self.clone();
            fields.set_text(Placeholder::Clip, clip);
            fields
        };
        Ok(clips.into_iter().map(each).collect())
    }

    fn check_text(&self, placeholder: Placeholder, text: &str) -> Result<(), RenderError> {
        let problem = if text.chars().any(char::is_control) {
            "has a control character"
        } else if self.refuse.iter().any(|word| text.contains(word.as_str())) {
            "has a word that means something else to this box"
        } else {
            return Ok(());
        };
        Err(RenderError::Value {
            placeholder,
            problem,
        })
    }
}

fn check_clips(placeholder: Placeholder, clips: &[String]) -> Result<(), RenderError> {
    let plain = |clip: &String| {
        (1..=CLIP_LEN_MAX).contains(&clip.len())
            && clip
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    let problem = if clips.is_empty() || clips.len() > CLIPS_MAX {
        "from 1 to 64 clips"
    } else if clips.iter().all(plain) {
        return Ok(());
    } else {
        "a clip's name has letters, digits, _ and -"
    };
    Err(RenderError::Value {
        placeholder,
        problem,
    })
}
