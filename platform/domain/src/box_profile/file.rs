//! A profile as it is written, before anything in it is understood. Unknown keys are refused here.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::id::IdForm;
use super::json::Shape;
use super::uplink::{AmountForm, Meaning, NetworkScale};
use super::{Bootstrap, Confirmation};
use crate::device::Capability;

/// Which protocol a box speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Speaks {
    /// That of this platform.
    Contract,
    /// Its maker's.
    OwnProtocol,
}

/// How a password is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PasswordRule {
    /// Characters at random.
    Random,
    /// The hexadecimal HMAC-SHA256 of a text of the maker, keyed with a secret that is typed into the box.
    HmacSha256,
}

/// The case of hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Case {
    /// `0a`
    Lower,
    /// `0A`
    Upper,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) title: Spanned<String>,
    pub(super) speaks: Spanned<Speaks>,
    pub(super) sources: Spanned<Vec<String>>,
    pub(super) confirmation: Spanned<Confirmation>,
    pub(super) deduplicates: Spanned<bool>,
    #[serde(default)]
    pub(super) capabilities: Vec<Capability>,
    #[serde(default)]
    pub(super) unconfirmed: Vec<UnconfirmedEntry>,
    pub(super) transport: Option<Transport>,
    pub(super) topics: Option<Topics>,
    pub(super) ids: Option<Ids>,
    pub(super) messages: Option<Messages>,
    #[serde(default)]
    pub(super) uplinks: Vec<Uplink>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnconfirmedEntry {
    pub(super) key: Spanned<String>,
    pub(super) note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Transport {
    pub(super) bootstrap: Bootstrap,
    pub(super) client_id: Spanned<String>,
    pub(super) username: Spanned<String>,
    pub(super) password: Spanned<Password>,
    pub(super) keep_alive_s: Spanned<u16>,
    pub(super) clean_session: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Password {
    pub(super) rule: PasswordRule,
    pub(super) chars: Option<usize>,
    pub(super) message: Option<Spanned<String>>,
    pub(super) case: Option<Case>,
    pub(super) secret_chars: Option<usize>,
    pub(super) weaker: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Topics {
    pub(super) subscribe: Spanned<BTreeMap<String, Spanned<String>>>,
    #[serde(default)]
    pub(super) publish: BTreeMap<String, Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ids {
    pub(super) form: IdForm,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Messages {
    pub(super) bytes_max: Spanned<usize>,
    #[serde(default)]
    pub(super) clips: Clips,
    pub(super) payment: Message,
    pub(super) qr: Option<Message>,
    pub(super) qr_refused: Option<Message>,
    pub(super) configuration: Option<Message>,
    #[serde(default)]
    pub(super) command: BTreeMap<String, Message>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Clips {
    #[serde(default)]
    pub(super) suffix: String,
    pub(super) join: Option<String>,
    /// By language, then by the grammar's name.
    #[serde(default)]
    pub(super) names: BTreeMap<String, BTreeMap<String, Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    pub(super) topic: Spanned<String>,
    pub(super) json: Option<Spanned<Shape>>,
    pub(super) text: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) refuse: Vec<String>,
    pub(super) crc32: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Uplink {
    pub(super) topic: Spanned<String>,
    pub(super) means: Spanned<Meaning>,
    pub(super) text: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) when: BTreeMap<String, Spanned<Words>>,
    pub(super) id: Option<Spanned<String>>,
    pub(super) amount: Option<AmountAt>,
    pub(super) reason: Option<Spanned<String>>,
    pub(super) battery: Option<Spanned<String>>,
    pub(super) network: Option<NetworkAt>,
    pub(super) firmware_version: Option<Spanned<String>>,
    pub(super) state: Option<Spanned<String>>,
}

/// One word, or several of which any will do.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Words {
    One(String),
    Several(Vec<String>),
}

impl Words {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(word) => vec![word],
            Self::Several(words) => words,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AmountAt {
    pub(super) at: Spanned<String>,
    pub(super) form: AmountForm,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NetworkAt {
    pub(super) at: Spanned<String>,
    pub(super) scale: NetworkScale,
}
