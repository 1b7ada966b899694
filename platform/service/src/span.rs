//! Tracing spans: one for each HTTP request, MQTT session event, uplink, batch of uplinks or payments, job run and outbox round.
//!
//! A log line inside a span carries the fields of the span, including lines of `service`, `store` and sqlx. A field that
//! is not known when the span begins is declared empty and recorded where it becomes known; recording a field that the
//! current span does not declare has no effect.
//!
//! The level of every span is ERROR. It is not a severity: it keeps the span enabled under `log.filter = "error"`, so
//! that the lines that remain still say which request they belong to.

use std::fmt::Display;

use tracing::field::{Empty, display};
use tracing::{Metadata, Span, error_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use wire::Channel;
use wire::ids::{DeviceId, MerchantId, TransactionId};

/// The attribute of an exported request with its method.
pub const HTTP_METHOD: &str = "http.request.method";
/// The attribute of an exported request with the status of its answer.
pub const HTTP_STATUS: &str = "http.response.status_code";

/// Whether a span is one of these, and not a library's.
pub fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.module_path() == Some(module_path!())
}

/// Adds to a request what its exported span has and log lines do not repeat. Without effect when nothing is exported.
pub fn set_answer(request: &Span, method: &'static str, status: u16) {
    request.set_attribute(HTTP_METHOD, method);
    request.set_attribute(HTTP_STATUS, i64::from(status));
}

/// The handling of one HTTP request.
pub fn request(request_id: &str, route: &str) -> Span {
    error_span!(
        "request",
        request_id,
        route,
        device_id = Empty,
        merchant_id = Empty,
        transaction_id = Empty,
    )
}

/// One uplink of a device over MQTT.
pub fn uplink(device_id: DeviceId, channel: Channel) -> Span {
    error_span!(
        "uplink",
        %device_id,
        channel = channel.message_type(),
        merchant_id = Empty,
        transaction_id = Empty,
    )
}

/// One event of an MQTT session: takeover, admission, subscriptions, end.
pub fn session(event: &'static str, device_id: DeviceId) -> Span {
    error_span!("session", event, %device_id)
}

/// One batch of an uplink batcher.
pub fn uplink_batch(batcher: &'static str, items: usize) -> Span {
    error_span!("uplink_batch", batcher, items)
}

/// One batch of payments.
pub fn payment_batch(items: usize) -> Span {
    error_span!("payment_batch", items)
}

/// One run of a background job.
pub fn job(job: &'static str) -> Span {
    error_span!("job", job)
}

/// One round of the outbox: which messages, and what started it.
pub fn outbox_round(messages: &'static str, trigger: &'static str) -> Span {
    error_span!("outbox_round", messages, trigger)
}

/// Records the device that the current span is about.
pub fn set_device(id: DeviceId) {
    set("device_id", id);
}

/// Records the merchant that the current span is about.
pub fn set_merchant(id: MerchantId) {
    set("merchant_id", id);
}

/// Records the transaction that the current span is about.
pub fn set_transaction(id: TransactionId) {
    set("transaction_id", id);
}

/// Records a field of the current span, if the span declares it.
pub fn set(field: &'static str, value: impl Display) {
    Span::current().record(field, display(value));
}
