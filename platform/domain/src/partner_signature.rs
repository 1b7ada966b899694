//! Signatures of the kind `hmac_sha256`: who sent this callback, and when.
//!
//! A partner signs the timestamp and the raw bytes of the body: hex HMAC-SHA256 over `timestamp "." body`, sent as
//! `X-Partner-Timestamp` (unix seconds) and `X-Partner-Signature`. The check comes before any parsing, takes the
//! same time whatever differs, and accepts any of the partner's active secrets, so that a secret can be replaced
//! without a gap. The timestamp is judged after the signature: only who holds a secret learns what time we have.

use aws_lc_rs::hmac;
use chrono::{DateTime, TimeDelta, Utc};

/// Name of the header with the unix time of signing.
pub const TIMESTAMP_HEADER: &str = "x-partner-timestamp";
/// Name of the header with the signature.
pub const SIGNATURE_HEADER: &str = "x-partner-signature";
/// Name of the header with the partner id.
pub const PARTNER_ID_HEADER: &str = "x-partner-id";
/// How far a partner's clock may be from ours, unless the configuration says otherwise.
pub const TOLERANCE_DEFAULT: TimeDelta = TimeDelta::seconds(300);
/// Unix seconds need ten digits until the year 2286.
const TIMESTAMP_LEN_MAX: usize = 12;

/// A secret shared with one partner for one callback route. Shown nowhere, not even by `Debug`.
#[derive(Clone)]
pub struct PartnerSecret(hmac::Key);

impl PartnerSecret {
    /// The secret's bytes as both sides have them.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

impl std::fmt::Debug for PartnerSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PartnerSecret(…)")
    }
}

/// Why a callback is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A header is absent or not of its form.
    #[error("{0} is missing or malformed")]
    MalformedHeader(&'static str),
    /// No active secret gives this signature for these bytes.
    #[error("the signature does not match")]
    InvalidSignature,
    /// Signed too long ago, or too far ahead.
    #[error("the timestamp is too far from our time")]
    StaleTimestamp,
}

/// What to send in the two headers for `body`, signed at `at`.
pub fn sign(secret: &PartnerSecret, at: DateTime<Utc>, body: &[u8]) -> (String, String) {
    let timestamp = at.timestamp().to_string();
    let mut context = hmac::Context::with_key(&secret.0);
    context.update(timestamp.as_bytes());
    context.update(b".");
    context.update(body);
    (timestamp, hex::encode(context.sign()))
}

