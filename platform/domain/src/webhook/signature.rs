//! Signatures by Standard Webhooks (<https://www.standardwebhooks.com>, version 1.0.0).
//!
//! `webhook-signature: v1,BASE64` is an HMAC-SHA256 over `id "." timestamp "." body`. Each active secret of an endpoint adds
//! one, separated by spaces, so that a receiver can change its secret without a gap.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};

/// The header with the message's id: the same however often it is sent.
pub const ID_HEADER: &str = "webhook-id";
/// The header with the unix seconds of the attempt.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// The header with the signatures.
pub const SIGNATURE_HEADER: &str = "webhook-signature";
/// What a secret's text begins with.
const PREFIX: &str = "whsec_";

/// The secret of an endpoint: 32 random bytes. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The secret with these bytes.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The secret that a receiver was given as text. `None`: not of that form.
    pub fn from_text(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        (!bytes.is_empty()).then_some(Self(bytes))
    }

    /// The text that a receiver is given.
    pub fn to_text(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    /// As it is stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The signature of a message, without its version.
    fn tag(&self, id: &str, timestamp: &str, body: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            context.update(part);
        }
        context.sign()
    }

    /// Whether one of a header's signatures is this secret's. The time it was made is not looked at.
    pub fn verifies(&self, id: &str, timestamp: &str, body: &[u8], header: &str) -> bool {
        let expected = self.tag(id, timestamp, body);
        header
            .split(' ')
            .filter_map(|one| one.strip_prefix("v1,"))
            .filter_map(|one| STANDARD.decode(one).ok())
            .any(|tag| {
                aws_lc_rs::constant_time::verify_slices_are_equal(&tag, expected.as_ref()).is_ok()
            })
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The timestamp and the signatures of a message that is sent at `at`: one signature for each secret.
pub fn header(secrets: &[Secret], id: &str, at: DateTime<Utc>, body: &[u8]) -> (String, String) {
    let timestamp = at.timestamp().to_string();
    let signatures: Vec<String> = secrets
        .iter()
        .map(|secret| {
            let tag = secret.tag(id, &timestamp, body);
            format!("v1,{}", STANDARD.encode(tag.as_ref()))
        })
        .collect();
    (timestamp, signatures.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn the_published_example_has_its_signature() {
        let secret = Secret::from_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let at = DateTime::from_timestamp(1_614_265_330, 0).unwrap();
        let (timestamp, signature) = header(
            &[secret],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            at,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(timestamp, "1614265330");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_signature_is_of_one_secret_and_of_every_byte() {
        let [old, new, other] = [1_u8, 2, 3].map(|byte| Secret::from_bytes(vec![byte; 32]));
        let at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let (timestamp, signatures) = header(&[new.clone(), old.clone()], "msg_1", at, b"{}");
        assert!(new.verifies("msg_1", &timestamp, b"{}", &signatures));
        assert!(old.verifies("msg_1", &timestamp, b"{}", &signatures));
        assert!(!other.verifies("msg_1", &timestamp, b"{}", &signatures));
        assert!(!new.verifies("msg_2", &timestamp, b"{}", &signatures));
        assert!(!new.verifies("msg_1", "1700000001", b"{}", &signatures));
        assert!(!new.verifies("msg_1", &timestamp, b"{ }", &signatures));
        assert!(!new.verifies("msg_1", &timestamp, b"{}", ""));
    }

    #[test]
    fn a_secret_is_read_as_it_is_written() {
        let secret = Secret::from_bytes((0..32).collect());
        assert_eq!(Secret::from_text(&secret.to_text()), Some(secret));
        for wrong in ["", "whsec_", "whsec_!", "AAAA"] {
            assert_eq!(Secret::from_text(wrong), None, "{wrong}");
        }
    }
}
