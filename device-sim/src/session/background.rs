//! Work of a box beside its connection: fetching the configuration, renewing the credentials, installing firmware,
//! speaking.

use std::time::{Duration, Instant};

use anyhow::Context;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Deserialize;
use serde_json::value::RawValue;
use wire::{Channel, CommandId, Rupiah, Topic, UplinkMessage};

use super::{Options, Session};
use crate::api::ApiError;
use crate::credentials::{Credentials, Renewed};
use crate::provision;
use crate::qr::{self, DynamicQr};
use crate::rate::Rate;
use crate::report::Event;
use crate::soundbox::{BackgroundTask, Utterance};

/// The shortest time between two attempts to renew the credentials.
const RENEW_INTERVAL_MIN: Duration = Duration::from_secs(60);

/// Background work has ended.
pub(super) enum BackgroundEvent {
    /// The loudspeaker has finished a sentence.
    SentenceEnded {
        utterance: Utterance,
        problem: Option<String>,
    },
    /// The configuration was fetched: its signed envelope.
    Config {
        command_id: CommandId,
        fetched: anyhow::Result<Vec<u8>>,
    },
    /// A QR was requested over HTTPS.
    Qr {
        amount: Rupiah,
        answer: Result<Box<DynamicQr>, ApiError>,
    },
    /// The credentials were renewed.
    Renewed(anyhow::Result<Box<Renewed>>),
}

/// Decides by the seed whether firmware updates succeed.
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
    /// Starts the background part of a command.
    pub(super) fn start_task(
        &mut self,
        command_id: CommandId,
        task: BackgroundTask,
    ) -> anyhow::Result<()> {
        match task {
            BackgroundTask::SyncConfig => {
                let (credentials, background) = (self.credentials.clone(), self.background.clone());
                tokio::spawn(async move {
                    let fetched = fetch_config(&credentials).await;
                    let event = BackgroundEvent::Config {
                        command_id,
                        fetched,
                    };
                    // If the box has ended meanwhile, the platform sends the command again.
                    let _box_ended = background.send(event).await;
                });
                Ok(())
            }
            BackgroundTask::Install { version } => {
                let result = if self.firmware.failures.hits(&mut self.firmware.random) {
                    Err("checksum_mismatch")
                } else {
                    // The new version runs from the restart that follows at once.
                    self.credentials.device.firmware_version = version;
                    self.credentials.save()?;
                    Ok(None)
                };
                let actions = self.soundbox.task_ended(command_id, result);
                self.act(actions.context("the journal cannot be written")?)
            }
        }
    }

    /// Requests a QR: by MQTT, where the answer is a message, or over HTTPS.
    pub(super) fn request_qr(&mut self, amount: Rupiah) -> anyhow::Result<()> {
        if self.link.is_mqtt() {
            let request = qr::request(&self.credentials.device, amount);
            let request = UplinkMessage::DynamicQrRequest(request);
            return self.link.publish(self.device_id(), &request);
        }
        let (credentials, background) = (self.credentials.clone(), self.background.clone());
        let api = credentials.api()?;
        tokio::spawn(async move {
            let answer = qr::by_http(&api, &credentials, amount).await.map(Box::new);
            let event = BackgroundEvent::Qr { amount, answer };
            let _box_ended = background.send(event).await;
        });
        Ok(())
    }

    /// Handles the end of background work.
    pub(super) fn background_event(&mut self, event: BackgroundEvent) -> anyhow::Result<()> {
        match event {
            BackgroundEvent::SentenceEnded { utterance, problem } => {
                let now = Instant::now();
                let actions = match problem {
                    None => self.soundbox.spoken(utterance, now),
                    Some(problem) => {
                        tracing::warn!(problem, "a sentence could not be spoken");
                        self.soundbox.not_spoken(utterance, "speaker_failed", now)
                    }
                };
                self.act(actions.context("the journal cannot be written")?)
            }
            BackgroundEvent::Config {
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
                let actions = self.soundbox.task_ended(command_id, result);
                self.act(actions.context("the journal cannot be written")?)
            }
            BackgroundEvent::Qr { amount, answer } => {
                self.report(match answer {
                    Ok(qr) => qr.event(amount),
                    Err(error) => Event::no_qr(String::new(), error.code()),
                });
                Ok(())
            }
            BackgroundEvent::Renewed(Ok(renewed)) => {
                let certificate_expires_at = renewed.certificate_expires_at;
                self.credentials.renew(*renewed)?;
                self.report(Event::Renewed {
                    certificate_expires_at,
                });
                // The next connection presents the new certificate.
                self.restart = Some("credentials_renewed");
                Ok(())
            }
            BackgroundEvent::Renewed(Err(error)) => {
                self.renewal.under_way = false;
                self.report(Event::NotRenewed {
                    problem: format!("{error:#}"),
                });
                Ok(())
            }
        }
    }

    /// Begins to renew the credentials when that is due by the trusted clock.
    pub(super) fn renew_if_due(&mut self, now: Instant) {
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
            not_before: Some(now + RENEW_INTERVAL_MIN),
        };
        let (credentials, background) = (self.credentials.clone(), self.background.clone());
        tokio::spawn(async move {
            let renewed = provision::renew(&credentials).await.map(Box::new);
            let _box_ended = background.send(BackgroundEvent::Renewed(renewed)).await;
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
