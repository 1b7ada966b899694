//! CSV (RFC 4180) in bodies and answers.

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Required, ResponseBuilder};

use super::error::{ApiError, ErrorCode};
use super::json::FromBody;
use super::operation::{BODY_ERRORS, Describe, Operation};

const CSV: &str = "text/csv";

/// A body that is a CSV file, as its bytes: spreadsheets write it in several character sets.
#[derive(Debug)]
pub struct Csv(pub Vec<u8>);

impl FromBody for Csv {
    fn from_body(headers: &HeaderMap, body: &[u8]) -> Result<Self, ApiError> {
        let essence = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next());
        if !essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(CSV)) {
            return Err(ApiError::new(
                ErrorCode::UnsupportedMediaType,
                "the Content-Type must be text/csv",
            ));
        }
        Ok(Self(body.to_vec()))
    }
}

impl Describe for Csv {
    fn describe(operation: &mut Operation) {
        let text = ObjectBuilder::new().schema_type(Type::String);
        operation.body = Some(
            RequestBodyBuilder::new()
                .required(Some(Required::True))
                .content(CSV, ContentBuilder::new().schema(Some(text)).build())
                .build(),
        );
        operation.fails(&BODY_ERRORS);
    }
}

/// An answer that is a CSV file, sent while it is made.
pub struct CsvFile {
    body: Body,
    disposition: HeaderValue,
}

impl CsvFile {
    /// A file with this name, which has only characters of ids.
    pub(super) fn named(name: &str, body: Body) -> Self {
        let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""))
            .unwrap_or(HeaderValue::from_static("attachment"));
        Self { body, disposition }
    }
}

impl IntoResponse for CsvFile {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(CSV));
        headers.insert(CONTENT_DISPOSITION, self.disposition);
        response
    }
}

impl Describe for CsvFile {
    fn describe(operation: &mut Operation) {
        // A body that is no JSON has no schema in OpenAPI 3.1.
        let answer = ResponseBuilder::new()
            .description("The file")
            .content(CSV, ContentBuilder::new().build())
            .build();
        operation.answer = Some((200, answer));
    }
}

/// One row; whole numbers are numbers, and everything else is [`plain`].
///
/// # Errors
/// None that happens: it is written to memory.
pub(super) fn row(cells: &[&str]) -> Result<Vec<u8>, ApiError> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    let cells = cells.iter().map(|cell| match cell.parse::<i64>() {
        Ok(_) => (*cell).to_owned(),
        Err(_) => plain(cell),
    });
    writer.write_record(cells).map_err(ApiError::internal)?;
    writer
        .into_inner()
        .map_err(|error| ApiError::internal(anyhow::anyhow!("{error}")))
}

/// A cell that a spreadsheet takes for text: what boxes and people wrote must not run as a formula.
fn plain(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_is_text() {
        assert_eq!(plain("=HYPERLINK(\"x\")"), "'=HYPERLINK(\"x\")");
        assert_eq!(plain("1.0.3"), "1.0.3");
        assert_eq!(plain(""), "");
    }

    #[test]
    fn numbers_stay_numbers_in_a_row() {
        let written = |cell: &str| String::from_utf8(row(&[cell, "x"]).unwrap()).unwrap();
        assert_eq!(written("-5000"), "-5000,x\r\n");
        assert_eq!(written("-5000;"), "'-5000;,x\r\n");
        assert_eq!(written("a,\"b\""), "\"a,\"\"b\"\"\",x\r\n");
    }

    #[test]
    fn another_content_type_is_refused() {
        let of = |content_type: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            Csv::from_body(&headers, b"a,b\n")
                .map(|csv| csv.0)
                .map_err(|error| error.code())
        };
        assert_eq!(of("text/csv"), Ok(b"a,b\n".to_vec()));
        assert_eq!(of("Text/CSV; charset=utf-8"), Ok(b"a,b\n".to_vec()));
        assert_eq!(of("application/json"), Err(ErrorCode::UnsupportedMediaType));
    }
}
