//! The OpenAPI document agrees with the platform, and its committed copies are current.

use std::collections::BTreeSet;
use tests::prelude::*;

use http_api::openapi;
use reqwest::Method;

/// A file of the repository.
fn committed(path: &str) -> String {
    let file = format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(file).unwrap()
}

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    assert!(
        committed("docs/openapi.json") == openapi::json(),
        "write it anew: cargo run -p platform -- openapi > docs/openapi.json"
    );
}

#[test]
fn the_committed_table_is_that_of_the_routes() {
    assert!(
        committed("docs/endpoints.md") == openapi::table(),
        "write it anew: cargo run -p platform -- openapi --table > docs/endpoints.md"
    );
}

#[test]
fn every_operation_has_a_unique_id_and_a_summary() {
    let endpoints = http_api::endpoints();
    let names: BTreeSet<&str> = endpoints
        .iter()
        .map(|endpoint| endpoint.id.as_str())
        .collect();
    assert_eq!(names.len(), endpoints.len());
    for endpoint in &endpoints {
        assert!(!endpoint.summary.is_empty(), "{}", endpoint.path);
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn visit(value: &Value, document: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                fields.values().for_each(|value| visit(value, document));
            }
            Value::Array(items) => items.iter().for_each(|value| visit(value, document)),
            _ => {}
        }
    }
    let document: Value = serde_json::from_str(openapi::json()).unwrap();
    assert_eq!(document["openapi"], json!("3.1.0"));
    visit(&document, &document);
}

#[tokio::test]
async fn anyone_may_read_the_document_and_its_page() {
    let world = World::new().await;
    let anonymous = world.anonymous();
    let answer = anonymous.get("/openapi.json").await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.body, openapi::json().as_bytes());

    let page = anonymous.get("/docs").await.expect(200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("script-src 'self'"), "{policy}");
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    // All that the page loads is here.
    let loaded: Vec<&str> = text
        .split("src=\"")
        .chain(text.split("href=\""))
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|target| !target.starts_with("<!doctype"))
        .collect();
    assert!(loaded.len() >= 5, "{loaded:?}");
    for target in loaded {
        assert!(target.starts_with('/'), "{target} is on another host");
        let _ = anonymous.get(target).await.expect(200);
    }
    assert_refused!(anonymous.get("/docs/nothing.js"), ROUTE_NOT_FOUND);
    anonymous
        .call(Method::POST, "/docs", &[], None)
        .await
        .refused(METHOD_NOT_ALLOWED);
}