/// Checks the two headers against the raw `body`. Returns when it was signed.
///
/// # Errors
/// [`SignatureError`]; with no active secret at all nothing is ever believed.
pub fn verify(
    secrets: &[PartnerSecret],
    timestamp: Option<&str>,
    signature: Option<&str>,
    body: &[u8],
    now: DateTime<Utc>,
    tolerance: TimeDelta,
) -> Result<DateTime<Utc>, SignatureError> {
    let timestamp = timestamp
        .filter(|text| (1..=TIMESTAMP_LEN_MAX).contains(&text.len()))
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or(SignatureError::MalformedHeader(TIMESTAMP_HEADER))?;
    let mut claimed = [0; 32];
    signature
        .and_then(|text| hex::decode_to_slice(text, &mut claimed).ok())
        .ok_or(SignatureError::MalformedHeader(SIGNATURE_HEADER))?;
    let message = [timestamp.as_bytes(), b".", body].concat();
    // Every secret is tried, so that the time taken does not reveal which one matched.
    let matches = secrets
        .iter()
        .filter(|secret| hmac::verify(&secret.0, &message, &claimed).is_ok())
        .count();
    if matches == 0 {
        return Err(SignatureError::InvalidSignature);
    }
    let signed_at: DateTime<Utc> = timestamp
        .parse()
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .ok_or(SignatureError::MalformedHeader(TIMESTAMP_HEADER))?;
    // Whole seconds on both sides: the partner has only those.
    let distance = now.timestamp().abs_diff(signed_at.timestamp());
    if distance > tolerance.num_seconds().unsigned_abs() {
        return Err(SignatureError::StaleTimestamp);
    }
    Ok(signed_at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// [`super::verify`] with the usual tolerance.
    fn verify(
        secrets: &[PartnerSecret],
        timestamp: Option<&str>,
        signature: Option<&str>,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), SignatureError> {
        super::verify(secrets, timestamp, signature, body, now, TOLERANCE_DEFAULT).map(drop)
    }

    const BODY: &[u8] = br#"{"event_id":"e-1","amount":50000}"#;
    const TIMESTAMP: &str = "1800000000";
    /// Computed outside of this program:
    /// `printf '%s' '1800000000.{"event_id":"e-1","amount":50000}' | openssl dgst -sha256 -hmac known-secret`
    const SIGNATURE: &str = "b7132e21f0babec7105ac7e58de693cd6bd7630d4607d90af5ffbd045ee21e74";
    /// The same over an empty body: `printf '%s' '1800000000.' | openssl dgst -sha256 -hmac known-secret`
    const SIGNATURE_EMPTY: &str =
        "134dcfd09dfa7222b13d0f4b007125edf0cf9be0d99bfbd5bfa86a0e2fa6bb79";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn known() -> PartnerSecret {
        PartnerSecret::new(b"known-secret")
    }

    fn check(signature: &str, body: &[u8]) -> Result<(), SignatureError> {
        verify(&[known()], Some(TIMESTAMP), Some(signature), body, at(0))
    }

    #[test]
    fn known_answers_hold() {
        assert_eq!(
            sign(&known(), at(0), BODY),
            (TIMESTAMP.to_owned(), SIGNATURE.to_owned())
        );
        assert_eq!(sign(&known(), at(0), b"").1, SIGNATURE_EMPTY);
        assert_eq!(check(SIGNATURE, BODY), Ok(()));
        assert_eq!(check(&SIGNATURE.to_uppercase(), BODY), Ok(()));
    }

    #[test]
    fn one_changed_byte_is_refused() {
        for position in 0..BODY.len() {
            let mut body = BODY.to_vec();
            body[position] ^= 1;
            assert_eq!(
                check(SIGNATURE, &body),
                Err(SignatureError::InvalidSignature)
            );
        }
        for position in 0..SIGNATURE.len() {
            let mut signature = SIGNATURE.as_bytes().to_vec();
            signature[position] = if signature[position] == b'0' {
                b'1'
            } else {
                b'0'
            };
            let signature = String::from_utf8(signature).unwrap();
            assert_eq!(
                check(&signature, BODY),
                Err(SignatureError::InvalidSignature)
            );
        }
        let other_time = verify(&[known()], Some("1800000001"), Some(SIGNATURE), BODY, at(0));
        assert_eq!(other_time, Err(SignatureError::InvalidSignature));
    }

    #[test]
    fn five_minutes_either_way_are_tolerated_and_no_more() {
        let at_distance = |seconds| {
            verify(
                &[known()],
                Some(TIMESTAMP),
                Some(SIGNATURE),
                BODY,
                at(seconds),
            )
        };
        assert_eq!(at_distance(300), Ok(()));
        assert_eq!(at_distance(-300), Ok(()));
        assert_eq!(at_distance(301), Err(SignatureError::StaleTimestamp));
        assert_eq!(at_distance(-301), Err(SignatureError::StaleTimestamp));
    }

    #[test]
    fn both_active_secrets_are_accepted_and_a_retired_one_is_not() {
        let new = PartnerSecret::new(b"new-secret");
        let check = |secrets: &[PartnerSecret]| {
            verify(secrets, Some(TIMESTAMP), Some(SIGNATURE), BODY, at(0))
        };
        assert_eq!(check(&[new.clone(), known()]), Ok(()));
        assert_eq!(check(&[known(), new.clone()]), Ok(()));
        assert_eq!(check(&[new]), Err(SignatureError::InvalidSignature));
        assert_eq!(check(&[]), Err(SignatureError::InvalidSignature));
    }

    #[test]
    fn headers_that_are_not_of_their_form_are_named() {
        let now = at(0);
        for timestamp in [
            None,
            Some(""),
            Some("soon"),
            Some("-1800000000"),
            Some("1800000000.0"),
            Some("9999999999999"),
        ] {
            let verdict = verify(&[known()], timestamp, Some(SIGNATURE), BODY, now);
            assert_eq!(
                verdict,
                Err(SignatureError::MalformedHeader(TIMESTAMP_HEADER)),
                "{timestamp:?}"
            );
        }
        for signature in [None, Some(""), Some("zz"), Some(&SIGNATURE[2..]), Some("é")] {
            let verdict = verify(&[known()], Some(TIMESTAMP), signature, BODY, now);
            assert_eq!(
                verdict,
                Err(SignatureError::MalformedHeader(SIGNATURE_HEADER)),
                "{signature:?}"
            );
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", known()), "PartnerSecret(…)");
    }

    proptest! {
        #[test]
        fn what_is_signed_is_believed(secret: Vec<u8>, body: Vec<u8>, seconds in 0_i64..10_000_000_000) {
            let secret = PartnerSecret::new(&secret);
            let now = DateTime::from_timestamp(seconds, 0).unwrap();
            let (timestamp, signature) = sign(&secret, now, &body);
            prop_assert_eq!(verify(&[secret], Some(&timestamp), Some(&signature), &body, now), Ok(()));
        }
    }
}
