//! What the worker needs of an HTTP client.

use futures_util::future::BoxFuture;

/// A message, signed.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where it goes.
    pub url: String,
    /// Its `webhook-id`.
    pub id: String,
    /// Its `webhook-timestamp`.
    pub timestamp: String,
    /// Its `webhook-signature`.
    pub signature: String,
    /// The body: JSON.
    pub body: String,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotSent(pub String);

/// An HTTP client that calls where it may, follows no redirects, and ends a call that takes too long.
pub trait WebhookSender: Send + Sync {
    /// Sends a message; the answer's status.
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<u16, NotSent>>;
}
