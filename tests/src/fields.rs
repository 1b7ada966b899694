//! Fields of JSON answers.

use serde_json::Value;

/// A field that is text.
pub fn text(value: &Value, field: &str) -> String {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} is no text in {value}"))
        .to_owned()
}

/// A field of every row that is text.
pub fn texts(rows: &[Value], field: &str) -> Vec<String> {
    rows.iter().map(|row| text(row, field)).collect()
}

/// Fails unless a value has these fields with these values; others do not matter. A field of a field is `a/b`.
///
/// ```text
/// assert_fields!(answer, { "status": "paid", "binding/terminal_id": terminal });
/// ```
#[macro_export]
macro_rules! assert_fields {
    ($value:expr, $expected:tt) => {
        $crate::fields::check(&$value, &::serde_json::json!($expected))
    };
}

/// See [`assert_fields!`].
#[track_caller]
pub fn check(value: &Value, expected: &Value) {
    for (field, expected) in expected.as_object().unwrap() {
        let found = value.pointer(&format!("/{field}"));
        let found = found.unwrap_or(&Value::Null);
        assert_eq!(found, expected, "{field} of {value}");
    }
}
