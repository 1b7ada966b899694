//! Request bodies: read whole, once, and deserialised, with an error that names the field to change.
//!
//! Not JSON is 400; JSON of the wrong shape is 422 and names the field; another content type is 415;
//! too large is 413. The body's type decides which fields it may have: writes under `/admin` refuse
//! unknown ones with `#[serde(deny_unknown_fields)]`; devices and partners may send additional ones.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use domain::validation::FieldError;
use serde::de::DeserializeOwned;
use service::Error;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Required, Schema};
use wire::{AmountError, Rupiah};

use super::body_budget::{BodyBudget, BodyReservation, Counted};
use super::error::{ApiError, ErrorCode};
use super::operation::{BODY_ERRORS, Describe, Operation};
use super::rate::Origin;

/// A type that a body is deserialised into.
pub trait FromBody: Sized {
    /// Deserialises it.
    ///
    /// # Errors
    /// What the client has to change.
    fn from_body(headers: &HeaderMap, body: &[u8]) -> Result<Self, ApiError>;
}

/// A JSON body.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// The JSON body of an action without required parameters: may be left out.
#[derive(Debug)]
pub struct Action<T>(pub T);

/// An action without any parameters: no body, or `{}`.
#[derive(Debug, Clone, Copy, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl<T: DeserializeOwned> FromBody for Json<T> {
    fn from_body(headers: &HeaderMap, body: &[u8]) -> Result<Self, ApiError> {
        require_json(headers)?;
        parse(body).map(Self)
    }
}

impl<T: DeserializeOwned> FromBody for Action<T> {
    fn from_body(headers: &HeaderMap, body: &[u8]) -> Result<Self, ApiError> {
        if body.is_empty() {
            return parse(b"{}").map(Self);
        }
        Json::from_body(headers, body).map(|Json(value)| Self(value))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        from_request(request, state).await
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Action<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        from_request(request, state).await
    }
}

impl<T: ToSchema> Describe for Json<T> {
    fn describe(operation: &mut Operation) {
        describe::<T>(operation, Required::True);
    }
}

impl<T: ToSchema> Describe for Action<T> {
    fn describe(operation: &mut Operation) {
        describe::<T>(operation, Required::False);
    }
}

fn describe<T: ToSchema>(operation: &mut Operation, required: Required) {
    operation.takes_body::<T>(required);
    operation.fails(&BODY_ERRORS);
}

async fn from_request<S: Send + Sync, B: FromBody>(
    request: Request,
    state: &S,
) -> Result<B, ApiError> {
    let headers = request.headers().clone();
    let body = read_whole(request, state).await?;
    B::from_body(&headers, &body)
}

/// The bytes of the body, up to the limit that the router sets and within the budget of all bodies.
pub(super) async fn read_whole<S: Send + Sync>(
    mut request: Request,
    state: &S,
) -> Result<Bytes, ApiError> {
    let budget = request.extensions_mut().remove::<Arc<BodyBudget>>();
    let origin = request.extensions().get::<Origin>();
    let address = origin.and_then(|Origin(address)| *address);
    let mut tally = None;
    let request = match budget {
        None => request,
        Some(budget) => request.map(|body| {
            let (counted, counts) = Counted::new(body, BodyReservation::none(&budget, address));
            tally = Some(counts);
            Body::new(counted)
        }),
    };
    let read = Bytes::from_request(request, state).await;
    let Some(tally) = tally else {
        return read.map_err(|rejection| unread(&rejection));
    };
    match read {
        Ok(bytes) => Ok(tally.keep_with(bytes)),
        Err(_) if tally.was_refused() => {
            metrics::counter!("http_bodies_refused_total").increment(1);
            Err(ApiError::unavailable(
                "too many requests are being received at the moment",
                None,
            ))
        }
        Err(rejection) => Err(unread(&rejection)),
    }
}

