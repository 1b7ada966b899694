//! Quectel's EG800AK sample, built with its checksum of commands: payments on one topic, commands on another, every
//! message answered on its topic for health. It remembers 32 transactions.

use serde_json::json;
use wire::Rupiah;

use super::{Action, Firmware, Login, Outgoing, Recent, Settings, decimal, ignore, object};

/// How many transactions it remembers, how long their ids may be, and the longest message.
const REMEMBERED: usize = 32;
const ID_LEN_MAX: usize = 39;
const MESSAGE_LEN_MAX: usize = 511;

pub(super) struct Eg800ak {
    settings: Settings,
    recent: Recent,
    last: Rupiah,
}

impl Eg800ak {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            recent: Recent::new(REMEMBERED),
            last: Rupiah::ZERO,
        }
    }

    fn payments(&self) -> String {
        format!("kiotel/client1/sb/{}", self.settings.imei)
    }

    fn answer(&self, payload: serde_json::Value, is_ack: bool) -> Action {
        Action::Send(Outgoing {
            topic: format!("{}/health", self.payments()),
            payload: payload.to_string(),
            is_ack,
        })
    }

    fn payment(&mut self, payload: &[u8]) -> Result<Vec<Action>, String> {
        let message = object(payload)?;
        let id = ["tx_id", "txn_id", "transaction_id"]
            .iter()
            .find_map(|member| message[*member].as_str())
            .filter(|id| !id.is_empty() && id.len() <= ID_LEN_MAX)
            .ok_or("no transaction")?;
        let amount = message["amount"].as_str().and_then(decimal);
        let amount = amount.filter(|amount| *amount > Rupiah::ZERO);
        let amount = amount.ok_or("no amount")?;
        let ack = |status: &str| json!({ "type": "payment_ack", "tx_id": id, "status": status });
        if !self.recent.insert(id) {
            let id = id.to_owned();
            return Ok(vec![
                self.answer(ack("duplicate"), true),
                Action::Duplicate { id },
            ]);
        }
        self.last = amount;
        Ok(vec![
            self.answer(ack("accepted"), true),
            Action::Announce {
                id: Some(id.to_owned()),
                amount: Some(amount),
                text: format!("received {amount}"),
            },
        ])
    }

    fn command(&self, payload: &[u8]) -> Result<Vec<Action>, String> {
        let message = object(payload)?;
        let command = message["cmd"].as_str().ok_or("no cmd")?;
        let id = message["request_id"].as_str().unwrap_or_default();
        let ack = |status: &str| {
            let ack =
                json!({ "type": "cmd_ack", "request_id": id, "cmd": command, "status": status });
            self.answer(ack, true)
        };
        let signed = format!("{command}:{id}:{}", self.settings.imei);
        let signature = format!("{:08x}", checksum(signed.as_bytes()));
        let is_signed = message["signature"].as_str() == Some(signature.as_str());
        let done = match command {
            "ping" => Vec::new(),
            _ if !is_signed => return Ok(vec![ack("rejected")]),
            "set_volume" => {
                let volume = message["volume"].as_u64().unwrap_or_default().min(100);
                vec![Action::Volume(u8::try_from(volume).unwrap_or(100))]
            }
            "play_ready" => vec![Action::Say {
                text: "ready".to_owned(),
            }],
            _ => return Ok(vec![ack("rejected")]),
        };
        Ok([vec![ack("ok")], done].concat())
    }
}

impl Firmware for Eg800ak {
    fn login(&self) -> Login {
        let imei = &self.settings.imei;
        Login {
            client_id: format!("device-{imei}"),
            username: imei.clone(),
            password: self.settings.password.clone(),
            clean_session: true,
            will: None,
        }
    }

    fn subscriptions(&self) -> Vec<String> {
        vec![self.payments(), format!("{}/cmd", self.payments())]
    }

    fn connected(&mut self) -> Vec<Action> {
        self.heartbeat()
    }

    fn heartbeat(&mut self) -> Vec<Action> {
        let health = json!({
            "soundboxSerial": self.settings.serial,
            "healthParams": {
                "networkStrength": "22",
                "batteryLevel": "81",
                "powerConnected": true,
                "lastTransactionAmount": format!("{}.00", self.last),
            },
        });
        vec![self.answer(health, false)]
    }

    fn request_qr(&mut self, _amount: Rupiah) -> Vec<Action> {
        Vec::new()
    }

    fn receive(&mut self, topic: &str, payload: &[u8]) -> Vec<Action> {
        // What is longer is cut, and then is no JSON any more.
        let payload = &payload[..payload.len().min(MESSAGE_LEN_MAX)];
        let done = if topic == self.payments() {
            self.payment(payload)
        } else {
            self.command(payload)
        };
        done.unwrap_or_else(ignore)
    }
}

/// CRC-32 of zip files, bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let bit = crc & 1;
            crc >>= 1;
            if bit == 1 {
                crc ^= 0xEDB8_8320;
            }
        }
    }
    !crc
}
