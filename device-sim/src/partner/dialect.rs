//! Acquirers as they are: each says the same payment in its own way. Written from what they publish, independently of the
//! server's files.
//!
//! An acquirer is named like the server's dialect. `hmac` and `snap` are beside, because they came first.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::Callback;
use super::snap::{Key, timestamp};
use crate::api::{Api, ApiError};
use crate::clock;

/// Where an acquirer's messages go.
#[derive(Clone, Copy)]
enum To {
    /// A path of its own.
    Path(&'static str),
    /// The path that names the partner.
    Partner,
}

/// How an acquirer proves itself.
#[derive(Clone, Copy)]
enum Proof {
    /// HMAC-SHA512 with a token, which it asks for at this path.
    Symmetric(&'static str),
    /// HMAC-SHA512 without a token.
    WithoutToken,
    /// SHA256withRSA.
    Rsa,
    /// SHA-512 in the body.
    Midtrans,
    /// SHA-1 in the query.
    Doku,
    /// The secret in a header.
    Token,
}

/// What is particular to an acquirer.
struct Voice {
    name: &'static str,
    to: To,
    proof: Proof,
    /// Signatures are in hex, else in base64.
    is_hex: bool,
    /// Its codes: paid, pending, taken back, failed, expired.
    codes: [&'static str; 5],
    /// Changes the standard's body.
    body: fn(&Callback, &mut Value),
}

const STANDARD_PATH: &str = "/v1.0/qr/qr-mpm-notify";
const STANDARD_TOKEN: &str = "/v1.0/access-token/b2b";
const STANDARD_CODES: [&str; 5] = ["00", "03", "04", "06", "06"];

const VOICES: [Voice; 14] = [
    Voice {
        name: "bri",
        to: To::Path("/v1.1/qr-dynamic/qr-mpm-notify"),
        proof: Proof::Symmetric("/snap/v1.1/access-token/b2b"),
        is_hex: true,
        codes: STANDARD_CODES,
        body: |callback, body| {
            body["sessionID"] = json!(callback.event_id);
            body["externalStoreID"] = json!("");
            body["additionalInfo"] = with_code(
                callback,
                json!({ "issuerName": "BRI", "issuerRrn": callback.rrn }),
            );
        },
    },
    Voice {
        name: "manjo",
        to: To::Path(STANDARD_PATH),
        proof: Proof::Symmetric(STANDARD_TOKEN),
        is_hex: false,
        codes: ["03", "04", "07", "06", "06"],
        body: |callback, body| {
            let time = local(callback, "%Y-%m-%d %H:%M:%S");
            let more = json!({ "trxTime": time, "issuerName": "DANA", "merchantCode": "", "amountTrx": format!("{}.00", callback.amount), "tips": "0.00" });
            body["additionalInfo"] = with_code(callback, more);
        },
    },
    Voice {
        name: "speedcash",
        to: To::Path(STANDARD_PATH),
        proof: Proof::Rsa,
        is_hex: false,
        codes: STANDARD_CODES,
        body: |callback, body| {
            body["transactionDate"] = json!(callback.paid_at);
            body["brandName"] = json!("OVO");
            body["nmid"] = json!(callback.nmid);
            body["terminalLabel"] = json!(callback.terminal_label);
            // As PHP writes an empty object.
            body["additionalInfo"] = json!([]);
        },
    },
    Voice {
        name: "bjb",
        to: To::Path("/api/v1/callback/qris-mpm"),
        proof: Proof::Symmetric(STANDARD_TOKEN),
        is_hex: true,
        codes: STANDARD_CODES,
        body: |callback, body| body["amount"] = json!(callback.amount.to_string()),
    },
    Voice {
        name: "ocbc",
        to: To::Partner,
        proof: Proof::WithoutToken,
        is_hex: true,
        codes: STANDARD_CODES,
        body: |_, _| {},
    },
    Voice {
        name: "yokke",
        to: To::Path("/qr/qr-mpm-notify"),
        proof: Proof::WithoutToken,
        is_hex: false,
        codes: STANDARD_CODES,
        body: |_, _| {},
    },
    Voice {
        name: "dana",
        to: To::Path("/v1.0/debit/notify"),
        proof: Proof::Rsa,
        is_hex: false,
        codes: ["00", "02", "04", "06", "05"],
        body: |callback, body| {
            body["createdTime"] = json!(callback.paid_at);
            body["finishedTime"] = json!(callback.paid_at);
        },
    },
    Voice {
        name: "shopeepay",
        to: To::Partner,
        proof: Proof::Rsa,
        is_hex: false,
        codes: STANDARD_CODES,
        body: |callback, body| {
            // It leaves out an amount that it does not know.
            if callback.amount == wire::Rupiah::ZERO
                && let Some(fields) = body.as_object_mut()
            {
                fields.remove("amount");
            }
        },
    },
    Voice {
        name: "midtrans_snap",
        to: To::Path(STANDARD_PATH),
        proof: Proof::Rsa,
        is_hex: false,
        codes: STANDARD_CODES,
        body: |callback, body| {
            body["additionalInfo"] = with_code(
                callback,
                json!({ "merchantId": "G653420184", "acquirer": "gopay" }),
            );
        },
    },
    Voice {
        name: "midtrans",
        to: To::Partner,
        proof: Proof::Midtrans,
        is_hex: true,
        codes: [
            "settlement+200",
            "pending+201",
            "refund+200",
            "deny+202",
            "expire+407",
        ],
        body: |_, _| {},
    },
    Voice {
        name: "doku",
        to: To::Partner,
        proof: Proof::Doku,
        is_hex: true,
        codes: ["S", "P", "R", "F", "F"],
        body: |_, _| {},
    },
    Voice {
        name: "xendit",
        to: To::Partner,
        proof: Proof::Token,
        is_hex: true,
        codes: ["SUCCEEDED", "PENDING", "REFUNDED", "FAILED", "EXPIRED"],
        body: |_, _| {},
    },
    Voice {
        name: "faspay",
        to: To::Path(STANDARD_PATH),
        proof: Proof::Rsa,
        is_hex: false,
        codes: STANDARD_CODES,
        body: |callback, body| {
            body["additionalInfo"] = with_code(callback, json!({ "isStatic": "false" }));
        },
    },
    Voice {
        name: "winpay",
        to: To::Path(STANDARD_PATH),
        proof: Proof::Rsa,
        is_hex: false,
        codes: STANDARD_CODES,
        body: |callback, body| {
            body["additionalInfo"] = with_code(callback, json!({ "isStatic": false }));
        },
    },
];

/// The names of the acquirers.
pub fn names() -> impl Iterator<Item = &'static str> {
    VOICES.iter().map(|voice| voice.name)
}

/// The printed code of a payment, in additionalInfo.
fn with_code(callback: &Callback, mut info: Value) -> Value {
    if let Some(nmid) = &callback.nmid {
        info["nmid"] = json!(nmid);
        info["terminalLabel"] = json!(callback.terminal_label);
    }
    info
}

/// When the customer paid, by the clock in Jakarta and without a zone.
fn local(callback: &Callback, form: &str) -> String {
    let zone = chrono::FixedOffset::east_opt(7 * 3600).expect("seven hours are an offset");
    let time = chrono::DateTime::parse_from_rfc3339(&callback.paid_at);
    time.map_or_else(
        |_| callback.paid_at.clone(),
        |time| time.with_timezone(&zone).format(form).to_string(),
    )
}

/// A message that is ready to be sent; tests change any of its parts.
#[derive(Debug, Clone)]
pub struct Message {
    /// With its query.
    pub path: String,
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// An acquirer with its credentials. It has no `Debug`: it holds secrets.
pub struct Acquirer {
    voice: &'static Voice,
    secret: String,
    key: Option<Key>,
    token: Mutex<Option<String>>,
}

impl Acquirer {
    /// The acquirer of this name, with the secret that it shares with the platform and its RSA key (PKCS#8 PEM).
    ///
    /// # Errors
    /// A name that is none, a key that is missing or none.
    pub fn new(name: &str, secret: &str, key_pem: Option<&str>) -> anyhow::Result<Self> {
        let voice = VOICES.iter().find(|voice| voice.name == name);
        let voice = voice.ok_or_else(|| {
            let known: Vec<_> = names().collect();
            anyhow::anyhow!(
                "there is no dialect {name:?}; known: hmac, snap, {}",
                known.join(", ")
            )
        })?;
        let key = key_pem.map(Key::from_pem).transpose()?;
        let needs_key = matches!(voice.proof, Proof::Rsa | Proof::Symmetric(_));
        anyhow::ensure!(
            key.is_some() || !needs_key,
            "the dialect {name} signs with an RSA key"
        );
        Ok(Self {
            voice,
            secret: secret.to_owned(),
            key,
            token: Mutex::new(None),
        })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.voice.name
    }

