//! A SNAP BI partner over HTTP: access token, qr-mpm-generate, query, refund, cancel.

use std::sync::PoisonError;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use domain::dialect::outbound::{Call, Outbound};
use domain::dialect::reference::ReferenceForm;
use domain::dialect::request::{Asked, OwnNames, PayeeNames, Values, first_of};
use domain::dialect::status::StatusCodes;
use domain::snap::answer::Service;
use domain::snap::order::{CLIENT_CREDENTIALS, GrantedToken, IssuedCode, TokenRequest};
use domain::snap::signature::{
    CLIENT_KEY_HEADER, ClientSecret, EXTERNAL_ID_HEADER, Form, PrivateKey, PublicKey,
    SIGNATURE_HEADER, Signed, TIMESTAMP_HEADER, sign_token_request, verify_token_request,
};
use domain::snap::timestamp;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE};
use reqwest::{Client, Url};
use serde_json::Value;
use service::clock::Clock;
use service::payment::qr_partner::{
    Circuit, Issued, Named, Order, PartnerError, QrPartner, Refund, Refunded,
};
use tokio::sync::Mutex;
use tokio::time::Instant;
use wire::lenient;

use super::breaker::Breaker;

mod refunded;

use self::refunded::refunded;

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
    /// What stands before the paths of its dialect.
    pub url: Url,
    /// How it is called.
    pub outbound: Outbound,
    /// What its answers to questions mean: a refusal with one of these codes is an answer.
    pub query_codes: StatusCodes,
    /// Who we are to it.
    pub own: OwnNames,
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
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    token: Mutex<Option<Token>>,
    /// How far its clock is ahead of ours, by its last answer that says what time it is.
    ahead: std::sync::Mutex<Option<TimeDelta>>,
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
    /// The X-EXTERNAL-ID of the request.
    external_id: Option<String>,
}

/// What a partner is asked for.
struct Request<'a> {
    call: &'a Call,
    body: Value,
    /// For the headers.
    values: Values,
}

