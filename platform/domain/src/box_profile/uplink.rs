//! What a box publishes, and what it means.

use serde::Deserialize;
use serde_json::Value;
use wire::Channel;
use wire::ids::{CommandId, EventId};
use wire::rupiah::Rupiah;

use super::id::IdForm;
use super::login::LoginTemplates;
use super::template::{Part, Placeholder, Template};
use super::values::BoxValues;

/// The longest message of a box that is read, in bytes.
const PAYLOAD_LEN_MAX: usize = 4096;
/// The longest reason that is kept, in bytes.
const REASON_LEN_MAX: usize = 256;
/// The longest id of a request that is kept, in bytes.
const REQUEST_ID_LEN_MAX: usize = 64;
/// The longest firmware version and state that are kept, in bytes: those of the contract's heartbeat.
const FIRMWARE_VERSION_LEN_MAX: usize = 64;
const STATE_LEN_MAX: usize = 32;
/// The best signal of AT+CSQ; 99 means unknown.
const CSQ_MAX: u64 = 31;

/// What a message of a box can mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Meaning {
    Heartbeat,
    Online,
    Offline,
    Received,
    Played,
    Failed,
    QrRequest,
    CommandDone,
    CommandFailed,
    ReplayRequest,
    TotalRequest,
    Nothing,
}

impl Meaning {
    /// The nearest channel of the contract.
    pub(super) const fn channel(self) -> Channel {
        match self {
            Self::Heartbeat | Self::Nothing => Channel::Heartbeat,
            Self::Online | Self::Offline => Channel::Status,
            Self::Received | Self::Played | Self::Failed => Channel::PaymentAck,
            Self::QrRequest => Channel::DynamicQrRequest,
            Self::CommandDone | Self::CommandFailed => Channel::CommandAck,
            Self::ReplayRequest => Channel::ReplayRequest,
            Self::TotalRequest => Channel::TotalRequest,
        }
    }

    pub(super) const fn needs_id(self) -> bool {
        matches!(
            self,
            Self::Received | Self::Played | Self::Failed | Self::CommandDone | Self::CommandFailed
        )
    }
}

/// How a box writes an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AmountForm {
    /// `50000`
    Rupiah,
    /// `50000.00`
    Decimal,
    /// `5000000`
    Hundredths,
}

impl AmountForm {
    /// The amount, if it is one of whole rupiah.
    pub(super) fn read(self, text: &str) -> Option<Rupiah> {
        match self {
            Self::Rupiah | Self::Decimal => text.parse().ok(),
            Self::Hundredths => {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let hundredths: i64 = text.parse().ok().filter(|_| digits)?;
                (hundredths % 100 == 0).then(|| Rupiah::from_i64(hundredths / 100))
            }
        }
    }
}

/// How a box states the strength of its signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NetworkScale {
    /// 0 to 100.
    Percent,
    /// 0 to 31, as modems do.
    Csq,
}

/// What a box said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VendorUplink {
    /// A sign of life.
    Heartbeat(VendorHeartbeat),
    /// It has connected.
    Online,
    /// It goes, or its will says that it went.
    Offline,
    /// It has the notification.
    Received {
        /// Which.
        event_id: EventId,
        /// The amount that it read, where it states one.
        amount: Option<Rupiah>,
    },
    /// It has announced the payment.
    Played {
        /// Which.
        event_id: EventId,
    },
    /// It could not announce the payment.
    Failed {
        /// Which.
        event_id: EventId,
        /// Why, in its words.
        reason: Option<String>,
    },
    /// Somebody asks for a code.
    QrRequest {
        /// For how much; more than zero.
        amount: Rupiah,
    },
    /// It has carried out the command.
    CommandDone {
        /// Which.
        command_id: CommandId,
    },
    /// It could not carry out the command.
    CommandFailed {
        /// Which.
        command_id: CommandId,
        /// Why, in its words.
        reason: Option<String>,
    },
    /// Somebody wants to hear the last payment again.
    ReplayRequest {
        /// The press, where the box numbers them.
        request_id: Option<String>,
    },
    /// Somebody wants to hear the total of the day.
    TotalRequest {
        /// As of a replay.
        request_id: Option<String>,
    },
    /// Known, and of no consequence.
    Nothing,
    /// None of what its profile knows.
    Unreadable {
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// The telemetry of a sign of life, as far as the box states it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VendorHeartbeat {
    /// The firmware that runs.
    pub firmware_version: Option<String>,
    /// What it does, in its own words.
    pub state: Option<String>,
    /// 0–100.
    pub network_strength: Option<u8>,
    /// 0–100.
    pub battery_level: Option<u8>,
}

