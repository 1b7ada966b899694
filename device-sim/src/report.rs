//! The events that a running box reports: one JSON object per line with `--json`, otherwise text.

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

/// One event of one box.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The box.
    pub device_id: DeviceId,
    /// When: by the trusted clock if it is set, otherwise by the machine's clock.
    #[serde(serialize_with = "as_text")]
    pub at: DateTime<Utc>,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

fn as_text<S: serde::Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&wire::time::format(*at))
}

/// An injected fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// The connection is cut.
    Drop,
    /// A message of the platform is lost, together with the connection.
    LostMessage,
    /// An acknowledgement is sent twice.
    DuplicateAck,
    /// An acknowledgement is delayed.
    LateAck,
}

impl Fault {
    /// Its name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::LostMessage => "lost_message",
            Self::DuplicateAck => "duplicate_ack",
            Self::LateAck => "late_ack",
        }
    }
}

/// An event of a box.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The box has started.
    Started {
        /// Its transport.
        transport: Transport,
        /// The firmware version that it reports.
        firmware_version: String,
        /// The version of its configuration.
        config_version: i64,
        /// Whether it is bound to a terminal.
        bound: bool,
        /// Its settings.
        settings: Settings,
    },
    /// The box is connected.
    Connected {
        /// Whether the broker had kept its session.
        session_present: bool,
    },
    /// The connection was lost, or could not be established.
    Disconnected {
        /// The reason.
        reason: String,
        /// The wait before the next attempt.
        retry_in_ms: u64,
    },
    /// The trusted clock is set.
    ClockSet,
    /// A new notification arrived.
    Received {
        /// The notification.
        event_id: EventId,
        /// Its sequence number.
        sequence: i64,
        /// From the platform's `sent_at` to the arrival, by the trusted clock; absent while that is not set.
        #[serde(skip_serializing_if = "Option::is_none")]
        sent_to_received_ms: Option<i64>,
    },
    /// The box begins to announce a payment.
    Spoken {
        /// The notification.
        event_id: EventId,
        /// The payment.
        transaction_id: TransactionId,
        /// How much.
        amount: Rupiah,
        /// The sentence.
        text: String,
        /// Whether it is the sentence for a delayed payment.
        delayed: bool,
        /// The volume, 0–10.
        volume: u8,
    },
    /// A box of another maker is subscribed and has no clock to wait for.
    Subscribed,
    /// A box of another maker announces a payment.
    Announced {
        /// The id in the message, where it has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// How much, where the box knows it.
        #[serde(skip_serializing_if = "Option::is_none")]
        amount: Option<Rupiah>,
        /// What is heard.
        text: String,
    },
    /// A box of another maker ignores a message that came again.
    Duplicate {
        /// Its id.
        id: String,
    },
    /// A box of another maker says something that is no payment.
    VendorSaid {
        /// What is heard.
        text: String,
    },
    /// A box of another maker has set its volume.
    VolumeSet {
        /// 0–100.
        volume_percent: u8,
    },
    /// The box begins to speak a sentence of a command.
    #[serde(rename = "said")]
    CommandSpoken {
        /// The command.
        command_id: CommandId,
        /// The sentence.
        text: String,
        /// The volume, 0–10.
        volume: u8,
    },
    /// A notification was acknowledged.
    Acked {
        /// The notification.
        event_id: EventId,
        /// The acknowledged status.
        status: AckStatus,
        /// The reason.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A message was refused.
    Refused {
        /// Its topic.
        topic: String,
        /// The reason.
        reason: String,
    },
    /// A command was acknowledged.
    Command {
        /// The command.
        command_id: CommandId,
        /// Its type.
        #[serde(rename = "type")]
        kind: String,
        /// Its parameters.
        payload: Value,
        /// The acknowledged status.
        status: CommandAckStatus,
        /// The reason.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A configuration arrived.
    Configured {
        /// Its version.
        version: i64,
        /// Whether the box is bound to a terminal now.
        bound: bool,
        /// The box's settings now.
        settings: Settings,
        /// Why the settings in it are refused, if they are.
        #[serde(skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// The credentials were renewed.
    Renewed {
        /// When the new certificate expires.
        certificate_expires_at: DateTime<Utc>,
    },
    /// The renewal failed and will be tried again.
    NotRenewed {
        /// The reason.
        problem: String,
    },
    /// A fault was injected.
    Fault(Fault),
    /// The answer to a request for a QR.
    Qr {
        /// The request's id.
        correlation_id: String,
        /// The transaction, if there is a code.
        #[serde(skip_serializing_if = "Option::is_none")]
        transaction_id: Option<TransactionId>,
        /// The QR's payload.
        #[serde(skip_serializing_if = "Option::is_none")]
        qr_payload: Option<String>,
        /// The amount in it.
        #[serde(skip_serializing_if = "Option::is_none")]
        amount: Option<Rupiah>,
        /// When it expires.
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<DateTime<Utc>>,
        /// The error code of a refusal.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
    /// The box restarts.
    Rebooting,
    /// The box has stopped.
    Stopped {
        /// Its counters.
        counters: Counters,
    },
}

impl Event {
    /// The answer to a request for a QR.
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

    /// A request for a QR that was refused or not answered.
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
    /// The event as text.
    pub fn text(&self) -> String {
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
            Self::ClockSet => "clock set".to_owned(),
            Self::Received {
                event_id, sequence, ..
            } => format!("received {event_id} (sequence {sequence})"),
            Self::Spoken { text, amount, .. } => format!("\u{1f50a} {text}  [Rp {amount}]"),
            Self::Subscribed => "subscribed".to_owned(),
            Self::Announced { text, .. } | Self::VendorSaid { text } => format!("\u{1f50a} {text}"),
            Self::Duplicate { id } => format!("{id} came again and is ignored"),
            Self::VolumeSet { volume_percent } => format!("volume {volume_percent} %"),
            Self::Acked {
                event_id,
                status,
                reason: None,
            } => format!("acknowledged {event_id}: {}", status.as_str()),
            Self::Acked {
                event_id,
                status,
                reason: Some(reason),
            } => {
                format!("acknowledged {event_id}: {} ({reason})", status.as_str())
            }
            Self::Refused { topic, reason } => format!("refused a message on {topic}: {reason}"),
            Self::CommandSpoken { text, .. } => format!("\u{1f50a} {text}"),
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
                "started: firmware {firmware_version}, {}, {}",
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
            } => format!("credentials renewed; the certificate expires {certificate_expires_at}"),
            Self::NotRenewed { problem } => {
                format!("the renewal of the credentials failed: {problem}")
            }
            Self::Fault(fault) => format!("fault: {}", fault.as_str()),
            Self::Qr {
                code: Some(code), ..
            } => format!("no QR: {code}"),
            Self::Qr { qr_payload, .. } => {
                format!("QR: {}", qr_payload.as_deref().unwrap_or_default())
            }
            Self::Rebooting => "rebooting".to_owned(),
            Self::Stopped { counters } => format!("stopped; {} spoken", counters.spoken),
        };
        f.write_str(&what)
    }
}

const fn bound_or_not(bound: bool) -> &'static str {
    if bound { "bound" } else { "not bound" }
}

/// Receives the reports of a box.
pub type Listener = Arc<dyn Fn(&Report) + Send + Sync>;
