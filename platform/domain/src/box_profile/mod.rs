//! Boxes that speak their maker's protocol: what a profile says of them, and how our messages become theirs.
//!
//! A **profile** is a TOML file (`config/profiles/`, or an operator's own): how such a box joins, its topics, a template
//! for each of our messages, what its answers mean, and what it can promise. It is data: a box of another maker is
//! another file. How to write one is in docs/vendor-boxes.md.
//!
//! - [`parse`], [`parse_message`] and [`parse_password`] read the text and refuse what they do not understand, with line and key; [`file`] is
//!   its form.
//! - [`template`], [`json`], [`fill`]: texts and structures with placeholders, and the values of one message.
//! - [`login`], [`topics`], [`values`]: how a box joins, and where it listens and speaks.
//! - [`render`]: a downlink as bytes; [`uplink`]: bytes of a box, and what they mean.
//!
//! A box of this kind verifies no signature and keeps no journal. What it cannot do, its profile does not promise:
//! [`Profile::confirmation`], [`Profile::deduplicates`].

mod crc32;
mod error;
mod file;
mod fill;
mod id;
mod json;
mod login;
mod parse;
mod parse_message;
mod parse_password;
mod render;
mod scope;
mod source;
mod template;
mod topics;
mod uplink;
mod values;

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use wire::{Channel, DownlinkMessage};

pub use self::error::{ProfileError, RenderError, ValueError};
pub use self::login::{Bootstrap, Login, Password, PasswordStrength};
pub use self::template::Placeholder;
pub use self::topics::{PublishTopic, Topics};
pub use self::uplink::{VendorHeartbeat, VendorUplink};
pub use self::values::BoxValues;
use crate::command::CommandType;
use crate::device::Capability;
use crate::text_enum::text_enum;

/// The profile of a box that has none: it speaks the contract.
pub const NATIVE: &str = "native";

text_enum! {
    /// What a box can confirm of a payment, from the most to the least.
    pub enum Confirmation as "confirmation" {
        /// That it was announced.
        Played = "played",
        /// That the box has it; whether it was heard is not known.
        Received = "received",
        /// That the box's MQTT client took it; whether the box understood it is not known.
        Puback = "puback",
        /// Nothing: a PUBACK is all that it has, and it subscribes with quality of service 0, which has none. No profile
        /// says so; the box's subscription does.
        Nothing = "none",
    }
}

text_enum! {
    /// Where the words come from that a box says.
    pub enum SpeechSource as "source of speech" {
        /// It says the sentence that it is sent.
        Text = "text",
        /// It plays the clips that it is sent.
        Clips = "clips",
        /// It makes its own sentence of the amount. Language and delay are not ours to say.
        Own = "own",
    }
}

/// A key of a profile for which there is no published text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unconfirmed {
    /// The key, with those of the tables around it.
    pub key: String,
    /// What is not known.
    pub note: String,
}

/// What is known of one kind of box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    name: String,
    title: String,
    sources: Vec<String>,
    unconfirmed: Vec<Unconfirmed>,
    confirmation: Confirmation,
    deduplicates: bool,
    capabilities: Vec<Capability>,
    /// None: the contract.
    protocol: Option<VendorProtocol>,
}

/// The protocol of a maker.
#[derive(Debug, Clone, PartialEq, Eq)]
struct VendorProtocol {
    login: login::LoginTemplates,
    topics: topics::TopicTemplates,
    ids: id::IdForm,
    messages: render::Messages,
    uplinks: Vec<uplink::Rule>,
}

/// A message for a box, in its maker's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorMessage {
    /// Where it goes.
    pub topic: String,
    /// What is published.
    pub payload: Vec<u8>,
}

/// The files of the profiles that are built in.
const BUILT_IN: [(&str, &str); 6] = [
    (
        NATIVE,
        include_str!("../../../../config/profiles/native.toml"),
    ),
    (
        "qf100",
        include_str!("../../../../config/profiles/qf100.toml"),
    ),
    (
        "morefun-et389",
        include_str!("../../../../config/profiles/morefun-et389.toml"),
    ),
    (
        "quecpython",
        include_str!("../../../../config/profiles/quecpython.toml"),
    ),
    (
        "eg800ak",
        include_str!("../../../../config/profiles/eg800ak.toml"),
    ),
    (
        "q161",
        include_str!("../../../../config/profiles/q161.toml"),
    ),
];

static PROFILES: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    let read = BUILT_IN.map(|(name, text)| Profile::parse(name, text));
    let read = read.into_iter().collect::<Result<_, _>>();
    read.expect("a test reads every built-in profile")
});

impl Profile {
    /// A profile that is built in.
    pub fn built_in(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    /// All that are built in.
    pub fn all_built_in() -> &'static [Self] {
        &PROFILES
    }

    /// Reads a profile. `name` is the one under which boxes name it.
    ///
    /// # Errors
    /// An unknown key, a missing field, a template that names nothing, a promise that its uplinks do not keep.
    pub fn parse(name: &str, text: &str) -> Result<Self, ProfileError> {
        parse::parse(name, text)
    }

    /// The name under which boxes name it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What people call the box.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Where its facts are from.
    pub fn sources(&self) -> &[String] {
        &self.sources
    }

    /// What no source confirms.
    pub fn unconfirmed(&self) -> &[Unconfirmed] {
        &self.unconfirmed
    }

