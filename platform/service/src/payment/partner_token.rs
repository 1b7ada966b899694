//! Access tokens for partners that sign with one: a request signed with the partner's RSA key gets one, for fifteen minutes.

use chrono::TimeDelta;
use domain::partner_signature::SignatureError;
use domain::snap::TOKEN_LIFETIME_S;
use domain::snap::answer::{Answer, Case, Service};
use domain::snap::order::{CLIENT_CREDENTIALS, TokenAnswer};
use domain::snap::signature::{timestamp_of, verify_time, verify_token_request};
use serde_json::Value;
use store::outage::Outage;

use super::callback::of_token;
use crate::{Context, Result, secret};

/// A request for a token, as it came.
#[derive(Debug, Default)]
pub struct TokenClaim {
    /// `X-CLIENT-KEY`.
    pub client_key: Option<String>,
    /// `X-TIMESTAMP`.
    pub timestamp: Option<String>,
    /// `X-SIGNATURE`.
    pub signature: Option<String>,
}

/// A token, or the case of the standard that refuses it.
#[derive(Debug)]
pub enum Issued {
    /// 200.
    Token(TokenAnswer),
    /// Anything else.
    Refused {
        /// The HTTP status.
        http_status: u16,
        /// The body.
        answer: Answer,
        /// What the database lacks, when that is the reason.
        outage: Option<Outage>,
    },
}

impl From<Case> for Issued {
    fn from(case: Case) -> Self {
        Self::Refused {
            http_status: case.status(),
            answer: case.answer(Service::AccessToken),
            outage: None,
        }
    }
}

/// Answers a request for a token at this path. The signature covers client and time, not the body.
pub async fn issue(context: &Context, path: &str, claim: &TokenClaim, body: &[u8]) -> Issued {
    let partner_id = match check(context, path, claim, body) {
        Ok(partner_id) => partner_id,
        Err(case) => return case.into(),
    };
    match insert(context, partner_id).await {
        Ok(token) => Issued::Token(token),
        Err(error) => {
            tracing::error!(%error, "a partner's access token could not be made");
            let outage = error.outage();
            let case = match outage {
                Some(_) => Case::Unavailable,
                None => Case::GeneralError,
            };
            Issued::Refused {
                http_status: case.status(),
                answer: case.answer(Service::AccessToken),
                outage,
            }
        }
    }
}

/// Whose request it is.
fn check<'a>(
    context: &'a Context,
    path: &str,
    claim: &TokenClaim,
    body: &[u8],
) -> std::result::Result<&'a str, Case> {
    let client_key = claim
        .client_key
        .as_deref()
        .ok_or_else(|| Case::InvalidMandatoryField("X-CLIENT-KEY".into()))?;
    let partner = of_token(context, path, client_key);
    let keys = partner.map_or(&[][..], |(_, partner)| &partner.credentials.keys);
    let unauthorized = |error| {
        Case::Unauthorized(match error {
            SignatureError::StaleTimestamp => "Timestamp",
            _ => "Signature",
        })
    };
    let timestamp = timestamp_of(claim.timestamp.as_deref()).map_err(unauthorized)?;
    verify_token_request(keys, client_key, timestamp, claim.signature.as_deref())
        .map_err(unauthorized)?;
    let tolerance = context.settings().timestamp_tolerance;
    verify_time(timestamp, context.clock().now(), tolerance).map_err(unauthorized)?;
    let format = || Case::InvalidFieldFormat("grantType".into());
    let body: Value = serde_json::from_slice(body).map_err(|_| format())?;
    match body.get("grantType") {
        Some(grant) if grant == CLIENT_CREDENTIALS => partner
            .map(|(id, _)| id)
            .ok_or(Case::Unauthorized("Signature")),
        None | Some(Value::Null) => Err(Case::InvalidMandatoryField("grantType".into())),
        Some(_) => Err(format()),
    }
}

async fn insert(context: &Context, partner_id: &str) -> Result<TokenAnswer> {
    let token = secret::token("snap");
    let now = context.clock().now();
    let expires_at = now + TimeDelta::seconds(i64::from(TOKEN_LIFETIME_S));
    let mut conn = context.pool().acquire().await?;
    let hash = secret::hash(&token);
    store::payment::partner_token::insert(&mut conn, &hash, partner_id, now, expires_at).await?;
    let successful = Case::Successful.answer(Service::AccessToken);
    Ok(TokenAnswer {
        response_code: successful.response_code,
        response_message: successful.response_message,
        access_token: token,
        token_type: "Bearer".into(),
        expires_in: TOKEN_LIFETIME_S.to_string(),
    })
}
