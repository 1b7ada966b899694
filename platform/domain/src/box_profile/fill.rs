//! The values of one message, by placeholder.

use std::collections::BTreeMap;

use wire::Language;

use super::error::RenderError;
use super::template::{Placeholder, Template};

/// How a box names its clips, and how they stand in a text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Clips {
    /// What is added to each name in a text.
    pub(super) suffix: String,
    /// What stands between two in a text; none where no text has clips.
    pub(super) join: Option<String>,
    /// The maker's names of clips that are not called as in the grammar of the language.
    pub(super) names: BTreeMap<Language, BTreeMap<String, String>>,
}

impl Clips {
    /// The clips of a sentence, as the box names them.
    pub(super) fn named(&self, language: Language, clips: &[&str]) -> Vec<String> {
        let of_maker = self.names.get(&language);
        let name = |clip: &&str| {
            let named = of_maker.and_then(|names| names.get(*clip));
            named.map_or_else(|| (*clip).to_owned(), Clone::clone)
        };
        clips.iter().map(name).collect()
    }
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
    clips: &'a Clips,
    /// What no value of a text message may contain.
    refuse: &'a [String],
}

impl<'a> Fields<'a> {
    pub(super) fn new(clips: &'a Clips, refuse: &'a [String]) -> Self {
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

    /// Takes the clips of a sentence. No name has a character that could end it in a list of clips: neither has one of the
    /// grammar's, and those of the profile are checked when it is read.
    pub(super) fn set_clips(&mut self, clips: Vec<String>) {
        self.set(Placeholder::Clips, Value::List(clips));
    }

    /// Whether a placeholder has a value.
    pub(super) fn has(&self, placeholder: Placeholder) -> bool {
        self.values.iter().any(|(known, _)| *known == placeholder)
    }

    /// The value of a placeholder.
    ///
    /// # Errors
    /// This message has none.
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
        Ok(value.clone())
    }

    /// A text with its values.
    ///
    /// # Errors
    /// As [`get`](Self::get); a value that the box would take for something else.
    pub(super) fn text(&self, template: &Template) -> Result<String, RenderError> {
        template.fill(|placeholder| {
            let text = match self.get(placeholder)? {
                Value::Text(text) => {
                    self.check_text(placeholder, &text)?;
                    text
                }
                Value::Number(number) => number.to_string(),
                Value::List(clips) => {
                    let Clips { suffix, join, .. } = self.clips;
                    let join = join.as_ref().ok_or(RenderError::Unsupported)?;
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
