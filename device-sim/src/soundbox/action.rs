//! The actions of the state machine.

use chrono::{DateTime, Utc};
use serde_json::Value;
use wire::message::{CommandAckStatus, ConfigPush, DynamicQrResponse};
use wire::{CommandId, EventId, Rupiah, Topic, TransactionId, UplinkMessage};

/// What a sentence belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Utterance {
    /// A payment's notification.
    Payment(EventId),
    /// A command to speak.
    Command(CommandId),
}

impl From<EventId> for Utterance {
    fn from(event_id: EventId) -> Self {
        Self::Payment(event_id)
    }
}

/// A sentence to speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// What it belongs to.
    pub utterance: Utterance,
    /// The payment that it announces, if any.
    pub payment: Option<Announced>,
    /// The text.
    pub text: String,
    /// Its language (BCP 47).
    pub language: String,
    /// The volume, 0–10.
    pub volume: u8,
}

/// The payment that a sentence announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// The payment.
    pub transaction_id: TransactionId,
    /// How much.
    pub amount: Rupiah,
    /// Whether the sentence is the one for a delayed payment.
    pub delayed: bool,
}

/// Work for a command outside the state machine; [`Soundbox::task_ended`](super::Soundbox::task_ended) takes its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackgroundTask {
    /// Fetch the configuration and apply it.
    SyncConfig,
    /// Install this firmware and store its version in the credentials directory.
    Install {
        /// The version.
        version: String,
    },
}

/// An action of the box.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Publish a message.
    Send(UplinkMessage),
    /// Speak, and then call [`Soundbox::spoken`](super::Soundbox::spoken) or
    /// [`Soundbox::not_spoken`](super::Soundbox::not_spoken).
    Speak(Sentence),
    /// A new notification arrived; for statistics.
    Received {
        /// The notification.
        event_id: EventId,
        /// Its sequence number.
        sequence: i64,
        /// When the platform sent it.
        sent_at: DateTime<Utc>,
    },
    /// Store the new binding, and the configuration unless it is refused. The following actions may be carried out
    /// only when that has succeeded.
    Configure {
        /// The message.
        push: ConfigPush,
        /// Why its settings are refused, if they are. The binding is applied in either case.
        refused: Option<String>,
    },
    /// Start the background task of a command.
    StartTask {
        /// The command.
        command_id: CommandId,
        /// The task.
        task: BackgroundTask,
    },
    /// A command has ended.
    CommandEnded {
        /// The command.
        command_id: CommandId,
        /// Its type.
        kind: String,
        /// Its parameters.
        payload: Value,
        /// Its result.
        status: CommandAckStatus,
        /// The reason, if it was not carried out.
        reason: Option<String>,
    },
    /// The answer to a request for a QR.
    Qr(DynamicQrResponse),
    /// The trusted clock is set.
    ClockSet(DateTime<Utc>),
    /// Restart from the disk.
    Reboot,
    /// A message was refused.
    Refused {
        /// Its topic.
        topic: Topic,
        /// The reason, if it was not carried out.
        reason: String,
    },
}
