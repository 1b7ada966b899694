//! A partner that speaks SNAP BI. It does not sign with the platform's own code.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use platform::config::{Config, NotifySignature, QrisPartner, QrisProfile};
use reqwest::Method;
use serde_json::{Value, json};
use service::clock::Clock;
use wire::TransactionId;

use crate::api::{Answer, Api};
use crate::world::World;

/// The partner's id.
pub const BANK: &str = "bank";
/// The path of its notifications.
pub const NOTIFY: &str = "/v1.0/qr/qr-mpm-notify";
/// The path of its token requests.
pub const TOKEN: &str = "/v1.0/access-token/b2b";
/// The client secret of its symmetric signatures.
pub const SECRET: &str = "the client secret of the bank";

/// The partner.
pub struct SnapPartner {
    api: Api,
    clock: Clock,
    key: RsaKeyPair,
    asymmetric: bool,
}

/// An RSA key, and its public half as PEM.
pub fn new_key() -> (RsaKeyPair, String) {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    let pem = pem("PUBLIC KEY", (*der).as_ref());
    (key, pem)
}

/// The private half as PEM.
pub fn private_pem(key: &RsaKeyPair) -> String {
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    pem("PRIVATE KEY", (*der).as_ref())
}

fn pem(label: &str, der: &[u8]) -> String {
    let lines: Vec<String> = STANDARD
        .encode(der)
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// Configures the partner with these keys, as the one that merchants are registered with.
pub fn configure(config: &mut Config, public_pem: &str, signature: NotifySignature) {
    let write = |name: &str, text: &str| {
        let file = config.data_dir.join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let partner = QrisPartner {
        profile: QrisProfile::Snap,
        secret_files: vec![write("bank.secret", SECRET)],
        public_key_files: vec![write("bank.pem", public_pem)],
        notify_signature: signature,
        ..QrisPartner::default()
    };
    config.qris_partners.insert(BANK.to_owned(), partner);
    config.payments.qr_partner = BANK.to_owned();
}

/// A platform whose merchants are registered with the partner.
pub async fn world(signature: NotifySignature) -> (World, SnapPartner) {
    world_with(signature, |_| {}).await
}

/// The same with another configuration.
pub async fn world_with(
    signature: NotifySignature,
    change: impl FnOnce(&mut Config),
) -> (World, SnapPartner) {
    let (key, public_pem) = new_key();
    let world = World::with(|config| {
        configure(config, &public_pem, signature);
        change(config);
    })
    .await;
    let partner = SnapPartner {
        api: world.anonymous(),
        clock: world.clock.clone(),
        key,
        asymmetric: signature == NotifySignature::Asymmetric,
    };
    (world, partner)
}

/// A signed notification; tests change any of its parts before it is sent.
#[derive(Debug, Clone)]
pub struct SignedRequest {
    /// The path.
    pub path: String,
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// The raw body.
    pub body: Vec<u8>,
}

impl SignedRequest {
    /// The same with another header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The same without a header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(other, _)| *other == name);
        found.unwrap().1.clone()
    }
}

/// X-TIMESTAMP at a time.
pub fn timestamp(at: DateTime<Utc>) -> String {
    let jakarta = FixedOffset::east_opt(7 * 3600).unwrap();
    at.with_timezone(&jakarta)
        .to_rfc3339_opts(SecondsFormat::Secs, false)
}

/// An X-EXTERNAL-ID that no other message has.
pub fn external_id() -> String {
    format!("{:032}", rand::random::<u64>())
}

impl SnapPartner {
    fn rsa(&self, text: &str) -> String {
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                text.as_bytes(),
                &mut signature,
            )
            .unwrap();
        STANDARD.encode(signature)
    }

    /// Requests a token with these headers.
    pub async fn ask_token(&self, timestamp: &str, signature: &str, body: &Value) -> Answer {
        let headers = [
            ("x-client-key", BANK),
            ("x-timestamp", timestamp),
            ("x-signature", signature),
        ];
        self.api.post_with(TOKEN, &headers, body).await
    }

    /// The signature of a request for a token.
    pub fn sign_token(&self, client: &str, timestamp: &str) -> String {
        self.rsa(&format!("{client}|{timestamp}"))
    }

    /// A new token.
    pub async fn token(&self) -> String {
        let now = timestamp(self.clock.now());
        let signature = self.sign_token(BANK, &now);
        let grant = json!({ "grantType": "client_credentials" });
        let answer = self.ask_token(&now, &signature, &grant).await.expect(200);
        let body = answer.json();
        assert_eq!(body["responseCode"], "2007300");
        assert_eq!(
            (&body["tokenType"], &body["expiresIn"]),
            (&json!("Bearer"), &json!("900"))
        );
        body["accessToken"].as_str().unwrap().to_owned()
    }

    /// Signs a compact body for a path, with a token if the partner signs symmetrically.
    pub fn sign(&self, path: &str, body: &[u8], token: &str, at: DateTime<Utc>) -> SignedRequest {
        let timestamp = timestamp(at);
        let hash = hex::encode(digest::digest(&digest::SHA256, body));
        let signature = if self.asymmetric {
            self.rsa(&format!("POST:{path}:{hash}:{timestamp}"))
        } else {
            let key = hmac::Key::new(hmac::HMAC_SHA512, SECRET.as_bytes());
            let text = format!("POST:{path}:{token}:{hash}:{timestamp}");
            STANDARD.encode(hmac::sign(&key, text.as_bytes()))
        };
        SignedRequest {
            path: path.to_owned(),
            headers: vec![
                ("x-partner-id", BANK.to_owned()),
                ("x-timestamp", timestamp),
                ("x-signature", signature),
                ("x-external-id", external_id()),
                ("channel-id", "95221".to_owned()),
                ("authorization", format!("Bearer {token}")),
            ],
            body: body.to_vec(),
        }
    }

    /// Sends it unchanged.
    pub async fn post(&self, request: &SignedRequest) -> Answer {
        let headers: Vec<(&str, &str)> = request
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let body = Some(request.body.clone());
        self.api
            .call(Method::POST, &request.path, &headers, body)
            .await
    }

    /// Sends a notification about a dynamic code; the answer must be a success.
    pub async fn notify(&self, id: TransactionId, amount: i64, reference: &str, status: &str) {
        let body = notification(id, amount, reference, status);
        self.send_ok(&body).await;
    }

    /// Signs now and sends; the answer must be a success.
    pub async fn send_ok(&self, body: &Value) {
        assert_eq!(self.send(body).await, "2005200", "{body}");
    }

    /// Signs now and sends; the response code.
    pub async fn send(&self, body: &Value) -> String {
        let token = if self.asymmetric {
            String::new()
        } else {
            self.token().await
        };
        let bytes = body.to_string().into_bytes();
        let request = self.sign(NOTIFY, &bytes, &token, self.clock.now());
        code(&self.post(&request).await)
    }
}

/// The response code of an answer in SNAP's form; it must agree with the HTTP status.
pub fn code(answer: &Answer) -> String {
    let body = answer.json();
    assert!(body["responseMessage"].is_string(), "{answer}");
    let code = body["responseCode"].as_str().unwrap().to_owned();
    assert_eq!(code[..3], answer.status.to_string(), "{answer}");
    code
}

/// The body of a notification about a dynamic code.
pub fn notification(id: TransactionId, amount: i64, reference: &str, status: &str) -> Value {
    json!({
        "originalReferenceNo": reference,
        "originalPartnerReferenceNo": id,
        "latestTransactionStatus": status,
        "transactionStatusDesc": "as it is",
        "amount": { "value": format!("{amount}.00"), "currency": "IDR" },
        "additionalInfo": { "rrn": "000019001390", "issuer": "Bank Contoh" },
    })
}
