//! SNAP's signatures: HMAC-SHA512 with a token, SHA256withRSA without one, SHA256withRSA for the token itself.
//!
//! | what | text that is signed |
//! |---|---|
//! | symmetric | `METHOD:path:token:hash:timestamp` |
//! | asymmetric | `METHOD:path:hash:timestamp` |
//! | access token | `clientId|timestamp` |
//!
//! `hash` is the lower-case hex SHA-256 of the minified body. Signatures travel in base64. Timestamps are RFC 3339 and
//! are signed as they stand. The signature is judged before the time: only who holds a key learns what time we have.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone as _, Utc};

use super::minify::minify;
use crate::partner_message::Times;
use crate::partner_signature::SignatureError;

/// Name of the header with the time of signing.
pub const TIMESTAMP_HEADER: &str = "x-timestamp";
/// Name of the header with the signature.
pub const SIGNATURE_HEADER: &str = "x-signature";
/// Name of the header with the client id of a token request.
pub const CLIENT_KEY_HEADER: &str = "x-client-key";
/// Name of the header that names the message, once a day.
pub const EXTERNAL_ID_HEADER: &str = "x-external-id";
/// `2020-12-21T10:30:34.123456789+07:00`, and a little.
const TIMESTAMP_LEN_MAX: usize = 40;
/// 8192 bits in hex.
const SIGNATURE_LEN_MAX: usize = 2048;

/// A secret for HMAC-SHA512, shared with one partner. Shown nowhere.
#[derive(Clone)]
pub struct ClientSecret(hmac::Key);

/// A partner's RSA key, 2048 to 8192 bits.
#[derive(Clone)]
pub struct PublicKey(Vec<u8>);

/// Our own RSA key. Shown nowhere.
pub struct PrivateKey(RsaKeyPair);

/// How signatures are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As the standard has it.
    #[default]
    Base64,
    /// In either case.
    Hex,
    /// Whichever it is.
    Either,
}

/// What of a body is hashed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BodyHash {
    /// The body without white space, as the standard has it.
    #[default]
    Minified,
    /// The body as it is sent.
    Raw,
    /// Either of them.
    Either,
}

/// How a partner's signatures differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Form {
    /// How they are written.
    pub encoding: Encoding,
    /// What they cover.
    pub body_hash: BodyHash,
}

/// A key that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RSA key of 2048 to 8192 bits")]
pub struct KeyError;

impl ClientSecret {
    /// The secret's bytes as both sides have them.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA512, secret))
    }
}

impl PublicKey {
    /// A key from the DER of its SubjectPublicKeyInfo.
    pub fn from_der(der: &[u8]) -> Self {
        Self(der.to_vec())
    }

    fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.0)
            .verify(text, signature)
            .is_ok()
    }
}

impl PrivateKey {
    /// A key from its PKCS#8 DER.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        RsaKeyPair::from_pkcs8(der).map(Self).map_err(|_| KeyError)
    }

    fn sign(&self, text: &[u8]) -> String {
        let mut signature = vec![0; self.0.public_modulus_len()];
        // PKCS#1 v1.5 takes no randomness; it fails only for a buffer of another size.
        self.0
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                text,
                &mut signature,
            )
            .expect("the buffer has the size of the modulus");
        STANDARD.encode(signature)
    }

    /// The half that the other side has.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().to_vec())
    }
}

macro_rules! hidden {
    ($($name:ident),+) => {
        $(impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        })+
    };
}

hidden!(ClientSecret, PublicKey, PrivateKey);

/// A request that is, or was, signed.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// In upper case.
    pub method: &'a str,
    /// The path, with its query if there is one.
    pub path: &'a str,
    /// The raw body.
    pub body: &'a [u8],
    /// X-TIMESTAMP, unchanged.
    pub timestamp: &'a str,
}

