//! A downlink as the bytes of one message of the box.

use chrono::{DateTime, Utc};
use rust_decimal::prelude::ToPrimitive as _;
use serde_json::{Map, Value as Json};
use wire::message::{Command, ConfigPush, DynamicQrResponse, PaymentSuccess, QrOutcome};
use wire::rupiah::Rupiah;
use wire::{Channel, DownlinkMessage, Language};

use super::crc32::crc32;
use super::error::RenderError;
use super::fill::{Clips, Fields};
use super::id::IdForm;
use super::json::Node;
use super::template::{Placeholder, Template};
use super::topics::IN_TOPICS;
use super::values::BoxValues;
use super::{VendorMessage, VendorProtocol};
use crate::command::{self, CommandType};
use crate::wib;

/// The messages that a profile has templates for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Messages {
    pub(super) bytes_max: usize,
    pub(super) clips: Clips,
    pub(super) payment: MessageTemplate,
    pub(super) qr: Option<MessageTemplate>,
    pub(super) qr_refused: Option<MessageTemplate>,
    pub(super) configuration: Option<MessageTemplate>,
    pub(super) commands: Vec<(CommandType, MessageTemplate)>,
    /// Whether a command may show a code as an answer to the box does.
    pub(super) shows_codes_by_command: bool,
}

impl Messages {
    /// The template of a command. A box that shows the codes that it asked for shows those of commands in the same way.
    pub(super) fn command(&self, kind: CommandType) -> Option<&MessageTemplate> {
        let own = self.commands.iter().find(|(known, _)| *known == kind);
        match own {
            Some((_, template)) => Some(template),
            None => self
                .qr
                .as_ref()
                .filter(|_| kind == CommandType::DisplayQr && self.shows_codes_by_command),
        }
    }
}

/// One message of a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MessageTemplate {
    pub(super) form: Form,
    /// The text whose checksum the message carries.
    pub(super) crc32: Option<Template>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    Json(Node),
    Text {
        template: Template,
        /// What no value may contain, because the box would take the text for something else.
        refuse: Vec<String>,
    },
}

impl MessageTemplate {
    pub(super) fn names(&self, wanted: Placeholder) -> bool {
        let text = match &self.form {
            Form::Json(node) => node.names(wanted),
            Form::Text { template, .. } => template.names(wanted),
        };
        text || self.crc32.as_ref().is_some_and(|crc32| crc32.names(wanted))
    }

    /// Whether it has the clips of a sentence in it.
    pub(super) fn plays_clips(&self) -> bool {
        self.names(Placeholder::Clips) || self.names(Placeholder::Clip)
    }

    /// Whether it has the sentence in it, as a text or as clips.
    pub(super) fn says_the_sentence(&self) -> bool {
        self.names(Placeholder::Text) || self.plays_clips()
    }

    fn refuse(&self) -> &[String] {
        match &self.form {
            Form::Json(_) => &[],
            Form::Text { refuse, .. } => refuse,
        }
    }
}

/// Writes one downlink for one box.
pub(super) struct Renderer<'a> {
    pub(super) protocol: &'a VendorProtocol,
    pub(super) values: &'a BoxValues,
    pub(super) at: DateTime<Utc>,
}

impl<'a> Renderer<'a> {
    pub(super) fn render(&self, message: &DownlinkMessage) -> Result<VendorMessage, RenderError> {
        let messages = &self.protocol.messages;
        match message {
            DownlinkMessage::PaymentSuccess(payment) => self.payment(&messages.payment, payment),
            DownlinkMessage::DynamicQrResponse(response) => self.qr(messages, response),
            DownlinkMessage::Command(command) => self.command(messages, command),
            DownlinkMessage::ConfigPush(push) => {
                self.configuration(messages.configuration.as_ref(), push)
            }
            // It has no clock of ours.
            DownlinkMessage::Time(_) => Err(RenderError::Unsupported),
        }
    }

