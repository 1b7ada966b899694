//! Messages from the platform.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::codec::{self, DecodeError, EncodeError, Encoding};
use crate::ids::{BindingId, CommandId, EventId, TransactionId};
use crate::limits::{self, FieldError};
use crate::rupiah::Rupiah;
use crate::time;
use crate::topic::Channel;

/// The one currency of QRIS (ISO 4217).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Currency {
    /// The rupiah.
    #[default]
    #[serde(rename = "IDR")]
    Idr,
}

/// The sentences that a box speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speech {
    /// The language of the sentences (BCP 47).
    pub language: String,
    /// The sentence for a payment that was just made.
    pub text: String,
    /// The sentence for a payment that was made a while ago.
    pub delayed_text: String,
}

/// A payment to announce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message_type", rename = "payment_success")]
pub struct PaymentSuccess {
    /// This notification; a box speaks each at most once.
    pub event_id: EventId,
    /// Rises by one per box. Gaps are never a reason to refuse.
    pub sequence: i64,
    /// The binding of the payment; a box with another one must not speak it.
    pub binding_id: BindingId,
    /// The payment.
    pub transaction_id: TransactionId,
    /// The merchant's name, to be displayed.
    pub merchant_name: String,
    /// The amount.
    pub amount: Rupiah,
    /// The currency.
    pub currency: Currency,
    /// When the customer paid, by the acquirer's clock.
    #[serde(with = "time")]
    pub paid_at: DateTime<Utc>,
    /// When this copy was sent.
    #[serde(with = "time")]
    pub sent_at: DateTime<Utc>,
    /// From then on it is spoken as delayed.
    #[serde(with = "time")]
    pub delayed_after: DateTime<Utc>,
    /// From then on it is not spoken at all.
    #[serde(with = "time")]
    pub announce_until: DateTime<Utc>,
    /// Whether it is repeated on request; it is then always spoken as delayed.
    pub replay: bool,
    /// The sentences.
    pub speech: Speech,
}

/// The longest `error.message`, bytes.
const ERROR_MESSAGE_LEN_MAX: usize = 512;

/// An error that a box can display.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The code, as in the HTTP API.
    pub code: String,
    /// A message for the user.
    pub message: String,
}

impl ErrorBody {
    /// An error whose message is made to fit: control characters become blanks, and a longer text is cut.
    pub fn new(code: impl Into<String>, message: &str) -> Self {
        let mut fitting = String::with_capacity(message.len().min(ERROR_MESSAGE_LEN_MAX));
        for c in message.chars() {
            let c = if c.is_control() { ' ' } else { c };
            if fitting.len() + c.len_utf8() > ERROR_MESSAGE_LEN_MAX {
                break;
            }
            fitting.push(c);
        }
        Self {
            code: code.into(),
            message: fitting,
        }
    }
}

/// The answer to a [`DynamicQrRequest`](super::DynamicQrRequest).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "FlatQrResponse", into = "FlatQrResponse")]
pub struct DynamicQrResponse {
    /// The request's `request_id`.
    pub correlation_id: String,
    /// The QR, or the error.
    pub outcome: QrOutcome,
}

/// The outcome of a request for a QR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QrOutcome {
    /// A QR to display.
    Ready {
        /// The payment's transaction.
        transaction_id: TransactionId,
        /// The amount in the QR.
        amount: Rupiah,
        /// The transaction's state.
        status: String,
        /// The EMVCo merchant-presented payload.
        qr_payload: String,
        /// Until when it can be paid.
        expires_at: DateTime<Utc>,
    },
    /// No QR.
    Refused(ErrorBody),
}

/// A [`DynamicQrResponse`] on the wire.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "message_type", rename = "dynamic_qr_response")]
struct FlatQrResponse {
    correlation_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transaction_id: Option<TransactionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    amount: Option<Rupiah>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    qr_payload: Option<String>,
    #[serde(
        default,
        with = "time::optional",
        skip_serializing_if = "Option::is_none"
    )]
    expires_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody>,
}

impl From<DynamicQrResponse> for FlatQrResponse {
    fn from(response: DynamicQrResponse) -> Self {
        let correlation_id = response.correlation_id;
        let none = Self {
            correlation_id,
            transaction_id: None,
            amount: None,
            status: None,
            qr_payload: None,
            expires_at: None,
            error: None,
        };
        match response.outcome {
            QrOutcome::Ready {
                transaction_id,
                amount,
                status,
                qr_payload,
                expires_at,
            } => Self {
                transaction_id: Some(transaction_id),
                amount: Some(amount),
                status: Some(status),
                qr_payload: Some(qr_payload),
                expires_at: Some(expires_at),
                ..none
            },
            QrOutcome::Refused(error) => Self {
                error: Some(error),
                ..none
            },
        }
    }
}

impl TryFrom<FlatQrResponse> for DynamicQrResponse {
    type Error = &'static str;

