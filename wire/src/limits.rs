//! Limits of single fields, checked after a message has been read, so that the error can name the field.

use serde_json::Value;

use crate::lenient::{VALUE_DEPTH_MAX, VALUE_LEN_MAX};
use crate::text::TextLimit;

/// A field that breaks its limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// The field's name on the wire.
    pub field: &'static str,
    /// The violated limit.
    pub problem: String,
}

fn err(field: &'static str, problem: impl Into<String>) -> Result<(), FieldError> {
    Err(FieldError {
        field,
        problem: problem.into(),
    })
}

/// A text of 0 … `len_max` bytes without control characters.
pub(crate) fn text(field: &'static str, value: &str, len_max: usize) -> Result<(), FieldError> {
    if value.len() > len_max {
        return err(field, format!("longer than {len_max} bytes"));
    }
    if value.chars().any(char::is_control) {
        return err(field, "contains a control character");
    }
    Ok(())
}

/// A text of 1 … `len_max` bytes without control characters.
pub(crate) fn name(field: &'static str, value: &str, len_max: usize) -> Result<(), FieldError> {
    if value.is_empty() {
        err(field, "must not be empty")
    } else {
        text(field, value, len_max)
    }
}

/// A text that a box displays.
pub(crate) fn shown(field: &'static str, value: &str, limit: TextLimit) -> Result<(), FieldError> {
    limit
        .check(value)
        .or_else(|error| err(field, error.to_string()))
}

/// [`text`], if there is one.
pub(crate) fn optional_text(
    field: &'static str,
    value: Option<&str>,
    len_max: usize,
) -> Result<(), FieldError> {
    value.map_or(Ok(()), |value| text(field, value, len_max))
}

/// 0 … 100, if there is a value.
pub(crate) fn percent(field: &'static str, value: Option<u8>) -> Result<(), FieldError> {
    if value.is_some_and(|value| value > 100) {
        err(field, "must be between 0 and 100")
    } else {
        Ok(())
    }
}

/// A structured value that a database can store: not too deep, not too long, no NUL in any text.
pub(crate) fn value(field: &'static str, value: &Value) -> Result<(), FieldError> {
    fn walk(value: &Value, depth: usize) -> Result<(), &'static str> {
        let plain = |text: &str| {
            if text.contains('\0') {
                Err("contains a NUL")
            } else {
                Ok(())
            }
        };
        match value {
            Value::Array(_) | Value::Object(_) if depth == 0 => Err("nested too deep"),
            Value::Array(items) => items.iter().try_for_each(|item| walk(item, depth - 1)),
            Value::Object(fields) => fields.iter().try_for_each(|(key, item)| {
                plain(key)?;
                walk(item, depth - 1)
            }),
            Value::String(text) => plain(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }
    if let Err(problem) = walk(value, VALUE_DEPTH_MAX) {
        return err(field, problem);
    }
    if value.to_string().len() > VALUE_LEN_MAX {
        return err(field, format!("longer than {VALUE_LEN_MAX} bytes"));
    }
    Ok(())
}