    fn payment(
        &self,
        template: &'a MessageTemplate,
        payment: &PaymentSuccess,
    ) -> Result<VendorMessage, RenderError> {
        if self.at >= payment.announce_until {
            return Err(RenderError::TooLate);
        }
        let mut fields = self.fields(template)?;
        let event_id = payment.event_id;
        fields.set_text(
            Placeholder::Id,
            self.ids().write(event_id.as_uuid(), event_id),
        );
        fields.set_text(
            Placeholder::TransactionId,
            payment.transaction_id.to_string(),
        );
        set_amount(&mut fields, payment.amount);
        let delayed = payment.replay || self.at >= payment.delayed_after;
        let speech = &payment.speech;
        let text = if delayed {
            &speech.delayed_text
        } else {
            &speech.text
        };
        let said = Said {
            language: &speech.language,
            amount: Some(payment.amount),
            text,
        };
        self.set_sentence(&mut fields, template, &said)?;
        fields.set_text(Placeholder::MerchantName, payment.merchant_name.as_str());
        fields.set_text(Placeholder::PaidAtWib, compact(payment.paid_at));
        self.write(template, Channel::PaymentSuccess, fields)
    }

    fn qr(
        &self,
        messages: &'a Messages,
        response: &DynamicQrResponse,
    ) -> Result<VendorMessage, RenderError> {
        match &response.outcome {
            QrOutcome::Ready {
                transaction_id,
                amount,
                qr_payload,
                expires_at,
                ..
            } => {
                let template = messages.qr.as_ref().ok_or(RenderError::Unsupported)?;
                let left_s = expires_at.signed_duration_since(self.at).num_seconds();
                if left_s <= 0 {
                    return Err(RenderError::TooLate);
                }
                let mut fields = self.fields(template)?;
                let id = transaction_id.as_uuid();
                fields.set_text(Placeholder::Id, self.ids().write(id, transaction_id));
                fields.set_text(Placeholder::TransactionId, transaction_id.to_string());
                set_amount(&mut fields, *amount);
                fields.set_text(Placeholder::QrPayload, qr_payload.as_str());
                fields.set_number(Placeholder::ExpiresInS, left_s);
                self.write(template, Channel::DynamicQrResponse, fields)
            }
            QrOutcome::Refused(error) => {
                let template = messages.qr_refused.as_ref();
                let template = template.ok_or(RenderError::Unsupported)?;
                let mut fields = self.fields(template)?;
                fields.set_text(Placeholder::Text, error.message.as_str());
                self.write(template, Channel::DynamicQrResponse, fields)
            }
        }
    }

    fn command(
        &self,
        messages: &'a Messages,
        command: &Command,
    ) -> Result<VendorMessage, RenderError> {
        let kind: CommandType = command.kind.parse().map_err(|_| RenderError::Unsupported)?;
        let template = messages.command(kind).ok_or(RenderError::Unsupported)?;
        let left_s = command
            .expires_at
            .signed_duration_since(self.at)
            .num_seconds();
        if left_s <= 0 {
            return Err(RenderError::TooLate);
        }
        let mut fields = self.fields(template)?;
        let id = command.command_id;
        fields.set_text(Placeholder::Id, self.ids().write(id.as_uuid(), id));
        let empty = Map::new();
        let payload = command.payload.as_object().unwrap_or(&empty);
        set_parameters(&mut fields, payload);
        let speech = |member| payload.get("speech")?.get(member)?.as_str();
        if let (Some(language), Some(text)) = (speech("language"), speech("text")) {
            let said = Said {
                language,
                amount: shown_amount(payload),
                text,
            };
            self.set_sentence(&mut fields, template, &said)?;
        }
        if kind == CommandType::AnnounceTotal
            && let Some(amount) = shown_amount(payload)
        {
            set_amount(&mut fields, amount);
        }
        if kind == CommandType::DisplayQr {
            let shown_s = payload.get("expires_in").and_then(Json::as_i64);
            fields.set_number(Placeholder::ExpiresInS, shown_s.unwrap_or(left_s));
            if let Some(amount) = shown_amount(payload) {
                set_amount(&mut fields, amount);
            }
        }
        self.write(template, Channel::Command, fields)
    }

    fn configuration(
        &self,
        template: Option<&'a MessageTemplate>,
        push: &ConfigPush,
    ) -> Result<VendorMessage, RenderError> {
        let template = template.ok_or(RenderError::Unsupported)?;
        let mut fields = self.fields(template)?;
        fields.set_number(Placeholder::Version, push.version);
        if let Some(config) = push.config.as_object() {
            set_parameters(&mut fields, config);
        }
        self.write(template, Channel::ConfigPush, fields)
    }

