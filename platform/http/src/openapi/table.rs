//! All endpoints in one table, for people.

use std::fmt::Write as _;

use utoipa::openapi::HttpMethod;

use super::super::error::ErrorCode;
use super::super::operation::{Callers, Idempotency};
use super::super::routes::Endpoint;

/// Errors that every endpoint may answer with, listed once.
const EVERYWHERE: [ErrorCode; 3] = [
    ErrorCode::RateLimited,
    ErrorCode::Internal,
    ErrorCode::Unavailable,
];

/// The endpoints as a Markdown document.
pub fn table() -> String {
    let mut text = String::from(
        "# Endpoints\n\n\
         Written by `platform openapi --table`; a test holds it against the router. Bodies and schemas are in\n\
         [openapi.json](openapi.json), which a running platform serves at `/openapi.json` and shows at `/docs`.\n\n\
         Every endpoint may answer 429 `RATE_LIMITED`, 500 `INTERNAL` and 503 `UNAVAILABLE` besides, and every one that needs a\n\
         caller to be known 401.\n",
    );
    let mut tag = "";
    for endpoint in super::super::endpoints() {
        if endpoint.tag != tag {
            tag = endpoint.tag;
            let _ = write!(
                text,
                "\n## {tag}\n\n| | who | Idempotency-Key | errors |\n|---|---|---|---|\n"
            );
        }
        let _ = writeln!(text, "{}", row(&endpoint));
    }
    text
}

fn row(endpoint: &Endpoint) -> String {
    let operation = &endpoint.operation;
    let who = match operation.callers {
        Callers::Anyone => "anyone".to_owned(),
        Callers::Devices => "the box itself".to_owned(),
        Callers::Partners | Callers::SnapPartners => "the partner, signed".to_owned(),
        Callers::Roles(roles) => roles
            .iter()
            .map(|role| role.as_str())
            .collect::<Vec<_>>()
            .join(", "),
    };
    let idempotency = match operation.idempotency {
        Idempotency::Ignored => "",
        Idempotency::Honoured => "honoured",
        Idempotency::Required => "required",
    };
    let errors: Vec<String> = operation
        .errors
        .iter()
        .filter(|code| !EVERYWHERE.contains(code))
        .map(|code| format!("{} `{}`", code.status(), code.as_str()))
        .collect();
    let method = match endpoint.method {
        HttpMethod::Get => "GET",
        HttpMethod::Post => "POST",
        _ => "PATCH",
    };
    format!(
        "| **{method} `{}`**<br>{} | {who} | {idempotency} | {} |",
        endpoint.path,
        endpoint.summary,
        errors.join(", ")
    )
}
