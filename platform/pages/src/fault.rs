//! Errors as pages: what happened, and what to do.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use http_api::error::{ApiError, ErrorCode};
use http_api::request;
use maud::html;
use service::Error;

use crate::layout;
use crate::words::Language;
use crate::words::refusal::told;

/// An error on its way to a person.
#[derive(Debug)]
pub(crate) struct Fault {
    code: ErrorCode,
    /// What the use case said of it, for refusals.
    said: String,
    /// The answer that the API would give: its status, its headers, and what the middleware reads of it.
    answer: ApiError,
    language: Language,
}

impl Fault {
    /// This error, told in this language.
    pub(crate) fn new(error: Error, language: Language) -> Self {
        let said = told(&error, language);
        let answer = ApiError::from(error);
        Self {
            code: answer.code(),
            said,
            answer,
            language,
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut answer = self.answer.into_response();
        let status = answer.status();
        let words = self.language.words();
        let (title, hint) = match status {
            StatusCode::NOT_FOUND => (words.not_found, words.not_found_hint.to_owned()),
            StatusCode::FORBIDDEN => (words.denied, words.denied_hint.to_owned()),
            status if status.is_server_error() => (words.went_wrong, words.try_again.to_owned()),
            _ => (words.refused, self.said),
        };
        let page = layout::bare(
            self.language,
            title,
            &html! {
                div.card.message {
                    h1 { (title) }
                    p { (hint) }
                    p.quiet { (self.code.as_str()) " · " (words.request) " " (request::id()) }
                    p { a.button href="/login" { (words.go_back) } }
                }
            },
        );
        let mut response = page.into_response();
        *response.status_mut() = status;
        for name in [axum::http::header::RETRY_AFTER] {
            if let Some(value) = answer.headers_mut().remove(&name) {
                response.headers_mut().insert(name, value);
            }
        }
        // What middleware reads: that the database was away, that a conflict can be tried again.
        *response.extensions_mut() = std::mem::take(answer.extensions_mut());
        response
    }
}