fn unread(rejection: &BytesRejection) -> ApiError {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::new(ErrorCode::PayloadTooLarge, "the body is too large")
        }
        _ => ApiError::new(ErrorCode::MalformedRequest, "the body could not be read"),
    }
}

/// `application/json` or a type built upon it (`application/merge-patch+json`).
fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let essence = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|essence| essence.trim().to_ascii_lowercase());
    match essence {
        Some(essence) if essence == "application/json" || is_built_upon_json(&essence) => Ok(()),
        _ => Err(ApiError::new(
            ErrorCode::UnsupportedMediaType,
            "the Content-Type must be application/json",
        )),
    }
}

fn is_built_upon_json(essence: &str) -> bool {
    essence.starts_with("application/") && essence.ends_with("+json")
}

/// Deserialises a body.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = wire::codec::json_text(body);
    let malformed = || ApiError::new(ErrorCode::MalformedRequest, "the body is not valid JSON");
    // A body that is not JSON is reported as that, whatever else is wrong with its beginning.
    let is_json = || serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        match error.into_inner() {
            error if error.is_data() && is_json() => wrong_shape(&path, &error),
            _ => malformed(),
        }
    })?;
    deserializer.end().map_err(|_| malformed())?;
    // serde also reads a struct from an array, in the order of its fields.
    if body.first() == Some(&b'[') {
        return Err(ApiError::field("", "expected an object"));
    }
    Ok(value)
}

/// The field that an error is about, and the problem.
fn wrong_shape(path: &str, error: &serde_json::Error) -> ApiError {
    let text = error.to_string();
    // The position in the text does not help a client that generated it.
    let reason = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(reason, _)| reason);
    let named = |prefix: &str| {
        let name = reason.strip_prefix(prefix)?.split('`').next()?;
        let parent = path
            .strip_suffix(name)
            .unwrap_or(path)
            .trim_end_matches('.');
        Some(if parent.is_empty() {
            name.to_owned()
        } else {
            format!("{parent}.{name}")
        })
    };
    let (field, message) = if let Some(field) = named("missing field `") {
        (field, "is required".to_owned())
    } else if let Some(field) = named("unknown field `") {
        (field, "is not a field of this request".to_owned())
    } else if let Some(field) = named("duplicate field `") {
        (field, "is there twice".to_owned())
    } else {
        (
            if path == "." {
                String::new()
            } else {
                path.to_owned()
            },
            reason.to_owned(),
        )
    };
    Error::Validation(vec![FieldError::new(field, message)]).into()
}

/// An amount as a client wrote it. Reading it never fails, because a wrong amount has an error code of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount(Result<Rupiah, AmountError>);

impl Amount {
    /// The amount, if it is whole rupiah.
    ///
    /// # Errors
    /// [`Error::InvalidAmount`].
    pub fn rupiah(self) -> Result<Rupiah, Error> {
        self.0
            .map_err(|error| Error::InvalidAmount(error.to_string()))
    }
}

impl utoipa::PartialSchema for Amount {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r"^[0-9]+(\.0{1,2})?$"));
        OneOfBuilder::new()
            .description(Some("Whole rupiah, best as an integer"))
            .item(
                ObjectBuilder::new()
                    .schema_type(Type::Integer)
                    .minimum(Some(1)),
            )
            .item(text)
            .examples([50_000])
            .into()
    }
}

impl ToSchema for Amount {}

