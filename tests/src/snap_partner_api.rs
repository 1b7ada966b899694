//! The SNAP partner's own API over HTTP: tokens, codes, queries, refunds. It accepts signed requests only.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use aws_lc_rs::{digest, hmac};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::qris::{QrisCode, Reference};
use domain::registration::Registration;
use platform::config::{Config, QrisPartnerApi};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use wire::Rupiah;

use crate::fields::text as field;
use crate::snap::{self, BANK};
use crate::world::World;

/// The platform's client id at the partner.
const CLIENT: &str = "soundbox";
/// The secret of the platform's signatures.
const SECRET: &str = "the secret that the bank gave us";
/// The merchant's NMID.
pub const NMID: &str = "ID1020021181745";
/// The merchant's PAN.
pub const PAN: &str = "936008980255996627";

/// What the partner does when a code or a refund is requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Gives a code; takes money back.
    Answers,
    /// Does it, and does not answer.
    Silent,
    /// Answers with an error of its own.
    Broken,
    /// Refuses the request.
    Refuses,
    /// Gives a code with another amount.
    WrongAmount,
}

struct Inner {
    key: RsaKeyPair,
    behaviour: watch::Sender<Behaviour>,
    /// Every verified request: path and body.
    requests: Mutex<Vec<(String, Value)>>,
    /// The tip of its codes: tags 55 to 57 as in a code.
    tip: Mutex<String>,
    /// Fields of answers that are replaced, by the last part of the path; null: the field is left out.
    overrides: Mutex<HashMap<String, Value>>,
    /// `latestTransactionStatus` by transaction.
    statuses: Mutex<HashMap<String, String>>,
    /// What was taken back, by our name of the refund.
    refunds: Mutex<HashMap<String, i64>>,
}

/// The partner's API.
#[derive(Clone)]
pub struct SnapPartnerApi {
    address: SocketAddr,
    inner: Arc<Inner>,
}

impl SnapPartnerApi {
    /// Starts it.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (key, _) = snap::new_key();
        let inner = Arc::new(Inner {
            key,
            behaviour: watch::channel(Behaviour::Answers).0,
            requests: Mutex::default(),
            tip: Mutex::default(),
            overrides: Mutex::default(),
            statuses: Mutex::default(),
            refunds: Mutex::default(),
        });
        let router = Router::new()
            .route("/api/v1.0/access-token/b2b", post(token))
            .route("/api/v1.0/qr/qr-mpm-generate", post(generate))
            .route("/api/v1.0/qr/qr-mpm-query", post(query))
            .route("/api/v1.0/qr/qr-mpm-refund", post(refund))
            .route("/api/v1.0/qr/qr-mpm-cancel", post(cancel))
            .with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, inner }
    }

    /// Configures it as the API of the partner.
    pub fn configure(&self, config: &mut Config) {
        let write = |name: &str, text: &str| {
            let file = config.data_dir.join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let api = QrisPartnerApi {
            url: format!("http://{}/api", self.address),
            client_id: CLIENT.to_owned(),
            private_key_file: write("our.pem", &snap::private_pem(&self.inner.key)),
            secret_files: vec![write("our.secret", SECRET)],
            secret_envs: Vec::new(),
            channel_id: "95221".to_owned(),
            ..QrisPartnerApi::default()
        };
        config.qris_partners.get_mut(BANK).unwrap().api = Some(api);
    }

    /// Sets its behaviour from now on.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        self.inner.behaviour.send_replace(behaviour);
    }

    /// Its codes have a tip from now on: tags 55 to 57 as in a code (`550202560350` and `0`).
    pub fn set_tip(&self, tags: &str) {
        tags.clone_into(&mut self.inner.tip.lock().unwrap());
    }

    /// Replaces fields of answers to a path from now on; null leaves a field out.
    pub fn override_answer(&self, path: &str, fields: Value) {
        let mut overrides = self.inner.overrides.lock().unwrap();
        overrides.insert(path.to_owned(), fields);
    }

    /// Sets what a query about a payment answers.
    pub fn set_status(&self, id: wire::TransactionId, status: &str) {
        let mut statuses = self.inner.statuses.lock().unwrap();
        statuses.insert(id.to_string(), status.to_owned());
    }

    /// What it has taken back, by refund, the smallest first.
    pub fn taken_back(&self) -> Vec<i64> {
        let refunds = self.inner.refunds.lock().unwrap();
        let mut amounts: Vec<i64> = refunds.values().copied().collect();
        amounts.sort_unstable();
        amounts
    }

    /// The bodies of requests to a path that ends so.
    pub fn requests(&self, path: &str) -> Vec<Value> {
        let requests = self.inner.requests.lock().unwrap();
        requests
            .iter()
            .filter(|(at, _)| at.ends_with(path))
            .map(|(_, body)| body.clone())
            .collect()
    }
}

