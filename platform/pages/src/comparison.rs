//! Two JSON documents side by side, field by field.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::{Map, Value};

use crate::words::Words;
use crate::words::comparison::ComparisonWords;

/// Fields that are shown of one pair of documents.
const FIELDS_MAX: usize = 200;
/// The longest text of a field, characters.
const CHARS_MAX: usize = 300;

/// A field of two documents; none where a document does not have it, or has null.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

impl Field {
    /// Whether the two differ.
    pub(crate) fn is_changed(&self) -> bool {
        self.before != self.after
    }
}

/// The fields of two documents, by name. What is inside an object or a list is a field of its own.
pub(crate) fn fields(before: Option<&Value>, after: Option<&Value>) -> Vec<Field> {
    let mut all: BTreeMap<String, (Option<String>, Option<String>)> = BTreeMap::new();
    let mut flat = Vec::new();
    flatten("", before.unwrap_or(&Value::Null), &mut flat);
    for (name, text) in flat.drain(..) {
        all.entry(name).or_default().0 = Some(text);
    }
    flatten("", after.unwrap_or(&Value::Null), &mut flat);
    for (name, text) in flat {
        all.entry(name).or_default().1 = Some(text);
    }
    all.into_iter()
        .map(|(name, (before, after))| Field {
            name,
            before,
            after,
        })
        .collect()
}

fn flatten(name: &str, value: &Value, into: &mut Vec<(String, String)>) {
    let inside = |part: &str| {
        if name.is_empty() {
            part.to_owned()
        } else {
            format!("{name} · {part}")
        }
    };
    match value {
        Value::Null => {}
        Value::Object(object) => {
            for (part, value) in object {
                flatten(&inside(&part.replace('_', " ")), value, into);
            }
        }
        Value::Array(list) if list.iter().any(|one| one.is_object() || one.is_array()) => {
            for (place, value) in list.iter().enumerate() {
                flatten(&inside(&(place + 1).to_string()), value, into);
            }
        }
        Value::Array(list) => {
            let parts: Vec<String> = list.iter().map(plain).collect();
            into.push((name.to_owned(), parts.join(", ")));
        }
        other => into.push((name.to_owned(), plain(other))),
    }
}

fn plain(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text,
    }
}

/// What is there with what is asked for laid over it: fields that are not asked for stay.
pub(crate) fn laid_over(now: &Value, asked: &Value) -> Value {
    let mut whole: Map<String, Value> = now.as_object().cloned().unwrap_or_default();
    for (name, value) in asked.as_object().into_iter().flatten() {
        whole.insert(name.clone(), value.clone());
    }
    Value::Object(whole)
}

/// The fields as a table under these titles.
pub(crate) fn table(fields: &[Field], titles: (&str, &str), words: &Words) -> Markup {
    let own = ComparisonWords::of(words.language);
    html! {
        div.scroll tabindex="0" { table.comparison {
            thead { tr { th { (own.field) } th { (titles.0) } th { (titles.1) } } }
            tbody {
                @for field in fields.iter().take(FIELDS_MAX) {
                    tr.changed[field.is_changed()] {
                        th scope="row" { (field.name) }
                        td { (side(field.before.as_deref())) }
                        td { @if field.is_changed() { (side(field.after.as_deref())) } @else { span.quiet { (own.unchanged) } } }
                    }
                }
            }
        } }
        @if fields.len() > FIELDS_MAX { p.quiet { (own.more) } }
    }
}

fn side(text: Option<&str>) -> Markup {
    html! { @match text { Some(text) => (text), None => span.quiet { "–" } } }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_is_changed() {
        let before = json!({ "city": "BANDUNG", "nmid": null, "contact": { "phone": "1" }, "rules": [{ "bp": 70 }] });
        let after = json!({ "city": "JAKARTA", "nmid": "ID1", "contact": { "phone": "1" }, "rules": [{ "bp": 0 }] });
        let all = fields(Some(&before), Some(&after));
        let changed: Vec<(&str, Option<&str>, Option<&str>)> = all
            .iter()
            .filter(|field| field.is_changed())
            .map(|field| {
                (
                    &*field.name,
                    field.before.as_deref(),
                    field.after.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            changed,
            [
                ("city", Some("BANDUNG"), Some("JAKARTA")),
                ("nmid", None, Some("ID1")),
                ("rules · 1 · bp", Some("70"), Some("0")),
            ]
        );
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn what_is_made_has_no_before_and_what_is_not_asked_for_stays() {
        let new = json!({ "email": "a@b.id", "capabilities": ["speaker", "display"] });
        let made = fields(None, Some(&new));
        assert!(made.iter().all(|field| field.before.is_none()));
        assert_eq!(made[0].after.as_deref(), Some("speaker, display"));
        let now = json!({ "role": "ops", "status": "active" });
        let whole = laid_over(&now, &json!({ "role": "admin" }));
        assert_eq!(whole, json!({ "role": "admin", "status": "active" }));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = json!({ "text": "é".repeat(500) });
        let shown = fields(Some(&long), None).pop().unwrap().before.unwrap();
        assert_eq!(shown.chars().count(), CHARS_MAX + 2);
    }
}
