//! Messages from a box.
//!
//! Deciding fields (`device_id`, `command_id`, `event_id`, `version`, `status`, `state`, `request_id`, `nonce`) must be
//! valid. Descriptive fields are read by [`crate::lenient`] and never make a message invalid.

use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::extras::Extras;
use super::request::{REQUEST_ID_LEN_MAX, ReplayRequest, TotalRequest};
use crate::codec::{self, DecodeError, EncodeError, Encoding};
use crate::ids::{CommandId, DeviceId, EventId, TerminalId};
use crate::lenient;
use crate::limits::{self, FieldError};
use crate::rupiah::Rupiah;
use crate::simple::Simple;
use crate::time;
use crate::topic::{Channel, Direction};

/// The longest `reason`, in bytes.
const REASON_LEN_MAX: usize = 256;

/// The longest firmware version, in bytes.
const FIRMWARE_VERSION_LEN_MAX: usize = 64;

/// The longest name of a state, in bytes.
const STATE_LEN_MAX: usize = 32;

/// The longest nonce, in bytes.
const NONCE_LEN_MAX: usize = 64;

/// The longest name of a currency, in bytes.
const CURRENCY_LEN_MAX: usize = 8;

/// A sign of life.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "message_type", rename = "heartbeat")]
pub struct Heartbeat {
    /// The box that speaks; it must be the one of the topic.
    pub device_id: DeviceId,
    /// The box's own time, as it stated it: data, never a reason to refuse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// The firmware that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware_version: Option<String>,
    /// What it does, in its own words: `idle`, `playing`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// 0–100. What is stated and is no such number is kept among the extras instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 100))]
    pub network_strength: Option<u8>,
    /// 0–100; a box on mains has none. What is stated and is no such number is kept among the extras instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 100))]
    pub battery_level: Option<u8>,
    /// Whatever else it reports.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, Value>))]
    pub extras: Extras,
}

impl Heartbeat {
    /// Checks the limits of the fields.
    ///
    /// # Errors
    /// The first field that breaks one.
    pub fn validate(&self) -> Result<(), FieldError> {
        limits::optional_text(
            "firmware_version",
            self.firmware_version.as_deref(),
            FIRMWARE_VERSION_LEN_MAX,
        )?;
        limits::optional_text("state", self.state.as_deref(), STATE_LEN_MAX)?;
        limits::percent("network_strength", self.network_strength)?;
        limits::percent("battery_level", self.battery_level)
    }
}

impl Heartbeat {
    /// The fields that are numbers from 0 to 100.
    pub const PERCENTAGES: [&str; 2] = ["network_strength", "battery_level"];
}

impl<'de> Deserialize<'de> for Heartbeat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeartbeatVisitor;

        impl<'de> Visitor<'de> for HeartbeatVisitor {
            type Value = Heartbeat;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a heartbeat")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Heartbeat, A::Error> {
                let mut device_id = None;
                let mut heartbeat = Heartbeat {
                    // Replaced below: a heartbeat without it is refused.
                    device_id: DeviceId::from_uuid(uuid::Uuid::nil()),
                    timestamp: None,
                    firmware_version: None,
                    state: None,
                    network_strength: None,
                    battery_level: None,
                    extras: Extras::default(),
                };
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "device_id" => device_id = Some(map.next_value()?),
                        "timestamp" => heartbeat.timestamp = map.next_value::<Timestamp>()?.0,
                        "firmware_version" => {
                            heartbeat.firmware_version =
                                map.next_value::<Short<FIRMWARE_VERSION_LEN_MAX>>()?.0;
                        }
                        "state" => heartbeat.state = map.next_value::<Short<STATE_LEN_MAX>>()?.0,
                        "network_strength" => {
                            let AnyValue(value) = map.next_value()?;
                            heartbeat.network_strength =
                                percent(&mut heartbeat.extras, &name, value);
                        }
                        "battery_level" => {
                            let AnyValue(value) = map.next_value()?;
                            heartbeat.battery_level = percent(&mut heartbeat.extras, &name, value);
                        }
                        _ => {
                            if let Some(value) = map.next_value::<Simple>()?.0 {
                                heartbeat.extras.insert(&name, value);
                            }
                        }
                    }
                }
                let device_id = device_id.ok_or_else(|| A::Error::missing_field("device_id"))?;
                Ok(Heartbeat {
                    device_id,
                    ..heartbeat
                })
            }
        }

        deserializer.deserialize_map(HeartbeatVisitor)
    }
}

