//! `listen`: a receiver of webhooks. It prints each message and whether its signature is right.
//!
//! The signature is that of Standard Webhooks: base64 HMAC-SHA256 over `id "." timestamp "." body`.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::output::Output;

/// The largest message.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// The largest difference between the sender's clock and this one, in seconds.
const TOLERANCE_S: i64 = 300;
/// How many ids of messages are remembered, to tell repetitions.
const KNOWN_MAX: usize = 100_000;

/// A receiver.
pub struct WebhookListener {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The secret of the endpoint: `whsec_…`.
    pub secret: String,
    /// What it answers to messages whose signature is right.
    pub answer: StatusCode,
    /// Where it prints.
    pub output: Output,
}

struct Receiver {
    key: hmac::Key,
    answer: StatusCode,
    output: Output,
    known: Mutex<HashSet<String>>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum OutputEvent<'a> {
    Listening {
        address: SocketAddr,
    },
    Webhook {
        id: &'a str,
        #[serde(rename = "type")]
        kind: &'a str,
        repeated: bool,
        body: &'a Value,
    },
    WebhookRefused {
        reason: &'a str,
    },
}

impl WebhookListener {
    /// Receives until `stop`.
    ///
    /// # Errors
    /// The secret is not of its form; the address cannot be listened on.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let secret = self
            .secret
            .strip_prefix("whsec_")
            .and_then(|text| STANDARD.decode(text).ok())
            .context("the secret is not of the form whsec_BASE64")?;
        let receiver = Arc::new(Receiver {
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            answer: self.answer,
            output: self.output,
            known: Mutex::default(),
        });
        let router = Router::new()
            .route("/", post(receive))
            .route("/{*path}", post(receive))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(receiver);
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("cannot listen on {}", self.listen))?;
        let address = listener.local_addr()?;
        let event = OutputEvent::Listening { address };
        self.output
            .emit(&event, || format!("listening on http://{address}/"));
        axum::serve(listener, router)
            .with_graceful_shutdown(async move { stop.cancelled().await })
            .await?;
        Ok(())
    }
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let output = receiver.output;
    let (id, message) = match receiver.read(&headers, &body) {
        Ok(read) => read,
        Err(reason) => {
            let event = OutputEvent::WebhookRefused { reason };
            output.emit(&event, || format!("refused: {reason}"));
            return StatusCode::BAD_REQUEST;
        }
    };
    let repeated = {
        let mut known = receiver
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        !known.insert(id.clone())
    };
    let kind = message["type"].as_str().unwrap_or_default();
    let event = OutputEvent::Webhook {
        id: &id,
        kind,
        repeated,
        body: &message,
    };
    output.emit(&event, || {
        let again = if repeated { " (again)" } else { "" };
        format!("{kind}{again} {}", message["data"])
    });
    receiver.answer
}

impl Receiver {
    /// The id and the body of a message whose signature is right.
    fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<(String, Value), &'static str> {
        let header = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.map(str::to_owned)
        };
        let id = header("webhook-id").ok_or("no webhook-id")?;
        let timestamp = header("webhook-timestamp").ok_or("no webhook-timestamp")?;
        let signatures = header("webhook-signature").ok_or("no webhook-signature")?;
        let mut signed = format!("{id}.{timestamp}.").into_bytes();
        signed.extend_from_slice(body);
        let is_right = signatures
            .split(' ')
            .filter_map(|one| one.strip_prefix("v1,"))
            .filter_map(|one| STANDARD.decode(one).ok())
            .any(|tag| hmac::verify(&self.key, &signed, &tag).is_ok());
        if !is_right {
            return Err("the signature is wrong");
        }
        let sent_at: i64 = timestamp.parse().map_err(|_| "no time")?;
        if (clock::now().timestamp() - sent_at).abs() > TOLERANCE_S {
            return Err("the timestamp is too far from this clock");
        }
        let message = serde_json::from_slice(body).map_err(|_| "the body is not JSON")?;
        Ok((id, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver() -> Receiver {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        Receiver {
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            answer: StatusCode::NO_CONTENT,
            output: Output::new(true),
            known: Mutex::default(),
        }
    }

    fn headers(timestamp: &str, signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            "webhook-id",
            "msg_p5jXN8AQM9LWM0D4loKWxJek".parse().unwrap(),
        );
        headers.insert("webhook-timestamp", timestamp.parse().unwrap());
        headers.insert("webhook-signature", signature.parse().unwrap());
        headers
    }

    #[test]
    fn the_published_example_is_right_but_old() {
        let body = br#"{"test": 2432232314}"#;
        let right = headers(
            "1614265330",
            "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        );
        let old = receiver().read(&right, body);
        assert_eq!(old, Err("the timestamp is too far from this clock"));
        let changed = receiver().read(&right, br#"{"test": 2432232315}"#);
        assert_eq!(changed, Err("the signature is wrong"));
        let unsigned = receiver().read(&headers("1614265330", "v1a,AAAA"), body);
        assert_eq!(unsigned, Err("the signature is wrong"));
    }

    #[test]
    fn a_fresh_message_is_read() {
        let timestamp = clock::now().timestamp().to_string();
        let body = br#"{"type":"endpoint.test","data":{}}"#;
        let mut signed = format!("msg_p5jXN8AQM9LWM0D4loKWxJek.{timestamp}.").into_bytes();
        signed.extend_from_slice(body);
        let tag = hmac::sign(&receiver().key, &signed);
        let signature = format!("v1,{}", STANDARD.encode(tag.as_ref()));
        let (id, message) = receiver()
            .read(&headers(&timestamp, &signature), body)
            .unwrap();
        assert_eq!(id, "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(message["type"], "endpoint.test");
    }
}