    fn try_from(flat: FlatQrResponse) -> Result<Self, &'static str> {
        let correlation_id = flat.correlation_id;
        if let Some(error) = flat.error {
            return Ok(Self {
                correlation_id,
                outcome: QrOutcome::Refused(error),
            });
        }
        let outcome = QrOutcome::Ready {
            transaction_id: flat
                .transaction_id
                .ok_or("missing field `transaction_id`")?,
            amount: flat.amount.ok_or("missing field `amount`")?,
            status: flat.status.ok_or("missing field `status`")?,
            qr_payload: flat.qr_payload.ok_or("missing field `qr_payload`")?,
            expires_at: flat.expires_at.ok_or("missing field `expires_at`")?,
        };
        Ok(Self {
            correlation_id,
            outcome,
        })
    }
}

/// A command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message_type", rename = "command")]
pub struct Command {
    /// This command; a box executes each at most once.
    pub command_id: CommandId,
    /// Its type: `play_test`, `set_volume`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Its parameters.
    #[serde(default)]
    pub payload: Value,
    /// When it was issued.
    #[serde(with = "time")]
    pub issued_at: DateTime<Utc>,
    /// From then on it must not be executed.
    #[serde(with = "time")]
    pub expires_at: DateTime<Utc>,
}

/// A configuration and the binding of the box.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message_type", rename = "config_push")]
pub struct ConfigPush {
    /// Rises with every change.
    pub version: i64,
    /// The box's current binding; `None` when it is not bound to a terminal.
    #[serde(default)]
    pub binding_id: Option<BindingId>,
    /// The complete configuration.
    pub config: Value,
}

/// The platform's time, in answer to a status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message_type", rename = "time")]
pub struct Time {
    /// The nonce of the status that this answers.
    pub nonce: String,
    /// The platform's time.
    #[serde(with = "time")]
    pub server_time: DateTime<Utc>,
}

/// Any message from the platform.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    missing_docs,
    reason = "each variant holds the structure of the same name"
)]
pub enum DownlinkMessage {
    PaymentSuccess(PaymentSuccess),
    DynamicQrResponse(DynamicQrResponse),
    Command(Command),
    ConfigPush(ConfigPush),
    Time(Time),
}

impl DownlinkMessage {
    /// Its channel.
    pub const fn channel(&self) -> Channel {
        match self {
            Self::PaymentSuccess(_) => Channel::PaymentSuccess,
            Self::DynamicQrResponse(_) => Channel::DynamicQrResponse,
            Self::Command(_) => Channel::Command,
            Self::ConfigPush(_) => Channel::ConfigPush,
            Self::Time(_) => Channel::Time,
        }
    }

    /// Its `message_type`.
    pub const fn message_type(&self) -> &'static str {
        self.channel().message_type()
    }

    /// The bytes of the body, which the signature covers.
    ///
    /// # Errors
    /// A body that is too long or breaks a limit.
    pub fn encode_body(&self, encoding: Encoding) -> Result<Vec<u8>, EncodeError> {
        self.validate()?;
        match self {
            Self::PaymentSuccess(message) => codec::encode(encoding, message),
            Self::DynamicQrResponse(message) => codec::encode(encoding, message),
            Self::Command(message) => codec::encode(encoding, message),
            Self::ConfigPush(message) => codec::encode(encoding, message),
            Self::Time(message) => codec::encode(encoding, message),
        }
    }

    /// Reads a body whose signature has been verified.
    ///
    /// # Errors
    /// Any violation of the contract.
    pub fn decode_body(
        channel: Channel,
        encoding: Encoding,
        body: &[u8],
    ) -> Result<Self, DecodeError> {
        codec::expect_message_type(encoding, body, channel.message_type())?;
        let message = match channel {
            Channel::PaymentSuccess => Self::PaymentSuccess(codec::decode(encoding, body)?),
            Channel::DynamicQrResponse => Self::DynamicQrResponse(codec::decode(encoding, body)?),
            Channel::Command => Self::Command(codec::decode(encoding, body)?),
            Channel::ConfigPush => Self::ConfigPush(codec::decode(encoding, body)?),
            Channel::Time => Self::Time(codec::decode(encoding, body)?),
            _ => return Err(DecodeError::NotADownlink),
        };
        message.validate()?;
        Ok(message)
    }

    fn validate(&self) -> Result<(), FieldError> {
        match self {
            Self::PaymentSuccess(message) => {
                limits::shown("merchant_name", &message.merchant_name, crate::text::NAME)?;
                limits::name("speech.language", &message.speech.language, 16)?;
                limits::name("speech.text", &message.speech.text, 512)?;
                limits::name("speech.delayed_text", &message.speech.delayed_text, 512)
            }
            Self::DynamicQrResponse(message) => {
                limits::name("correlation_id", &message.correlation_id, 64)?;
                match &message.outcome {
                    QrOutcome::Ready {
                        status, qr_payload, ..
                    } => {
                        limits::name("status", status, 32)?;
                        limits::name("qr_payload", qr_payload, 1024)
                    }
                    QrOutcome::Refused(error) => {
                        limits::name("error.code", &error.code, 64)?;
                        limits::text("error.message", &error.message, ERROR_MESSAGE_LEN_MAX)
                    }
                }
            }
            Self::Command(message) => {
                limits::name("type", &message.kind, 64)?;
                limits::value("payload", &message.payload)
            }
            Self::ConfigPush(message) => limits::value("config", &message.config),
            Self::Time(message) => limits::name("nonce", &message.nonce, 64),
        }
    }
}
