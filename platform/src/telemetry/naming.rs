//! Names and attributes of the spans of [`service::span`], by OpenTelemetry's semantic conventions. Their names in log lines
//! are shorter, and stay as they are.

use opentelemetry::trace::{SpanKind, Status};
use opentelemetry::{Key, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;

use service::span::{HTTP_METHOD, HTTP_STATUS};

/// The field that completes the name of a span.
const SUBJECTS: [(&str, &str); 5] = [
    ("uplink", "channel"),
    ("session", "event"),
    ("uplink_batch", "batcher"),
    ("job", "job"),
    ("outbox_round", "messages"),
];

/// Gives a span the name and the attributes that it is exported with.
pub(super) fn apply(span: &mut SpanData) {
    if span.name == "request" {
        return apply_http(span);
    }
    if span.name == "uplink" {
        span.span_kind = SpanKind::Consumer;
    }
    let subject = SUBJECTS
        .iter()
        .find(|(name, _)| span.name == *name)
        .and_then(|(_, field)| find(&span.attributes, field));
    if let Some(subject) = subject {
        span.name = format!("{} {}", span.name, subject.as_str()).into();
    }
}

/// HTTP server spans: method and route are the name; only faults of the server are errors.
fn apply_http(span: &mut SpanData) {
    span.span_kind = SpanKind::Server;
    if let Some(route) = span
        .attributes
        .iter_mut()
        .find(|attribute| attribute.key.as_str() == "route")
    {
        route.key = Key::from_static_str("http.route");
    }
    if let Some(Value::I64(500..)) = find(&span.attributes, HTTP_STATUS) {
        span.status = Status::error("");
    }
    let method = find(&span.attributes, HTTP_METHOD).map(Value::as_str);
    let route = find(&span.attributes, "http.route").map(Value::as_str);
    let route = route.filter(|route| route != "-");
    let name = match (method.as_deref(), route) {
        (None | Some("other"), route) => format!("HTTP {}", route.unwrap_or_default()),
        (Some(method), route) => format!("{method} {}", route.unwrap_or_default()),
    };
    span.name = name.trim_end().to_owned().into();
}

fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let attribute = attributes
        .iter()
        .find(|attribute| attribute.key.as_str() == key)?;
    Some(&attribute.value)
}
