//! How an acquirer's messages are signed, and the check: on the bytes as they came, before anything means anything.
//!
//! | kind | what is signed |
//! |---|---|
//! | `hmac_sha256` | timestamp, point, raw body: [`crate::partner_signature`] |
//! | `snap_symmetric` | method, path, our access token, hash of the body, timestamp: [`crate::snap::signature`] |
//! | `snap_symmetric_without_token` | the same without the token |
//! | `snap_asymmetric` | the same without the token, with the acquirer's RSA key |
//! | `midtrans_sha512`, `doku_words` | some fields and the secret, hashed: the dialect's `digest`. Fields outside of it are not signed |
//! | `static_token` | nothing: a header holds the secret itself |
//!
//! The last three kinds carry no time: only the payment's reference keeps a message from counting twice.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use chrono::{DateTime, TimeDelta, Utc};

use super::digest::Digest;
use super::secret::SharedSecret;
use crate::partner_signature::{self, PartnerSecret, SignatureError};
use crate::snap::signature::{ClientSecret, Form, PublicKey, Signed, timestamp_of, verify_time};
use crate::text_enum::text_enum;

text_enum! {
    /// A way of signing.
    pub enum SignatureKind as "kind of signature" {
        /// HMAC-SHA256 over time and body.
        HmacSha256 = "hmac_sha256",
        /// SNAP's HMAC-SHA512 with an access token of ours.
        SnapSymmetric = "snap_symmetric",
        /// SNAP's SHA256withRSA.
        SnapAsymmetric = "snap_asymmetric",
        /// SNAP's HMAC-SHA512 without a token.
        SnapSymmetricWithoutToken = "snap_symmetric_without_token",
        /// SHA-512 over some fields and the secret.
        MidtransSha512 = "midtrans_sha512",
        /// The secret in a header.
        StaticToken = "static_token",
        /// A hash over some fields and the secret.
        DokuWords = "doku_words",
    }
}

impl SignatureKind {
    /// Whether a shared secret is needed to check it.
    pub const fn needs_secret(self) -> bool {
        !matches!(self, Self::SnapAsymmetric)
    }

    /// Whether the acquirer's RSA key is needed, also to give it a token.
    pub const fn needs_key(self) -> bool {
        matches!(self, Self::SnapSymmetric | Self::SnapAsymmetric)
    }

    /// Whether the dialect's `digest` says what is signed.
    pub const fn needs_digest(self) -> bool {
        matches!(self, Self::MidtransSha512 | Self::DokuWords)
    }
}

/// The headers of a message, by their names in lower case.
#[derive(Debug, Clone, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// These headers.
    pub fn new(all: Vec<(String, String)>) -> Self {
        Self(all)
    }

    /// The first of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// What a partner's messages are checked with: all that is active now. Those that no kind of its dialect needs are empty.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// For `hmac_sha256`.
    pub hmac_sha256: Vec<PartnerSecret>,
    /// For SNAP's symmetric signatures.
    pub snap: Vec<ClientSecret>,
    /// The partner's RSA keys.
    pub keys: Vec<PublicKey>,
    /// For headers and digests.
    pub shared: Vec<SharedSecret>,
}

impl Credentials {
    /// Takes one of the partner's secrets for every kind that may need it.
    pub fn add_secret(&mut self, secret: &[u8]) {
        self.hmac_sha256.push(PartnerSecret::new(secret));
        self.snap.push(ClientSecret::new(secret));
        self.shared.push(SharedSecret::new(secret));
    }
}

/// A message whose sender is in question.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// In upper case.
    pub method: &'a str,
    /// The path with its query, as it came.
    pub path: &'a str,
    /// Its headers.
    pub headers: &'a Headers,
    /// The raw body.
    pub body: &'a [u8],
    /// The same as a JSON object, when its fields are written in another form.
    pub fields: &'a [u8],
}

/// What a good signature proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven<'a> {
    /// The access token that it covers, which must still be one that we gave to this partner.
    pub token: Option<&'a str>,
    /// When it was signed, by the partner's clock.
    pub signed_at: Option<DateTime<Utc>>,
}

/// How a dialect's messages are signed.
#[derive(Debug, Clone)]
pub struct Signing {
    /// The kinds that are accepted: any of them.
    pub kinds: Vec<SignatureKind>,
    /// How SNAP's signatures are written, and what of the body they cover.
    pub form: Form,
    /// The header of the signature, in lower case; none: the kind's own.
    pub signature_header: Option<String>,
    /// The header of the time of signing.
    pub timestamp_header: Option<String>,
    /// The header of a `static_token`.
    pub token_header: Option<String>,
    pub(super) digest: Option<Digest>,
}

const BEARER: &str = "bearer ";

