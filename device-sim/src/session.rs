//! One running box: state machine, connection and voice, until it is stopped.
//!
//! [`act`] carries out the actions of the state machine; [`background`] is the work beside the connection.

mod act;
mod background;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval, interval_at, timeout_at};
use tokio_util::sync::CancellationToken;
use wire::message::{OnlineState, ReplayRequest, Status, TotalRequest};
use wire::{DeviceId, Rupiah, UplinkMessage};

use crate::clock;
use crate::credentials::Credentials;
use crate::fault_injection::{FaultInjection, FleetFaults};
use crate::link::address::{MqttAddress, in_turn};
use crate::link::timing::BACKOFF_MAX_SHORT;
use crate::link::{Link, LinkEvent, Message, Transport};
use crate::rate::Rate;
use crate::report::{Event, Fault, Listener, Report};
use crate::soundbox::counters::Counters;
use crate::soundbox::identity::Vitals;
use crate::soundbox::journal::{Durability, Journal};
use crate::soundbox::settings::Settings;
use crate::soundbox::{Identity, Soundbox};
use crate::voice::Voice;
use background::{BackgroundEvent, Firmware, Renewal};

/// How often a box checks whether something is due.
const TICK: Duration = Duration::from_millis(250);

/// How long a box that is stopped may take to finish its sentence.
const SENTENCE_END_MAX: Duration = Duration::from_secs(10);

/// The interval between attempts to hand queued messages to a full client.
const FLUSH_AGAIN: Duration = Duration::from_millis(5);

/// Results of background work that may wait for the box.
const BACKGROUND_EVENTS_MAX: usize = 8;

/// The options of a box.
#[derive(Debug, Clone)]
pub struct Options {
    /// The box's number in its fleet; selects its random streams.
    pub number: usize,
    /// The transport.
    pub transport: Transport,
    /// Where it connects by MQTT instead of the address of its credentials: to the next when one fails.
    pub mqtt: Vec<MqttAddress>,
    /// The heartbeat interval, if it is not to follow the configuration.
    pub heartbeat: Option<Duration>,
    /// MQTT's keepalive.
    pub keep_alive: Duration,
    /// The longest wait between two attempts to connect, without the configured jitter.
    pub backoff_max: Duration,
    /// The buttons that are pressed once, as soon as the box knows the time.
    pub press: Vec<Button>,
    /// The loudspeaker.
    pub voice: Voice,
    /// Whether its journal is flushed to the disk.
    pub durability: Durability,
    /// The values that it reports in heartbeats.
    pub vitals: Vitals,
    /// How many firmware updates fail.
    pub firmware_failures: Rate,
    /// Seeds every random choice.
    pub seed: u64,
    /// Fault injection.
    pub faults: Option<Arc<FleetFaults>>,
}

impl Default for Options {
    /// A box of a fleet: silent, with an unflushed journal, soon back after a fault.
    fn default() -> Self {
        Self {
            number: 0,
            transport: Transport::Mqtt,
            mqtt: Vec::new(),
            heartbeat: None,
            keep_alive: Duration::from_secs(60),
            backoff_max: BACKOFF_MAX_SHORT,
            press: Vec::new(),
            voice: Voice::Silent,
            durability: Durability::Buffered,
            vitals: Vitals::default(),
            firmware_failures: Rate::default(),
            seed: 1,
            faults: None,
        }
    }
}

/// A control from outside the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Send a heartbeat now.
    Heartbeat,
    /// Lose the connection.
    Cut {
        /// For how long at least.
        away: Duration,
    },
    /// Lose the power and restart at once.
    PowerCut,
    /// Press a button.
    Press(Button),
    /// Request a QR.
    RequestQr {
        /// The amount in it.
        amount: Rupiah,
    },
}

/// A button of the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Button {
    /// Says the last payment again.
    Replay,
    /// Says the total of the day.
    Total,
}

impl Button {
    /// What the box sends when it is pressed, with a new id.
    fn message(self, device_id: DeviceId) -> UplinkMessage {
        let request_id = format!("press_{}", clock::random_uuid().simple());
        let created_at = Some(wire::time::format(clock::now()));
        match self {
            Self::Replay => UplinkMessage::ReplayRequest(ReplayRequest {
                request_id,
                device_id,
                created_at,
            }),
            Self::Total => UplinkMessage::TotalRequest(TotalRequest {
                request_id,
                device_id,
                created_at,
            }),
        }
    }
}

