//! A receiver of webhooks: keeps what it was sent, verifies every signature, and answers as it is told to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use domain::webhook::{ID_HEADER, SIGNATURE_HEADER, Secret, TIMESTAMP_HEADER};
use platform::config::Config;
use serde_json::{Value, json};

use crate::api::Api;
use crate::eventually::eventually;
use crate::fields::text;
use crate::world::World;

/// A message that it was sent.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its `webhook-id`.
    pub id: String,
    /// Its `webhook-timestamp`.
    pub timestamp: String,
    /// Its `webhook-signature`.
    pub signature: String,
    /// Its body.
    pub body: Value,
    /// The bytes of its body.
    pub raw: Bytes,
    /// What was answered.
    pub answered: u16,
}

impl Received {
    /// What it tells of.
    pub fn event(&self) -> String {
        text(&self.body, "type")
    }

    /// Whether one of its signatures is this secret's.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        Secret::from_text(secret).unwrap().verifies(
            &self.id,
            &self.timestamp,
            &self.raw,
            &self.signature,
        )
    }
}

#[derive(Debug)]
struct Inbox {
    answer: u16,
    received: Vec<Received>,
}

/// A receiver in this process.
#[derive(Debug)]
pub struct WebhookReceiver {
    address: SocketAddr,
    inbox: Arc<Mutex<Inbox>>,
    server: tokio::task::JoinHandle<()>,
}

impl WebhookReceiver {
    /// Starts it; it takes everything.
    pub async fn open() -> Self {
        let inbox = Arc::new(Mutex::new(Inbox {
            answer: 204,
            received: Vec::new(),
        }));
        let router = Router::new()
            .route("/hook", post(take))
            .with_state(Arc::clone(&inbox));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            inbox,
            server,
        }
    }

    /// Lets a platform call it: it is on this machine, without TLS.
    pub fn allow(config: &mut Config) {
        config.webhooks.allow_http = true;
        config.webhooks.allow_private_addresses = true;
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Makes an endpoint of it; the endpoint with its secret.
    pub async fn join(&self, admin: &Api, events: &[&str]) -> Value {
        let endpoint = json!({ "url": self.url(), "events": events });
        admin.create("/admin/webhook-endpoints", &endpoint).await
    }

    /// What it answers from now on.
    pub fn answer(&self, status: u16) {
        self.inbox().answer = status;
    }

    /// Everything that it was sent.
    pub fn received(&self) -> Vec<Received> {
        self.inbox().received.clone()
    }

    /// What it has taken, in the order in which it took it first: each message once.
    pub fn taken(&self) -> Vec<Received> {
        let mut taken: Vec<Received> = Vec::new();
        for one in self.received() {
            let is_new = taken.iter().all(|known| known.id != one.id);
            if is_new && (200..300).contains(&one.answered) {
                taken.push(one);
            }
        }
        taken
    }

    /// Waits until it has taken so many messages.
    pub async fn has_taken(&self, count: usize) -> Vec<Received> {
        eventually("the messages", || async {
            let taken = self.taken();
            (taken.len() >= count).then_some(taken)
        })
        .await
    }

    /// Moves the platform's clock on, minute by minute, until it has taken so many messages.
    pub async fn has_taken_by(&self, world: &World, count: usize) -> Vec<Received> {
        eventually("the messages", || async {
            world.later(60);
            let taken = self.taken();
            (taken.len() >= count).then_some(taken)
        })
        .await
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WebhookReceiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(
    State(inbox): State<Arc<Mutex<Inbox>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
    let answered = inbox.answer;
    inbox.received.push(Received {
        id: header(ID_HEADER),
        timestamp: header(TIMESTAMP_HEADER),
        signature: header(SIGNATURE_HEADER),
        body: serde_json::from_slice(&body).unwrap(),
        raw: body,
        answered,
    });
    StatusCode::from_u16(answered).unwrap()
}