#[derive(Deserialize)]
struct Timestamp(#[serde(deserialize_with = "time::lenient::deserialize")] Option<String>);

#[derive(Deserialize)]
struct Short<const MAX: usize>(
    #[serde(deserialize_with = "lenient::short::<MAX, _>")] Option<String>,
);

#[derive(Deserialize)]
struct AnyValue(#[serde(deserialize_with = "lenient::any")] Value);

/// A number from 0 to 100. Any other value is kept among the extras.
fn percent(extras: &mut Extras, name: &str, value: Value) -> Option<u8> {
    let percent = lenient::whole(&value)
        .and_then(|number| u8::try_from(number).ok())
        .filter(|number| *number <= 100);
    match value {
        // Of a repeated field the last one counts.
        _ if percent.is_some() => extras.remove(name),
        Value::Null => {}
        Value::Array(_) | Value::Object(_) => extras.insert(name, "unreadable".into()),
        Value::String(text) => extras.insert(name, lenient::cut(&text, STATE_LEN_MAX).into()),
        simple => extras.insert(name, simple),
    }
    percent
}

/// Whether a box is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnlineState {
    /// Sent once after every connect.
    Online,
    /// Sent by the will, or before a clean disconnect.
    Offline,
}

/// Online or offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message_type", rename = "status")]
pub struct Status {
    /// The state.
    pub state: OnlineState,
    /// The firmware that runs.
    #[serde(
        default,
        deserialize_with = "lenient::short::<FIRMWARE_VERSION_LEN_MAX, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub firmware_version: Option<String>,
    /// Why.
    #[serde(
        default,
        deserialize_with = "lenient::words::<REASON_LEN_MAX, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub reason: Option<String>,
    /// Online only: repeated in the answer, so that an old answer cannot set the box's clock.
    #[serde(
        default,
        deserialize_with = "lenient::optional_name",
        skip_serializing_if = "Option::is_none"
    )]
    pub nonce: Option<String>,
}

impl Status {
    /// Checks the limits of the fields.
    ///
    /// # Errors
    /// The first field that breaks one.
    pub fn validate(&self) -> Result<(), FieldError> {
        limits::optional_text(
            "firmware_version",
            self.firmware_version.as_deref(),
            FIRMWARE_VERSION_LEN_MAX,
        )?;
        limits::optional_text("reason", self.reason.as_deref(), REASON_LEN_MAX)?;
        match &self.nonce {
            Some(nonce) => limits::name("nonce", nonce, NONCE_LEN_MAX),
            None => Ok(()),
        }
    }
}

/// A request for a QR with an amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message_type", rename = "dynamic_qr_request")]
pub struct DynamicQrRequest {
    /// The box's own id of this request. The same id gets the same answer.
    #[serde(deserialize_with = "lenient::name")]
    pub request_id: String,
    /// The requesting box; it must be the one of the topic.
    pub device_id: DeviceId,
    /// The terminal of the payment, to which the box is bound.
    #[serde(
        default,
        deserialize_with = "terminal_id",
        skip_serializing_if = "Option::is_none"
    )]
    pub terminal_id: Option<TerminalId>,
    /// `None` when the value is no amount of whole rupiah: the request can still be answered (INVALID_AMOUNT).
    #[serde(default, deserialize_with = "lenient_amount")]
    pub amount: Option<Rupiah>,
    /// `IDR`; empty when it is absent: the request can still be answered.
    #[serde(default, deserialize_with = "currency")]
    pub currency: String,
    /// The box's own time, as it was sent.
    #[serde(
        default,
        deserialize_with = "time::lenient::deserialize",
        skip_serializing_if = "Option::is_none"
    )]
    pub created_at: Option<String>,
}

fn terminal_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TerminalId>, D::Error> {
    lenient::optional_name(deserializer)?
        .map(|text| text.parse().map_err(D::Error::custom))
        .transpose()
}

fn currency<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(lenient::short::<CURRENCY_LEN_MAX, _>(deserializer)?.unwrap_or_default())
}

/// An amount, or `None` for any value that is not one.
fn lenient_amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Rupiah>, D::Error> {
    let value = Simple::deserialize(deserializer)?.0;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}

