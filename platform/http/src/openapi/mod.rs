//! The OpenAPI document, made from the routes, and the pages that show it.

mod document;
mod page;
mod table;

use std::sync::LazyLock;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use service::Context;

pub use self::table::table;
use super::query::{self, KnownParameters};

/// `/`, `/openapi.json` and `/docs`, which anyone may read.
pub(super) fn router() -> Router<Context> {
    Router::new()
        .route("/openapi.json", get(read))
        .merge(page::router())
        .route_layer(from_fn_with_state(
            KnownParameters::default(),
            query::only_known,
        ))
}

/// The document as JSON text, the same for all processes of one build.
pub fn json() -> &'static str {
    static JSON: LazyLock<String> = LazyLock::new(|| {
        let endpoints = super::endpoints();
        let mut text = document::of(&endpoints)
            .to_pretty_json()
            .expect("a document of strings, lists and maps can be written as JSON");
        text.push('\n');
        text
    });
    &JSON
}

async fn read() -> Response {
    let mut response = Bytes::from_static(json().as_bytes()).into_response();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
