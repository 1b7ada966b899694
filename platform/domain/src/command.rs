//! Commands to boxes: their types, the capabilities that they need, and how they end.

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Map, Value};
use wire::message::CommandAckStatus;
use wire::rupiah::Rupiah;

use crate::device::Capability;
use crate::free_text;
use crate::qris::QrisCode;
use crate::text_enum::text_enum;
use crate::validation::FieldError;

text_enum! {
    /// The types of commands.
    pub enum CommandType as "command type" {
        /// Plays a sound.
        PlayTest = "play_test",
        /// Says a text.
        AnnounceText = "announce_text",
        /// Says what was paid today at the box's terminal.
        AnnounceTotal = "announce_total",
        /// Sets the loudness, 0–10.
        SetVolume = "set_volume",
        /// Shows a code.
        DisplayQr = "display_qr",
        /// Shows nothing.
        ClearDisplay = "clear_display",
        /// Starts anew.
        Reboot = "reboot",
        /// Answers with what a technician wants to know.
        CollectDiagnostics = "collect_diagnostics",
        /// Asks for its configuration.
        SyncConfig = "sync_config",
        /// Loads and starts another firmware.
        UpdateFirmware = "update_firmware",
    }
}

text_enum! {
    /// The state of a command.
    pub enum CommandStatus as "command status" {
        /// It waits for the box.
        Queued = "queued",
        /// It was handed to the wire, and is sent again until it ends.
        Sent = "sent",
        /// The box did it.
        Delivered = "delivered",
        /// The box could not do it.
        Failed = "failed",
        /// It was not done in time.
        Timeout = "timeout",
        /// An operator took it back.
        Cancelled = "cancelled",
    }
}

impl From<CommandAckStatus> for CommandStatus {
    fn from(ack: CommandAckStatus) -> Self {
        match ack {
            CommandAckStatus::Delivered => Self::Delivered,
            CommandAckStatus::Failed => Self::Failed,
            CommandAckStatus::Timeout => Self::Timeout,
        }
    }
}

impl CommandStatus {
    /// Whether the command may still be carried out.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Sent)
    }
}