/// A terminal of a merchant with the partner's NMID and PAN.
pub async fn terminal(world: &World) -> wire::TerminalId {
    let admin = world.admin();
    let merchant = json!({
        "legal_name": "PT Warung Sari", "brand_name": "Warung Sari", "merchant_criteria": "UME",
        "nmid": NMID, "merchant_pan": PAN,
    });
    let merchant = admin.create("/admin/merchants", &merchant).await;
    let id = field(&merchant, "id");
    let approve = format!("/admin/merchants/{id}/approve");
    admin.act(&approve, &json!({})).await;
    let outlet = json!({ "name": "Pusat", "address": "Jalan Merdeka 1", "city": "JAKARTA", "postal_code": "10110" });
    let path = format!("/admin/merchants/{id}/outlets");
    let outlet = admin.create(&path, &outlet).await;
    let path = format!("/admin/outlets/{}/terminals", field(&outlet, "id"));
    let terminal = admin.create(&path, &json!({ "name": "Kasir" })).await;
    field(&terminal, "id").parse().unwrap()
}

type Reply = (StatusCode, axum::Json<Value>);

/// The reply with the fields that the test replaced.
fn with_overrides(partner: &Inner, path: &str, mut reply: Reply) -> Reply {
    if let Some(Value::Object(fields)) = partner.overrides.lock().unwrap().get(path) {
        let body = reply.1.0.as_object_mut().unwrap();
        for (name, value) in fields {
            if value.is_null() {
                body.remove(name);
            } else {
                body.insert(name.clone(), value.clone());
            }
        }
    }
    reply
}