/// A rule: which messages, and what they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// Which topic of `topics.publish`, by its place.
    pub(super) topic: usize,
    pub(super) means: Meaning,
    pub(super) body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// Whatever it is.
    Any,
    /// A text with values in it.
    Text(Template),
    /// JSON.
    Json(Box<JsonRule>),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct JsonRule {
    /// Pointers, each with the words of which one must stand there; `*`: anything.
    pub(super) when: Vec<(String, Vec<String>)>,
    pub(super) id: Option<String>,
    pub(super) amount: Option<(String, AmountForm)>,
    pub(super) reason: Option<String>,
    pub(super) battery: Option<String>,
    pub(super) network: Option<(String, NetworkScale)>,
    pub(super) firmware_version: Option<String>,
    pub(super) state: Option<String>,
}

impl JsonRule {
    /// Whether it looks at nothing.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn applies(&self, value: &Value) -> bool {
        self.when.iter().all(|(at, words)| {
            let Some(found) = value.pointer(at) else {
                return false;
            };
            let text = scalar(found);
            words
                .iter()
                .any(|word| word == "*" || text.as_deref() == Some(word))
        })
    }

    fn found(&self, value: &Value) -> Found {
        let at = |pointer: &Option<String>| scalar(value.pointer(pointer.as_deref()?)?);
        let amount = self.amount.as_ref().map(|(pointer, form)| {
            let text = value.pointer(pointer).and_then(scalar);
            text.and_then(|text| form.read(&text))
        });
        let network = self.network.as_ref().and_then(|(pointer, scale)| {
            let stated = at(&Some(pointer.clone()))?.parse::<u64>().ok()?;
            match scale {
                NetworkScale::Percent => percent(stated),
                NetworkScale::Csq if stated <= CSQ_MAX => percent(stated * 100 / CSQ_MAX),
                NetworkScale::Csq => None,
            }
        });
        Found {
            id: at(&self.id),
            amount,
            reason: at(&self.reason),
            heartbeat: VendorHeartbeat {
                firmware_version: at(&self.firmware_version)
                    .and_then(|text| short(&text, FIRMWARE_VERSION_LEN_MAX)),
                state: at(&self.state).and_then(|text| short(&text, STATE_LEN_MAX)),
                network_strength: network,
                battery_level: at(&self.battery)
                    .and_then(|text| text.parse().ok())
                    .and_then(percent),
            },
        }
    }
}

/// The values of a message to which a rule applies.
#[derive(Default)]
struct Found {
    id: Option<String>,
    /// The outer is none where the rule asks for no amount.
    amount: Option<Option<Rupiah>>,
    reason: Option<String>,
    heartbeat: VendorHeartbeat,
}

/// What is read with.
pub(super) struct Reader<'a> {
    pub(super) ids: IdForm,
    pub(super) login: &'a LoginTemplates,
    pub(super) values: &'a BoxValues,
}