/// Why one attempt failed.
pub(super) enum Failure {
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
            ahead: std::sync::Mutex::default(),
        })
    }

    fn asked<'a>(
        &self,
        name: &'a str,
        reference_no: Option<&'a str>,
        external_id: Option<&'a str>,
        payee: &PayeeNames,
    ) -> Asked<'a> {
        Asked {
            name,
            reference_no,
            external_id,
            values: Values::new(&self.settings.own, payee, self.clock.now()),
        }
    }

    fn asked_of<'a>(&self, named: &'a Named) -> Asked<'a> {
        let (reference_no, external_id) = (&named.reference_no, &named.external_id);
        self.asked(
            &named.name,
            reference_no.as_deref(),
            external_id.as_deref(),
            &named.payee,
        )
    }

    /// Sends a request until it is answered, at most `attempts_max` times.
    async fn ask(
        &self,
        service: Service,
        request: &Request<'_>,
        attempts_max: u32,
    ) -> Result<Done, PartnerError> {
        let mut attempt = 1;
        self.ask_counting(service, request, attempts_max, &mut attempt)
            .await
    }

    /// The same; `attempt` is the number of the last one, so that all before it had no answer.
    async fn ask_counting(
        &self,
        service: Service,
        request: &Request<'_>,
        attempts_max: u32,
        attempt: &mut u32,
    ) -> Result<Done, PartnerError> {
        let body = request.body.to_string();
        let mut pause = PAUSE_FIRST;
        let mut renewed = false;
        loop {
            if !self.breaker.admits(Instant::now()) {
                return Err(PartnerError::Away("it is left alone for a while".into()));
            }
            let problem = match self.attempt(service, request, body.as_bytes()).await {
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
            if *attempt >= attempts_max {
                return Err(PartnerError::Away(problem));
            }
            *attempt += 1;
            tokio::time::sleep(rand::random_range(pause / 2..=pause)).await;
            pause *= 2;
        }
    }

    async fn attempt(
        &self,
        service: Service,
        sent: &Request<'_>,
        body: &[u8],
    ) -> Result<Done, Failure> {
        let token = self.token().await?;
        let Settings { outbound, own, .. } = &self.settings;
        let url = self.url(&sent.call.path);
        let form = Form {
            encoding: outbound.encoding,
            body_hash: outbound.body_hash,
        };
        let covered = outbound.signs_token.then_some(token.as_str());
        let external_id = self.external_id();
        let now = timestamp(self.clock.now());
        let signed = Signed {
            method: "POST",
            path: url.path(),
            body,
            timestamp: &now,
        };
        let mut request = self
            .http
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .header(TIMESTAMP_HEADER, &now)
            .header(
                SIGNATURE_HEADER,
                signed.sign_symmetric(&self.settings.secret, covered, form),
            )
            .header("x-partner-id", &own.partner_id)
            .header(EXTERNAL_ID_HEADER, &external_id)
            .header("channel-id", &self.settings.channel_id)
            .body(body.to_vec());
        for (name, template) in &outbound.headers {
            if let Some(value) = sent.values.fill(template) {
                request = request.header(name, value);
            }
        }
        let mut done = self.send(service, request).await?;
        done.external_id = Some(external_id);
        Ok(done)
    }

    /// The token in hand, or a new one. One request at a time asks for it.
    pub(super) async fn token(&self) -> Result<String, Failure> {
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
            .post(self.url(&settings.outbound.token_path))
            .header(CLIENT_KEY_HEADER, &settings.own.client_id)
            .header(
                SIGNATURE_HEADER,
                sign_token_request(&settings.key, &settings.own.client_id, &time),
            )
            .header(TIMESTAMP_HEADER, time)
            .json(&grant);
        let answer = self.send(Service::AccessToken, request).await?;
        let fields = &settings.outbound.answer;
        let granted = GrantedToken::read(&answer.fields, fields).ok_or_else(|| {
            Failure::Refused(PartnerError::Unreadable("it gave no accessToken".into()))
        })?;
        *held = Some(Token {
            text: granted.access_token.clone(),
            good_until: now + TimeDelta::seconds(granted.lifetime_s) - TOKEN_SPARE,
        });
        Ok(granted.access_token)
    }

    /// The partner's URL may have a path of its own, which is signed too.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.settings.url.clone();
        let base = self.settings.outbound.base.trim_end_matches('/');
        let whole = format!("{}{base}{path}", url.path().trim_end_matches('/'));
        url.set_path(&whole);
        url
    }

    /// Sends a request. It is confirmed by a 2xx status with a `responseCode` that begins with 2. Some partners leave the code
    /// out; then the HTTP status is enough, except for refunds and cancellations.
    async fn send(
        &self,
        service: Service,
        request: reqwest::RequestBuilder,
    ) -> Result<Done, Failure> {
        let away = |error: reqwest::Error| Failure::Away(error.without_url().to_string());
        let mut response = request.send().await.map_err(away)?;
        self.note_time(&response);
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
        let code =
            first_of(&fields, &self.settings.outbound.answer.response_code).and_then(lenient::text);
        let message = fields.get("responseMessage").and_then(lenient::text);
        let is_confirmed = match &code {
            Some(code) => code.starts_with('2'),
            None => !matches!(service, Service::Refund | Service::Cancel),
        };
        // A refused question says what became of the order, where the dialect knows its code.
        let means_something = |code: &String| self.settings.query_codes.meaning(code).is_some();
        let is_answer = service == Service::Query && code.as_ref().is_some_and(means_something);
        if (status.is_success() && is_confirmed) || is_answer {
            return Ok(Done {
                bytes,
                fields,
                external_id: None,
            });
        }
        if status.as_u16() == 401 && code.as_ref().is_none_or(|code| code.ends_with("01")) {
            return Err(Failure::Token);
        }
        Err(Failure::Refused(PartnerError::Refused {
            code: lenient::cut(
                &code.unwrap_or_else(|| status.as_u16().to_string()),
                CODE_LEN_MAX,
            ),
            message: lenient::cut(&message.unwrap_or_default(), WORDS_LEN_MAX),
        }))
    }

    fn note_time(&self, response: &reqwest::Response) {
        let date = response.headers().get(DATE);
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(date.to_str().ok()?).ok());
        if let Some(date) = date {
            let ahead = date.to_utc() - self.clock.now();
            *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
        }
    }

    /// How far the partner's clock is ahead of ours, as far as is known.
    pub(super) fn clock_ahead(&self) -> Option<TimeDelta> {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one of these keys is the public half of ours, which is a mix-up.
    pub fn has_key_of_ours(&self, keys: &[PublicKey]) -> bool {
        let (own, time) = (&self.settings.own.client_id, timestamp(self.clock.now()));
        let signature = sign_token_request(&self.settings.key, own, &time);
        verify_token_request(keys, own, &time, Some(&signature)).is_ok()
    }

    /// A number that is unique among the day's requests: SNAP requires digits, at most 36.
    fn external_id(&self) -> String {
        let uuid = self.clock.uuid().as_u128();
        format!("{:036}", uuid % 10_u128.pow(36))
    }
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

    fn reference(&self) -> ReferenceForm {
        self.settings.outbound.reference
    }

    /// Sent once: the device repeats its request, and the partner then recognises the order by our transaction id.
    fn generate<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<Issued, PartnerError>> {
        async move {
            let outbound = &self.settings.outbound;
            let now = self.clock.now();
            let asked = self.asked(&order.name, None, None, &order.payee);
            let values = asked.values.clone();
            let body = outbound.generate_body(asked, order.amount, now, order.expires_at);
            let call = &outbound.generate;
            let request = Request { call, body, values };
            let answer = self.ask(Service::Generate, &request, 1).await?;
            let code = IssuedCode::read(&answer.fields, &outbound.answer)
                .ok_or_else(|| PartnerError::Unreadable("it gave no qrContent".into()))?;
            Ok(Issued {
                qr_payload: code.qr_content,
                qr_reference: None,
                reference_no: code.reference_no,
                external_id: answer.external_id,
            })
        }
        .boxed()
    }

    fn query<'a>(&'a self, named: &'a Named) -> BoxFuture<'a, Result<Vec<u8>, PartnerError>> {
        async move {
            let outbound = &self.settings.outbound;
            let call = outbound.query.as_ref().ok_or(PartnerError::Unsupported)?;
            let asked = self.asked_of(named);
            let values = asked.values.clone();
            let body = outbound.query_body(call, asked);
            let request = Request { call, body, values };
            let attempts = self.settings.attempts_max;
            let answer = self.ask(Service::Query, &request, attempts).await?;
            Ok(answer.bytes)
        }
        .boxed()
    }

    fn refunds_parts(&self) -> bool {
        self.settings.outbound.partial_refunds
    }

    fn refund<'a>(&'a self, refund: &'a Refund) -> BoxFuture<'a, Result<Refunded, PartnerError>> {
        async move {
            let outbound = &self.settings.outbound;
            let call = outbound.refund.as_ref().ok_or(PartnerError::Unsupported)?;
            let asked = self.asked(
                &refund.name,
                Some(&refund.partner_reference),
                refund.external_id.as_deref(),
                &refund.payee,
            );
            let values = asked.values.clone();
            let name = &refund.refund_name;
            let body = outbound.refund_body(call, asked, name, refund.amount, &refund.reason);
            let request = Request { call, body, values };
            let (attempts, mut attempt) = (self.settings.attempts_max, 1);
            let asking = self.ask_counting(Service::Refund, &request, attempts, &mut attempt);
            match refunded(asking.await, &outbound.answer) {
                // It may have done what it did not answer, and refuse only the repetition.
                Err(error) if attempt > 1 && error.is_final() => Err(PartnerError::Away(format!(
                    "it did not answer, and then: {error}"
                ))),
                told => told,
            }
        }
        .boxed()
    }

    fn cancel<'a>(
        &'a self,
        named: &'a Named,
        reason: &'a str,
    ) -> BoxFuture<'a, Result<(), PartnerError>> {
        async move {
            let outbound = &self.settings.outbound;
            let call = outbound.cancel.as_ref().ok_or(PartnerError::Unsupported)?;
            let asked = self.asked_of(named);
            let values = asked.values.clone();
            let body = outbound.cancel_body(call, asked, reason);
            let request = Request { call, body, values };
            let attempts = self.settings.attempts_max;
            self.ask(Service::Cancel, &request, attempts).await?;
            Ok(())
        }
        .boxed()
    }
}
