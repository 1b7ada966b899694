//! Answers: `{"data", "request_id", "timestamp"}`, lists with `next_cursor`.
//!
//! An answer is serialised before its database transaction commits, because the same bytes are
//! stored for a repetition under the same idempotency key.

use std::marker::PhantomData;
use std::ops::Deref;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use service::Reply;
use utoipa::ToSchema;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{ContentBuilder, RefOr, ResponseBuilder, Schema};

use super::error::ApiError;
use super::operation::{Describe, Operation};
use super::request;

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

/// An answer of the form `F` with a `T` inside.
#[derive(Debug)]
pub struct Answer<F, T> {
    reply: Reply,
    content: PhantomData<fn() -> (F, T)>,
}

/// 200: read, or changed.
pub type Data<T> = Answer<form::Data, T>;
/// 201: it was created.
pub type Created<T> = Answer<form::Created, T>;
/// 202: accepted; the work goes on.
pub type Accepted<T> = Answer<form::Accepted, T>;
/// 200: one page of a list.
pub type List<T> = Answer<form::List, T>;
/// 201 without the envelope, where the contract has none.
pub type Bare<T> = Answer<form::Bare, T>;

/// 200: read, or changed.
///
/// # Errors
/// When `data` cannot be written as JSON, which is a bug.
pub fn ok<T: Serialize>(data: &T) -> Result<Data<T>, ApiError> {
    enveloped(data)
}

/// 201: it was created.
///
/// # Errors
/// As [`ok`].
pub fn created<T: Serialize>(data: &T) -> Result<Created<T>, ApiError> {
    enveloped(data)
}

/// 202: accepted; the work goes on.
///
/// # Errors
/// As [`ok`].
pub fn accepted<T: Serialize>(data: &T) -> Result<Accepted<T>, ApiError> {
    enveloped(data)
}

/// 201, created, without the envelope.
///
/// # Errors
/// As [`ok`].
pub fn bare<T: Serialize>(body: &T) -> Result<Bare<T>, ApiError> {
    answer(body)
}

/// One page of a list; see [`super::page`].
///
/// # Errors
/// As [`ok`].
pub(super) fn list<T: Serialize>(
    data: &[T],
    next_cursor: Option<String>,
) -> Result<List<T>, ApiError> {
    answer(&ListEnvelope {
        data,
        next_cursor,
        request_id: request::id(),
        timestamp: request::now(),
    })
}

fn enveloped<F: Form, T: Serialize>(data: &T) -> Result<Answer<F, T>, ApiError> {
    answer(&Envelope {
        data,
        request_id: request::id(),
        timestamp: request::now(),
    })
}

fn answer<F: Form, T>(body: &impl Serialize) -> Result<Answer<F, T>, ApiError> {
    let body = serde_json::to_vec(body).map_err(ApiError::internal)?;
    Ok(Answer {
        reply: Reply {
            status: F::STATUS.as_u16(),
            body: body.into(),
        },
        content: PhantomData,
    })
}

/// The same answer with these fields null, at any depth: stored for a repetition.
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

impl<F, T> Deref for Answer<F, T> {
    type Target = Reply;

    fn deref(&self) -> &Reply {
        &self.reply
    }
}

impl<F, T> IntoResponse for Answer<F, T> {
    fn into_response(self) -> Response {
        response(self.reply)
    }
}

impl<F: Form, T: ToSchema> Describe for Answer<F, T> {
    fn describe(operation: &mut Operation) {
        let data = operation.writes::<T>();
        let answer = ResponseBuilder::new()
            .description(F::DESCRIPTION)
            .content(
                "application/json",
                ContentBuilder::new().schema(Some(F::schema(data))).build(),
            )
            .build();
        operation.answer = Some((F::STATUS.as_u16(), answer));
    }
}

/// The form of an answer around its content.
pub trait Form {
    /// Its status.
    const STATUS: StatusCode;
    /// What the status means here.
    const DESCRIPTION: &'static str;

    /// The schema of the whole, for a content with this schema.
    fn schema(data: RefOr<Schema>) -> RefOr<Schema> {
        envelope_schema(data).into()
    }
}

/// All forms.
#[expect(missing_docs, reason = "described at the type of its answers")]
pub mod form {
    use axum::http::StatusCode;
    use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type};
    use utoipa::openapi::{RefOr, Schema};

    use super::{Form, envelope_schema};

    #[derive(Debug)]
    pub struct Data;
    #[derive(Debug)]
    pub struct Created;
    #[derive(Debug)]
    pub struct Accepted;
    #[derive(Debug)]
    pub struct List;
    #[derive(Debug)]
    pub struct Bare;

    impl Form for Data {
        const STATUS: StatusCode = StatusCode::OK;
        const DESCRIPTION: &'static str = "So it is now";
    }

    impl Form for Created {
        const STATUS: StatusCode = StatusCode::CREATED;
        const DESCRIPTION: &'static str = "Created";
    }

    impl Form for Accepted {
        const STATUS: StatusCode = StatusCode::ACCEPTED;
        const DESCRIPTION: &'static str = "Taken on; the work goes on";
    }

    impl Form for List {
        const STATUS: StatusCode = StatusCode::OK;
        const DESCRIPTION: &'static str = "One page, newest first";

        fn schema(data: RefOr<Schema>) -> RefOr<Schema> {
            let cursor = ObjectBuilder::new()
                .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
                .description(Some("For the next page; null on the last"));
            envelope_schema(ArrayBuilder::new().items(data))
                .property("next_cursor", cursor)
                .required("next_cursor")
                .into()
        }
    }

    impl Form for Bare {
        const STATUS: StatusCode = StatusCode::CREATED;
        const DESCRIPTION: &'static str = "Created";

        fn schema(data: RefOr<Schema>) -> RefOr<Schema> {
            data
        }
    }
}

fn envelope_schema(data: impl Into<RefOr<Schema>>) -> ObjectBuilder {
    let text = |description: &str| {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(description))
    };
    let time = SchemaFormat::KnownFormat(KnownFormat::DateTime);
    ObjectBuilder::new()
        .property("data", data)
        .property("request_id", text("Names the request in our logs"))
        .property("timestamp", text("When it was answered").format(Some(time)))
        .required("data")
        .required("request_id")
        .required("timestamp")
}

/// A use case's answer as a response.
pub fn response(reply: Reply) -> Response {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
