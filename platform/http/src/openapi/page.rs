//! `/docs`: the document as a page that lets one try the API, and `/`, which leads people to the
//! pages made for them. Nothing of it comes from another host.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use service::Context;
use utoipa_swagger_ui::Config;

use super::super::error::{ApiError, ErrorCode};

/// What the page may load: its own files and the API. Swagger UI writes styles into its elements, and has pictures as
/// `data:` in its style sheet.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>QRIS soundbox platform</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>The document itself: <a href="/openapi.json">openapi.json</a></noscript>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/swagger-ui-standalone-preset.js"></script>
<script src="/docs/swagger-initializer.js"></script>
</body>
</html>
"#;

pub(super) fn router() -> Router<Context> {
    Router::new()
        .route("/", get(start))
        .route("/docs", get(page))
        .route("/docs/{file}", get(file))
}

async fn start() -> Redirect {
    Redirect::to("/login")
}

async fn page() -> Response {
    answer("text/html; charset=utf-8", PAGE)
}

async fn file(Path(name): Path<String>) -> Response {
    static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
        Arc::new(
            Config::from("/openapi.json")
                .use_base_layout()
                .try_it_out_enabled(true)
                .validator_url("none"),
        )
    });
    match utoipa_swagger_ui::serve(&name, Arc::clone(&CONFIG)) {
        Ok(Some(file)) => answer(&file.content_type, file.bytes.into_owned()),
        Ok(None) => ApiError::new(ErrorCode::RouteNotFound, "no such path").into_response(),
        Err(error) => {
            ApiError::internal(anyhow::anyhow!("a file of the page: {error}")).into_response()
        }
    }
}

fn answer(content_type: &str, body: impl Into<Body>) -> Response {
    let mut response = (StatusCode::OK, body.into()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    if let Ok(content_type) = HeaderValue::from_str(content_type) {
        headers.insert(CONTENT_TYPE, content_type);
    }
    response
}
