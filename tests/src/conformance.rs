//! Checks every answer against the OpenAPI document: its status, its error code, its fields.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use jsonschema::Validator;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::Answer;

/// The committed document, of which `openapi::the_committed_document_is_the_one_that_is_served` proves that it is current:
/// it takes much less time to read than to make.
static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap());

/// Each is compiled when it is first needed.
static VALIDATORS: LazyLock<Mutex<HashMap<String, Validator>>> = LazyLock::new(Mutex::default);

/// Fails when `answer` is not in the document. Paths that are not in the document are not checked.
pub fn check(method: &Method, path: &str, answer: &Answer) {
    let path = path.split('?').next().unwrap_or_default();
    let Some((template, item)) = item(path) else {
        return;
    };
    let method = method.as_str().to_lowercase();
    let Some(operation) = item.get(&method) else {
        assert_eq!(answer.status, 405, "{method} {template}: {answer}");
        return;
    };
    let status = answer.status.to_string();
    let Some(response) = operation["responses"].get(&status).map(resolve) else {
        panic!("{method} {template} answered {answer}, which is not in the document");
    };
    let content_type = answer.header("content-type").unwrap_or_default();
    let Some(content) = response["content"].get(content_type) else {
        panic!("{method} {template} answered {content_type}: {answer}");
    };
    let Some(schema) = content.get("schema") else {
        return;
    };
    let body = answer.json();
    let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
    let validator = validators
        .entry(format!("{method} {template} {status}"))
        .or_insert_with(|| jsonschema::draft202012::new(&with_components(schema)).unwrap());
    let wrong: Vec<String> = validator
        .iter_errors(&body)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(
        wrong.is_empty(),
        "{method} {template} {status} breaks its schema: {wrong:?}\n{body:#}"
    );
}

/// The schema with the components that it refers to. All components together take too long to compile.
fn with_components(schema: &'static Value) -> Value {
    let mut components = Map::new();
    let mut unvisited = vec![schema];
    while let Some(value) = unvisited.pop() {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str)
            && let Some(name) = reference.strip_prefix("#/components/schemas/")
            && !components.contains_key(name)
        {
            let component = resolve(value);
            components.insert(name.to_owned(), component.clone());
            unvisited.push(component);
        }
        match value {
            Value::Object(fields) => unvisited.extend(fields.values()),
            Value::Array(items) => unvisited.extend(items),
            _ => {}
        }
    }
    json!({ "allOf": [schema], "components": { "schemas": components } })
}

/// Follows a reference.
fn resolve(value: &'static Value) -> &'static Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => DOCUMENT.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

/// The path of the document that a request's path is an instance of: the one with the fewest parameters.
fn item(path: &str) -> Option<(&'static str, &'static Value)> {
    let parts: Vec<&str> = path.split('/').collect();
    DOCUMENT["paths"]
        .as_object()?
        .iter()
        .filter(|(template, _)| {
            let names: Vec<&str> = template.split('/').collect();
            names.len() == parts.len()
                && names
                    .iter()
                    .zip(&parts)
                    .all(|(name, part)| name.starts_with('{') || name == part)
        })
        .min_by_key(|(template, _)| template.matches('{').count())
        .map(|(template, item)| (template.as_str(), item))
}
