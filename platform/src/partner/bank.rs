//! The payout partner over HTTP.
//!
//! ```text
//! POST {url}/payouts        {payout_id, settlement_id, merchant_id, amount, currency, destination}
//! POST {url}/payouts/query  {payout_id}
//!   ◀── {status: processing | paid | failed | returned, bank_reference?, reason?}; 404 to a query: unknown payout
//! ```
//!
//! Both are signed like callbacks of profile `hmac`, with the partner's newest secret. `Idempotency-Key` is the payout's
//! id, so a repeated instruction pays once. Only an answer with a known status counts as an answer. After anything else (a
//! timeout, a 5xx, something unreadable) the outcome is unknown, and the payout is queried later.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use domain::partner_signature::{
    PARTNER_ID_HEADER, PartnerSecret, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign,
};
use domain::payout::PayoutOutcome;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::{StatusCode, Url};
use serde_json::{Value, json};
use service::clock::Clock;
use service::money::payout_partner::{Answer, Instruction, NoAnswer, PayoutPartner};
use wire::ids::PayoutId;
use wire::lenient;

/// The largest answer that is read, bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// The longest reference and reason that are taken, bytes.
const TEXT_LEN_MAX: usize = 128;

/// How to reach a partner.
pub struct Settings {
    /// Its id, which is also our id in requests to it.
    pub id: String,
    /// Its base URL.
    pub url: String,
    /// The CA of its server; those that this machine trusts when it is empty.
    pub ca_file: PathBuf,
    /// The secret that signs our requests.
    pub secret: PartnerSecret,
    /// For a whole call.
    pub timeout: Duration,
}

/// A payout partner.
pub struct Bank {
    http: reqwest::Client,
    id: String,
    instruct_url: Url,
    query_url: Url,
    secret: PartnerSecret,
    clock: Clock,
}

impl Bank {
    /// A client of a partner.
    ///
    /// # Errors
    /// A URL that is not HTTPS (HTTP is allowed on this machine), a CA that cannot be read.
    pub fn new(settings: Settings, clock: Clock) -> anyhow::Result<Self> {
        let base: Url = settings.url.parse().context("url")?;
        let host = base.host_str().unwrap_or_default();
        let local = host == "localhost"
            || host
                .trim_matches(['[', ']'])
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.is_loopback());
        if base.scheme() != "https" && !(base.scheme() == "http" && local) {
            bail!("url: must be https, or http on this machine");
        }
        let mut http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(settings.timeout);
        if !settings.ca_file.as_os_str().is_empty() {
            let pem = std::fs::read_to_string(&settings.ca_file)
                .with_context(|| format!("ca_file: {}", settings.ca_file.display()))?;
            let roots = certs::tls::roots_from_pem(&pem).context("ca_file")?;
            let tls = certs::tls::client_config(roots, None, Vec::new())?;
            http = http.tls_backend_preconfigured(rustls::ClientConfig::clone(&tls));
        }
        let base = settings.url.trim_end_matches('/');
        Ok(Self {
            http: http.build()?,
            id: settings.id,
            instruct_url: format!("{base}/payouts").parse()?,
            query_url: format!("{base}/payouts/query").parse()?,
            secret: settings.secret,
            clock,
        })
    }

    async fn call(
        &self,
        url: &Url,
        payout_id: PayoutId,
        body: &Value,
    ) -> Result<(StatusCode, Vec<u8>), NoAnswer> {
        let body = body.to_string().into_bytes();
        let (timestamp, signature) = sign(&self.secret, self.clock.now(), &body);
        let failed = |error: reqwest::Error| {
            NoAnswer(if error.is_timeout() {
                "the payout partner did not answer in time".into()
            } else {
                format!(
                    "the payout partner could not be reached: {}",
                    error.without_url()
                )
            })
        };
        let mut response = self
            .http
            .post(url.clone())
            .header("content-type", "application/json")
            .header("idempotency-key", payout_id.to_string())
            .header(PARTNER_ID_HEADER, &self.id)
            .header(TIMESTAMP_HEADER, timestamp)
            .header(SIGNATURE_HEADER, signature)
            .body(body)
            .send()
            .await
            .map_err(failed)?;
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if answer.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(NoAnswer("the payout partner's answer is too long".into()));
            }
            answer.extend_from_slice(&chunk);
        }
        Ok((response.status(), answer))
    }
}

impl PayoutPartner for Bank {
    fn instruct<'a>(
        &'a self,
        instruction: &'a Instruction,
    ) -> BoxFuture<'a, Result<Answer, NoAnswer>> {
        async move {
            let body = json!({
                "payout_id": instruction.payout_id,
                "settlement_id": instruction.settlement_id,
                "merchant_id": instruction.merchant_id,
                "amount": instruction.amount,
                "currency": "IDR",
                "destination": instruction.destination,
            });
            let (status, answer) = self
                .call(&self.instruct_url, instruction.payout_id, &body)
                .await?;
            read(status, &answer)
        }
        .boxed()
    }

    fn query(&self, payout_id: PayoutId) -> BoxFuture<'_, Result<Answer, NoAnswer>> {
        async move {
            let body = json!({ "payout_id": payout_id });
            let (status, answer) = self.call(&self.query_url, payout_id, &body).await?;
            if status == StatusCode::NOT_FOUND && is_about_payout(&answer) {
                return Ok(Answer::Unknown);
            }
            read(status, &answer)
        }
        .boxed()
    }
}