impl DynamicQrRequest {
    /// Checks the limits of the fields.
    ///
    /// # Errors
    /// The first field that breaks one.
    pub fn validate(&self) -> Result<(), FieldError> {
        limits::name("request_id", &self.request_id, REQUEST_ID_LEN_MAX)?;
        limits::text("currency", &self.currency, CURRENCY_LEN_MAX)
    }
}

/// What became of an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AckStatus {
    /// The box has stored it.
    Received,
    /// It will not be spoken: interrupted, or not this box's payment.
    Failed,
    /// It came too late to be spoken.
    Stale,
    /// It was spoken.
    Played,
}

impl AckStatus {
    /// received 0 < failed, stale 1 < played 2. The recorded status of a notification only rises in rank.
    pub const fn rank(self) -> u8 {
        match self {
            Self::Received => 0,
            Self::Failed | Self::Stale => 1,
            Self::Played => 2,
        }
    }

    /// The value on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Failed => "failed",
            Self::Stale => "stale",
            Self::Played => "played",
        }
    }
}

/// The acknowledgement of an announcement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "message_type", rename = "payment_ack")]
pub struct PaymentAck {
    /// Which announcement.
    pub event_id: EventId,
    /// What became of it.
    pub status: AckStatus,
    /// The box's time at which it was spoken, as it stated it.
    #[serde(
        default,
        deserialize_with = "time::lenient::deserialize",
        skip_serializing_if = "Option::is_none"
    )]
    pub played_at: Option<String>,
    /// Why it was not: `interrupted`, `binding_mismatch`, …
    #[serde(
        default,
        deserialize_with = "lenient::words::<REASON_LEN_MAX, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub reason: Option<String>,
}

impl PaymentAck {
    /// Checks the limits of the fields.
    ///
    /// # Errors
    /// The first field that breaks one.
    pub fn validate(&self) -> Result<(), FieldError> {
        limits::optional_text("reason", self.reason.as_deref(), REASON_LEN_MAX)
    }
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CommandAckStatus {
    /// Executed.
    Delivered,
    /// It could not be executed.
    Failed,
    /// It was not executed in time.
    Timeout,
}

impl CommandAckStatus {
    /// The value on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
        }
    }
}

/// The acknowledgement of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "message_type", rename = "command_ack")]
pub struct CommandAck {
    /// The box that speaks; it must be the one of the topic.
    pub device_id: DeviceId,
    /// Which command.
    pub command_id: CommandId,
    /// What became of it.
    pub status: CommandAckStatus,
    /// Why.
    #[serde(
        default,
        deserialize_with = "lenient::words::<REASON_LEN_MAX, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub reason: Option<String>,
    /// What the command yielded.
    #[serde(
        default,
        deserialize_with = "lenient::value",
        skip_serializing_if = "Option::is_none"
    )]
    pub result_payload: Option<Value>,
}

impl CommandAck {
    /// Checks the limits of the fields.
    ///
    /// # Errors
    /// The first field that breaks one.
    pub fn validate(&self) -> Result<(), FieldError> {
        limits::optional_text("reason", self.reason.as_deref(), REASON_LEN_MAX)?;
        self.result_payload
            .as_ref()
            .map_or(Ok(()), |value| limits::value("result_payload", value))
    }
}

/// What became of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ConfigAckStatus {
    /// It is in force.
    Applied,
    /// The box refuses it.
    Rejected,
}

impl ConfigAckStatus {
    /// The value on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Rejected => "rejected",
        }
    }
}

/// The acknowledgement of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "message_type", rename = "config_ack")]
pub struct ConfigAck {
    /// Which version.
    #[serde(deserialize_with = "lenient::number")]
    pub version: i64,
    /// What became of it.
    pub status: ConfigAckStatus,
    /// Why.
    #[serde(
        default,
        deserialize_with = "lenient::words::<REASON_LEN_MAX, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub reason: Option<String>,
}

impl ConfigAck {
    /// Checks the limits of the fields.
    ///
    /// # Errors
    /// The first field that breaks one.
    pub fn validate(&self) -> Result<(), FieldError> {
        limits::optional_text("reason", self.reason.as_deref(), REASON_LEN_MAX)
    }
}