impl Signed<'_> {
    /// The text that is signed, with the token if there is one.
    fn text(&self, token: Option<&str>, hashed: &[u8]) -> String {
        let hash = hex::encode(digest::digest(&digest::SHA256, hashed));
        let (method, path, timestamp) = (self.method, self.path, self.timestamp);
        match token {
            Some(token) => format!("{method}:{path}:{token}:{hash}:{timestamp}"),
            None => format!("{method}:{path}:{hash}:{timestamp}"),
        }
    }

    /// The texts that a signature of this form may cover.
    fn texts(&self, token: Option<&str>, covers: BodyHash) -> Vec<String> {
        let minified = || self.text(token, &minify(self.body));
        let raw = || self.text(token, self.body);
        match covers {
            BodyHash::Minified => vec![minified()],
            BodyHash::Raw => vec![raw()],
            BodyHash::Either => vec![minified(), raw()],
        }
    }

    /// The symmetric signature in a partner's form, with its token unless its signatures cover none. Where it takes either
    /// form it gets the standard's.
    pub fn sign_symmetric(&self, secret: &ClientSecret, token: Option<&str>, form: Form) -> String {
        let text = match form.body_hash {
            BodyHash::Raw => self.text(token, self.body),
            BodyHash::Minified | BodyHash::Either => self.text(token, &minify(self.body)),
        };
        let tag = hmac::sign(&secret.0, text.as_bytes());
        match form.encoding {
            Encoding::Hex => hex::encode(tag),
            Encoding::Base64 | Encoding::Either => STANDARD.encode(tag),
        }
    }

    /// The asymmetric signature.
    pub fn sign_asymmetric(&self, key: &PrivateKey) -> String {
        key.sign(self.text(None, &minify(self.body)).as_bytes())
    }

    /// Checks a symmetric signature with any of the active secrets; without a token, one that covers none.
    ///
    /// # Errors
    /// [`SignatureError`]; with no secret at all nothing is ever believed.
    pub fn verify_symmetric(
        &self,
        secrets: &[ClientSecret],
        token: Option<&str>,
        signature: Option<&str>,
        form: Form,
    ) -> Result<(), SignatureError> {
        let claimed = decode(signature, form.encoding)?;
        let texts = self.texts(token, form.body_hash);
        // Every secret is tried, so that the time taken does not reveal which one matched.
        let matches = secrets
            .iter()
            .flat_map(|secret| texts.iter().map(move |text| (secret, text)))
            .filter(|(secret, text)| {
                let is_right = |claimed| hmac::verify(&secret.0, text.as_bytes(), claimed).is_ok();
                claimed.iter().any(|claimed| is_right(claimed))
            })
            .count();
        (matches > 0)
            .then_some(())
            .ok_or(SignatureError::InvalidSignature)
    }

    /// Checks an asymmetric signature with any of the active keys.
    ///
    /// # Errors
    /// As for [`Signed::verify_symmetric`].
    pub fn verify_asymmetric(
        &self,
        keys: &[PublicKey],
        signature: Option<&str>,
        form: Form,
    ) -> Result<(), SignatureError> {
        let claimed = decode(signature, form.encoding)?;
        let texts = self.texts(None, form.body_hash);
        let is_right = |text: &String| verify(keys, text.as_bytes(), &claimed);
        (texts.iter().any(is_right))
            .then_some(())
            .ok_or(SignatureError::InvalidSignature)
    }
}

/// The signature of a request for an access token.
pub fn sign_token_request(key: &PrivateKey, client_id: &str, timestamp: &str) -> String {
    key.sign(format!("{client_id}|{timestamp}").as_bytes())
}

/// Checks the signature of a request for an access token.
///
/// # Errors
/// As for [`Signed::verify_symmetric`].
pub fn verify_token_request(
    keys: &[PublicKey],
    client_id: &str,
    timestamp: &str,
    signature: Option<&str>,
) -> Result<(), SignatureError> {
    // Some partners write this one in hex too.
    let claimed = decode(signature, Encoding::Either)?;
    let text = format!("{client_id}|{timestamp}");
    verify(keys, text.as_bytes(), &claimed)
        .then_some(())
        .ok_or(SignatureError::InvalidSignature)
}