impl Reader<'_> {
    /// Reads a message by the first rule that applies to it.
    pub(super) fn read<'r>(
        &self,
        rules: impl Iterator<Item = &'r Rule>,
        payload: &[u8],
    ) -> VendorUplink {
        if payload.len() > PAYLOAD_LEN_MAX {
            return unreadable("longer than 4096 bytes");
        }
        let mut json: Option<Option<Value>> = None;
        for rule in rules {
            let found = match &rule.body {
                Body::Any => Some(Found::default()),
                Body::Text(template) => std::str::from_utf8(payload)
                    .ok()
                    .and_then(|text| self.match_text(template, text)),
                Body::Json(fields) => json
                    .get_or_insert_with(|| serde_json::from_slice(payload).ok())
                    .as_ref()
                    .filter(|value| fields.applies(value))
                    .map(|value| fields.found(value)),
            };
            if let Some(found) = found {
                return self.meaning(rule.means, found);
            }
        }
        unreadable("nothing that the profile knows")
    }

    fn meaning(&self, means: Meaning, found: Found) -> VendorUplink {
        let id = found.id.as_deref();
        let event = || id.and_then(|id| self.ids.read_event(id));
        let command = || id.and_then(|id| self.ids.read_command(id));
        let reason = found
            .reason
            .as_deref()
            .and_then(|text| short(text, REASON_LEN_MAX));
        let no_id = unreadable("no id of ours");
        match means {
            Meaning::Heartbeat => VendorUplink::Heartbeat(found.heartbeat),
            Meaning::Online => VendorUplink::Online,
            Meaning::Offline => VendorUplink::Offline,
            Meaning::Nothing => VendorUplink::Nothing,
            Meaning::Received => event().map_or(no_id, |event_id| VendorUplink::Received {
                event_id,
                amount: found.amount.flatten(),
            }),
            Meaning::Played => event().map_or(no_id, |event_id| VendorUplink::Played { event_id }),
            Meaning::Failed => {
                event().map_or(no_id, |event_id| VendorUplink::Failed { event_id, reason })
            }
            Meaning::CommandDone => {
                command().map_or(no_id, |command_id| VendorUplink::CommandDone { command_id })
            }
            Meaning::CommandFailed => command().map_or(no_id, |command_id| {
                VendorUplink::CommandFailed { command_id, reason }
            }),
            Meaning::ReplayRequest => VendorUplink::ReplayRequest {
                request_id: id.and_then(|id| short(id, REQUEST_ID_LEN_MAX)),
            },
            Meaning::TotalRequest => VendorUplink::TotalRequest {
                request_id: id.and_then(|id| short(id, REQUEST_ID_LEN_MAX)),
            },
            Meaning::QrRequest => match found.amount.flatten() {
                Some(amount) if amount > Rupiah::ZERO => VendorUplink::QrRequest { amount },
                _ => unreadable("no amount of whole rupiah, more than zero"),
            },
        }
    }

    /// The values of a text, if it has the form of the template and the values of this box.
    fn match_text(&self, template: &Template, text: &str) -> Option<Found> {
        let mut found = Found::default();
        let mut rest = text;
        let mut parts = template.parts.iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Literal(literal) => rest = rest.strip_prefix(literal.as_str())?,
                Part::Value { placeholder, .. } => match captured(*placeholder) {
                    None => {
                        let own = self.login.value(*placeholder, self.values).ok()?;
                        rest = rest.strip_prefix(own.as_str())?;
                    }
                    Some(capture) => {
                        let end = match parts.peek() {
                            Some(Part::Literal(literal)) => rest.find(literal.as_str())?,
                            _ => rest.len(),
                        };
                        let (value, after) = rest.split_at(end);
                        rest = after;
                        match capture {
                            Capture::Id => found.id = Some(value.to_owned()),
                            Capture::Reason => found.reason = Some(value.to_owned()),
                            Capture::Amount(form) => found.amount = Some(form.read(value)),
                        }
                    }
                },
            }
        }
        rest.is_empty().then_some(found)
    }
}

/// What a placeholder in a text of a box takes out of it; `None` for a value of the box itself.
enum Capture {
    Id,
    Reason,
    Amount(AmountForm),
}

fn captured(placeholder: Placeholder) -> Option<Capture> {
    match placeholder {
        Placeholder::Id => Some(Capture::Id),
        Placeholder::Reason => Some(Capture::Reason),
        Placeholder::Amount => Some(Capture::Amount(AmountForm::Rupiah)),
        Placeholder::AmountDecimal => Some(Capture::Amount(AmountForm::Decimal)),
        Placeholder::AmountHundredths => Some(Capture::Amount(AmountForm::Hundredths)),
        _ => None,
    }
}

/// Judges a text that a box publishes: what it takes out must end somewhere.
pub(super) fn check_text(template: &Template) -> Result<(), String> {
    let values = template.parts.windows(2).any(|pair| {
        matches!(
            pair,
            [Part::Value { placeholder, .. }, Part::Value { .. }] if captured(*placeholder).is_some()
        )
    });
    if values {
        return Err("a placeholder must be followed by a text or by nothing".to_owned());
    }
    Ok(())
}

/// The placeholders that take something out of a text.
pub(super) const IN_TEXTS: &[Placeholder] = &[
    Placeholder::Serial,
    Placeholder::Imei,
    Placeholder::ProductKey,
    Placeholder::DeviceId,
    Placeholder::Username,
    Placeholder::ClientId,
    Placeholder::Id,
    Placeholder::Reason,
    Placeholder::Amount,
    Placeholder::AmountDecimal,
    Placeholder::AmountHundredths,
];

fn unreadable(reason: &'static str) -> VendorUplink {
    VendorUplink::Unreadable { reason }
}

/// A JSON value that is a text, a number or true or false, as text: boxes send the one for the other.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn percent(stated: u64) -> Option<u8> {
    u8::try_from(stated).ok().filter(|stated| *stated <= 100)
}

/// A text without control characters that is cut to fit; none if nothing is left.
fn short(text: &str, len_max: usize) -> Option<String> {
    let mut kept = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if kept.len() + c.len_utf8() > len_max {
            break;
        }
        kept.push(c);
    }
    (!kept.is_empty()).then_some(kept)
}