    /// This acquirer's code of a status.
    pub fn code(&self, status: &str) -> &'static str {
        let [paid, pending, back, failed, expired] = self.voice.codes;
        match status {
            "success" => paid,
            "pending" => pending,
            "reversed" => back,
            "expired" => expired,
            _ => failed,
        }
    }

    /// Posts a payment, signed now. An expired token is replaced once.
    pub(super) async fn post(
        &self,
        api: &Api,
        id: &str,
        callback: &Callback,
    ) -> Result<Value, ApiError> {
        match self.send(api, id, callback).await {
            Err(ApiError::Refused { code, .. })
                if code.starts_with("401") && code.ends_with("01") =>
            {
                *self.token.lock().await = None;
                self.send(api, id, callback).await
            }
            answer => answer,
        }
    }

    async fn send(&self, api: &Api, id: &str, callback: &Callback) -> Result<Value, ApiError> {
        let token = match self.voice.proof {
            Proof::Symmetric(path) => self.token(api, id, path).await?,
            _ => String::new(),
        };
        let message = self.message(id, callback, &token)?;
        let headers: Vec<(&'static str, &str)> = message
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let token = Some(token.as_str()).filter(|token| !token.is_empty());
        let within = std::time::Duration::from_secs(10);
        let answer = api
            .post_bytes_within(&message.path, token, &headers, message.body, within)
            .await?;
        Ok(serde_json::from_slice(&answer)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&answer).into_owned())))
    }