/// The loudest.
const VOLUME_MAX: u8 = 10;
/// The longest that a code is shown, seconds.
const SHOWN_S_MAX: u32 = 86_400;
/// The longest address of a firmware, and the longest name of its version.
const URL_LEN_MAX: usize = 2048;
const VERSION_LEN_MAX: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnnounceText {
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetVolume {
    volume: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DisplayQr {
    qr_payload: String,
    #[serde(default)]
    amount: Option<Rupiah>,
    #[serde(default)]
    expires_in: Option<u32>,
}

/// The code of a `display_qr` command. The caller checks that it pays the box's merchant.
///
/// # Errors
/// `payload.qr_payload` when it is no code; `payload.amount` when the code asks for another amount.
pub fn displayed_code(payload: &Map<String, Value>) -> Result<QrisCode, Vec<FieldError>> {
    let shown: DisplayQr = read(payload)?;
    code_of(&shown).map_err(|error| vec![error])
}

fn code_of(shown: &DisplayQr) -> Result<QrisCode, FieldError> {
    let code: QrisCode = shown.qr_payload.parse().map_err(|error| {
        FieldError::new("payload.qr_payload", format!("is no QRIS code: {error}"))
    })?;
    match (code.amount(), shown.amount) {
        (Some(asked), Some(said)) if asked != Decimal::from(said.to_i64()) => Err(FieldError::new(
            "payload.amount",
            "is not the amount of the code",
        )),
        _ => Ok(code),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateFirmware {
    url: String,
    sha256: String,
    version: String,
}

impl CommandType {
    /// What a box must be able to do for it; `None`: any box can.
    pub const fn capability(self) -> Option<Capability> {
        match self {
            Self::PlayTest | Self::AnnounceText | Self::AnnounceTotal | Self::SetVolume => {
                Some(Capability::Speaker)
            }
            Self::DisplayQr | Self::ClearDisplay => Some(Capability::Display),
            Self::Reboot | Self::CollectDiagnostics | Self::SyncConfig | Self::UpdateFirmware => {
                None
            }
        }
    }

    /// Checks the parameters of a command. `reserved` are words that no free text may use, beside those of
    /// [`free_text`].
    ///
    /// # Errors
    /// Each field that breaks a rule, as `payload.…`.
    pub fn check(
        self,
        payload: &Map<String, Value>,
        reserved: &[String],
    ) -> Result<(), Vec<FieldError>> {
        let mut wrong = Vec::new();
        let mut require = |holds: bool, field: &str, rule: &str| {
            if !holds {
                wrong.push(FieldError::new(format!("payload.{field}"), rule));
            }
        };
        match self {
            Self::PlayTest
            | Self::AnnounceTotal
            | Self::ClearDisplay
            | Self::Reboot
            | Self::CollectDiagnostics
            | Self::SyncConfig => {
                let Nothing {} = read(payload)?;
            }
            Self::AnnounceText => {
                let AnnounceText { text } = read(payload)?;
                if let Err(error) = wire::text::SPOKEN.check(&text) {
                    require(false, "text", &error.to_string());
                } else if let Err(refusal) = free_text::check(&text, reserved) {
                    require(false, "text", &refusal.to_string());
                }
            }
            Self::SetVolume => {
                let SetVolume { volume } = read(payload)?;
                require(volume <= VOLUME_MAX, "volume", "from 0 to 10");
            }
            Self::DisplayQr => {
                let shown: DisplayQr = read(payload)?;
                let positive = shown.amount.is_none_or(|amount| amount > Rupiah::ZERO);
                require(positive, "amount", "more than zero");
                let bounded = shown
                    .expires_in
                    .is_none_or(|seconds| (1..=SHOWN_S_MAX).contains(&seconds));
                require(bounded, "expires_in", "from 1 to 86400 seconds");
                if let Err(error) = code_of(&shown) {
                    wrong.push(error);
                }
            }
            Self::UpdateFirmware => {
                let firmware: UpdateFirmware = read(payload)?;
                let (url, sha256) = (firmware.url.as_str(), firmware.sha256.as_str());
                let address = url.len() <= URL_LEN_MAX
                    && url
                        .strip_prefix("https://")
                        .is_some_and(|rest| !rest.is_empty())
                    && url.bytes().all(|byte| byte.is_ascii_graphic());
                require(address, "url", "an https:// address of at most 2048 bytes");
                let digest = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
                require(digest, "sha256", "64 hex digits");
                let version = firmware.version.as_str();
                let named = (1..=VERSION_LEN_MAX).contains(&version.len())
                    && version.bytes().all(|byte| byte.is_ascii_graphic());
                require(named, "version", "1 to 64 visible ASCII characters");
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

/// The parameters as a `T`; the error is serde's, which names the field.
fn read<T: serde::de::DeserializeOwned>(
    payload: &Map<String, Value>,
) -> Result<T, Vec<FieldError>> {
    serde_json::from_value(Value::Object(payload.clone()))
        .map_err(|error| vec![FieldError::new("payload", error.to_string())])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::qris::crc16;

    /// A code that asks for 5,000.
    fn code() -> String {
        let text = "000201010212\
            26430017ID.CO.EXAMPLE.WWW0118936000000000000001\
            5204581253033605404500\
            05802ID5904SARI6007JAKARTA6304";
        format!("{text}{:04X}", crc16(text.as_bytes()))
    }

    fn check(kind: CommandType, payload: Value) -> Result<(), Vec<String>> {
        let payload = payload.as_object().unwrap().clone();
        kind.check(&payload, &[])
            .map_err(|wrong| wrong.into_iter().map(|error| error.field).collect())
    }

    #[test]
    fn every_type_has_parameters_that_it_takes() {
        let digest = "ab".repeat(32);
        for kind in CommandType::ALL {
            let payload = match kind {
                CommandType::AnnounceText => json!({ "text": "Selamat pagi" }),
                CommandType::SetVolume => json!({ "volume": 10 }),
                CommandType::DisplayQr => {
                    json!({ "qr_payload": code(), "amount": 5000, "expires_in": 60 })
                }
                CommandType::UpdateFirmware => {
                    json!({ "url": "https://firmware.example/1.bin", "sha256": digest, "version": "1.1.0" })
                }
                _ => json!({}),
            };
            assert_eq!(check(*kind, payload), Ok(()), "{kind}");
            let unknown = json!({ "colour": "red" });
            assert!(check(*kind, unknown).is_err(), "{kind}");
        }
    }

    #[test]
    fn what_breaks_a_rule_is_named() {
        use CommandType::{AnnounceText, DisplayQr, SetVolume, UpdateFirmware};
        let wrong = [
            (SetVolume, json!({ "volume": 11 }), "payload.volume"),
            (SetVolume, json!({ "volume": -1 }), "payload"),
            (SetVolume, json!({}), "payload"),
            (AnnounceText, json!({ "text": " " }), "payload.text"),
            (
                AnnounceText,
                json!({ "text": "x".repeat(201) }),
                "payload.text",
            ),
            (
                AnnounceText,
                json!({ "text": "Pembayaran diterima" }),
                "payload.text",
            ),
            (DisplayQr, json!({ "qr_payload": "" }), "payload.qr_payload"),
            (
                DisplayQr,
                json!({ "qr_payload": code().replace("SARI", "SARA") }),
                "payload.qr_payload",
            ),
            (
                DisplayQr,
                json!({ "qr_payload": code(), "amount": 5001 }),
                "payload.amount",
            ),
            (
                DisplayQr,
                json!({ "qr_payload": code(), "expires_in": 0 }),
                "payload.expires_in",
            ),
        ];
        for (kind, payload, field) in wrong {
            assert_eq!(
                check(kind, payload.clone()),
                Err(vec![field.to_owned()]),
                "{payload}"
            );
        }
        let firmware = json!({ "url": "http://firmware.example", "sha256": "ab", "version": "" });
        let fields = ["payload.url", "payload.sha256", "payload.version"];
        assert_eq!(
            check(UpdateFirmware, firmware),
            Err(fields.map(str::to_owned).to_vec())
        );
    }

    #[test]
    fn an_order_is_open_until_it_ends() {
        let open: Vec<_> = CommandStatus::ALL
            .iter()
            .filter(|status| status.is_open())
            .collect();
        assert_eq!(open, [&CommandStatus::Queued, &CommandStatus::Sent]);
    }
}