    /// What the box says: a sentence, and where the message plays clips, those of this sentence.
    fn set_sentence(
        &self,
        fields: &mut Fields<'_>,
        template: &MessageTemplate,
        said: &Said<'_>,
    ) -> Result<(), RenderError> {
        fields.set_text(Placeholder::Text, said.text);
        if !template.plays_clips() {
            return Ok(());
        }
        let language: Option<Language> = said.language.parse().ok();
        let found = language.and_then(|language| {
            let clips = wire::speech::clips_of(language, said.amount, said.text)?;
            Some(self.protocol.messages.clips.named(language, &clips))
        });
        fields.set_clips(found.ok_or(RenderError::Value {
            placeholder: Placeholder::Clips,
            problem: "no language has such a sentence",
        })?);
        Ok(())
    }

    fn ids(&self) -> IdForm {
        self.protocol.ids
    }

    /// The values that every message has.
    fn fields(&self, template: &'a MessageTemplate) -> Result<Fields<'a>, RenderError> {
        let protocol = self.protocol;
        let mut fields = Fields::new(&protocol.messages.clips, template.refuse());
        for placeholder in IN_TOPICS.iter().copied() {
            if template.names(placeholder) {
                let value = protocol.login.value(placeholder, self.values)?;
                fields.set_text(placeholder, value);
            }
        }
        fields.set_text(Placeholder::TimeWib, compact(self.at));
        fields.set_number(Placeholder::UnixS, self.at.timestamp());
        Ok(fields)
    }

    fn write(
        &self,
        template: &MessageTemplate,
        channel: Channel,
        mut fields: Fields<'_>,
    ) -> Result<VendorMessage, RenderError> {
        if let Some(crc) = &template.crc32 {
            let checksum = crc32(fields.text(crc)?.as_bytes());
            fields.set_text(Placeholder::Crc32, format!("{checksum:08x}"));
        }
        let mut payload = String::new();
        match &template.form {
            Form::Json(node) => node.write(&fields, &mut payload)?,
            Form::Text { template, .. } => payload = fields.text(template)?,
        }
        let (bytes, bytes_max) = (payload.len(), self.protocol.messages.bytes_max);
        if bytes > bytes_max {
            return Err(RenderError::TooLong { bytes, bytes_max });
        }
        Ok(VendorMessage {
            topic: self.protocol.downlink_topic(channel, self.values)?,
            payload: payload.into_bytes(),
        })
    }
}

/// A sentence that the platform made.
struct Said<'a> {
    language: &'a str,
    amount: Option<Rupiah>,
    text: &'a str,
}

fn set_amount(fields: &mut Fields<'_>, amount: Rupiah) {
    let rupiah = amount.to_i64();
    fields.set_number(Placeholder::Amount, rupiah);
    fields.set_text(Placeholder::AmountDecimal, format!("{rupiah}.00"));
    if let Some(hundredths) = rupiah.checked_mul(100) {
        fields.set_number(Placeholder::AmountHundredths, hundredths);
    }
}

/// The parameters of a command or the keys of a configuration, where they are what a placeholder stands for.
fn set_parameters(fields: &mut Fields<'_>, parameters: &Map<String, Json>) {
    const NUMBERS: [Placeholder; 3] = [
        Placeholder::Volume,
        Placeholder::HeartbeatIntervalS,
        Placeholder::DisplayBrightness,
    ];
    const TEXTS: [Placeholder; 6] = [
        Placeholder::Text,
        Placeholder::QrPayload,
        Placeholder::Language,
        Placeholder::Url,
        Placeholder::Sha256,
        Placeholder::Version,
    ];
    for placeholder in NUMBERS {
        if let Some(number) = parameters.get(placeholder.as_str()).and_then(Json::as_i64) {
            fields.set_number(placeholder, number);
            if placeholder == Placeholder::Volume {
                fields.set_number(Placeholder::VolumePercent, number.saturating_mul(10));
            }
        }
    }
    for placeholder in TEXTS {
        if let Some(text) = parameters.get(placeholder.as_str()).and_then(Json::as_str) {
            fields.set_text(placeholder, text);
        }
    }
}

/// The amount of a code that a command shows: as stated, else as in the code.
fn shown_amount(payload: &Map<String, Json>) -> Option<Rupiah> {
    let stated = payload.get("amount");
    stated
        .and_then(|amount| serde_json::from_value(amount.clone()).ok())
        .or_else(|| {
            let code = command::displayed_code(payload).ok()?;
            code.amount()?.to_i64().map(Rupiah::from_i64)
        })
}

/// `20260524170305`, in Jakarta.
fn compact(at: DateTime<Utc>) -> String {
    wib::local(at).format("%Y%m%d%H%M%S").to_string()
}
