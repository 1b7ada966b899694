//! What a box does about what it hears.

use chrono::{DateTime, Utc};
use serde_json::Value;
use wire::message::{CommandAckStatus, ConfigPush, DynamicQrResponse};
use wire::{CommandId, EventId, Rupiah, Topic, TransactionId, UplinkMessage};

/// What a sentence is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Utterance {
    /// An announcement.
    Payment(EventId),
    /// An order to say something.
    Order(CommandId),
}

impl From<EventId> for Utterance {
    fn from(event_id: EventId) -> Self {
        Self::Payment(event_id)
    }
}

/// A sentence to say aloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// What it is for.
    pub utterance: Utterance,
    /// The payment that it announces, if it does.
    pub payment: Option<Announced>,
    /// The words.
    pub text: String,
    /// What they are in (BCP 47).
    pub language: String,
    /// How loud, 0–10.
    pub volume: u8,
}

/// The payment that a sentence announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// The payment.
    pub transaction_id: TransactionId,
    /// How much.
    pub amount: Rupiah,
    /// Whether the words are those for a payment made a while ago.
    pub delayed: bool,
}

/// What an order needs from outside the box; [`Soundbox::errand_ended`](super::Soundbox::errand_ended) is told how it
/// went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// Ask for the configuration anew, and take it.
    SyncConfig,
    /// Install this firmware. What the box runs after its next start is written down by whoever does it.
    Install {
        /// The version.
        version: String,
    },
}

/// What a box does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Publish.
    Send(UplinkMessage),
    /// Say it, and tell [`Soundbox::spoken`](super::Soundbox::spoken) or
    /// [`Soundbox::not_spoken`](super::Soundbox::not_spoken) how it went.
    Speak(Sentence),
    /// An announcement came that is new; for statistics.
    Received {
        /// The announcement.
        event_id: EventId,
        /// Its number.
        sequence: i64,
        /// When it left the platform.
        sent_at: DateTime<Utc>,
    },
    /// Write the new binding down, and the configuration if it was not refused. Only what follows may be done when
    /// that has succeeded.
    Configure {
        /// What came.
        push: ConfigPush,
        /// Why its settings are not taken, if they are not. The binding is: it says whose box this is.
        refused: Option<String>,
    },
    /// Do this outside.
    Errand {
        /// The order behind it.
        command_id: CommandId,
        /// What.
        errand: Errand,
    },
    /// A command was carried out, or not.
    Obeyed {
        /// The command.
        command_id: CommandId,
        /// Its type.
        kind: String,
        /// Its parameters.
        payload: Value,
        /// What became of it.
        status: CommandAckStatus,
        /// Why.
        reason: Option<String>,
    },
    /// An answer to a request for a QR.
    Qr(DynamicQrResponse),
    /// The clock is set.
    ClockSet(DateTime<Utc>),
    /// Start again from what is on the disk.
    Reboot,
    /// A message that was not believed.
    Refused {
        /// Where it came.
        topic: Topic,
        /// Why.
        reason: String,
    },
}
