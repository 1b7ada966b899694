//! QuecPython's payment voice box: it plays every amount that it is sent. Its history compares whole records, with the
//! time in them, and so never recognises anything.

use wire::Rupiah;

use super::{Action, Firmware, Login, Settings, decimal, derived_password, ignore, object};

pub(super) struct Quecpython {
    settings: Settings,
}

impl Quecpython {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
        }
    }

    fn read(&self, payload: &[u8]) -> Result<Action, String> {
        let message = object(payload)?;
        let amount = message["money"].as_str().and_then(decimal);
        let amount = amount.ok_or("no amount")?;
        Ok(Action::Announce {
            id: message["request_id"].as_str().map(str::to_owned),
            amount: Some(amount),
            text: format!("received {amount}"),
        })
    }
}

impl Firmware for Quecpython {
    fn login(&self) -> Login {
        let serial = &self.settings.serial;
        Login {
            client_id: serial.clone(),
            username: serial.clone(),
            password: derived_password(&self.settings),
            clean_session: true,
            will: None,
        }
    }

    fn subscriptions(&self) -> Vec<String> {
        let Settings {
            serial,
            product_key,
            ..
        } = &self.settings;
        vec![format!("{product_key}/{serial}/user/task")]
    }

    fn connected(&mut self) -> Vec<Action> {
        Vec::new()
    }

    fn heartbeat(&mut self) -> Vec<Action> {
        Vec::new()
    }

    fn request_qr(&mut self, _amount: Rupiah) -> Vec<Action> {
        Vec::new()
    }

    fn receive(&mut self, _topic: &str, payload: &[u8]) -> Vec<Action> {
        self.read(payload)
            .map_or_else(ignore, |action| vec![action])
    }
}
