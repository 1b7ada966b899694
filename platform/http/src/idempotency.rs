//! `Idempotency-Key`: a client may repeat a request and gets the first answer again.
//!
//! Every handler that writes has the same three steps: [`begin`] a unit of work under the request's key, run the use case,
//! [`commit`] with the answer.
//!
//! ```ignore
//! async fn create(staff: Staff<MerchantWrite>, State(context): State<Context>, request: Keyed<Json<Create>>) -> Answer<Created<Merchant>> {
//!     let mut unit = begin(&context, staff.actor(), request.key).await?;
//!     let merchant = service::shop::merchant::create(&mut unit, request.body.0).await?;
//!     commit(unit, envelope::created(&merchant)?).await
//! }
//! ```

use std::ops::Deref;

use aws_lc_rs::digest;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderValue;
use axum::http::header::HeaderName;
use axum::response::{IntoResponse, Response};
use service::people::token::Principal;
use service::{Actor, Begin, Context, Error, IdempotencyKey, Reply, UnitOfWork};
use utoipa::openapi::Required;
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::envelope;
use super::error::{ApiError, ErrorCode};
use super::json::{FromBody, read_whole};
use super::operation::{Describe, Idempotency, Operation};

const KEY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Marks an answer as a repetition.
const REPLAYED_HEADER: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The longest key, in bytes.
const KEY_LEN_MAX: usize = 128;

/// A request that may carry an idempotency key. Comes after the extractor of the caller.
#[derive(Debug)]
pub struct Keyed<B> {
    /// The key, with what it is bound to.
    pub key: Option<IdempotencyKey>,
    /// The body.
    pub body: B,
}

/// A request that must carry an idempotency key. Comes after the extractor of the caller.
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
        let key = scope_of(&request)?;
        let (key, body) = read(request, state, |body| key.map(|key| key.bind(body))).await?;
        Ok(Self { key, body })
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
        let key = scope_of(&request)?.ok_or_else(missing)?;
        let (key, body) = read(request, state, |body| key.bind(body)).await?;
        Ok(Self { key, body })
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

/// A key whose request is known except for its content.
#[derive(Debug, Clone)]
pub(super) struct Scoped {
    scope: String,
    query: String,
    key: String,
}

impl Scoped {
    /// Binds it to the content of the request: the body, or the SHA-256 of a file.
    pub(super) fn bind(self, content: &[u8]) -> IdempotencyKey {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(self.query.as_bytes());
        hash.update(b"\n");
        hash.update(content);
        IdempotencyKey {
            scope: self.scope,
            key: self.key,
            request_hash: hash.finish().as_ref().to_vec(),
        }
    }
}

/// The key of a request, before its content is read. Comes after the extractor of the caller.
///
/// # Errors
/// A header that is not a key.
pub(super) fn scope_of(request: &Request) -> Result<Option<Scoped>, ApiError> {
    let key = key_of(request)?;
    let principal = request
        .extensions()
        .get::<Principal>()
        .map(Principal::name)
        .ok_or_else(|| {
            ApiError::internal(anyhow::anyhow!("a keyed request without a known caller"))
        })?;
    Ok(key.map(|key| Scoped {
        scope: format!("{principal} {} {}", request.method(), request.uri().path()),
        query: request.uri().query().unwrap_or_default().to_owned(),
        key,
    }))
}

/// Reads the body, and binds the key to its bytes.
async fn read<S: Send + Sync, K, B: FromBody>(
    request: Request,
    state: &S,
    bind: impl FnOnce(&[u8]) -> K,
) -> Result<(K, B), ApiError> {
    let headers = request.headers().clone();
    let body = read_whole(request, state).await?;
    Ok((bind(&body), B::from_body(&headers, &body)?))
}

/// A handler's answer, which may be a stored one.
pub type Answer<T> = Result<T, Halt>;

/// Why a handler ends before its work is done.
#[derive(Debug)]
pub enum Halt {
    /// It failed.
    Error(ApiError),
    /// The same request was answered before; this was the answer.
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
                let mut response = envelope::response(reply);
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
/// one that is being handled.
pub async fn begin(
    context: &Context,
    actor: Actor,
    key: impl Into<Option<IdempotencyKey>>,
) -> Result<UnitOfWork, Halt> {
    match context
        .begin_keyed(actor, key.into())
        .await
        .map_err(|error: Error| Halt::Error(error.into()))?
    {
        Begin::Fresh(unit) => Ok(unit),
        Begin::Replay(reply) => Err(Halt::Replay(reply)),
    }
}

/// Commits with the answer, which is stored for the request's idempotency key, and returns it.
///
/// # Errors
/// [`Error::Duplicate`] when another request with this key was answered meanwhile.
pub async fn commit<R: Deref<Target = Reply>>(unit: UnitOfWork, reply: R) -> Answer<R> {
    commit_without(unit, reply, &[]).await
}

/// As [`commit`], for an answer with secrets: a repetition gets it with these fields null.
///
/// # Errors
/// As [`commit`].
pub async fn commit_without<R: Deref<Target = Reply>>(
    unit: UnitOfWork,
    reply: R,
    secrets: &[&str],
) -> Answer<R> {
    // Without secrets the same bytes are stored: writing the JSON again would order its fields otherwise.
    match secrets {
        [] => unit.commit_with(&reply).await?,
        _ => {
            let stored = envelope::without(&reply, secrets)?;
            unit.commit_with(&stored).await?;
        }
    }
    Ok(reply)
}