    /// A token of the platform, asked for as the standard has it.
    ///
    /// # Errors
    /// The platform's refusal.
    pub async fn token(&self, api: &Api, id: &str, path: &str) -> Result<String, ApiError> {
        let mut cached = self.token.lock().await;
        if let Some(token) = cached.as_ref() {
            return Ok(token.clone());
        }
        let now = timestamp(clock::now());
        let key = self.key.as_ref();
        let key = key.ok_or_else(|| ApiError::Transport("it has no RSA key".to_owned()))?;
        let signature = key.sign(&format!("{id}|{now}"))?;
        let headers = [
            ("x-client-key", id),
            ("x-timestamp", now.as_str()),
            ("x-signature", signature.as_str()),
        ];
        let grant = json!({ "grantType": "client_credentials" });
        let answer = api.post(path, None, &headers, &grant).await?;
        let token = answer["accessToken"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        *cached = Some(token.clone());
        Ok(token)
    }

    /// Where this acquirer asks for tokens, when it signs with one.
    pub fn token_path(&self) -> Option<&'static str> {
        match self.voice.proof {
            Proof::Symmetric(path) => Some(path),
            _ => None,
        }
    }

    /// A payment as this acquirer sends it, signed now.
    ///
    /// # Errors
    /// A key that does not sign.
    pub fn message(&self, id: &str, callback: &Callback, token: &str) -> Result<Message, ApiError> {
        let code = self.code(&callback.status);
        let by_partner = format!("/integrations/qris/callback/{id}");
        match self.voice.proof {
            Proof::Midtrans => return Ok(self.midtrans(by_partner, callback, code)),
            Proof::Doku => return Ok(self.doku(&by_partner, callback, code)),
            Proof::Token => return Ok(self.xendit(by_partner, callback, code)),
            Proof::Symmetric(_) | Proof::WithoutToken | Proof::Rsa => {}
        }
        let path = match self.voice.to {
            To::Path(path) => path.to_owned(),
            To::Partner => by_partner,
        };
        let body = self.body(callback, code);
        let now = timestamp(clock::now());
        let hash = hex::encode(digest::digest(&digest::SHA256, &body));
        let signature = match self.voice.proof {
            Proof::Rsa => {
                let text = format!("POST:{path}:{hash}:{now}");
                let key = self.key.as_ref();
                key.ok_or_else(|| ApiError::Transport("it has no RSA key".to_owned()))?
                    .sign(&text)?
            }
            Proof::WithoutToken => self.hmac(&format!("POST:{path}:{hash}:{now}")),
            _ => self.hmac(&format!("POST:{path}:{token}:{hash}:{now}")),
        };
        let external_id = format!("{:036}", clock::random_uuid().as_u128() % 10_u128.pow(36));
        Ok(Message {
            path,
            headers: vec![
                ("x-partner-id", id.to_owned()),
                ("x-timestamp", now),
                ("x-signature", signature),
                ("x-external-id", external_id),
                ("channel-id", "95221".to_owned()),
            ],
            body,
        })
    }

