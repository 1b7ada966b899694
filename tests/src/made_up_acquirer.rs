//! An acquirer that does not exist: its dialect's file, and its API, which takes only what is of its form and keeps what it
//! was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::{digest, hmac};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use domain::qris::{MerchantCriteria, QrisCode, Reference};
use domain::registration::Registration;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use wire::Rupiah;

use crate::dialects::SECRET;
use crate::snap_partner_api::{NMID, PAN};

/// Its file.
pub const DIALECT: &str = r#"
name = "kiospay"
title = "KiosPay, which does not exist"
sources = ["the stories"]

[inbound]
paths = ["/hooks/kiospay"]
signature = ["snap_symmetric_without_token"]
encoding = "hex"
partner_header = "none"

[fields]
order = ["/order"]
reference = ["/payment"]
amount = ["/paid"]
status = ["/state"]

[statuses]

[statuses.notify]
LUNAS = "success"

[statuses.query]
LUNAS = "success"
MENUNGGU = "pending"
"4049999" = "expired"

[answer]
form = "snap"

[outbound]
base = "/gerbang"
token_path = "/masuk"
encoding = "hex"
body_hash = "raw"
signs_token = false
reference_length = 16
merchant_id = "{merchant_id}"
terminal_id = "{terminal_id}"
validity = "{validity_s}"

[outbound.headers]
x-mitra = "{partner_id}/{client_id}"

[outbound.answer]
token = ["/data/kunci"]
code = ["/data/qr"]
reference_no = ["/data/nomor"]
response_code = ["/kode"]

[outbound.generate]
path = "/buat"
service = "01"
additional_info = { label = "{terminal_label}", kind = "DYNAMIC", copies = 1 }
fields = { order = "{order}", toko = "{store_id}" }

[outbound.query]
path = "/tanya"
service = "02"
asked_service = "01"
fields = { originalExternalId = "{external_id}" }

[outbound.refund]
path = "/kembali"
service = "03"

[outbound.cancel]
path = "/batal"
service = "04"
"#;

struct Inner {
    asked: Mutex<Vec<(String, HeaderMap, Value)>>,
    state: Mutex<Value>,
}

/// Its API.
#[derive(Clone)]
pub struct MadeUpAcquirer {
    address: SocketAddr,
    inner: Arc<Inner>,
}

impl MadeUpAcquirer {
    /// Starts it.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            asked: Mutex::default(),
            state: Mutex::new(json!({ "kode": 2_000_200, "state": "MENUNGGU" })),
        });
        let router = Router::new().fallback(answer).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, inner }
    }

    /// Before its base.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it answers from now on when it is asked about an order.
    pub fn set_answer(&self, answer: Value) {
        *self.inner.state.lock().unwrap() = answer;
    }

    /// The headers and bodies of what was asked at a path.
    pub fn asked(&self, path: &str) -> Vec<(HeaderMap, Value)> {
        let asked = self.inner.asked.lock().unwrap();
        let at = asked.iter().filter(|(at, ..)| at == path);
        at.map(|(_, headers, body)| (headers.clone(), body.clone()))
            .collect()
    }
}

/// A signature of its form.
pub fn signature(path: &str, body: &[u8], timestamp: &str) -> String {
    let hash = hex::encode(digest::digest(&digest::SHA256, body));
    let key = hmac::Key::new(hmac::HMAC_SHA512, SECRET.as_bytes());
    let text = format!("POST:{path}:{hash}:{timestamp}");
    hex::encode(hmac::sign(&key, text.as_bytes()))
}

async fn answer(
    State(inner): State<Arc<Inner>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, axum::Json<Value>) {
    let header = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    };
    let path = uri.path();
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let entry = (path.to_owned(), headers.clone(), asked.clone());
    inner.asked.lock().unwrap().push(entry);
    if path == "/gerbang/masuk" {
        // Of an answer only the token is needed.
        let token = json!({ "data": { "kunci": "T" } });
        return (StatusCode::OK, axum::Json(token));
    }
    if header("x-signature") != signature(path, &body, header("x-timestamp"))
        || header("authorization") != "Bearer T"
    {
        let refused = json!({ "kode": "4010000" });
        return (StatusCode::UNAUTHORIZED, axum::Json(refused));
    }
    let reply = match path {
        "/gerbang/buat" => json!({ "data": { "qr": code(&asked), "nomor": "K-1" } }),
        "/gerbang/tanya" => inner.state.lock().unwrap().clone(),
        "/gerbang/kembali" | "/gerbang/batal" => json!({ "kode": "2000300" }),
        _ => {
            return (
                StatusCode::NOT_FOUND,
                axum::Json(json!({ "kode": "4040000" })),
            );
        }
    };
    let refused = reply["kode"].as_str().and_then(|kode| kode.get(..3));
    let status = refused.map_or(StatusCode::OK, |status| status.parse().unwrap());
    (status, axum::Json(reply))
}

fn code(asked: &Value) -> String {
    let amount = asked["amount"]["value"].as_str().unwrap();
    let registration = Registration {
        acquirer_guid: "ID.CO.BANK.WWW".parse().unwrap(),
        pan: PAN.parse().unwrap(),
        merchant_id: "000000000000001".parse().unwrap(),
        criteria: MerchantCriteria::Ume,
        nmid: NMID.parse().unwrap(),
        mcc: "5812".parse().unwrap(),
        name: "Warung Sari".to_owned(),
        city: "JAKARTA".to_owned(),
        postal_code: None,
    };
    let amount = Rupiah::from_i64(amount.strip_suffix(".00").unwrap().parse().unwrap());
    let reference = Reference::from_u128(7);
    QrisCode::dynamic(&registration, amount, &reference, None)
        .unwrap()
        .to_string()
}