impl<'de> serde::Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The text of the number, so that `50000.000000000000000001` is not rounded by a float.
        let raw = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
        Ok(Self(Rupiah::from_json(raw.get())))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Strict {
        name: String,
        #[serde(default)]
        contact: Option<Contact>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Contact {
        email: String,
        age: Option<u8>,
    }

    #[derive(Debug, Deserialize)]
    struct Payment {
        amount: Amount,
    }

    fn complaint(body: &str) -> (ErrorCode, String) {
        let error = parse::<Strict>(body.as_bytes()).unwrap_err();
        let code = error.code();
        (code, format!("{error:?}"))
    }

    #[test]
    fn the_wrong_field_is_named_by_its_path() {
        for (body, field) in [
            (r#"{}"#, "name"),
            (r#"{"name": 7}"#, "name"),
            (r#"{"name": "x", "extra": 1}"#, "extra"),
            (r#"{"name": "x", "name": "y"}"#, "name"),
            (r#"{"name": "x", "contact": {}}"#, "contact.email"),
            (
                r#"{"name": "x", "contact": {"email": "e", "phone": 1}}"#,
                "contact.phone",
            ),
            (
                r#"{"name": "x", "contact": {"email": "e", "age": 300}}"#,
                "contact.age",
            ),
            ("[]", ""),
            ("7", ""),
            ("null", ""),
        ] {
            let (code, text) = complaint(body);
            assert_eq!(code, ErrorCode::ValidationFailed, "{body}");
            assert!(
                text.contains(&format!("\"field\": String({field:?})")),
                "{body}: {text}"
            );
        }
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for body in [
            "",
            "{",
            "{}x",
            "nonsense",
            "[",
            "{\"name\": \"\u{1}\"}",
            "{\"name\": \"x\"}{}",
        ] {
            assert_eq!(complaint(body).0, ErrorCode::MalformedRequest, "{body}");
        }
        assert_eq!(
            parse::<Strict>(b"{\"name\": \"\xff\"}").unwrap_err().code(),
            ErrorCode::MalformedRequest
        );
    }

    #[test]
    fn what_senders_put_around_json_is_skipped() {
        for body in [
            &b"\xef\xbb\xbf{\"name\": \"x\"}"[..],
            b"\r\n {\"name\": \"x\"}\0",
        ] {
            assert_eq!(parse::<Strict>(body).unwrap().name, "x");
        }
    }

    #[test]
    fn amounts_are_read_exactly_or_kept_as_wrong() {
        let read = |text: &str| {
            parse::<Payment>(format!("{{\"amount\":{text}}}").as_bytes())
                .unwrap()
                .amount
                .rupiah()
        };
        for good in ["50000", "50000.0", "\"50000\"", "\"50000.00\""] {
            assert_eq!(read(good).unwrap(), Rupiah::from_i64(50_000), "{good}");
        }
        for wrong in [
            "0.5",
            "50000.000000000000000001",
            "\"many\"",
            "null",
            "true",
            "[1]",
            "{}",
            "1e400",
            "\"50.000\"",
            "\"50,000\"",
            "\" 50000\"",
            "\"5e4\"",
        ] {
            assert!(
                matches!(read(wrong), Err(Error::InvalidAmount(_))),
                "{wrong}"
            );
        }
        assert_eq!(
            parse::<Payment>(b"{}").unwrap_err().code(),
            ErrorCode::ValidationFailed
        );
    }

    #[test]
    fn only_json_is_json() {
        let verdict = |value: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(CONTENT_TYPE, value.parse().unwrap());
            }
            require_json(&headers).map_err(|error| error.code())
        };
        for good in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/merge-patch+json",
        ] {
            assert_eq!(verdict(Some(good)), Ok(()), "{good}");
        }
        for wrong in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("text/json+json"),
        ] {
            assert_eq!(
                verdict(wrong),
                Err(ErrorCode::UnsupportedMediaType),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn an_action_may_come_without_a_body() {
        let headers = HeaderMap::new();
        assert!(Action::<Nothing>::from_body(&headers, b"").is_ok());
        let error = Action::<Strict>::from_body(&headers, b"").unwrap_err();
        assert_eq!(error.code(), ErrorCode::ValidationFailed);
        let error = Action::<Nothing>::from_body(&headers, b"{}").unwrap_err();
        assert_eq!(error.code(), ErrorCode::UnsupportedMediaType);
    }
}