fn reply(code: &str, more: Value) -> Reply {
    let mut body = json!({ "responseCode": code, "responseMessage": "as it is" });
    let fields = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(fields);
    let status = StatusCode::from_u16(code[..3].parse().unwrap()).unwrap();
    (status, axum::Json(body))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

async fn token(State(partner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Reply {
    let signed = format!(
        "{}|{}",
        text(&headers, "x-client-key"),
        text(&headers, "x-timestamp")
    );
    let signature = STANDARD
        .decode(text(&headers, "x-signature"))
        .unwrap_or_default();
    let good = UnparsedPublicKey::new(
        &RSA_PKCS1_2048_8192_SHA256,
        partner.key.public_key().as_ref(),
    )
    .verify(signed.as_bytes(), &signature)
    .is_ok();
    let body: Value = serde_json::from_slice(&body).unwrap();
    if !good
        || text(&headers, "x-client-key") != CLIENT
        || body["grantType"] != "client_credentials"
    {
        return reply("4017300", json!({}));
    }
    let token = json!({ "accessToken": "the-token", "tokenType": "Bearer", "expiresIn": "900" });
    with_overrides(&partner, "b2b", reply("2007300", token))
}

/// The body of a request, if its signature is right.
fn verified(partner: &Inner, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Option<Value> {
    let hash = hex::encode(digest::digest(&digest::SHA256, body));
    let (path, time) = (uri.path(), text(headers, "x-timestamp"));
    let signed = format!("POST:{path}:the-token:{hash}:{time}");
    let key = hmac::Key::new(hmac::HMAC_SHA512, SECRET.as_bytes());
    let signature = STANDARD.decode(text(headers, "x-signature")).ok()?;
    hmac::verify(&key, signed.as_bytes(), &signature).ok()?;
    let numeric = text(headers, "x-external-id")
        .bytes()
        .all(|byte| byte.is_ascii_digit());
    if text(headers, "x-partner-id") != CLIENT || !numeric {
        return None;
    }
    let body: Value = serde_json::from_slice(body).ok()?;
    let entry = (path.to_owned(), body.clone());
    partner.requests.lock().unwrap().push(entry);
    Some(body)
}

async fn generate(
    State(partner): State<Arc<Inner>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    let Some(body) = verified(&partner, &uri, &headers, &body) else {
        return reply("4014700", json!({}));
    };
    let mut behaviour = partner.behaviour.subscribe();
    let now = *behaviour.borrow_and_update();
    match now {
        Behaviour::Silent => {
            // Until the behaviour changes; the platform does not wait so long.
            let _ = behaviour.changed().await;
        }
        Behaviour::Broken => return reply("5004700", json!({})),
        Behaviour::Refuses => return reply("4034714", json!({})),
        Behaviour::Answers | Behaviour::WrongAmount => {}
    }
    let amount = body["amount"]["value"].as_str().unwrap();
    let mut amount: i64 = amount.strip_suffix(".00").unwrap().parse().unwrap();
    if now == Behaviour::WrongAmount {
        amount += 1;
    }
    let registration = Registration {
        acquirer_guid: "ID.CO.BANK.WWW".parse().unwrap(),
        pan: PAN.parse().unwrap(),
        merchant_id: "000000000000001".parse().unwrap(),
        criteria: domain::qris::MerchantCriteria::Ume,
        nmid: body["merchantId"].as_str().unwrap().parse().unwrap(),
        mcc: "5812".parse().unwrap(),
        name: "Warung Sari".to_owned(),
        city: "JAKARTA".to_owned(),
        postal_code: None,
    };
    let code = QrisCode::dynamic(
        &registration,
        Rupiah::from_i64(amount),
        &Reference::from_u128(7),
        None,
    );
    let code = with_tip(&code.unwrap().to_string(), &partner.tip.lock().unwrap());
    let code = json!({
        "referenceNo": "ORDER-1",
        "partnerReferenceNo": body["partnerReferenceNo"],
        "qrContent": code,
    });
    with_overrides(&partner, "generate", reply("2004700", code))
}

/// A code with these tags after its amount, and a new CRC.
fn with_tip(code: &str, tags: &str) -> String {
    let country = code.rfind("5802ID").unwrap();
    let body = format!(
        "{}{tags}{}",
        &code[..country],
        &code[country..code.len() - 4]
    );
    format!("{body}{:04X}", domain::qris::crc16(body.as_bytes()))
}

async fn query(
    State(partner): State<Arc<Inner>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    let Some(body) = verified(&partner, &uri, &headers, &body) else {
        return reply("4015100", json!({}));
    };
    let id = body["originalPartnerReferenceNo"].as_str().unwrap();
    let statuses = partner.statuses.lock().unwrap();
    let status = statuses.get(id).map_or("03", String::as_str);
    let known = json!({
        "originalReferenceNo": body["originalReferenceNo"],
        "originalPartnerReferenceNo": id,
        "serviceCode": "47",
        "latestTransactionStatus": status,
        "amount": { "value": "50000.00", "currency": "IDR" },
    });
    drop(statuses);
    with_overrides(&partner, "query", reply("2005100", known))
}

/// Takes money back once for each name of a refund.
async fn refund(
    State(partner): State<Arc<Inner>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    let Some(body) = verified(&partner, &uri, &headers, &body) else {
        return reply("4017800", json!({}));
    };
    let mut behaviour = partner.behaviour.subscribe();
    let now = *behaviour.borrow_and_update();
    match now {
        Behaviour::Broken => return reply("5007800", json!({})),
        Behaviour::Refuses => return reply("4037815", json!({})),
        Behaviour::Answers | Behaviour::WrongAmount | Behaviour::Silent => {}
    }
    let name = body["partnerRefundNo"].as_str().unwrap().to_owned();
    let amount = body["refundAmount"]["value"].as_str().unwrap();
    let amount = amount.strip_suffix(".00").unwrap().parse().unwrap();
    let number = {
        let mut refunds = partner.refunds.lock().unwrap();
        let before = refunds.insert(name.clone(), amount);
        assert!(before.is_none_or(|before| before == amount), "{name}");
        refunds.len()
    };
    if now == Behaviour::Silent {
        // Until the behaviour changes; the platform does not wait so long.
        let _ = behaviour.changed().await;
    }
    let done = json!({ "partnerRefundNo": name, "refundNo": format!("OWN-{number}") });
    with_overrides(&partner, "done", reply("2007800", done))
}

async fn cancel(
    State(partner): State<Arc<Inner>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    match verified(&partner, &uri, &headers, &body) {
        Some(_) => with_overrides(&partner, "done", reply("2007700", json!({}))),
        None => reply("4017700", json!({})),
    }
}
