//! The steps of payments, as spans: names and attributes by OpenTelemetry's conventions for messaging and databases.
//!
//! The trace id is the transaction's id. The first span, of the callback that made the transaction paid, has an id that is
//! derived from it too, so that any process can name it as the parent of a later step.

use std::borrow::Cow;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use domain::announcement::NotificationStatus;
use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{
    IdGenerator as _, RandomIdGenerator, SpanData, SpanEvents, SpanLinks,
};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use wire::Channel;
use wire::ids::TransactionId;

use super::queue::SpanQueue;
use service::payment::trace::{
    Action, AnnouncementStep, Origin, PaymentTracer, Transport, UnitTimes,
};

/// Makes spans of the steps of payments.
#[derive(Debug)]
pub(super) struct Tracer {
    queue: SpanQueue,
    scope: InstrumentationScope,
}

/// A span, as far as it differs from others.
struct Described {
    id: SpanId,
    parent: SpanId,
    name: Cow<'static, str>,
    kind: SpanKind,
    began: DateTime<Utc>,
    ended: DateTime<Utc>,
    attributes: Vec<KeyValue>,
    status: Status,
}

impl Tracer {
    pub(super) fn new(queue: SpanQueue, scope: InstrumentationScope) -> Self {
        Self { queue, scope }
    }

    fn export(&self, transaction_id: TransactionId, described: Described) {
        let mut attributes = described.attributes;
        attributes.push(KeyValue::new("transaction_id", transaction_id.to_string()));
        let trace_id = TraceId::from_bytes(transaction_id.as_uuid().into_bytes());
        self.queue.submit(SpanData {
            span_context: context(trace_id, described.id),
            parent_span_id: described.parent,
            parent_span_is_remote: described.parent != SpanId::INVALID,
            span_kind: described.kind,
            name: described.name,
            start_time: SystemTime::from(described.began),
            end_time: SystemTime::from(described.ended),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: surroundings(),
            status: described.status,
            instrumentation_scope: self.scope.clone(),
        });
    }
}

impl PaymentTracer for Tracer {
    fn committed(&self, origin: &Origin, times: &UnitTimes) {
        let root = root_of(origin.transaction_id);
        let (id, parent) = match origin.pays {
            true => (root, SpanId::INVALID),
            false => (new_id(), root),
        };
        let internal = |id, parent, name, began, ended| Described {
            id,
            parent,
            name: Cow::Borrowed(name),
            kind: SpanKind::Internal,
            began,
            ended,
            attributes: Vec::new(),
            status: Status::Unset,
        };
        let Origin {
            received_at,
            verified_at,
            ..
        } = *origin;
        let whole = Described {
            attributes: vec![KeyValue::new("verdict", origin.verdict)],
            ..internal(id, parent, origin.name, received_at, times.committed)
        };
        // What is not a callback is verified in the unit of work, and waits in no queue.
        let taken_at = times.began.max(verified_at);
        let decided_at = times.decided.max(taken_at);
        let verify = internal(new_id(), id, "verify", received_at, verified_at);
        let queue = internal(new_id(), id, "queue", verified_at, taken_at);
        let judge = internal(new_id(), id, "judge", taken_at, decided_at);
        let write = internal(new_id(), id, "write", decided_at, times.written);
        let commit = Described {
            kind: SpanKind::Client,
            attributes: vec![
                KeyValue::new("db.system.name", "postgresql"),
                KeyValue::new("db.operation.name", "COMMIT"),
            ],
            ..internal(new_id(), id, "COMMIT", times.written, times.committed)
        };
        for described in [whole, verify, queue, judge, write, commit] {
            self.export(origin.transaction_id, described);
        }
    }

    fn announced(&self, step: &AnnouncementStep) {
        let (operation, kind_of_operation, kind, channel) = match step.action {
            Action::Seal => (
                "seal",
                "create",
                SpanKind::Producer,
                Channel::PaymentSuccess,
            ),
            Action::Send(_) => ("send", "send", SpanKind::Client, Channel::PaymentSuccess),
            Action::Publish => ("publish", "send", SpanKind::Client, Channel::PaymentSuccess),
            Action::Acknowledge(status) => (
                status.as_str(),
                "process",
                SpanKind::Consumer,
                Channel::PaymentAck,
            ),
        };
        let path = channel.path();
        let device_id = step.announcement.device_id.to_string();
        let mut attributes = vec![
            KeyValue::new("messaging.system", "soundbox"),
            KeyValue::new("messaging.operation.name", operation),
            KeyValue::new("messaging.operation.type", kind_of_operation),
            KeyValue::new(
                "messaging.destination.template",
                format!("devices/{{device_id}}/{path}"),
            ),
            KeyValue::new(
                "messaging.destination.name",
                format!("devices/{device_id}/{path}"),
            ),
            KeyValue::new(
                "messaging.message.id",
                step.announcement.event_id.to_string(),
            ),
            KeyValue::new("device_id", device_id),
        ];
        let protocol = match step.action {
            Action::Send(Transport::Http) => Some("http"),
            Action::Send(Transport::Mqtt) | Action::Publish => Some("mqtt"),
            Action::Seal | Action::Acknowledge(_) => None,
        };
        attributes.extend(protocol.map(|name| KeyValue::new("network.protocol.name", name)));
        let is_unheard = matches!(
            step.action,
            Action::Acknowledge(NotificationStatus::Failed | NotificationStatus::Stale)
        );
        let described = Described {
            id: new_id(),
            parent: root_of(step.announcement.transaction_id),
            name: format!("{operation} devices/{{device_id}}/{path}").into(),
            kind,
            began: step.began,
            ended: step.ended,
            attributes,
            status: match is_unheard {
                true => Status::error("not announced"),
                false => Status::Unset,
            },
        };
        self.export(step.announcement.transaction_id, described);
    }
}

fn context(trace_id: TraceId, id: SpanId) -> SpanContext {
    SpanContext::new(trace_id, id, TraceFlags::SAMPLED, false, TraceState::NONE)
}

fn new_id() -> SpanId {
    RandomIdGenerator::default().new_span_id()
}

/// The id of the first span: the random half of the transaction's id, which is never zero (RFC 9562: its first bit is 1).
fn root_of(transaction_id: TransactionId) -> SpanId {
    let (_, random) = transaction_id.as_uuid().as_u64_pair();
    SpanId::from(random)
}

/// A link to the request, batch or round in which this happens, if that is exported.
fn surroundings() -> SpanLinks {
    let mut links = SpanLinks::default();
    let around = tracing::Span::current().context();
    let around = around.span().span_context().clone();
    if around.is_valid() && around.is_sampled() {
        links.links.push(Link::with_context(around));
    }
    links
}
