//! The partner's side of SNAP BI: signatures, tokens, bodies. Written from the standard, independently of the server.

use anyhow::Context;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::Callback;
use crate::api::{Api, ApiError};
use crate::clock;

const TOKEN_PATH: &str = "/v1.0/access-token/b2b";
const NOTIFY_PATH: &str = "/v1.0/qr/qr-mpm-notify";

/// The credentials of a SNAP partner. It has no `Debug`: it holds secrets.
pub struct Snap {
    secret: hmac::Key,
    key: Key,
    token: Mutex<Option<String>>,
}

/// The time in the form of X-TIMESTAMP.
pub fn timestamp(at: DateTime<Utc>) -> String {
    let jakarta = FixedOffset::east_opt(7 * 3600).expect("seven hours are an offset");
    at.with_timezone(&jakarta)
        .to_rfc3339_opts(SecondsFormat::Secs, false)
}

/// SHA-256 in hex of the body without whitespace between its tokens (RFC 8259, section 2).
pub fn body_hash(body: &[u8]) -> String {
    let mut quoted = false;
    let mut escaped = false;
    let minified: Vec<u8> = body
        .iter()
        .copied()
        .filter(|byte| {
            if !quoted {
                quoted = *byte == b'"';
                return !b" \t\r\n".contains(byte);
            }
            quoted = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            true
        })
        .collect();
    hex::encode(digest::digest(&digest::SHA256, &minified))
}

/// The key of symmetric signatures.
pub fn key(secret: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA512, secret.as_bytes())
}

/// HMAC-SHA512 in base64.
fn symmetric(secret: &hmac::Key, text: &str) -> String {
    STANDARD.encode(hmac::sign(secret, text.as_bytes()))
}

/// Whether this is the HMAC-SHA512 of a text, in hex or in base64.
pub fn is_symmetric(secret: &hmac::Key, text: &str, signature: &str, is_hex: bool) -> bool {
    let claimed = match is_hex {
        true => hex::decode(signature).ok(),
        false => STANDARD.decode(signature).ok(),
    };
    claimed.is_some_and(|claimed| hmac::verify(secret, text.as_bytes(), &claimed).is_ok())
}

/// An RSA public key, DER.
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// From PEM.
    pub fn from_pem(pem: &str) -> anyhow::Result<Self> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
            .context("not a public key in PEM")?;
        Ok(Self(der.to_vec()))
    }

    /// Whether this is the SHA256withRSA signature of a text.
    pub fn verifies(&self, text: &str, signature: &str) -> bool {
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.0);
        STANDARD
            .decode(signature)
            .is_ok_and(|claimed| key.verify(text.as_bytes(), &claimed).is_ok())
    }
}

/// A partner's own RSA key. It has no `Debug`: it is secret.
pub struct Key(RsaKeyPair);

impl Key {
    /// From PKCS#8 PEM.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_pem(pem: &str) -> anyhow::Result<Self> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
            .context("not a private key in PKCS#8 PEM")?;
        RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())
            .map(Self)
            .map_err(|error| anyhow::anyhow!("not an RSA key: {error}"))
    }

    /// SHA256withRSA in base64.
    ///
    /// # Errors
    /// A key that does not sign.
    pub fn sign(&self, text: &str) -> Result<String, ApiError> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                text.as_bytes(),
                &mut signature,
            )
            .map_err(|error| ApiError::Transport(error.to_string()))?;
        Ok(STANDARD.encode(signature))
    }
}

impl Snap {
    /// A partner with this client secret and this RSA key (PKCS#8 PEM).
    pub fn new(secret: &str, key_pem: &str) -> anyhow::Result<Self> {
        Ok(Self {
            secret: self::key(secret),
            key: Key::from_pem(key_pem)?,
            token: Mutex::new(None),
        })
    }

    async fn token(&self, api: &Api, id: &str) -> Result<String, ApiError> {
        let mut cached = self.token.lock().await;
        if let Some(token) = cached.as_ref() {
            return Ok(token.clone());
        }
        let now = timestamp(clock::now());
        let signature = self.key.sign(&format!("{id}|{now}"))?;
        let headers = [
            ("x-client-key", id),
            ("x-timestamp", now.as_str()),
            ("x-signature", signature.as_str()),
        ];
        let grant = json!({ "grantType": "client_credentials" });
        let answer = api.post(TOKEN_PATH, None, &headers, &grant).await?;
        let token = answer["accessToken"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        *cached = Some(token.clone());
        Ok(token)
    }

    /// Posts a notification, signed now. An expired token is replaced once.
    pub(super) async fn post(
        &self,
        api: &Api,
        id: &str,
        callback: &Callback,
    ) -> Result<Value, ApiError> {
        let body = body(callback).to_string().into_bytes();
        match self.notify(api, id, &body).await {
            Err(ApiError::Refused { code, .. }) if code == "4015201" => {
                *self.token.lock().await = None;
                self.notify(api, id, &body).await
            }
            answer => answer,
        }
    }

    async fn notify(&self, api: &Api, id: &str, body: &[u8]) -> Result<Value, ApiError> {
        let token = self.token(api, id).await?;
        let now = timestamp(clock::now());
        let hash = body_hash(body);
        let text = format!("POST:{NOTIFY_PATH}:{token}:{hash}:{now}");
        let signature = symmetric(&self.secret, &text);
        let external_id = format!("{:036}", clock::random_uuid().as_u128() % 10_u128.pow(36));
        let headers = [
            ("x-partner-id", id),
            ("x-timestamp", now.as_str()),
            ("x-signature", signature.as_str()),
            ("x-external-id", external_id.as_str()),
            ("channel-id", "95221"),
        ];
        api.post_bytes(NOTIFY_PATH, Some(&token), &headers, body.to_vec())
            .await
    }
}

/// The standard's code of a status.
pub fn status_code(status: &str) -> &str {
    match status {
        "success" => "00",
        "reversed" => "04",
        "expired" => "05",
        "failed" => "06",
        other => other,
    }
}

fn body(callback: &Callback) -> Value {
    let by_id = || callback.transaction_id.map(|id| id.to_string());
    json!({
        "originalReferenceNo": callback.partner_reference,
        "originalPartnerReferenceNo": callback.order_name.clone().or_else(by_id),
        "latestTransactionStatus": status_code(&callback.status),
        "transactionStatusDesc": callback.status,
        "amount": { "value": format!("{}.00", callback.amount), "currency": callback.currency },
        "additionalInfo": {
            "nmid": callback.nmid,
            "terminalLabel": callback.terminal_label,
            "rrn": callback.rrn,
            "paidTime": callback.paid_at,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_not_signed_and_strings_are() {
        let compact = br#"{"a b":"c\" d","e":[1,2]}"#;
        let laid_out = b"{ \"a b\": \"c\\\" d\",\n\t\"e\": [1, 2] }";
        assert_eq!(body_hash(compact), body_hash(laid_out));
        assert_ne!(
            body_hash(compact),
            body_hash(br#"{"ab":"c\" d","e":[1,2]}"#)
        );
        // printf '{}' | sha256sum
        let empty = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(body_hash(b" { } "), empty);
    }
}
