//! One running box of another maker: its firmware and its connection, until it is stopped.
//!
//! What it hears, it announces at once. Losing its power, it forgets what it remembered of messages.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wire::Rupiah;

use super::credentials::VendorCredentials;
use super::firmware::{Action, Firmware, Outgoing};
use crate::clock;
use crate::fault_injection::{AckDelivery, FaultInjection};
use crate::link::{Link, LinkEvent, Message, Transport};
use crate::report::{Event, Fault, Listener, Report};
use crate::session::{Control, Options};
use crate::soundbox::counters::Counters;
use crate::soundbox::settings::Settings;

/// How often a box checks whether something is due.
const TICK: Duration = Duration::from_millis(250);
/// The interval between attempts to hand queued messages to a full client.
const FLUSH_AGAIN: Duration = Duration::from_millis(5);
/// The heartbeat of a box that is told no other.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// The firmware version that is printed; the boxes do not state one.
const FIRMWARE_VERSION: &str = "simulated";

/// Why a run of the box ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Stop,
    Reboot,
    PowerCut,
}

struct Session {
    credentials: VendorCredentials,
    options: Options,
    listener: Listener,
    firmware: Box<dyn Firmware>,
    link: Link,
    connected: bool,
    reboot: bool,
    counters: Counters,
    faults: Option<FaultInjection>,
    next_drop: Option<Instant>,
    /// Acknowledgements that fault injection delays.
    late: Vec<(Instant, Outgoing)>,
}

/// Runs a box until `stop`.
pub async fn run(
    credentials: VendorCredentials,
    options: Options,
    listener: Listener,
    mut controls: mpsc::Receiver<Control>,
    stop: CancellationToken,
) -> anyhow::Result<Counters> {
    let mut total = Counters::default();
    let mut faults = options
        .faults
        .as_ref()
        .map(|faults| faults.of_box(options.number));
    loop {
        let mut session = Session::start(&credentials, &options, &listener, faults.take())?;
        let result = session.run(&mut controls, &stop).await;
        let end = match result {
            Ok(end) => end,
            Err(_) => End::Stop,
        };
        total += session.counters;
        if end == End::Stop {
            session.report(Event::Stopped { counters: total });
        }
        let Session {
            link, faults: kept, ..
        } = session;
        faults = kept;
        if end == End::PowerCut {
            drop(link);
        } else {
            link.close().await;
        }
        result?;
        if end == End::Stop {
            return Ok(total);
        }
    }
}