impl Signing {
    /// The headers that hold credentials, besides those that every message may have: never stored.
    pub fn credential_headers(&self) -> impl Iterator<Item = &str> {
        self.signature_header
            .iter()
            .chain(&self.token_header)
            .map(String::as_str)
    }

    /// Checks a message. With no credentials nothing is ever believed.
    ///
    /// # Errors
    /// [`SignatureError::StaleTimestamp`] when it is signed by the partner too long ago; else why it is not believed.
    pub fn verify<'a>(
        &self,
        evidence: &Evidence<'a>,
        credentials: &Credentials,
        now: DateTime<Utc>,
        tolerance: TimeDelta,
    ) -> Result<Proven<'a>, SignatureError> {
        let mut refusal = SignatureError::InvalidSignature;
        for (at, kind) in self.kinds.iter().enumerate() {
            match self.verify_kind(*kind, evidence, credentials, now, tolerance) {
                Ok(proven) => return Ok(proven),
                Err(SignatureError::StaleTimestamp) => refusal = SignatureError::StaleTimestamp,
                Err(error) if at == 0 => refusal = error,
                Err(_) => {}
            }
        }
        Err(refusal)
    }

    fn verify_kind<'a>(
        &self,
        kind: SignatureKind,
        evidence: &Evidence<'a>,
        credentials: &Credentials,
        now: DateTime<Utc>,
        tolerance: TimeDelta,
    ) -> Result<Proven<'a>, SignatureError> {
        use crate::snap::signature::{SIGNATURE_HEADER, TIMESTAMP_HEADER};

        let header =
            |own: &Option<String>, usual| evidence.headers.get(own.as_deref().unwrap_or(usual));
        match kind {
            SignatureKind::HmacSha256 => {
                let timestamp = header(&self.timestamp_header, partner_signature::TIMESTAMP_HEADER);
                let signature = header(&self.signature_header, partner_signature::SIGNATURE_HEADER);
                let signed_at = partner_signature::verify(
                    &credentials.hmac_sha256,
                    timestamp,
                    signature,
                    evidence.body,
                    now,
                    tolerance,
                )?;
                Ok(Proven {
                    token: None,
                    signed_at: Some(signed_at),
                })
            }
            SignatureKind::SnapSymmetric
            | SignatureKind::SnapAsymmetric
            | SignatureKind::SnapSymmetricWithoutToken => {
                let timestamp = timestamp_of(header(&self.timestamp_header, TIMESTAMP_HEADER))?;
                let signature = header(&self.signature_header, SIGNATURE_HEADER);
                let signed = Signed {
                    method: evidence.method,
                    path: evidence.path,
                    body: evidence.body,
                    timestamp,
                };
                let mut token = None;
                match kind {
                    SignatureKind::SnapAsymmetric => {
                        signed.verify_asymmetric(&credentials.keys, signature, self.form)?;
                    }
                    SignatureKind::SnapSymmetric => {
                        let given = bearer(evidence.headers).unwrap_or_default();
                        token = Some(given);
                        signed.verify_symmetric(&credentials.snap, token, signature, self.form)?;
                    }
                    _ => signed.verify_symmetric(&credentials.snap, None, signature, self.form)?,
                }
                let signed_at = Some(verify_time(timestamp, now, tolerance)?);
                Ok(Proven { token, signed_at })
            }
            SignatureKind::StaticToken => {
                let name = self.token_header.as_deref().unwrap_or_default();
                let given = evidence
                    .headers
                    .get(name)
                    .ok_or(SignatureError::InvalidSignature)?;
                // Every secret is compared, so that the time taken does not reveal which one matched.
                let matches = credentials
                    .shared
                    .iter()
                    .filter(|secret| {
                        verify_slices_are_equal(secret.bytes(), given.as_bytes()).is_ok()
                    })
                    .count();
                untimed(matches > 0)
            }
            SignatureKind::MidtransSha512 | SignatureKind::DokuWords => {
                let digest = self
                    .digest
                    .as_ref()
                    .ok_or(SignatureError::InvalidSignature)?;
                untimed(digest.is_right(evidence.fields, &credentials.shared))
            }
        }
    }
}

fn untimed<'a>(is_right: bool) -> Result<Proven<'a>, SignatureError> {
    let proven = Proven {
        token: None,
        signed_at: None,
    };
    is_right
        .then_some(proven)
        .ok_or(SignatureError::InvalidSignature)
}

/// The token of `Authorization: Bearer …`.
fn bearer(headers: &Headers) -> Option<&str> {
    let value = headers.get("authorization")?;
    let (scheme, token) = value.split_at_checked(BEARER.len())?;
    scheme
        .eq_ignore_ascii_case(BEARER)
        .then(|| token.trim_matches(' '))
}
