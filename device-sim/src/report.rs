//! What a box reports while it runs: one JSON object per line with `--json`, or a sentence.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use wire::message::{AckStatus, CommandAckStatus, QrOutcome};
use wire::{CommandId, DeviceId, EventId, Rupiah, TransactionId};

use crate::soundbox::counters::Counters;

/// One thing that happened to one box.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The box.
    pub device_id: DeviceId,
    /// When: by the trusted clock where the box has it, else by the machine's.
    #[serde(serialize_with = "as_text")]
    pub at: DateTime<Utc>,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

fn as_text<S: serde::Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&wire::time::format(*at))
}

/// What can happen to a box.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It is connected.
    Connected {
        /// Whether the broker still had its session.
        session_present: bool,
    },
    /// It is not, or not yet.
    Disconnected {
        /// Why.
        reason: String,
        /// When it tries again.
        retry_in_ms: u64,
    },
    /// It knows the time.
    ClockSet,
    /// An announcement came that is new.
    Received {
        /// The announcement.
        event_id: EventId,
        /// Its number.
        sequence: i64,
        /// From the platform's `sent_at` to here, by the trusted clock; absent while there is none.
        #[serde(skip_serializing_if = "Option::is_none")]
        sent_to_received_ms: Option<i64>,
    },
    /// A payment is being said aloud.
    Spoken {
        /// The announcement.
        event_id: EventId,
        /// The payment.
        transaction_id: TransactionId,
        /// How much.
        amount: Rupiah,
        /// The words.
        text: String,
        /// Whether they are those for a payment made a while ago.
        delayed: bool,
    },
    /// An announcement was answered.
    Acked {
        /// The announcement.
        event_id: EventId,
        /// The answer.
        status: AckStatus,
        /// Why.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A message was not believed.
    Refused {
        /// Where it came.
        topic: String,
        /// Why.
        reason: String,
    },
    /// A command was answered.
    Command {
        /// The command.
        command_id: CommandId,
        /// Its type.
        #[serde(rename = "type")]
        kind: String,
        /// Its parameters.
        payload: Value,
        /// The answer.
        status: CommandAckStatus,
    },
    /// A new configuration is in force.
    Configured {
        /// Its version.
        version: i64,
        /// Whether the box belongs to a terminal now.
        bound: bool,
    },
    /// A QR to show.
    Qr {
        /// The request.
        correlation_id: String,
        /// The payload, if there is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        qr_payload: Option<String>,
        /// The refusal, if there is none.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
    /// It starts again.
    Rebooting,
    /// It has ended.
    Stopped {
        /// What it saw.
        counters: Counters,
    },
}

impl Event {
    /// An answer to a request for a QR.
    pub fn qr(correlation_id: String, outcome: QrOutcome) -> Self {
        match outcome {
            QrOutcome::Ready { qr_payload, .. } => Self::Qr {
                correlation_id,
                qr_payload: Some(qr_payload),
                code: None,
            },
            QrOutcome::Refused(error) => Self::Qr {
                correlation_id,
                qr_payload: None,
                code: Some(error.code),
            },
        }
    }
}

impl Report {
    /// For people.
    pub fn sentence(&self) -> String {
        let what = match &self.event {
            Event::Connected {
                session_present: true,
            } => "connected (session resumed)".to_owned(),
            Event::Connected {
                session_present: false,
            } => "connected".to_owned(),
            Event::Disconnected {
                reason,
                retry_in_ms,
            } => {
                format!("disconnected: {reason}; next attempt in {retry_in_ms} ms")
            }
            Event::ClockSet => "knows the time".to_owned(),
            Event::Received {
                event_id, sequence, ..
            } => format!("received {event_id} (number {sequence})"),
            Event::Spoken { text, amount, .. } => format!("\u{1f50a} {text}  [Rp {amount}]"),
            Event::Acked {
                event_id,
                status,
                reason: None,
            } => format!("answered {event_id}: {}", status.as_str()),
            Event::Acked {
                event_id,
                status,
                reason: Some(reason),
            } => {
                format!("answered {event_id}: {} ({reason})", status.as_str())
            }
            Event::Refused { topic, reason } => format!("refused a message on {topic}: {reason}"),
            Event::Command { kind, status, .. } => format!("command {kind}: {}", status.as_str()),
            Event::Configured { version, bound } => {
                format!(
                    "configuration {version}, {}",
                    if *bound { "bound" } else { "not bound" }
                )
            }
            Event::Qr {
                code: Some(code), ..
            } => format!("no QR: {code}"),
            Event::Qr { qr_payload, .. } => {
                format!("QR: {}", qr_payload.as_deref().unwrap_or_default())
            }
            Event::Rebooting => "reboots".to_owned(),
            Event::Stopped { counters } => format!("stopped; {} spoken", counters.spoken),
        };
        format!(
            "{} {} {what}",
            self.at.format("%H:%M:%S%.3f"),
            self.device_id
        )
    }
}

/// Who is told.
pub type Listener = Arc<dyn Fn(&Report) + Send + Sync>;