fn heartbeat_ticks(every: Duration) -> Interval {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl Session {
    fn start(
        credentials: &VendorCredentials,
        options: &Options,
        listener: &Listener,
        mut faults: Option<FaultInjection>,
    ) -> anyhow::Result<Self> {
        let firmware = credentials
            .device
            .profile
            .start(&credentials.device.settings);
        let told = credentials.device.settings.told.as_ref();
        let keep_alive = told.map_or(options.keep_alive, |told| {
            Duration::from_secs(told.keep_alive_s.into())
        });
        let link = Link::open_vendor(
            credentials,
            firmware.login(),
            firmware.subscriptions(),
            keep_alive,
            options.backoff_max,
        )?;
        let next_drop = faults.as_mut().and_then(FaultInjection::next_drop);
        let session = Self {
            credentials: credentials.clone(),
            options: options.clone(),
            listener: listener.clone(),
            firmware,
            link,
            connected: false,
            reboot: false,
            counters: Counters::default(),
            faults,
            next_drop: next_drop.map(|wait| Instant::now() + wait),
            late: Vec::new(),
        };
        session.report(Event::Started {
            transport: Transport::Mqtt,
            firmware_version: FIRMWARE_VERSION.to_owned(),
            config_version: 0,
            bound: session.credentials.device.terminal_id.is_some(),
            settings: Settings::default(),
        });
        Ok(session)
    }

    async fn run(
        &mut self,
        controls: &mut mpsc::Receiver<Control>,
        stop: &CancellationToken,
    ) -> anyhow::Result<End> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heartbeats = heartbeat_ticks(self.options.heartbeat.unwrap_or(HEARTBEAT));
        loop {
            if self.reboot {
                return Ok(End::Reboot);
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(End::Stop),
                event = self.link.next() => match event {
                    Some(event) => self.link_event(event),
                    None => anyhow::bail!("the connection's task has ended"),
                },
                Some(control) = controls.recv() => match control {
                    Control::Heartbeat => self.heartbeat(),
                    Control::Cut { away } => self.link.cut(away),
                    Control::PowerCut => return Ok(End::PowerCut),
                    Control::RequestQr { amount } => self.request_qr(amount),
                    // These boxes have no such button.
                    Control::Press(_) => {}
                },
                _ = heartbeats.tick() => if self.connected {
                    self.heartbeat();
                },
                _ = ticks.tick() => self.tick(),
                () = tokio::time::sleep(FLUSH_AGAIN), if self.link.is_waiting() => {
                    self.link.flush();
                }
            }
        }
    }

    fn report(&self, event: Event) {
        (self.listener)(&Report {
            device_id: self.credentials.device.device_id,
            at: clock::now(),
            event,
        });
    }

    /// The fault injection of this box, while it is active.
    fn active_faults(&mut self) -> Option<&mut FaultInjection> {
        let shared = self.options.faults.as_ref();
        let active = shared.is_some_and(|faults| faults.is_active());
        self.faults.as_mut().filter(|_| active)
    }

    fn link_event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Connected { session_present } => {
                self.connected = true;
                self.report(Event::Connected { session_present });
                // These boxes subscribe after every connect, whatever the broker has kept.
                self.link.subscribe();
                let actions = self.firmware.connected();
                self.act(actions);
            }
            LinkEvent::Subscribed => self.report(Event::Subscribed),
            LinkEvent::Message(message) => self.message(message),
            LinkEvent::SubscriptionRefused => self.report(Event::Refused {
                topic: "subscribe".to_owned(),
                reason: "the broker refused the subscription".to_owned(),
            }),
            LinkEvent::Disconnected { reason, retry_in } => {
                self.connected = false;
                let retry_in_ms = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX);
                self.report(Event::Disconnected {
                    reason,
                    retry_in_ms,
                });
            }
            // Of boxes on HTTPS.
            LinkEvent::Time(_) | LinkEvent::HeartbeatDue => {}
        }
    }

    fn message(&mut self, message: Message) {
        if self
            .active_faults()
            .is_some_and(FaultInjection::loses_message)
        {
            self.report(Event::Fault(Fault::LostMessage));
            self.link.cut(Duration::ZERO);
            return;
        }
        let actions = self.firmware.receive(message.topic(), message.payload());
        let topic = message.topic().to_owned();
        self.link.confirm(message);
        for action in actions {
            if let Action::Ignore { reason } = action {
                self.counters.refused += 1;
                let topic = topic.clone();
                self.report(Event::Refused { topic, reason });
            } else {
                self.act(vec![action]);
            }
        }
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send(message) => self.send(message),
                Action::Announce { id, amount, text } => {
                    self.counters.received += 1;
                    self.counters.spoken += 1;
                    self.report(Event::Announced { id, amount, text });
                }
                Action::Duplicate { id } => {
                    self.counters.duplicates += 1;
                    self.report(Event::Duplicate { id });
                }
                Action::ShowQr { payload, amount } => self.report(Event::Qr {
                    correlation_id: String::new(),
                    transaction_id: None,
                    qr_payload: Some(payload),
                    amount,
                    expires_at: None,
                    code: None,
                }),
                Action::Say { text } => {
                    self.counters.commands += 1;
                    self.report(Event::VendorSaid { text });
                }
                Action::Volume(volume_percent) => {
                    self.counters.commands += 1;
                    self.report(Event::VolumeSet { volume_percent });
                }
                Action::Reboot => {
                    self.counters.commands += 1;
                    self.report(Event::Rebooting);
                    self.reboot = true;
                }
                Action::Ignore { .. } => self.counters.refused += 1,
            }
        }
    }

    /// Publishes. Fault injection may delay or double acknowledgements.
    fn send(&mut self, message: Outgoing) {
        let delivery = match self.active_faults() {
            Some(faults) if message.is_ack => faults.ack(),
            _ => AckDelivery::Once,
        };
        match delivery {
            AckDelivery::Once => {}
            AckDelivery::Twice => {
                self.report(Event::Fault(Fault::DuplicateAck));
                self.publish(&message);
            }
            AckDelivery::Late(delay) => {
                self.report(Event::Fault(Fault::LateAck));
                self.late.push((Instant::now() + delay, message));
                return;
            }
        }
        self.publish(&message);
    }

    fn publish(&mut self, message: &Outgoing) {
        let payload = message.payload.clone().into_bytes();
        self.link.publish_to(&message.topic, payload);
    }

    fn heartbeat(&mut self) {
        let actions = self.firmware.heartbeat();
        self.act(actions);
    }

    fn request_qr(&mut self, amount: Rupiah) {
        let actions = self.firmware.request_qr(amount);
        self.act(actions);
    }

    /// Does what is due by the clock.
    fn tick(&mut self) {
        let now = Instant::now();
        let (due, waiting) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.late = waiting;
        let due: Vec<(Instant, Outgoing)> = due;
        for (_, message) in due {
            self.publish(&message);
        }
        if self.next_drop.is_some_and(|at| at <= now) {
            let wait = match self.active_faults() {
                Some(faults) => {
                    let wait = faults.next_drop();
                    self.report(Event::Fault(Fault::Drop));
                    self.link.cut(Duration::ZERO);
                    wait
                }
                // Fault injection is not active yet.
                None => Some(TICK),
            };
            self.next_drop = wait.map(|wait| now + wait);
        }
    }
}
