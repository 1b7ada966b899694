//! Messages that partners, or senders who claimed to be partners, have sent: for people who inspect one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use store::Page;
use store::payment::callback::{Filter, Received};
use utoipa::ToSchema;
use wire::ids::CallbackId;

use crate::{Context, Error, Noun, Result};

/// What can become of a message.
pub const VERDICTS: [&str; 8] = [
    "accepted",
    "duplicate",
    "unmatched",
    "held",
    "ignored",
    "incident",
    "rejected",
    "failed",
];

/// Which messages are wanted, as a client says it.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each is a filter of the same name")]
pub struct Wanted {
    pub verdict: Option<String>,
    pub partner_id: Option<String>,
    pub from: Option<DateTime<Utc>>,
    pub to: Option<DateTime<Utc>>,
}

/// A message with its bytes.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = CallbackDetail)]
pub struct Detail {
    /// What is known of it.
    #[serde(flatten)]
    pub callback: Received,
    /// Without credentials; null once the bytes are gone.
    #[schema(value_type = Option<Object>)]
    pub headers: Option<Value>,
    /// The body as it came, or its beginning, when that is text; null once the bytes are gone.
    pub body: Option<String>,
    /// The same in base64, whatever it is.
    pub body_base64: Option<String>,
    /// Whether only the beginning of the body was kept.
    pub body_truncated: bool,
}

/// Messages, newest first: verified ones, and refused ones.
///
/// # Errors
/// A verdict that does not exist.
pub async fn list(context: &Context, wanted: Wanted, page: Page) -> Result<Vec<Received>> {
    if let Some(verdict) = &wanted.verdict
        && !VERDICTS.contains(&verdict.as_str())
    {
        return Err(Error::field(
            "verdict",
            format!("expected one of {}", VERDICTS.join(", ")),
        ));
    }
    let filter = Filter {
        verdict: wanted.verdict,
        partner_id: wanted.partner_id,
        from: wanted.from,
        to: wanted.to,
    };
    let mut conn = context.lists().acquire().await?;
    Ok(store::payment::callback::list(&mut conn, &filter, page).await?)
}

/// One message.
///
/// # Errors
/// [`Noun::Callback`] not found.
pub async fn find(context: &Context, id: CallbackId) -> Result<Detail> {
    let mut conn = context.fresh().acquire().await?;
    let kept = match store::payment::callback::find(&mut conn, id).await? {
        Some(kept) => Some(kept),
        None => store::payment::callback::find_rejected(&mut conn, id).await?,
    };
    let kept = kept.ok_or(Error::NotFound(Noun::Callback))?;
    let length = |body: &Vec<u8>| i64::try_from(body.len()).unwrap_or(i64::MAX);
    Ok(Detail {
        body_truncated: kept
            .body
            .as_ref()
            .is_some_and(|body| length(body) < i64::from(kept.callback.body_bytes)),
        body: kept
            .body
            .clone()
            .and_then(|body| String::from_utf8(body).ok()),
        body_base64: kept.body.map(|body| STANDARD.encode(body)),
        headers: kept.headers,
        callback: kept.callback,
    })
}
