//! A SNAP BI partner over HTTP: access token, qr-mpm-generate, query, refund, cancel.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use domain::snap::answer::Service;
use domain::snap::money::Money;
use domain::snap::order::{
    CLIENT_CREDENTIALS, CancelRequest, GenerateRequest, GrantedToken, IssuedCode, QueryRequest,
    RefundRequest, TokenRequest,
};
use domain::snap::signature::{
    CLIENT_KEY_HEADER, ClientSecret, EXTERNAL_ID_HEADER, PrivateKey, SIGNATURE_HEADER, Signed,
    TIMESTAMP_HEADER, sign_token_request,
};
use domain::snap::timestamp;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, Url};
use serde::Serialize;
use serde_json::Value;
use service::clock::Clock;
use service::payment::qr_partner::{
    Circuit, Issued, Named, Order, PartnerError, QrPartner, Refund,
};
use tokio::sync::Mutex;
use tokio::time::Instant;
use wire::lenient;

use super::breaker::Breaker;

const TOKEN_PATH: &str = "/v1.0/access-token/b2b";
/// The longest answer that is read, bytes.
const ANSWER_LEN_MAX: usize = 64 * 1024;
/// How much of a refusal's code and words is kept, bytes.
const CODE_LEN_MAX: usize = 32;
const WORDS_LEN_MAX: usize = 200;
/// The pause after the first failure; it doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// A token is renewed this long before it is over.
const TOKEN_SPARE: TimeDelta = TimeDelta::seconds(30);

/// What is agreed with the partner, and how patient we are.
pub struct Settings {
    /// Before `/v1.0/…`.
    pub url: Url,
    /// Who we are to it.
    pub client_id: String,
    /// Signs our requests for tokens.
    pub key: PrivateKey,
    /// Signs everything else.
    pub secret: ClientSecret,
    /// CHANNEL-ID.
    pub channel_id: String,
    /// For one attempt.
    pub timeout: Duration,
    /// Of a question that may be repeated.
    pub attempts_max: u32,
    /// In a row, until the partner is left alone.
    pub failures_max: u32,
    /// For how long it is.
    pub pause: Duration,
}

/// A client of one partner.
pub struct SnapClient {
    http: Client,
    settings: Settings,
    clock: Clock,
    token: Mutex<Option<Token>>,
    breaker: Breaker,
}

#[derive(Clone)]
struct Token {
    text: String,
    good_until: DateTime<Utc>,
}

/// An answer that confirms the request.
struct Done {
    bytes: Vec<u8>,
    fields: Value,
}

/// Why one attempt failed.
enum Failure {
    /// No answer, or an error of the partner's: tried again.
    Away(String),
    /// Our token has expired: tried again with another.
    Token,
    /// Final.
    Refused(PartnerError),
}

impl SnapClient {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// A TLS library that cannot be set up.
    pub fn new(settings: Settings, clock: Clock) -> anyhow::Result<Self> {
        let mut http = Client::builder()
            .timeout(settings.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("qris-soundbox/", env!("CARGO_PKG_VERSION")));
        if settings.url.scheme() == "http" {
            // A loopback address: no proxy.
            http = http.no_proxy();
        }
        Ok(Self {
            http: http.build().context("cannot make an HTTP client")?,
            breaker: Breaker::new(settings.failures_max, settings.pause),
            settings,
            clock,
            token: Mutex::new(None),
        })
    }

