//! Tokens, and what is read of a partner's answers. The bodies of what it is asked for are its dialect's
//! ([`crate::dialect::request`]).
//!
//! Of an answer only what is needed is read, as leniently as [`wire::lenient`] reads: partners leave fields out, and write
//! numbers as text and text as numbers.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wire::lenient;

use crate::callback::TEXT_LEN_MAX;
use crate::dialect::outbound::AnswerFields;
use crate::dialect::request::first_of;

/// How long a token is used whose answer does not say, in seconds: less than any partner's.
const TOKEN_LIFETIME_UNSTATED_S: i64 = 300;
/// The longest that a token is used, in seconds.
const TOKEN_LIFETIME_MAX_S: i64 = 86_400;

/// Body of `access-token/b2b`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenRequest {
    /// `client_credentials`.
    pub grant_type: String,
}

/// The one grant that there is between businesses.
pub const CLIENT_CREDENTIALS: &str = "client_credentials";

/// Our answer to `access-token/b2b`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = SnapToken))]
#[serde(rename_all = "camelCase")]
pub struct TokenAnswer {
    /// 2007300.
    pub response_code: String,
    /// For people.
    pub response_message: String,
    /// To be sent as `Authorization: Bearer …`.
    pub access_token: String,
    /// `Bearer`.
    pub token_type: String,
    /// Seconds, as text.
    pub expires_in: String,
}

/// A partner's answer to `access-token/b2b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedToken {
    /// To be sent as `Authorization: Bearer …`.
    pub access_token: String,
    /// For how many seconds it can be used.
    pub lifetime_s: i64,
}

impl GrantedToken {
    /// Reads an answer. `None` without an access token. Where `expiresIn` is missing or unreadable, a short lifetime is
    /// taken for it.
    pub fn read(answer: &Value, fields: &AnswerFields) -> Option<Self> {
        let lifetime_s = first_of(answer, &fields.token_lifetime)
            .and_then(lenient::whole)
            .filter(|seconds| *seconds > 0)
            .unwrap_or(TOKEN_LIFETIME_UNSTATED_S)
            .min(TOKEN_LIFETIME_MAX_S);
        Some(Self {
            access_token: lenient::text(first_of(answer, &fields.token)?)?,
            lifetime_s,
        })
    }
}

/// A partner's answer to `qr-mpm-generate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCode {
    /// The partner's name for the order.
    pub reference_no: Option<String>,
    /// The code.
    pub qr_content: String,
}

impl IssuedCode {
    /// Reads an answer. `None` without a code. A name that is longer than a reference may be is left out: the order is
    /// known to the partner by our transaction too.
    pub fn read(answer: &Value, fields: &AnswerFields) -> Option<Self> {
        Some(Self {
            reference_no: first_of(answer, &fields.reference_no)
                .and_then(lenient::text)
                .filter(|name| name.len() <= TEXT_LEN_MAX && !name.chars().any(char::is_control)),
            qr_content: lenient::text(first_of(answer, &fields.code)?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Where the standard has them.
    fn usual() -> AnswerFields {
        let snap = crate::dialect::built_in("snap").unwrap().unwrap();
        snap.outbound.clone().unwrap().answer
    }

    #[test]
    fn a_token_is_all_that_a_token_answer_needs() {
        for (answer, lifetime_s) in [
            (json!({ "accessToken": "t", "expiresIn": "900" }), 900),
            (json!({ "accessToken": "t", "expiresIn": 900 }), 900),
            (json!({ "accessToken": "t", "expiresIn": 899.0 }), 899),
            (json!({ "accessToken": " t ", "expiresIn": null }), 300),
            (json!({ "accessToken": "t", "expiresIn": "soon" }), 300),
            (json!({ "accessToken": "t", "expiresIn": 0 }), 300),
            (json!({ "accessToken": "t", "expiresIn": [1] }), 300),
            (json!({ "accessToken": "t", "additionalInfo": [] }), 300),
            (
                json!({ "accessToken": "t", "expiresIn": 10_000_000 }),
                86_400,
            ),
        ] {
            let read = GrantedToken::read(&answer, &usual()).unwrap();
            assert_eq!(
                (read.access_token.as_str(), read.lifetime_s),
                ("t", lifetime_s)
            );
        }
        for nothing in [
            json!({}),
            json!({ "accessToken": "" }),
            json!({ "accessToken": {} }),
            json!([]),
        ] {
            assert_eq!(GrantedToken::read(&nothing, &usual()), None);
        }
    }

    #[test]
    fn a_code_is_all_that_a_generate_answer_needs() {
        for (reference, name) in [
            (json!("ORDER-1"), Some("ORDER-1")),
            (json!(2_020_102_977), Some("2020102977")),
            (json!(""), None),
            (json!(null), None),
            (json!({ "no": 1 }), None),
            (json!("x".repeat(129)), None),
        ] {
            let read = IssuedCode::read(
                &json!({ "qrContent": "0002", "referenceNo": reference }),
                &usual(),
            );
            assert_eq!(read.unwrap().reference_no.as_deref(), name);
        }
        assert_eq!(
            IssuedCode::read(&json!({ "referenceNo": "ORDER-1" }), &usual()),
            None
        );
        let alone = IssuedCode::read(&json!({ "qrContent": "0002" }), &usual()).unwrap();
        assert_eq!(alone.reference_no, None);
    }
}
