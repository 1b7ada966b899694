//! QF100: everything in `header.category`, no memory of what it has said.

use serde_json::Value;
use wire::Rupiah;

use super::{Action, Firmware, Login, Outgoing, Settings, ignore, object};

pub(super) struct Qf100 {
    settings: Settings,
}

impl Qf100 {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
        }
    }

    fn username(&self) -> &str {
        let Settings { serial, told, .. } = &self.settings;
        told.as_ref().map_or(serial, |told| &told.username)
    }

    fn read(&self, payload: &[u8]) -> Result<Action, String> {
        let message = object(payload)?;
        let data = &message["data"];
        let amount = |member: &str| data[member].as_i64().map(Rupiah::from_i64);
        let text = |member: &str| data[member].as_str().map(str::to_owned);
        match message["header"]["category"].as_i64() {
            Some(1) => Ok(Action::Announce {
                id: message["header"]["request-id"].as_str().map(str::to_owned),
                amount: Some(amount("pay-amount").ok_or("no pay-amount")?),
                text: text("text").ok_or("no text")?,
            }),
            Some(4) => Ok(Action::ShowQr {
                payload: text("qr-url").ok_or("no qr-url")?,
                amount: amount("amount"),
            }),
            Some(5) => match data["command"].as_str() {
                Some("reboot") => Ok(Action::Reboot),
                other => Err(format!("the command {other:?} is not known")),
            },
            other => Err(format!("the category {other:?} is not known")),
        }
    }
}

impl Firmware for Qf100 {
    fn login(&self) -> Login {
        let Settings { serial, told, .. } = &self.settings;
        let client_id = told.as_ref().map(|told| told.client_id.clone());
        Login {
            client_id: client_id.unwrap_or_else(|| format!("soundbox-{serial}")),
            username: self.username().to_owned(),
            password: self.settings.password.clone(),
            clean_session: false,
            will: None,
        }
    }

    fn subscriptions(&self) -> Vec<String> {
        let Settings { serial, told, .. } = &self.settings;
        let topic = told.as_ref().map(|told| told.subscribe_topic.clone());
        vec![topic.unwrap_or_else(|| format!("soundbox/{serial}/down"))]
    }

    fn connected(&mut self) -> Vec<Action> {
        self.heartbeat()
    }

    fn heartbeat(&mut self) -> Vec<Action> {
        vec![Action::Send(Outgoing {
            topic: format!("devices/{}/heartbeat", self.username()),
            payload: Value::from_iter([("dev-sn", self.settings.serial.as_str())]).to_string(),
            is_ack: false,
        })]
    }

    fn request_qr(&mut self, _amount: Rupiah) -> Vec<Action> {
        Vec::new()
    }

    fn receive(&mut self, _topic: &str, payload: &[u8]) -> Vec<Action> {
        self.read(payload)
            .map_or_else(ignore, |action| vec![action])
    }
}