    /// Sends a request until it is answered, at most `attempts_max` times.
    async fn ask(
        &self,
        service: Service,
        path: &str,
        body: &impl Serialize,
        attempts_max: u32,
    ) -> Result<Done, PartnerError> {
        let body = serde_json::to_vec(body)
            .map_err(|error| PartnerError::Unreadable(error.to_string()))?;
        let mut pause = PAUSE_FIRST;
        let mut renewed = false;
        let mut attempt = 1;
        loop {
            if !self.breaker.admits(Instant::now()) {
                return Err(PartnerError::Away("it is left alone for a while".into()));
            }
            let problem = match self.attempt(service, path, &body).await {
                Ok(answer) => {
                    self.breaker.succeeded();
                    return Ok(answer);
                }
                Err(Failure::Refused(error)) => {
                    self.breaker.succeeded();
                    return Err(error);
                }
                Err(Failure::Token) if !renewed => {
                    self.breaker.succeeded();
                    renewed = true;
                    *self.token.lock().await = None;
                    continue;
                }
                Err(Failure::Token) => {
                    self.breaker.succeeded();
                    return Err(PartnerError::Refused {
                        code: "401".into(),
                        message: "it does not take its own token".into(),
                    });
                }
                Err(Failure::Away(problem)) => problem,
            };
            self.breaker.failed(Instant::now());
            metrics::counter!("partner_failures_total", "service" => service.code()).increment(1);
            if attempt >= attempts_max {
                return Err(PartnerError::Away(problem));
            }
            attempt += 1;
            tokio::time::sleep(rand::random_range(pause / 2..=pause)).await;
            pause *= 2;
        }
    }

    async fn attempt(&self, service: Service, path: &str, body: &[u8]) -> Result<Done, Failure> {
        let token = self.token().await?;
        let url = self.url(path)?;
        let now = timestamp(self.clock.now());
        let signed = Signed {
            method: "POST",
            path: url.path(),
            body,
            timestamp: &now,
        };
        let request = self
            .http
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .header(TIMESTAMP_HEADER, &now)
            .header(
                SIGNATURE_HEADER,
                signed.sign_symmetric(&self.settings.secret, &token),
            )
            .header("x-partner-id", &self.settings.client_id)
            .header(EXTERNAL_ID_HEADER, self.external_id())
            .header("channel-id", &self.settings.channel_id)
            .body(body.to_vec());
        send(service, request).await
    }

    /// The token in hand, or a new one. One request at a time asks for it.
    async fn token(&self) -> Result<String, Failure> {
        let mut held = self.token.lock().await;
        let now = self.clock.now();
        if let Some(token) = held.as_ref().filter(|token| now < token.good_until) {
            return Ok(token.text.clone());
        }
        let time = timestamp(now);
        let settings = &self.settings;
        let grant = TokenRequest {
            grant_type: CLIENT_CREDENTIALS.to_owned(),
        };
        let request = self
            .http
            .post(self.url(TOKEN_PATH)?)
            .header(CLIENT_KEY_HEADER, &settings.client_id)
            .header(
                SIGNATURE_HEADER,
                sign_token_request(&settings.key, &settings.client_id, &time),
            )
            .header(TIMESTAMP_HEADER, time)
            .json(&grant);
        let answer = send(Service::AccessToken, request).await?;
        let granted = GrantedToken::read(&answer.fields).ok_or_else(|| {
            Failure::Refused(PartnerError::Unreadable("it gave no accessToken".into()))
        })?;
        *held = Some(Token {
            text: granted.access_token.clone(),
            good_until: now + TimeDelta::seconds(granted.lifetime_s) - TOKEN_SPARE,
        });
        Ok(granted.access_token)
    }

    /// The partner's URL may have a path of its own, which is signed too.
    fn url(&self, path: &str) -> Result<Url, Failure> {
        let mut url = self.settings.url.clone();
        let whole = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&whole);
        Ok(url)
    }

    /// A number that is unique among the day's requests: SNAP requires digits, at most 36.
    fn external_id(&self) -> String {
        let uuid = self.clock.uuid().as_u128();
        format!("{:036}", uuid % 10_u128.pow(36))
    }
}

