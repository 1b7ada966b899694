//! What a box does beside its connection: it asks for its configuration, renews its credentials, installs firmware.

use std::time::{Duration, Instant};

use anyhow::Context;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Deserialize;
use serde_json::value::RawValue;
use wire::{Channel, CommandId, Rupiah, Topic, UplinkMessage};

use super::{Options, Session};
use crate::api::ApiError;
use crate::credentials::Credentials;
use crate::provision::{self, Renewed};
use crate::qr::{self, DynamicQr};
use crate::rate::Rate;
use crate::report::Event;
use crate::soundbox::{Errand, Utterance};

/// After a failed renewal the next attempt comes no sooner.
const RENEW_AGAIN: Duration = Duration::from_secs(60);

/// Something that went on beside the connection has ended.
pub(super) enum Told {
    /// A sentence.
    Said {
        utterance: Utterance,
        problem: Option<String>,
    },
    /// A request for the configuration: its signed envelope.
    Config {
        command_id: CommandId,
        fetched: anyhow::Result<Vec<u8>>,
    },
    /// A request for a QR.
    Qr {
        amount: Rupiah,
        answer: Result<Box<DynamicQr>, ApiError>,
    },
    /// A renewal.
    Renewed(anyhow::Result<Box<Renewed>>),
}

/// Whether updates succeed: left to chance, and the same again for the same seed.
pub(super) struct Firmware {
    failures: Rate,
    random: StdRng,
}

impl Firmware {
    pub(super) fn new(options: &Options) -> Self {
        let mut bytes = [0x46; 32];
        bytes[..8].copy_from_slice(&options.seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&(options.number as u64).to_le_bytes());
        Self {
            failures: options.firmware_failures,
            random: StdRng::from_seed(bytes),
        }
    }
}

/// The next renewal of the credentials.
#[derive(Default)]
pub(super) struct Renewal {
    under_way: bool,
    not_before: Option<Instant>,
}

impl Session {
    /// Sets out on an errand.
    pub(super) fn run_errand(
        &mut self,
        command_id: CommandId,
        errand: Errand,
    ) -> anyhow::Result<()> {
        match errand {
            Errand::SyncConfig => {
                let (credentials, told) = (self.credentials.clone(), self.told.clone());
                tokio::spawn(async move {
                    let fetched = fetch_config(&credentials).await;
                    let told_box = Told::Config {
                        command_id,
                        fetched,
                    };
                    // A box that is gone meanwhile is told again.
                    let _gone = told.send(told_box).await;
                });
                Ok(())
            }
            Errand::Install { version } => {
                let result = if self.firmware.failures.hits(&mut self.firmware.random) {
                    Err("checksum_mismatch")
                } else {
                    // It runs from the next start on, which follows at once.
                    self.credentials.device.firmware_version = version;
                    self.credentials.save()?;
                    Ok(None)
                };
                let actions = self.soundbox.errand_ended(command_id, result);
                self.act(actions.context("the journal cannot be written")?)
            }
        }
    }

    /// Asks for a QR: by MQTT, where the answer comes as a message, or by a request of its own.
    pub(super) fn ask_qr(&mut self, amount: Rupiah) -> anyhow::Result<()> {
        if self.link.is_mqtt() {
            let request = qr::request(&self.credentials.device, amount);
            let request = UplinkMessage::DynamicQrRequest(request);
            return self.link.publish(self.device_id(), &request);
        }
        let (credentials, told) = (self.credentials.clone(), self.told.clone());
        let api = credentials.api()?;
        tokio::spawn(async move {
            let answer = qr::by_http(&api, &credentials, amount).await.map(Box::new);
            let _gone = told.send(Told::Qr { amount, answer }).await;
        });
        Ok(())
    }

    /// Takes what has ended.
    pub(super) fn told(&mut self, told: Told) -> anyhow::Result<()> {
        match told {
            Told::Said { utterance, problem } => {
                let now = Instant::now();
                let actions = match problem {
                    None => self.soundbox.spoken(utterance, now),
                    Some(problem) => {
                        tracing::warn!(problem, "a sentence could not be said");
                        self.soundbox.not_spoken(utterance, "speaker_failed", now)
                    }
                };
                self.act(actions.context("the journal cannot be written")?)
            }
            Told::Config {
                command_id,
                fetched,
            } => {
                let result = match fetched {
                    Ok(envelope) => {
                        let topic = Topic::new(self.device_id(), Channel::ConfigPush).to_string();
                        let actions = self
                            .soundbox
                            .receive(&topic, &envelope, Instant::now())
                            .context("the journal cannot be written")?;
                        self.act(actions)?;
                        Ok(None)
                    }
                    Err(error) => {
                        tracing::warn!("the configuration cannot be fetched: {error:#}");
                        Err("config_unavailable")
                    }
                };
                let actions = self.soundbox.errand_ended(command_id, result);
                self.act(actions.context("the journal cannot be written")?)
            }
            Told::Qr { amount, answer } => {
                self.tell(match answer {
                    Ok(qr) => qr.event(amount),
                    Err(error) => Event::no_qr(String::new(), error.code()),
                });
                Ok(())
            }
            Told::Renewed(Ok(renewed)) => {
                let certificate_expires_at = renewed.certificate_expires_at;
                self.credentials.renew(*renewed)?;
                self.tell(Event::Renewed {
                    certificate_expires_at,
                });
                // The new certificate is shown by the next connection.
                self.restart = Some("credentials_renewed");
                Ok(())
            }
            Told::Renewed(Err(error)) => {
                self.renewal.under_way = false;
                self.tell(Event::NotRenewed {
                    problem: format!("{error:#}"),
                });
                Ok(())
            }
        }
    }

    /// Begins to renew the credentials when they are due, by the trusted clock.
    pub(super) fn renew_in_time(&mut self, now: Instant) {
        let due = match (self.soundbox.time(now), self.credentials.device.renew_after) {
            (Some(time), Some(renew_after)) => time >= renew_after,
            _ => false,
        };
        let may = self.renewal.not_before.is_none_or(|at| at <= now);
        if !due || !may || self.renewal.under_way {
            return;
        }
        self.renewal = Renewal {
            under_way: true,
            not_before: Some(now + RENEW_AGAIN),
        };
        let (credentials, told) = (self.credentials.clone(), self.told.clone());
        tokio::spawn(async move {
            let renewed = provision::renew(&credentials).await.map(Box::new);
            let _gone = told.send(Told::Renewed(renewed)).await;
        });
    }
}

#[derive(Deserialize)]
struct Fetched {
    data: FetchedConfig,
}

#[derive(Deserialize)]
struct FetchedConfig {
    envelope: Box<RawValue>,
}

async fn fetch_config(credentials: &Credentials) -> anyhow::Result<Vec<u8>> {
    let token = Some(credentials.device.device_token.as_str());
    let answer = credentials
        .api()?
        .get_bytes("/device/config", token)
        .await?;
    let fetched: Fetched = serde_json::from_slice(&answer)?;
    Ok(fetched.data.envelope.get().as_bytes().to_vec())
}