    /// Whether the box speaks the contract. Such a box joins with its certificate; nothing is rendered for it, and it
    /// has neither login nor topics of its own.
    pub fn speaks_contract(&self) -> bool {
        self.protocol.is_none()
    }

    /// What it can confirm of a payment.
    pub fn confirmation(&self) -> Confirmation {
        self.confirmation
    }

    /// Whether it confirms commands by a message; otherwise its PUBACK is all that is known of them.
    pub fn acknowledges_commands(&self) -> bool {
        let of_commands = |rule: &uplink::Rule| rule.means.channel() == Channel::CommandAck;
        self.protocol
            .as_ref()
            .is_none_or(|protocol| protocol.uplinks.iter().any(of_commands))
    }

    /// Whether it ignores a payment that comes again under the same id. To one that does not, a payment is sent again
    /// only when the connection that carried it ended without PUBACK.
    pub fn deduplicates(&self) -> bool {
        self.deduplicates
    }

    /// What the box has. None for a box that speaks the contract: it is registered with what it has.
    pub fn capabilities(&self) -> Option<&[Capability]> {
        self.protocol.as_ref().map(|_| self.capabilities.as_slice())
    }

    /// Whether it has this command.
    pub fn supports(&self, command: CommandType) -> bool {
        self.protocol
            .as_ref()
            .is_none_or(|protocol| protocol.messages.command(command).is_some())
    }

    /// Where the words come from that it says.
    pub fn speech_source(&self) -> SpeechSource {
        let Some(protocol) = &self.protocol else {
            return SpeechSource::Text;
        };
        let payment = &protocol.messages.payment;
        if payment.names(Placeholder::Text) {
            SpeechSource::Text
        } else if payment.plays_clips() {
            SpeechSource::Clips
        } else {
            SpeechSource::Own
        }
    }

    /// How it comes by its settings. None for a box that speaks the contract.
    pub fn bootstrap(&self) -> Option<Bootstrap> {
        self.protocol
            .as_ref()
            .map(|protocol| protocol.login.bootstrap)
    }

    /// How a box joins. None for a box that speaks the contract.
    ///
    /// # Errors
    /// A value that the profile needs and the box does not have, or not in a form that is safe.
    pub fn login(&self, values: &BoxValues) -> Option<Result<Login, ValueError>> {
        let protocol = self.protocol.as_ref()?;
        Some(protocol.login.of(values))
    }

    /// A new password for a box, from 32 random bytes. None for a box that speaks the contract.
    ///
    /// # Errors
    /// As [`login`](Self::login).
    pub fn password(
        &self,
        values: &BoxValues,
        random: &[u8; 32],
    ) -> Option<Result<Password, ValueError>> {
        let protocol = self.protocol.as_ref()?;
        Some(protocol.login.password(values, random))
    }

    /// How strong its passwords are. None for a box that speaks the contract.
    pub fn password_strength(&self) -> Option<PasswordStrength<'_>> {
        let protocol = self.protocol.as_ref()?;
        Some(protocol.login.strength())
    }

    /// The topics of a box. None for a box that speaks the contract: those of [`wire::Topic`].
    ///
    /// # Errors
    /// As [`login`](Self::login).
    pub fn topics(&self, values: &BoxValues) -> Option<Result<Topics, ValueError>> {
        let protocol = self.protocol.as_ref()?;
        Some(protocol.topics.of(&protocol.login, values))
    }

    /// A downlink as one message of the box, as of `at`: by then a payment is said to be delayed, or is over.
    ///
    /// # Errors
    /// [`RenderError::Unsupported`]: the box has no such message (always so for a box that speaks the contract).
    /// [`RenderError::TooLate`]: it must not be sent any more. Otherwise a value or the length.
    pub fn render(
        &self,
        message: &DownlinkMessage,
        values: &BoxValues,
        at: DateTime<Utc>,
    ) -> Result<VendorMessage, RenderError> {
        let protocol = self.protocol.as_ref().ok_or(RenderError::Unsupported)?;
        let renderer = render::Renderer {
            protocol,
            values,
            at,
        };
        renderer.render(message)
    }

    /// What a message that the box published on `topic` means. The caller has seen to it that the box may publish there.
    pub fn read(&self, topic: &str, payload: &[u8], values: &BoxValues) -> VendorUplink {
        let Some(protocol) = &self.protocol else {
            return VendorUplink::Unreadable {
                reason: "the box speaks the contract",
            };
        };
        let (login, topics) = (&protocol.login, &protocol.topics);
        let is_it = |place: usize| {
            let template = topics.publish.get(place).map(|(_, template, _)| template);
            template
                .is_some_and(|template| login.fill(template, values).is_ok_and(|own| own == topic))
        };
        let reader = uplink::Reader {
            ids: protocol.ids,
            login,
            values,
        };
        reader.read(
            protocol.uplinks.iter().filter(|rule| is_it(rule.topic)),
            payload,
        )
    }
}

impl VendorProtocol {
    /// Where a downlink goes out.
    fn downlink_topic(&self, channel: Channel, values: &BoxValues) -> Result<String, ValueError> {
        let place = Channel::DOWNLINKS.iter().position(|one| *one == channel);
        let place = self.topics.downlinks[place.unwrap_or_default()];
        self.login.fill(&self.topics.subscribe[place].1, values)
    }
}