/// Whether a 404 comes from the partner, and not from a proxy that does not know the path.
fn is_about_payout(answer: &[u8]) -> bool {
    serde_json::from_slice::<Value>(answer)
        .is_ok_and(|answer| answer["code"].as_str() == Some("PAYOUT_NOT_FOUND"))
}

/// Reads an answer: its status and, for a paid payout, the bank's reference, strictly; everything else leniently. A refusal
/// counts as a failure only when its status is `failed`.
fn read(status: StatusCode, answer: &[u8]) -> Result<Answer, NoAnswer> {
    let unclear = || {
        NoAnswer(format!(
            "the payout partner answered {status} without a known status of the payout"
        ))
    };
    if status.is_server_error() {
        return Err(unclear());
    }
    let body: Value = serde_json::from_slice(answer).map_err(|_| unclear())?;
    let stated = |field: &str| body.get(field).and_then(lenient::text);
    let bank_reference = stated("bank_reference").filter(|name| name.len() <= TEXT_LEN_MAX);
    let payout_status = stated("status").ok_or_else(unclear)?;
    if payout_status == "processing" {
        return if status.is_success() {
            Ok(Answer::Processing)
        } else {
            Err(unclear())
        };
    }
    let outcome: PayoutOutcome = payout_status.parse().map_err(|_| unclear())?;
    let says_nothing = match outcome {
        PayoutOutcome::Paid => bank_reference.is_none() || !status.is_success(),
        PayoutOutcome::Returned => !status.is_success(),
        PayoutOutcome::Failed => false,
    };
    if says_nothing {
        return Err(unclear());
    }
    Ok(Answer::Outcome {
        outcome,
        bank_reference,
        reason: stated("reason").map(|reason| lenient::cut(&reason, TEXT_LEN_MAX)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_of(status: u16, body: &str) -> Result<Answer, NoAnswer> {
        read(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    fn outcome(
        outcome: PayoutOutcome,
        bank_reference: Option<&str>,
        reason: Option<&str>,
    ) -> Answer {
        Answer::Outcome {
            outcome,
            bank_reference: bank_reference.map(str::to_owned),
            reason: reason.map(str::to_owned),
        }
    }

    #[test]
    fn only_what_says_something_is_an_answer() {
        assert_eq!(
            answer_of(202, r#"{"status":"processing"}"#),
            Ok(Answer::Processing)
        );
        assert_eq!(
            answer_of(200, r#"{"status":"paid","bank_reference":"B1","more":1}"#),
            Ok(outcome(PayoutOutcome::Paid, Some("B1"), None))
        );
        assert_eq!(
            answer_of(422, r#"{"status":"failed","reason":"no such account"}"#),
            Ok(outcome(
                PayoutOutcome::Failed,
                None,
                Some("no such account")
            ))
        );
        assert_eq!(
            answer_of(
                200,
                r#"{"status":" paid ","bank_reference":20201029,"reason":["ok"]}"#
            ),
            Ok(outcome(PayoutOutcome::Paid, Some("20201029"), None))
        );
        let long = format!(r#"{{"status":"failed","reason":"{}"}}"#, "x".repeat(500));
        let Ok(Answer::Outcome {
            reason: Some(reason),
            ..
        }) = answer_of(422, &long)
        else {
            panic!("a long reason is no reason to ask again")
        };
        assert!(reason.len() == TEXT_LEN_MAX && reason.ends_with(lenient::CUT_MARK));
        for (status, body) in [
            (500, r#"{"status":"failed"}"#),
            (200, r#"{"status":"paid"}"#),
            (409, r#"{"status":"paid","bank_reference":"B1"}"#),
            (409, r#"{"status":"processing"}"#),
            (200, r#"{"status":"lost"}"#),
            (200, r#"{"status":["paid"],"bank_reference":"B1"}"#),
            (200, r#"{"bank_reference":"B1"}"#),
            (200, "[]"),
            (200, ""),
            (404, "<html>"),
            (401, r#"{"code":"INVALID_SIGNATURE"}"#),
        ] {
            assert!(answer_of(status, body).is_err(), "{status} {body}");
        }
    }

    #[test]
    fn a_partner_is_reached_by_https_or_on_this_machine() {
        let made = |url: &str| {
            let settings = Settings {
                id: "bank".into(),
                url: url.into(),
                ca_file: PathBuf::new(),
                secret: PartnerSecret::new(b"a secret of sixteen"),
                timeout: Duration::from_secs(1),
            };
            Bank::new(settings, Clock::default()).is_ok()
        };
        assert!(made("https://bank.example/api/"));
        assert!(made("http://127.0.0.1:1"));
        assert!(!made("http://bank.example"));
        assert!(!made("bank"));
    }
}
