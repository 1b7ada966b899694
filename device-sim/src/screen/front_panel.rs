//! The state shown on the front of a box, derived from its events.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};
use wire::message::CommandAckStatus;
use wire::{EventId, Rupiah};

use crate::link::Transport;
use crate::qr_code::Code;
use crate::report::{Event, Report};
use crate::soundbox::settings::Settings;

/// How many payments and events are kept.
const KEPT_MAX: usize = 50;

/// A code on the display.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) payload: String,
    pub(super) code: Option<Code>,
    pub(super) amount: Option<Rupiah>,
    pub(super) until: Option<DateTime<Utc>>,
}

/// A payment that was announced.
#[derive(Debug)]
pub(super) struct Payment {
    event_id: EventId,
    pub(super) at: DateTime<Utc>,
    pub(super) amount: Rupiah,
    pub(super) text: String,
    pub(super) delayed: bool,
    /// The last acknowledged status.
    pub(super) acknowledged: &'static str,
}

/// The front of one box.
#[derive(Debug, Default)]
pub(super) struct FrontPanel {
    pub(super) name: String,
    pub(super) transport: Transport,
    pub(super) firmware_version: String,
    pub(super) config_version: i64,
    pub(super) bound: bool,
    pub(super) settings: Settings,
    pub(super) online: bool,
    pub(super) since: Option<DateTime<Utc>>,
    /// The reason of the last disconnection.
    pub(super) problem: Option<String>,
    pub(super) shown: Option<Shown>,
    /// Newest first.
    pub(super) payments: VecDeque<Payment>,
    /// Oldest first.
    pub(super) log: VecDeque<(DateTime<Utc>, String)>,
    pub(super) spoken: u64,
    /// The digits on the keypad.
    pub(super) keyed: String,
}

impl FrontPanel {
    /// Records an event.
    pub(super) fn record(&mut self, report: &Report) {
        let at = report.at;
        self.name = report.device_id.to_string();
        match &report.event {
            Event::Started {
                transport,
                firmware_version,
                config_version,
                bound,
                settings,
            } => {
                self.transport = *transport;
                self.firmware_version.clone_from(firmware_version);
                self.config_version = *config_version;
                self.bound = *bound;
                self.settings = settings.clone();
            }
            Event::Connected { .. } => {
                self.online = true;
                self.since = Some(at);
                self.problem = None;
            }
            Event::Disconnected { reason, .. } => {
                if self.online {
                    self.since = Some(at);
                }
                self.online = false;
                self.problem = Some(reason.clone());
            }
            Event::Stopped { .. } => self.online = false,
            Event::Configured {
                version,
                bound,
                settings,
                ..
            } => {
                self.config_version = *version;
                self.bound = *bound;
                self.settings = settings.clone();
            }
            Event::Qr {
                qr_payload: Some(payload),
                amount,
                expires_at,
                ..
            } => self.show(payload, *amount, *expires_at),
            Event::Command {
                kind,
                payload,
                status: CommandAckStatus::Delivered,
                ..
            } => match kind.as_str() {
                "display_qr" => {
                    let until = payload["expires_in"].as_i64().and_then(|seconds| {
                        at.checked_add_signed(TimeDelta::try_seconds(seconds)?)
                    });
                    let amount = serde_json::from_value(payload["amount"].clone()).ok();
                    if let Some(code) = payload["qr_payload"].as_str() {
                        self.show(code, amount, until);
                    }
                }
                "clear_display" => self.shown = None,
                "set_volume" => {
                    if let Some(volume) = payload["volume"].as_u64() {
                        self.settings.volume = u8::try_from(volume).unwrap_or(u8::MAX);
                    }
                }
                _ => {}
            },
            Event::Spoken {
                event_id,
                amount,
                text,
                delayed,
                ..
            } => {
                // The code on the display has been paid.
                self.shown = None;
                self.spoken += 1;
                self.payments.push_front(Payment {
                    event_id: *event_id,
                    at,
                    amount: *amount,
                    text: text.clone(),
                    delayed: *delayed,
                    acknowledged: "speaking",
                });
                self.payments.truncate(KEPT_MAX);
            }
            Event::Announced { .. } => {
                self.shown = None;
                self.spoken += 1;
            }
            Event::Acked {
                event_id, status, ..
            } => {
                let known = self
                    .payments
                    .iter_mut()
                    .find(|payment| payment.event_id == *event_id);
                if let Some(payment) = known {
                    payment.acknowledged = status.as_str();
                }
            }
            _ => {}
        }
        if !matches!(report.event, Event::Acked { .. } | Event::Received { .. }) {
            self.log.push_back((at, report.event.to_string()));
            if self.log.len() > KEPT_MAX {
                self.log.pop_front();
            }
        }
    }

    /// Removes an expired code from the display.
    pub(super) fn expire(&mut self, now: DateTime<Utc>) {
        if self
            .shown
            .as_ref()
            .and_then(|shown| shown.until)
            .is_some_and(|until| until <= now)
        {
            self.shown = None;
        }
    }

    fn show(&mut self, payload: &str, amount: Option<Rupiah>, until: Option<DateTime<Utc>>) {
        self.shown = Some(Shown {
            code: Code::of(payload).ok(),
            payload: payload.to_owned(),
            amount,
            until,
        });
    }
}
