//! Q161 Pro: plain text. A code behind `QR:`, clips if there is `.mp3` in it, anything else is spoken. Its recordings are those
//! that the languages need, by the names of `GET /admin/audio/clips.json`.

use std::collections::BTreeSet;

use wire::{Language, Rupiah};

use super::{Action, Firmware, Login, Outgoing, Settings, ignore};

pub(super) struct Q161 {
    settings: Settings,
    recordings: BTreeSet<&'static str>,
}

impl Q161 {
    pub(super) fn new(settings: &Settings) -> Self {
        let clips = Language::ALL.into_iter().flat_map(wire::speech::clips);
        Self {
            settings: settings.clone(),
            recordings: clips.map(|token| token.clip).collect(),
        }
    }
}

impl Firmware for Q161 {
    fn login(&self) -> Login {
        let Settings {
            serial, password, ..
        } = &self.settings;
        Login {
            client_id: format!("clientId-{serial}"),
            username: serial.clone(),
            password: password.clone(),
            clean_session: false,
            will: None,
        }
    }

    fn subscriptions(&self) -> Vec<String> {
        vec![format!("topic_{}", self.settings.serial)]
    }

    fn connected(&mut self) -> Vec<Action> {
        Vec::new()
    }

    fn heartbeat(&mut self) -> Vec<Action> {
        Vec::new()
    }

    fn request_qr(&mut self, amount: Rupiah) -> Vec<Action> {
        vec![Action::Send(Outgoing {
            topic: "qris/request".to_owned(),
            payload: format!("{}|{}00", self.settings.serial, amount),
            is_ack: false,
        })]
    }

    fn receive(&mut self, _topic: &str, payload: &[u8]) -> Vec<Action> {
        let Ok(text) = std::str::from_utf8(payload) else {
            return ignore("not a text");
        };
        if let Some(code) = text.strip_prefix("QR:") {
            return vec![Action::ShowQr {
                payload: code.to_owned(),
                amount: None,
            }];
        }
        if !text.contains(".mp3") {
            return vec![Action::Say {
                text: text.to_owned(),
            }];
        }
        let clips: Option<Vec<&str>> = text
            .split('+')
            .map(|clip| clip.strip_suffix(".mp3"))
            .collect();
        match clips {
            Some(clips) if clips.iter().any(|clip| !self.recordings.contains(clip)) => {
                ignore(format!("it has not all of {}", clips.join(" ")))
            }
            Some(clips) => vec![Action::Announce {
                id: None,
                amount: None,
                text: clips.join(" "),
            }],
            None => ignore("one of the clips has another name"),
        }
    }
}
