//! Answers as clients see them: `{"data", "request_id", "timestamp"}`, lists with `next_cursor`.
//!
//! An answer is made as bytes before its database transaction commits, because the same bytes are
//! kept for a repetition under the same idempotency key.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::error::ApiError;
use super::request;
use crate::service::Reply;

#[derive(Serialize)]
struct Envelope<'a, T: ?Sized> {
    data: &'a T,
    request_id: String,
    timestamp: DateTime<Utc>,
}

#[derive(Serialize)]
struct ListEnvelope<'a, T> {
    data: &'a [T],
    next_cursor: Option<String>,
    request_id: String,
    timestamp: DateTime<Utc>,
}

/// 200: it is so, or it was changed.
///
/// # Errors
/// When `data` cannot be written as JSON, which is a bug.
pub fn ok<T: Serialize + ?Sized>(data: &T) -> Result<Reply, ApiError> {
    with_status(StatusCode::OK, data)
}

/// 201: it was created.
///
/// # Errors
/// As [`ok`].
pub fn created<T: Serialize + ?Sized>(data: &T) -> Result<Reply, ApiError> {
    with_status(StatusCode::CREATED, data)
}

/// 202: it was taken on, and goes on.
///
/// # Errors
/// As [`ok`].
pub fn accepted<T: Serialize + ?Sized>(data: &T) -> Result<Reply, ApiError> {
    with_status(StatusCode::ACCEPTED, data)
}

/// An answer without the envelope, where the contract has none.
///
/// # Errors
/// As [`ok`].
pub fn flat<T: Serialize + ?Sized>(status: StatusCode, body: &T) -> Result<Reply, ApiError> {
    let body = serde_json::to_vec(body).map_err(ApiError::internal)?;
    Ok(Reply {
        status: status.as_u16(),
        body: body.into(),
    })
}

/// The same answer with these fields null, wherever they stand: what is kept for a repetition.
///
/// # Errors
/// As [`ok`].
pub fn without(reply: &Reply, secrets: &[&str]) -> Result<Reply, ApiError> {
    fn blank(value: &mut serde_json::Value, secrets: &[&str]) {
        match value {
            serde_json::Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| {
                if secrets.contains(&name.as_str()) {
                    *value = serde_json::Value::Null;
                } else {
                    blank(value, secrets);
                }
            }),
            serde_json::Value::Array(items) => {
                items.iter_mut().for_each(|item| blank(item, secrets))
            }
            _ => {}
        }
    }
    let mut body = serde_json::from_slice(&reply.body).map_err(ApiError::internal)?;
    blank(&mut body, secrets);
    Ok(Reply {
        status: reply.status,
        body: serde_json::to_vec(&body)
            .map_err(ApiError::internal)?
            .into(),
    })
}

/// One page of a list; see [`super::page`].
///
/// # Errors
/// As [`ok`].
pub(super) fn list<T: Serialize>(
    data: &[T],
    next_cursor: Option<String>,
) -> Result<Reply, ApiError> {
    let envelope = ListEnvelope {
        data,
        next_cursor,
        request_id: request::id(),
        timestamp: request::now(),
    };
    flat(StatusCode::OK, &envelope)
}

fn with_status<T: Serialize + ?Sized>(status: StatusCode, data: &T) -> Result<Reply, ApiError> {
    flat(
        status,
        &Envelope {
            data,
            request_id: request::id(),
            timestamp: request::now(),
        },
    )
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}