/// Controls that may wait for a box.
pub const CONTROLS_MAX: usize = 4;

/// Why a run of the box ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It was stopped.
    Stop,
    /// It restarts properly, for this reason.
    Restart(&'static str),
    /// It restarts without a proper end.
    PowerCut,
}

struct Session {
    credentials: Credentials,
    options: Options,
    listener: Listener,
    soundbox: Soundbox,
    link: Link,
    heartbeats: Interval,
    connected: bool,
    /// Consecutive statuses without an answer.
    unanswered: u32,
    background: mpsc::Sender<BackgroundEvent>,
    firmware: Firmware,
    renewal: Renewal,
    restart: Option<&'static str>,
    fault_injection: Option<FaultInjection>,
    next_drop: Option<Instant>,
    /// Acknowledgements that fault injection delays.
    late: Vec<(Instant, UplinkMessage)>,
}

/// Runs a box until `stop`. A reboot by command restarts it from its disk.
pub async fn run(
    mut credentials: Credentials,
    mut options: Options,
    listener: Listener,
    mut controls: mpsc::Receiver<Control>,
    stop: CancellationToken,
) -> anyhow::Result<Counters> {
    let mut total = Counters::default();
    let mut fault_injection = options
        .faults
        .as_ref()
        .map(|faults| faults.of_box(options.number));
    let mut firmware = Firmware::new(&options);
    loop {
        let (background, mut background_events) = mpsc::channel(BACKGROUND_EVENTS_MAX);
        let mut session = Session::start(
            credentials,
            &options,
            &listener,
            background,
            fault_injection.take(),
            firmware,
        )?;
        let result = session
            .run(&mut background_events, &mut controls, &stop)
            .await;
        let end = match result {
            Ok(End::PowerCut) => End::PowerCut,
            Ok(_) if stop.is_cancelled() => End::Stop,
            Ok(end) => end,
            Err(_) => End::Stop,
        };
        if result.is_ok() && end != End::PowerCut {
            session.finish_sentence(&mut background_events).await?;
        }
        total += session.soundbox.counters();
        let Session {
            credentials: kept,
            fault_injection: kept_faults,
            firmware: kept_firmware,
            link,
            options: kept_options,
            ..
        } = match end {
            End::PowerCut => session,
            End::Restart(reason) => session.send_offline(reason),
            End::Stop => {
                let session = session.send_offline("shutdown");
                session.report(Event::Stopped { counters: total });
                session
            }
        };
        if end == End::PowerCut {
            drop(link);
        } else {
            link.close().await;
        }
        result?;
        if end == End::Stop {
            return Ok(total);
        }
        (credentials, fault_injection, firmware) = (kept, kept_faults, kept_firmware);
        options.press = kept_options.press;
    }
}