    /// The standard's body with what is this acquirer's.
    fn body(&self, callback: &Callback, code: &str) -> Vec<u8> {
        let by_id = || {
            callback.transaction_id.map(|id| match self.voice.name {
                "faspay" | "winpay" => id.as_uuid().simple().to_string(),
                _ => id.to_string(),
            })
        };
        let order = callback.order_name.clone().or_else(by_id);
        let mut body = json!({
            "originalReferenceNo": callback.partner_reference,
            "originalPartnerReferenceNo": order.unwrap_or_default(),
            "latestTransactionStatus": code,
            "transactionStatusDesc": callback.status,
            "amount": { "value": format!("{}.00", callback.amount), "currency": callback.currency },
            "additionalInfo": with_code(callback, json!({})),
        });
        (self.voice.body)(callback, &mut body);
        if self.voice.name == "bjb" {
            return serde_json::to_vec_pretty(&body).unwrap_or_default();
        }
        body.to_string().into_bytes()
    }

    fn hmac(&self, text: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA512, self.secret.as_bytes());
        let signature = hmac::sign(&key, text.as_bytes());
        if self.voice.is_hex {
            hex::encode(signature)
        } else {
            STANDARD.encode(signature)
        }
    }

    fn midtrans(&self, path: String, callback: &Callback, code: &str) -> Message {
        let (status, code) = code.split_once('+').unwrap_or((code, ""));
        let order = callback
            .transaction_id
            .map(|id| id.to_string())
            .unwrap_or_default();
        let amount = format!("{}.00", callback.amount);
        let text = format!("{order}{code}{amount}{}", self.secret);
        let time = local(callback, "%Y-%m-%d %H:%M:%S");
        let body = json!({
            "transaction_time": time, "settlement_time": time, "transaction_status": status,
            "transaction_id": callback.partner_reference, "status_code": code,
            "signature_key": hex::encode(digest::digest(&digest::SHA512, text.as_bytes())),
            "payment_type": "qris", "order_id": order, "merchant_id": "G653420184", "issuer": "gopay",
            "gross_amount": amount, "fraud_status": "accept", "currency": "IDR", "acquirer": "gopay",
        });
        Message {
            path,
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
        }
    }

    fn doku(&self, path: &str, callback: &Callback, code: &str) -> Message {
        let order = callback
            .transaction_id
            .map(|id| id.to_string())
            .unwrap_or_default();
        let (amount, time) = (
            format!("{}.00", callback.amount),
            local(callback, "%Y%m%d%H%M%S"),
        );
        let (issuer, pan, invoice) = ("93600014", "936008990000047435", "10093868");
        let reference = &callback.partner_reference;
        let text = format!(
            "{issuer}{time}{pan}{invoice}{amount}{code}{reference}{}",
            self.secret
        );
        let words = hex::encode(digest::digest(
            &digest::SHA1_FOR_LEGACY_USE_ONLY,
            text.as_bytes(),
        ));
        let query = format!(
            "WORDS={words}&ACQUIRER=DOKU&INVOICE={invoice}&TRANSACTIONID={order}&TERMINALID=A01&ORIGIN=INBOUND\
             &AMOUNT={amount}&TXNDATE={time}&MERCHANTPAN={pan}&REFERENCEID={reference}&CUSTOMERNAME=BUDI%20S\
             &TXNSTATUS={code}&ISSUERNAME=QRIS%20BCAD&ISSUERID={issuer}"
        );
        Message {
            path: format!("{path}?{query}"),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    fn xendit(&self, path: String, callback: &Callback, code: &str) -> Message {
        let data = json!({
            "id": callback.partner_reference, "currency": "IDR", "amount": callback.amount, "status": code,
            "created": callback.paid_at, "type": "DYNAMIC", "reference_id": callback.transaction_id,
            "payment_detail": { "receipt_id": callback.rrn, "source": "GOPAY" },
        });
        let body = json!({ "event": "qr.payment", "created": callback.paid_at, "data": data });
        Message {
            path,
            headers: vec![("x-callback-token", self.secret.clone())],
            body: body.to_string().into_bytes(),
        }
    }
}