/// Any message from a box.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    missing_docs,
    reason = "each variant holds the structure of the same name"
)]
pub enum UplinkMessage {
    Heartbeat(Heartbeat),
    Status(Status),
    DynamicQrRequest(DynamicQrRequest),
    PaymentAck(PaymentAck),
    CommandAck(CommandAck),
    ConfigAck(ConfigAck),
    ReplayRequest(ReplayRequest),
    TotalRequest(TotalRequest),
}

impl UplinkMessage {
    /// Reads a message that a box published to `channel`, in either encoding, and checks its limits.
    ///
    /// # Errors
    /// Any violation of the contract: the message is counted and kept as rejected, and not retried.
    pub fn decode(channel: Channel, bytes: &[u8]) -> Result<(Self, Encoding), DecodeError> {
        if channel.direction() != Direction::Uplink {
            return Err(DecodeError::NotAnUplink);
        }
        let encoding = Encoding::detect(bytes)?;
        codec::expect_message_type(encoding, bytes, channel.message_type())?;
        let message = match channel {
            Channel::Heartbeat => Self::Heartbeat(codec::decode(encoding, bytes)?),
            Channel::Status => Self::Status(codec::decode(encoding, bytes)?),
            Channel::DynamicQrRequest => Self::DynamicQrRequest(codec::decode(encoding, bytes)?),
            Channel::PaymentAck => Self::PaymentAck(codec::decode(encoding, bytes)?),
            Channel::CommandAck => Self::CommandAck(codec::decode(encoding, bytes)?),
            Channel::ConfigAck => Self::ConfigAck(codec::decode(encoding, bytes)?),
            Channel::ReplayRequest => Self::ReplayRequest(codec::decode(encoding, bytes)?),
            Channel::TotalRequest => Self::TotalRequest(codec::decode(encoding, bytes)?),
            _ => return Err(DecodeError::NotAnUplink),
        };
        message.validate()?;
        Ok((message, encoding))
    }

    /// The bytes of this message.
    ///
    /// # Errors
    /// A message that is too long or breaks a limit.
    pub fn encode(&self, encoding: Encoding) -> Result<Vec<u8>, EncodeError> {
        self.validate()?;
        match self {
            Self::Heartbeat(message) => codec::encode(encoding, message),
            Self::Status(message) => codec::encode(encoding, message),
            Self::DynamicQrRequest(message) => codec::encode(encoding, message),
            Self::PaymentAck(message) => codec::encode(encoding, message),
            Self::CommandAck(message) => codec::encode(encoding, message),
            Self::ConfigAck(message) => codec::encode(encoding, message),
            Self::ReplayRequest(message) => codec::encode(encoding, message),
            Self::TotalRequest(message) => codec::encode(encoding, message),
        }
    }

    /// Its channel.
    pub const fn channel(&self) -> Channel {
        match self {
            Self::Heartbeat(_) => Channel::Heartbeat,
            Self::Status(_) => Channel::Status,
            Self::DynamicQrRequest(_) => Channel::DynamicQrRequest,
            Self::PaymentAck(_) => Channel::PaymentAck,
            Self::CommandAck(_) => Channel::CommandAck,
            Self::ConfigAck(_) => Channel::ConfigAck,
            Self::ReplayRequest(_) => Channel::ReplayRequest,
            Self::TotalRequest(_) => Channel::TotalRequest,
        }
    }

    /// The device in the message, if it has one. It must be the one of the topic.
    pub const fn device_id(&self) -> Option<DeviceId> {
        match self {
            Self::Heartbeat(message) => Some(message.device_id),
            Self::DynamicQrRequest(message) => Some(message.device_id),
            Self::CommandAck(message) => Some(message.device_id),
            Self::ReplayRequest(message) => Some(message.device_id),
            Self::TotalRequest(message) => Some(message.device_id),
            Self::Status(_) | Self::PaymentAck(_) | Self::ConfigAck(_) => None,
        }
    }

    fn validate(&self) -> Result<(), FieldError> {
        match self {
            Self::Heartbeat(message) => message.validate(),
            Self::Status(message) => message.validate(),
            Self::DynamicQrRequest(message) => message.validate(),
            Self::PaymentAck(message) => message.validate(),
            Self::CommandAck(message) => message.validate(),
            Self::ConfigAck(message) => message.validate(),
            Self::ReplayRequest(message) => message.validate(),
            Self::TotalRequest(message) => message.validate(),
        }
    }
}
