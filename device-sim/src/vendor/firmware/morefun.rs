//! MoreFun ET389: an amount that it speaks itself, a code to show, and a feedback. It remembers 20 ids.

use serde_json::json;
use wire::Rupiah;

use super::{
    Action, Firmware, Login, Outgoing, Recent, Settings, decimal, derived_password, ignore, object,
};

/// How many ids it remembers, and how long they may be.
const REMEMBERED: usize = 20;
const ID_LEN_MAX: usize = 63;

pub(super) struct MorefunEt389 {
    settings: Settings,
    recent: Recent,
}

impl MorefunEt389 {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            recent: Recent::new(REMEMBERED),
        }
    }

    fn state(&self, state: &str, topic_end: &str) -> Outgoing {
        Outgoing {
            topic: format!(
                "/ota/device/connection/{}/state{topic_end}",
                self.settings.serial
            ),
            payload: state.to_owned(),
            is_ack: false,
        }
    }

    fn feedback(&self, id: &str, money: &str) -> Action {
        let Settings {
            serial,
            product_key,
            ..
        } = &self.settings;
        Action::Send(Outgoing {
            topic: format!("/ota/{product_key}/{serial}/user/log"),
            payload: json!({ "request_id": id, "money": money }).to_string(),
            is_ack: true,
        })
    }

    fn read(&mut self, payload: &[u8]) -> Result<Vec<Action>, String> {
        let message = object(payload)?;
        let id = message["request_id"].as_str().ok_or("no request_id")?;
        if id.len() > ID_LEN_MAX {
            return Err("its request_id is too long".to_owned());
        }
        if !self.recent.insert(id) {
            return Ok(vec![Action::Duplicate { id: id.to_owned() }]);
        }
        let money = message["money"].as_str().ok_or("no money")?;
        let amount = decimal(money)
            .filter(|amount| *amount > Rupiah::ZERO)
            .ok_or("no amount")?;
        // It feeds back what it has queued, before it is heard.
        let mut actions = vec![self.feedback(id, money)];
        if let Some(code) = message["order_sn"].as_str() {
            actions.push(Action::ShowQr {
                payload: code.to_owned(),
                amount: Some(amount),
            });
        } else if message["broadcast_type"] == 1 {
            actions.push(Action::Announce {
                id: Some(id.to_owned()),
                amount: Some(amount),
                text: format!("received {amount}"),
            });
        }
        Ok(actions)
    }
}

impl Firmware for MorefunEt389 {
    fn login(&self) -> Login {
        let serial = &self.settings.serial;
        Login {
            client_id: serial.clone(),
            username: serial.clone(),
            password: derived_password(&self.settings),
            clean_session: false,
            will: Some(self.state("0", " ")),
        }
    }

    fn subscriptions(&self) -> Vec<String> {
        let Settings {
            serial,
            product_key,
            ..
        } = &self.settings;
        vec![format!("/ota/{product_key}/{serial}/update")]
    }

    fn connected(&mut self) -> Vec<Action> {
        vec![Action::Send(self.state("1", ""))]
    }

    fn heartbeat(&mut self) -> Vec<Action> {
        // MQTT's keep-alive is all that it has.
        Vec::new()
    }

    fn request_qr(&mut self, _amount: Rupiah) -> Vec<Action> {
        Vec::new()
    }

    fn receive(&mut self, _topic: &str, payload: &[u8]) -> Vec<Action> {
        self.read(payload).unwrap_or_else(ignore)
    }
}
