//! What a box reports while it runs: one JSON object per line with `--json`, or a sentence.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use wire::message::{AckStatus, CommandAckStatus, QrOutcome};
use wire::{CommandId, DeviceId, EventId, Rupiah, TransactionId};

use crate::link::Transport;
use crate::soundbox::counters::Counters;
use crate::soundbox::settings::Settings;

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

/// What goes wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// The connection is cut.
    Drop,
    /// A message of the platform gets lost, and the connection with it.
    LostMessage,
    /// An acknowledgement is sent twice.
    DuplicateAck,
    /// An acknowledgement is held back.
    LateAck,
}

impl Fault {
    /// As it is called in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::LostMessage => "lost_message",
            Self::DuplicateAck => "duplicate_ack",
            Self::LateAck => "late_ack",
        }
    }
}

/// What can happen to a box.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It is switched on.
    Started {
        /// How it is connected.
        transport: Transport,
        /// What it says it runs.
        firmware_version: String,
        /// The configuration it has.
        config_version: i64,
        /// Whether it belongs to a terminal.
        bound: bool,
        /// What it is set to.
        settings: Settings,
    },
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
        /// How loud, 0–10.
        volume: u8,
    },
    /// Something that was ordered is being said aloud.
    Said {
        /// The order.
        command_id: CommandId,
        /// The words.
        text: String,
        /// How loud, 0–10.
        volume: u8,
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
        /// Why.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A configuration came.
    Configured {
        /// Its version.
        version: i64,
        /// Whether the box belongs to a terminal now.
        bound: bool,
        /// What the box is set to now.
        settings: Settings,
        /// Why the settings that came are not taken, if they are not.
        #[serde(skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// It has new credentials.
    Renewed {
        /// When the new certificate ends.
        certificate_expires_at: DateTime<Utc>,
    },
    /// It asked for new credentials in vain, and will ask again.
    NotRenewed {
        /// Why.
        problem: String,
    },
    /// Something goes wrong on purpose.
    Fault(Fault),
    /// A QR to show.
    Qr {
        /// The request.
        correlation_id: String,
        /// The payment to be, if there is a code.
        #[serde(skip_serializing_if = "Option::is_none")]
        transaction_id: Option<TransactionId>,
        /// The payload, if there is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        qr_payload: Option<String>,
        /// The amount in it.
        #[serde(skip_serializing_if = "Option::is_none")]
        amount: Option<Rupiah>,
        /// Until when it can be paid.
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<DateTime<Utc>>,
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
            QrOutcome::Ready {
                transaction_id,
                amount,
                qr_payload,
                expires_at,
                ..
            } => Self::Qr {
                correlation_id,
                transaction_id: Some(transaction_id),
                qr_payload: Some(qr_payload),
                amount: Some(amount),
                expires_at: Some(expires_at),
                code: None,
            },
            QrOutcome::Refused(error) => Self::no_qr(correlation_id, error.code),
        }
    }

    /// A request for a QR that got none.
    pub fn no_qr(correlation_id: String, code: String) -> Self {
        Self::Qr {
            correlation_id,
            transaction_id: None,
            qr_payload: None,
            amount: None,
            expires_at: None,
            code: Some(code),
        }
    }
}

impl Report {
    /// For people.
    pub fn sentence(&self) -> String {
        format!(
            "{} {} {}",
            self.at.format("%H:%M:%S%.3f"),
            self.device_id,
            self.event
        )
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Connected {
                session_present: true,
            } => "connected (session resumed)".to_owned(),
            Self::Connected {
                session_present: false,
            } => "connected".to_owned(),
            Self::Disconnected {
                reason,
                retry_in_ms,
            } => {
                format!("disconnected: {reason}; next attempt in {retry_in_ms} ms")
            }
            Self::ClockSet => "knows the time".to_owned(),
            Self::Received {
                event_id, sequence, ..
            } => format!("received {event_id} (number {sequence})"),
            Self::Spoken { text, amount, .. } => format!("\u{1f50a} {text}  [Rp {amount}]"),
            Self::Acked {
                event_id,
                status,
                reason: None,
            } => format!("answered {event_id}: {}", status.as_str()),
            Self::Acked {
                event_id,
                status,
                reason: Some(reason),
            } => {
                format!("answered {event_id}: {} ({reason})", status.as_str())
            }
            Self::Refused { topic, reason } => format!("refused a message on {topic}: {reason}"),
            Self::Said { text, .. } => format!("\u{1f50a} {text}"),
            Self::Command {
                kind,
                status,
                reason: None,
                ..
            } => format!("command {kind}: {}", status.as_str()),
            Self::Command {
                kind,
                status,
                reason: Some(reason),
                ..
            } => format!("command {kind}: {} ({reason})", status.as_str()),
            Self::Started {
                transport,
                firmware_version,
                bound,
                ..
            } => format!(
                "switched on: firmware {firmware_version}, {}, {}",
                transport.as_str(),
                bound_or_not(*bound)
            ),
            Self::Configured {
                version,
                bound,
                refused: None,
                ..
            } => format!("configuration {version}, {}", bound_or_not(*bound)),
            Self::Configured {
                version,
                refused: Some(reason),
                ..
            } => format!("configuration {version} refused: {reason}"),
            Self::Renewed {
                certificate_expires_at,
            } => format!("new credentials; the certificate ends {certificate_expires_at}"),
            Self::NotRenewed { problem } => format!("the credentials are not renewed: {problem}"),
            Self::Fault(fault) => format!("fault: {}", fault.as_str()),
            Self::Qr {
                code: Some(code), ..
            } => format!("no QR: {code}"),
            Self::Qr { qr_payload, .. } => {
                format!("QR: {}", qr_payload.as_deref().unwrap_or_default())
            }
            Self::Rebooting => "reboots".to_owned(),
            Self::Stopped { counters } => format!("stopped; {} spoken", counters.spoken),
        };
        f.write_str(&what)
    }
}

const fn bound_or_not(bound: bool) -> &'static str {
    if bound { "bound" } else { "not bound" }
}

/// Who is told.
pub type Listener = Arc<dyn Fn(&Report) + Send + Sync>;
