//! The firmware of boxes of other makers, as state machines without a network.
//!
//! Each believes whatever arrives on its topics: it verifies nothing, and has no clock of the platform. What it remembers
//! of messages is in memory, and gone when it loses its power.

mod eg800ak;
mod morefun;
mod q161;
mod qf100;
mod quecpython;

use std::collections::VecDeque;

use aws_lc_rs::hmac;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wire::Rupiah;

/// Which box it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// QF100.
    Qf100,
    /// MoreFun ET389.
    #[value(name = "morefun-et389")]
    #[serde(rename = "morefun-et389")]
    MorefunEt389,
    /// QuecPython's payment voice box.
    Quecpython,
    /// Quectel's EG800AK sample.
    Eg800ak,
    /// Q161 Pro.
    Q161,
}

impl Model {
    /// Its name, which is also that of its profile on the platform.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Qf100 => "qf100",
            Self::MorefunEt389 => "morefun-et389",
            Self::Quecpython => "quecpython",
            Self::Eg800ak => "eg800ak",
            Self::Q161 => "q161",
        }
    }

    /// What it is registered with.
    pub const fn capabilities(self) -> &'static [&'static str] {
        match self {
            Self::Qf100 => &["speaker", "display"],
            Self::MorefunEt389 => &["speaker", "display", "keypad", "battery"],
            Self::Quecpython => &["speaker"],
            Self::Eg800ak => &["speaker", "battery"],
            Self::Q161 => &["speaker", "display", "dynamic_qr", "keypad"],
        }
    }

    /// The firmware in a box that has just got its power.
    pub fn start(self, settings: &Settings) -> Box<dyn Firmware> {
        match self {
            Self::Qf100 => Box::new(qf100::Qf100::new(settings)),
            Self::MorefunEt389 => Box::new(morefun::MorefunEt389::new(settings)),
            Self::Quecpython => Box::new(quecpython::Quecpython::new(settings)),
            Self::Eg800ak => Box::new(eg800ak::Eg800ak::new(settings)),
            Self::Q161 => Box::new(q161::Q161::new(settings)),
        }
    }
}

/// What is typed into a box, or loaded into it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Settings {
    /// The serial number, which is in the hardware.
    pub serial: String,
    /// The IMEI of its modem, likewise.
    #[serde(default)]
    pub imei: String,
    /// The maker's key for the product.
    #[serde(default)]
    pub product_key: String,
    /// What the password is made from, in boxes that make it themselves.
    #[serde(default)]
    pub product_secret: String,
    /// The password, in boxes that are given one.
    #[serde(default)]
    pub password: String,
    /// What it was told, in boxes that ask for their settings: no such box knows how a platform names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
}

/// The settings of a box that asks for them.
#[derive(Clone, Serialize, Deserialize)]
pub struct Told {
    /// The client id.
    pub client_id: String,
    /// The user name.
    pub username: String,
    /// The topic that it subscribes to.
    pub subscribe_topic: String,
    /// Keep-alive, seconds.
    pub keep_alive_s: u16,
}

/// How a box joins.
pub struct Login {
    /// The client id.
    pub client_id: String,
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
    /// Whether each connection begins without a session.
    pub clean_session: bool,
    /// What the broker publishes when the box is gone.
    pub will: Option<Outgoing>,
}

/// A message of a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where.
    pub topic: String,
    /// What.
    pub payload: String,
    /// Whether it confirms a message: such a one may be delayed or doubled by fault injection.
    pub is_ack: bool,
}

/// What a box does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Publishes.
    Send(Outgoing),
    /// Announces a payment.
    Announce {
        /// The id in the message, where it has one.
        id: Option<String>,
        /// How much, where the box knows it: one that plays clips does not.
        amount: Option<Rupiah>,
        /// What is heard.
        text: String,
    },
    /// Ignores a message that came again.
    Duplicate {
        /// Its id.
        id: String,
    },
    /// Shows a code.
    ShowQr {
        /// The code.
        payload: String,
        /// The amount beside it.
        amount: Option<Rupiah>,
    },
    /// Says something that is no payment.
    Say {
        /// What is heard.
        text: String,
    },
    /// Sets its volume, 0–100.
    Volume(u8),
    /// Restarts.
    Reboot,
    /// Could make nothing of a message.
    Ignore {
        /// Why.
        reason: String,
    },
}

/// The firmware of one box.
pub trait Firmware: Send {
    /// How it joins.
    fn login(&self) -> Login;

    /// What it subscribes to.
    fn subscriptions(&self) -> Vec<String>;

    /// What it says after each connect.
    fn connected(&mut self) -> Vec<Action>;

    /// What it says from time to time.
    fn heartbeat(&mut self) -> Vec<Action>;

    /// What it says when somebody asks it for a code; nothing if it cannot.
    fn request_qr(&mut self, amount: Rupiah) -> Vec<Action>;

    /// What it does with a message.
    fn receive(&mut self, topic: &str, payload: &[u8]) -> Vec<Action>;
}

/// The ids of the last messages, in memory.
struct Recent {
    ids: VecDeque<String>,
    most: usize,
}

impl Recent {
    fn new(most: usize) -> Self {
        Self {
            ids: VecDeque::with_capacity(most),
            most,
        }
    }

    /// Remembers the id; `false` if it is remembered already.
    fn insert(&mut self, id: &str) -> bool {
        if self.ids.iter().any(|known| known == id) {
            return false;
        }
        if self.ids.len() == self.most {
            self.ids.pop_front();
        }
        self.ids.push_back(id.to_owned());
        true
    }
}

/// The password that some boxes make from what was typed into them.
fn derived_password(settings: &Settings) -> String {
    let Settings {
        serial,
        product_key,
        product_secret,
        ..
    } = settings;
    let message = format!("clientId{{{serial}}}.{{{serial}}}{serial}{product_key}2524608000000");
    let key = hmac::Key::new(hmac::HMAC_SHA256, product_secret.as_bytes());
    hex::encode_upper(hmac::sign(&key, message.as_bytes()))
}

/// An amount as these boxes read it: digits, a point, two digits, without which they would be wrong by a hundred.
fn decimal(text: &str) -> Option<Rupiah> {
    let (whole, cents) = text.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || cents != "00" {
        return None;
    }
    whole.parse().ok().map(Rupiah::from_i64)
}

fn object(payload: &[u8]) -> Result<Value, String> {
    serde_json::from_slice::<Value>(payload)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| "not a JSON object".to_owned())
}

fn ignore(reason: impl Into<String>) -> Vec<Action> {
    vec![Action::Ignore {
        reason: reason.into(),
    }]
}

#[cfg(test)]
mod tests;