/// Sends a request. It is confirmed by a 2xx status with a `responseCode` that begins with 2. Some partners leave the code
/// out; then the HTTP status is enough, except for refunds and cancellations.
async fn send(service: Service, request: reqwest::RequestBuilder) -> Result<Done, Failure> {
    let away = |error: reqwest::Error| Failure::Away(error.without_url().to_string());
    let mut response = request.send().await.map_err(away)?;
    let status = response.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(away)? {
        if bytes.len() + chunk.len() > ANSWER_LEN_MAX {
            let error = PartnerError::Unreadable("its answer is too long".into());
            return Err(Failure::Refused(error));
        }
        bytes.extend_from_slice(&chunk);
    }
    if status.is_server_error() {
        return Err(Failure::Away(format!("it answered {status}")));
    }
    let fields = serde_json::from_slice(&bytes)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| {
            Failure::Refused(PartnerError::Unreadable(format!("its answer ({status})")))
        })?;
    let stated = |field: &str| fields.get(field).and_then(lenient::text);
    let code = stated("responseCode");
    let is_confirmed = match &code {
        Some(code) => code.starts_with('2'),
        None => !matches!(service, Service::Refund | Service::Cancel),
    };
    if status.is_success() && is_confirmed {
        return Ok(Done { bytes, fields });
    }
    if status.as_u16() == 401 && code.as_ref().is_none_or(|code| code.ends_with("01")) {
        return Err(Failure::Token);
    }
    Err(Failure::Refused(PartnerError::Refused {
        code: lenient::cut(
            &code.unwrap_or_else(|| status.as_u16().to_string()),
            CODE_LEN_MAX,
        ),
        message: lenient::cut(
            &stated("responseMessage").unwrap_or_default(),
            WORDS_LEN_MAX,
        ),
    }))
}

impl QrPartner for SnapClient {
    fn is_local(&self) -> bool {
        false
    }

    fn circuit(&self) -> Option<Circuit> {
        Some(if self.breaker.is_open(Instant::now()) {
            Circuit::Open
        } else {
            Circuit::Closed
        })
    }

    /// Sent once: the device repeats its request, and the partner then recognises the order by our transaction id.
    fn generate<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<Issued, PartnerError>> {
        async move {
            let body = GenerateRequest {
                partner_reference_no: order.id,
                amount: Money::of(order.amount),
                merchant_id: order.registration.nmid.to_string(),
                terminal_id: order.terminal_label.to_string(),
                validity_period: timestamp(order.expires_at),
            };
            let path = "/v1.0/qr/qr-mpm-generate";
            let answer = self.ask(Service::Generate, path, &body, 1).await?;
            let code = IssuedCode::read(&answer.fields)
                .ok_or_else(|| PartnerError::Unreadable("it gave no qrContent".into()))?;
            Ok(Issued {
                qr_payload: code.qr_content,
                qr_reference: None,
                reference_no: code.reference_no,
            })
        }
        .boxed()
    }

    fn query<'a>(&'a self, named: &'a Named) -> BoxFuture<'a, Result<Vec<u8>, PartnerError>> {
        async move {
            let body = QueryRequest {
                original_reference_no: named.reference_no.clone(),
                original_partner_reference_no: named.id,
                service_code: Service::Generate.code().to_owned(),
                merchant_id: named.nmid.clone(),
            };
            let attempts = self.settings.attempts_max;
            self.ask(Service::Query, "/v1.0/qr/qr-mpm-query", &body, attempts)
                .await
                .map(|answer| answer.bytes)
        }
        .boxed()
    }

    fn refund<'a>(&'a self, refund: &'a Refund) -> BoxFuture<'a, Result<(), PartnerError>> {
        async move {
            let body = RefundRequest {
                original_reference_no: refund.partner_reference.clone(),
                original_partner_reference_no: refund.id,
                partner_refund_no: refund.id.to_string(),
                refund_amount: Money::of(refund.amount),
                merchant_id: refund.nmid.clone(),
                reason: refund.reason.clone(),
            };
            let attempts = self.settings.attempts_max;
            self.ask(Service::Refund, "/v1.0/qr/qr-mpm-refund", &body, attempts)
                .await
                .map(drop)
        }
        .boxed()
    }

    fn cancel<'a>(
        &'a self,
        named: &'a Named,
        reason: &'a str,
    ) -> BoxFuture<'a, Result<(), PartnerError>> {
        async move {
            let body = CancelRequest {
                original_reference_no: named.reference_no.clone(),
                original_partner_reference_no: named.id,
                merchant_id: named.nmid.clone(),
                reason: reason.to_owned(),
            };
            let attempts = self.settings.attempts_max;
            self.ask(Service::Cancel, "/v1.0/qr/qr-mpm-cancel", &body, attempts)
                .await
                .map(drop)
        }
        .boxed()
    }
}
