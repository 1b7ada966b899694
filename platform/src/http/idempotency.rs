//! `Idempotency-Key`: a client may repeat a request, and gets the first answer again.
//!
//! ```ignore
//! async fn create(staff: Staff<MerchantWrite>, State(context): State<Context>, request: Keyed<Json<Create>>) -> Answer<Created<Merchant>> {
//!     let mut unit = begin(&context, staff.actor(), request.key).await?;
//!     let merchant = service::shop::merchant::create(&mut unit, request.body.0).await?;
//!     let reply = envelope::created(&merchant)?;
//!     unit.commit_with(&reply).await?;
//!     Ok(reply)
//! }
//! ```

use aws_lc_rs::digest;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderValue;
use axum::http::header::HeaderName;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::Required;
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::error::{ApiError, ErrorCode};
use super::json::{FromBody, read_whole};
use super::operation::{Describe, Idempotency, Operation};
use crate::service::people::token::Principal;
use crate::service::{Actor, Begin, Context, Error, IdempotencyKey, Reply, UnitOfWork};

const KEY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer is a repetition.
const REPLAYED_HEADER: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The longest key, in bytes.
const KEY_LEN_MAX: usize = 128;

/// A request that may carry an idempotency key. Comes after the extractor of who asks.
#[derive(Debug)]
pub struct Keyed<B> {
    /// The key, with what it is bound to.
    pub key: Option<IdempotencyKey>,
    /// The body.
    pub body: B,
}

/// A request that must carry an idempotency key. Comes after the extractor of who asks.
#[derive(Debug)]
pub struct MustKey<B> {
    /// The key, with what it is bound to.
    pub key: IdempotencyKey,
    /// The body.
    pub body: B,
}

impl<S: Send + Sync, B: FromBody> FromRequest<S> for Keyed<B> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let key = key_of(&request)?;
        read(request, state, key)
            .await
            .map(|(key, body)| Self { key, body })
    }
}

impl<S: Send + Sync, B: FromBody> FromRequest<S> for MustKey<B> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let missing = || {
            ApiError::new(
                ErrorCode::IdempotencyKeyRequired,
                "this request needs an Idempotency-Key header",
            )
        };
        let key = key_of(&request)?.ok_or_else(missing)?;
        let (key, body) = read(request, state, Some(key)).await?;
        Ok(Self {
            key: key.ok_or_else(missing)?,
            body,
        })
    }
}

impl<B: Describe> Describe for Keyed<B> {
    fn describe(operation: &mut Operation) {
        describe(operation, Idempotency::Honoured, Required::False);
        B::describe(operation);
    }
}

impl<B: Describe> Describe for MustKey<B> {
    fn describe(operation: &mut Operation) {
        describe(operation, Idempotency::Required, Required::True);
        operation.fails(&[ErrorCode::IdempotencyKeyRequired]);
        B::describe(operation);
    }
}

pub(super) fn describe(operation: &mut Operation, idempotency: Idempotency, required: Required) {
    operation.idempotency = idempotency;
    operation.takes_header(
        "Idempotency-Key",
        required,
        "Names this request, so that it can be repeated; best a UUID",
        ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(KEY_LEN_MAX))
            .pattern(Some("^[!-~]+$")),
    );
    operation.fails(&[ErrorCode::DuplicateRequest, ErrorCode::ValidationFailed]);
}

/// The header's text: 1 to 128 visible ASCII characters.
fn key_of(request: &Request) -> Result<Option<String>, ApiError> {
    let Some(value) = request.headers().get(KEY_HEADER) else {
        return Ok(None);
    };
    let bytes = value.as_bytes();
    let visible = bytes.iter().all(u8::is_ascii_graphic);
    if !visible
        || !(1..=KEY_LEN_MAX).contains(&bytes.len())
        || request.headers().get_all(KEY_HEADER).iter().count() > 1
    {
        return Err(ApiError::field(
            "Idempotency-Key",
            format!("expected one key of 1 to {KEY_LEN_MAX} visible ASCII characters"),
        ));
    }
    Ok(Some(String::from_utf8_lossy(bytes).into_owned()))
}

/// A key whose request is known but for its bytes.
#[derive(Debug, Clone)]
pub(super) struct Scoped {
    scope: String,
    query: String,
    key: String,
}

impl Scoped {
    /// Binds it to the bytes of the request, by their SHA-256.
    pub(super) fn bind(self, sha256: &[u8]) -> IdempotencyKey {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(self.query.as_bytes());
        hash.update(b"\n");
        hash.update(sha256);
        IdempotencyKey {
            scope: self.scope,
            key: self.key,
            request_hash: hash.finish().as_ref().to_vec(),
        }
    }
}

/// The key of a request whose body is too large to be read first. Comes after the extractor of who asks.
///
/// # Errors
/// A key that is none.
pub(super) fn scope_of(request: &Request) -> Result<Option<Scoped>, ApiError> {
    let key = key_of(request)?;
    let principal = principal_of(request)?;
    Ok(key.map(|key| Scoped {
        scope: format!("{principal} {} {}", request.method(), request.uri().path()),
        query: request.uri().query().unwrap_or_default().to_owned(),
        key,
    }))
}

fn principal_of(request: &Request) -> Result<String, ApiError> {
    request
        .extensions()
        .get::<Principal>()
        .map(Principal::name)
        .ok_or_else(|| {
            ApiError::internal(anyhow::anyhow!("a keyed request whose asker is not known"))
        })
}

/// Reads the body and binds the key to who asks, for what, and with which bytes.
async fn read<S: Send + Sync, B: FromBody>(
    request: Request,
    state: &S,
    key: Option<String>,
) -> Result<(Option<IdempotencyKey>, B), ApiError> {
    let principal = principal_of(&request)?;
    let scope = format!("{principal} {} {}", request.method(), request.uri().path());
    let query = request.uri().query().unwrap_or_default().to_owned();
    let headers = request.headers().clone();
    let body = read_whole(request, state).await?;
    let key = key.map(|key| {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(query.as_bytes());
        hash.update(b"\n");
        hash.update(&body);
        IdempotencyKey {
            scope,
            key,
            request_hash: hash.finish().as_ref().to_vec(),
        }
    });
    Ok((key, B::from_body(&headers, &body)?))
}

/// A handler's answer, where it may be a repetition.
pub type Answer<T> = Result<T, Halt>;

/// Why a handler ends before its work is done.
#[derive(Debug)]
pub enum Halt {
    /// It went wrong.
    Error(ApiError),
    /// It was done before; this was the answer.
    Replay(Reply),
}

impl<E: Into<ApiError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl IntoResponse for Halt {
    fn into_response(self) -> Response {
        match self {
            Self::Error(error) => error.into_response(),
            Self::Replay(reply) => {
                let mut response = reply.into_response();
                response
                    .headers_mut()
                    .insert(REPLAYED_HEADER, HeaderValue::from_static("true"));
                response
            }
        }
    }
}

/// Begins a unit of work, unless the same request was answered before.
///
/// # Errors
/// [`Halt::Replay`] with the first answer; [`Error::Duplicate`] when the key belongs to another request, or to
/// one that is being worked on; the database's.
pub async fn begin(
    context: &Context,
    actor: Actor,
    key: Option<IdempotencyKey>,
) -> Result<UnitOfWork, Halt> {
    match context
        .begin_keyed(actor, key)
        .await
        .map_err(|error: Error| Halt::Error(error.into()))?
    {
        Begin::Fresh(unit) => Ok(unit),
        Begin::Replay(reply) => Err(Halt::Replay(reply)),
    }
}