/// The ticks of heartbeats. The first heartbeat is sent on connecting.
fn heartbeat_ticks(every: Duration) -> Interval {
    let mut ticks = interval_at(tokio::time::Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The settings in the stored configuration. One that the box cannot read, from its activation, is ignored.
fn stored_settings(config: &Value) -> Settings {
    Settings::read(config).unwrap_or_else(|reason| {
        tracing::warn!(reason, "the stored configuration is not used");
        Settings::default()
    })
}

impl Session {
    /// Starts the box.
    fn start(
        credentials: Credentials,
        options: &Options,
        listener: &Listener,
        background: mpsc::Sender<BackgroundEvent>,
        mut fault_injection: Option<FaultInjection>,
        firmware: Firmware,
    ) -> anyhow::Result<Self> {
        let journal = Journal::open(credentials.dir(), options.durability)
            .context("the journal cannot be used")?;
        let device = &credentials.device;
        let identity = Identity {
            device_id: device.device_id,
            keys: device.announcement_keys.clone(),
            binding_id: device.binding_id,
            config_version: device.config_version,
            settings: stored_settings(&device.config),
            firmware_version: device.firmware_version.clone(),
            transport: options.transport.as_str(),
            vitals: options.vitals,
            wall_clock: fault_injection
                .as_ref()
                .map(FaultInjection::wall_clock)
                .unwrap_or_default(),
        };
        let now = Instant::now();
        let soundbox =
            Soundbox::start(identity, journal, now).context("the journal cannot be written")?;
        let link = Link::open(
            options.transport,
            &credentials,
            in_turn(&options.mqtt, options.number),
            options.keep_alive,
            options.backoff_max,
        )?;
        let next_drop = fault_injection.as_mut().and_then(FaultInjection::next_drop);
        let mut session = Self {
            heartbeats: heartbeat_ticks(Duration::from_secs(1)),
            credentials,
            options: options.clone(),
            listener: listener.clone(),
            soundbox,
            link,
            connected: false,
            unanswered: 0,
            background,
            firmware,
            renewal: Renewal::default(),
            restart: None,
            fault_injection,
            next_drop: next_drop.map(|wait| now + wait),
            late: Vec::new(),
        };
        session.apply_settings();
        session.report(Event::Started {
            transport: options.transport,
            firmware_version: session.credentials.device.firmware_version.clone(),
            config_version: session.credentials.device.config_version,
            bound: session.credentials.device.binding_id.is_some(),
            settings: session.soundbox.settings().clone(),
        });
        Ok(session)
    }

    /// Applies the present settings to link and heartbeats.
    fn apply_settings(&mut self) {
        let settings = self.soundbox.settings();
        let every = self
            .options
            .heartbeat
            .unwrap_or(settings.heartbeat_interval());
        self.link.set_timing(every, settings);
        self.heartbeats = heartbeat_ticks(every);
    }

    /// Runs the box until it ends or restarts.
    async fn run(
        &mut self,
        background_events: &mut mpsc::Receiver<BackgroundEvent>,
        controls: &mut mpsc::Receiver<Control>,
        stop: &CancellationToken,
    ) -> anyhow::Result<End> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Some(reason) = self.restart {
                return Ok(End::Restart(reason));
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(End::Stop),
                event = self.link.next() => match event {
                    Some(event) => self.link_event(event)?,
                    None => anyhow::bail!("the connection's task has ended"),
                },
                Some(event) = background_events.recv() => self.background_event(event)?,
                Some(control) = controls.recv() => match control {
                    Control::Heartbeat => self.send_heartbeat()?,
                    Control::Cut { away } => self.link.cut(away),
                    Control::PowerCut => return Ok(End::PowerCut),
                    Control::Press(button) => self.press(button)?,
                    Control::RequestQr { amount } => self.request_qr(amount)?,
                },
                _ = self.heartbeats.tick() => if self.connected && self.link.is_mqtt() {
                    self.send_heartbeat()?;
                },
                _ = ticks.tick() => self.tick()?,
                () = tokio::time::sleep(FLUSH_AGAIN), if self.link.is_waiting() => {
                    self.link.flush();
                }
            }
        }
    }

    fn press(&mut self, button: Button) -> anyhow::Result<()> {
        let message = button.message(self.device_id());
        self.link.publish(self.device_id(), &message)
    }

    /// Before a proper end, finishes the sentence that was begun.
    async fn finish_sentence(
        &mut self,
        background_events: &mut mpsc::Receiver<BackgroundEvent>,
    ) -> anyhow::Result<()> {
        self.soundbox.begin_no_more();
        let until = tokio::time::Instant::now() + SENTENCE_END_MAX;
        while self.soundbox.is_speaking() {
            // The link keeps running; its messages are not confirmed and will be delivered again.
            match timeout_at(until, background_events.recv()).await {
                Ok(Some(event)) => self.background_event(event)?,
                Ok(None) | Err(_) => break,
            }
        }
        Ok(())
    }

    fn device_id(&self) -> DeviceId {
        self.credentials.device.device_id
    }

    fn report(&self, event: Event) {
        let at = self
            .soundbox
            .time(Instant::now())
            .unwrap_or_else(clock::now);
        (self.listener)(&Report {
            device_id: self.device_id(),
            at,
            event,
        });
    }

    /// The fault injection of this box, while it is active.
    fn active_faults(&mut self) -> Option<&mut FaultInjection> {
        let active = self
            .options
            .faults
            .as_ref()
            .is_some_and(|faults| faults.is_active());
        self.fault_injection.as_mut().filter(|_| active)
    }

    fn link_event(&mut self, event: LinkEvent) -> anyhow::Result<()> {
        match event {
            LinkEvent::Connected { session_present } => {
                self.connected = true;
                self.unanswered = 0;
                self.report(Event::Connected { session_present });
                let actions = self.soundbox.connected(session_present);
                if self.link.is_mqtt() {
                    if !session_present {
                        self.link.subscribe();
                    }
                    self.request_time()?;
                    self.send_heartbeat()?;
                }
                self.act(actions)
            }
            LinkEvent::Message(message) => self.message(message),
            LinkEvent::Time(server_time) => {
                let was_set = self.soundbox.time(Instant::now()).is_some();
                let actions = self.soundbox.set_time(server_time, Instant::now());
                let mut actions = actions.context("the journal cannot be written")?;
                if was_set {
                    // Every answer carries the time; only the first one is reported.
                    actions
                        .retain(|action| !matches!(action, crate::soundbox::Action::ClockSet(_)));
                }
                self.act(actions)
            }
            LinkEvent::HeartbeatDue => self.send_heartbeat(),
            // The status that was sent before it is what the platform answers.
            LinkEvent::Subscribed => Ok(()),
            LinkEvent::SubscriptionRefused => {
                let reason = "the broker refused the subscription".to_owned();
                self.report(Event::Refused {
                    topic: "subscribe".to_owned(),
                    reason,
                });
                Ok(())
            }
            LinkEvent::Disconnected { reason, retry_in } => {
                self.connected = false;
                self.soundbox.disconnected(&reason);
                let retry_in_ms = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX);
                self.report(Event::Disconnected {
                    reason,
                    retry_in_ms,
                });
                Ok(())
            }
        }
    }

    fn message(&mut self, message: Message) -> anyhow::Result<()> {
        let is_lost = self
            .active_faults()
            .is_some_and(FaultInjection::loses_message);
        if is_lost {
            // The platform delivers it again on the next connection.
            self.report(Event::Fault(Fault::LostMessage));
            self.link.cut(Duration::ZERO);
            return Ok(());
        }
        let actions = self
            .soundbox
            .receive(message.topic(), message.payload(), Instant::now())
            .context("the journal cannot be written")?;
        // It is in the journal now.
        self.link.confirm(message);
        self.act(actions)
    }

    fn send_heartbeat(&mut self) -> anyhow::Result<()> {
        let heartbeat = self.soundbox.heartbeat(Instant::now());
        self.link.publish(self.device_id(), &heartbeat)
    }

    fn request_time(&mut self) -> anyhow::Result<()> {
        let status = self.soundbox.request_time(clock::nonce(), Instant::now());
        self.act(vec![status])
    }

    /// Does what is due by the clock.
    fn tick(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        self.send_late(now)?;
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
        self.renew_if_due(now);
        self.repeat_status(now)
    }

    /// Repeats a status whose answer is overdue. From the second time on it also subscribes anew, in case the broker
    /// has lost the session that it reported as present.
    fn repeat_status(&mut self, now: Instant) -> anyhow::Result<()> {
        if !self.connected || !self.soundbox.is_time_overdue(now) {
            return Ok(());
        }
        self.unanswered += 1;
        if self.unanswered >= 2 {
            self.link.subscribe();
        }
        self.request_time()
    }

    /// Sends the offline status of a proper end, after which the broker does not publish the will.
    fn send_offline(mut self, reason: &str) -> Self {
        if self.connected {
            let status = UplinkMessage::Status(Status {
                state: OnlineState::Offline,
                firmware_version: Some(self.credentials.device.firmware_version.clone()),
                reason: Some(reason.to_owned()),
                nonce: None,
            });
            if let Err(error) = self.link.publish(self.device_id(), &status) {
                tracing::warn!("cannot send the offline status: {error:#}");
            }
        }
        self
    }
}