/// Whether a timestamp (whose signature was checked) is of now, and when that is. One without a zone is in WIB.
///
/// # Errors
/// [`SignatureError::MalformedHeader`] for what is no date and time to the second, [`SignatureError::StaleTimestamp`].
pub fn verify_time(
    timestamp: &str,
    now: DateTime<Utc>,
    tolerance: TimeDelta,
) -> Result<DateTime<Utc>, SignatureError> {
    let local = || {
        let read = NaiveDateTime::parse_from_str(timestamp, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
        let time = Times::WIB.from_local_datetime(&read).single()?;
        Some(time.to_utc())
    };
    let signed_at = DateTime::parse_from_rfc3339(timestamp)
        .or_else(|_| DateTime::parse_from_str(timestamp, "%Y-%m-%dT%H:%M:%S%.f%#z"))
        .map(|time| time.to_utc())
        .ok()
        .or_else(local)
        .ok_or(SignatureError::MalformedHeader(TIMESTAMP_HEADER))?;
    let distance = now.timestamp().abs_diff(signed_at.timestamp());
    if distance > tolerance.num_seconds().unsigned_abs() {
        return Err(SignatureError::StaleTimestamp);
    }
    Ok(signed_at)
}

/// The X-TIMESTAMP of a request, bounded; whether it is one is judged after the signature.
///
/// # Errors
/// [`SignatureError::MalformedHeader`].
pub fn timestamp_of(header: Option<&str>) -> Result<&str, SignatureError> {
    header
        .filter(|text| (1..=TIMESTAMP_LEN_MAX).contains(&text.len()))
        .ok_or(SignatureError::MalformedHeader(TIMESTAMP_HEADER))
}

fn verify(keys: &[PublicKey], text: &[u8], claimed: &[Vec<u8>]) -> bool {
    keys.iter()
        .any(|key| claimed.iter().any(|claimed| key.verifies(text, claimed)))
}

/// The bytes that a signature may stand for. A text can be both hex and base64.
fn decode(signature: Option<&str>, encoding: Encoding) -> Result<Vec<Vec<u8>>, SignatureError> {
    let malformed = SignatureError::MalformedHeader(SIGNATURE_HEADER);
    let text = signature
        .filter(|text| (1..=SIGNATURE_LEN_MAX).contains(&text.len()))
        .ok_or(malformed)?;
    let base64 = || STANDARD.decode(text).ok();
    let hex = || hex::decode(text).ok();
    let decoded: Vec<Vec<u8>> = match encoding {
        Encoding::Base64 => base64().into_iter().collect(),
        Encoding::Hex => hex().into_iter().collect(),
        Encoding::Either => hex().into_iter().chain(base64()).collect(),
    };
    if decoded.is_empty() {
        return Err(malformed);
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"latestTransactionStatus": "00"}"#;

    fn request() -> Signed<'static> {
        Signed {
            method: "POST",
            path: "/v1.0/qr/qr-mpm-notify",
            body: BODY,
            timestamp: "2024-05-02T14:43:08+07:00",
        }
    }

    #[test]
    fn what_is_signed_symmetrically_is_believed_and_nothing_else() {
        let (old, new) = (ClientSecret::new(b"old"), ClientSecret::new(b"new"));
        let signature = request().sign_symmetric(&old, Some("token"), Form::default());
        let check = |request: Signed<'_>, secrets: &[ClientSecret], token| {
            request.verify_symmetric(secrets, Some(token), Some(&signature), Form::default())
        };
        assert_eq!(
            check(request(), &[new.clone(), old.clone()], "token"),
            Ok(())
        );
        let refused = Err(SignatureError::InvalidSignature);
        assert_eq!(check(request(), &[new], "token"), refused);
        assert_eq!(check(request(), &[], "token"), refused);
        let secrets = std::slice::from_ref(&old);
        assert_eq!(check(request(), secrets, "other"), refused);
        for changed in [
            Signed {
                method: "PUT",
                ..request()
            },
            Signed {
                path: "/v1.0/qr/qr-mpm-notify2",
                ..request()
            },
            Signed {
                timestamp: "2024-05-02T14:43:09+07:00",
                ..request()
            },
            Signed {
                body: br#"{"latestTransactionStatus": "04"}"#,
                ..request()
            },
            Signed {
                body: br#"{"latestTransactionStatus": "00 "}"#,
                ..request()
            },
        ] {
            assert_eq!(check(changed, secrets, "token"), refused, "{changed:?}");
        }
        // Layout is not signed, as the standard has it.
        let other_layout = Signed {
            body: br#"{ "latestTransactionStatus":"00" }"#,
            ..request()
        };
        assert_eq!(check(other_layout, secrets, "token"), Ok(()));
        for signature in [None, Some(""), Some("%%"), Some("é")] {
            let verdict =
                request().verify_symmetric(secrets, Some("token"), signature, Form::default());
            assert_eq!(
                verdict,
                Err(SignatureError::MalformedHeader(SIGNATURE_HEADER))
            );
        }
    }

    #[test]
    fn a_key_of_our_own_signs_what_its_public_half_verifies() {
        let made = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> =
            aws_lc_rs::encoding::AsDer::as_der(&made).unwrap();
        let key = PrivateKey::from_pkcs8((*pkcs8).as_ref()).unwrap();
        let keys = [key.public_key()];
        let signature = request().sign_asymmetric(&key);
        assert_eq!(
            request().verify_asymmetric(&keys, Some(&signature), Form::default()),
            Ok(())
        );
        let token = sign_token_request(&key, "client", "2024-05-02T14:43:08+07:00");
        assert_eq!(
            verify_token_request(&keys, "client", "2024-05-02T14:43:08+07:00", Some(&token)),
            Ok(())
        );
        assert_eq!(
            request().verify_asymmetric(&keys, Some(&token), Form::default()),
            Err(SignatureError::InvalidSignature)
        );
        assert_eq!(format!("{key:?}"), "PrivateKey(…)");
        assert_eq!(PrivateKey::from_pkcs8(b"no key").unwrap_err(), KeyError);
    }

    #[test]
    fn five_minutes_either_way_are_tolerated_and_no_more() {
        let now = DateTime::parse_from_rfc3339("2024-05-02T07:43:08Z")
            .unwrap()
            .to_utc();
        let check = |text: &str| verify_time(text, now, TimeDelta::seconds(300)).map(drop);
        for timestamp in [
            "2024-05-02T14:43:08+07:00",
            "2024-05-02T07:48:08.999Z",
            "2024-05-02T07:38:08Z",
        ] {
            assert_eq!(check(timestamp), Ok(()), "{timestamp}");
        }
        for timestamp in [
            "2024-05-02T07:48:09Z",
            "2024-05-02T07:38:07Z",
            "2024-05-02T14:43:08Z",
        ] {
            assert_eq!(
                check(timestamp),
                Err(SignatureError::StaleTimestamp),
                "{timestamp}"
            );
        }
        for timestamp in ["1714635788", "2024-05-02 07:43", "soon"] {
            assert_eq!(
                check(timestamp),
                Err(SignatureError::MalformedHeader(TIMESTAMP_HEADER))
            );
        }
        assert!(timestamp_of(None).is_err() && timestamp_of(Some("")).is_err());
    }
}
