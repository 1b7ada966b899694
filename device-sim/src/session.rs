//! One running box: its state machine, its connection and its voice, until it is told to stop.
//!
//! [`act`] carries out what the box decides; [`errand`] is what it does over HTTPS beside its connection.

mod act;
mod errand;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval, interval_at, timeout_at};
use tokio_util::sync::CancellationToken;
use wire::message::{OnlineState, Status};
use wire::{DeviceId, Rupiah, UplinkMessage};

use crate::clock;
use crate::credentials::Credentials;
use crate::link::{Link, LinkEvent, Message, Transport};
use crate::luck::{Faults, Luck};
use crate::rate::Rate;
use crate::report::{Event, Fault, Listener, Report};
use crate::soundbox::counters::Counters;
use crate::soundbox::identity::Vitals;
use crate::soundbox::journal::{Durability, Journal};
use crate::soundbox::{Identity, Soundbox};
use crate::voice::Voice;
use errand::{Firmware, Renewal, Told};

/// How often a box looks whether something is overdue.
const TICK: Duration = Duration::from_millis(250);

/// How long a box that is switched off in order goes on with its sentence.
const SENTENCE_END_MAX: Duration = Duration::from_secs(10);

/// How soon it tries again to hand over what found no room.
const FLUSH_AGAIN: Duration = Duration::from_millis(5);

/// Ends of sentences and errands that may wait for the box.
const TOLD_MAX: usize = 8;

/// How a box runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which box this is among many; its luck hangs on it.
    pub number: usize,
    /// How it is connected.
    pub transport: Transport,
    /// The time between signs of life, if it is not the configuration that says so.
    pub heartbeat: Option<Duration>,
    /// MQTT's own.
    pub keep_alive: Duration,
    /// How it sounds.
    pub voice: Voice,
    /// How its journal is written.
    pub durability: Durability,
    /// What it measures.
    pub vitals: Vitals,
    /// How many firmware updates fail.
    pub firmware_failures: Rate,
    /// Repeats what is left to chance.
    pub seed: u64,
    /// What goes wrong around it.
    pub faults: Option<Arc<Faults>>,
}

impl Default for Options {
    /// A box of a fleet: silent, its journal left to the kernel.
    fn default() -> Self {
        Self {
            number: 0,
            transport: Transport::Mqtt,
            heartbeat: None,
            keep_alive: Duration::from_secs(60),
            voice: Voice::Silent,
            durability: Durability::Buffered,
            vitals: Vitals::default(),
            firmware_failures: Rate::default(),
            seed: 1,
            faults: None,
        }
    }
}

/// What whoever runs a box can do to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// It beats now.
    Beat,
    /// It loses its connection and stays away for so long.
    Cut {
        /// How long at least.
        away: Duration,
    },
    /// It loses its power, and has it again at once.
    PowerCut,
    /// It asks for a QR.
    AskQr {
        /// With this amount.
        amount: Rupiah,
    },
}

/// Controls that may wait for a box.
pub const CONTROLS_MAX: usize = 4;

/// Why a box does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It was told to stop.
    Stop,
    /// It starts again in order: why.
    Restart(&'static str),
    /// It starts again without having been told that it ends.
    PowerCut,
}

struct Session {
    credentials: Credentials,
    options: Options,
    listener: Listener,
    soundbox: Soundbox,
    link: Link,
    beats: Interval,
    connected: bool,
    /// Statuses without an answer in a row.
    unanswered: u32,
    told: mpsc::Sender<Told>,
    firmware: Firmware,
    renewal: Renewal,
    restart: Option<&'static str>,
    luck: Option<Luck>,
    next_drop: Option<Instant>,
    /// Acknowledgements that bad luck holds back.
    late: Vec<(Instant, UplinkMessage)>,
}

/// Runs a box until `stop`. A reboot by command is a new start from what is on the disk.
///
/// # Errors
/// Credentials or a journal that cannot be used.
pub async fn run(
    mut credentials: Credentials,
    options: Options,
    listener: Listener,
    mut controls: mpsc::Receiver<Control>,
    stop: CancellationToken,
) -> anyhow::Result<Counters> {
    let mut total = Counters::default();
    let mut luck = options
        .faults
        .as_ref()
        .map(|faults| faults.luck(options.number));
    let mut firmware = Firmware::new(&options);
    loop {
        let (told, mut tellings) = mpsc::channel(TOLD_MAX);
        let mut session = Session::start(
            credentials,
            &options,
            &listener,
            told,
            luck.take(),
            firmware,
        )?;
        let lived = session.live(&mut tellings, &mut controls, &stop).await;
        let end = match lived {
            Ok(End::PowerCut) => End::PowerCut,
            Ok(_) if stop.is_cancelled() => End::Stop,
            Ok(end) => end,
            Err(_) => End::Stop,
        };
        if lived.is_ok() && end != End::PowerCut {
            session.end_sentence(&mut tellings).await?;
        }
        total += session.soundbox.counters();
        let Session {
            credentials: kept,
            luck: lucky,
            firmware: fate,
            link,
            ..
        } = match end {
            End::PowerCut => session,
            End::Restart(reason) => session.goodbye(reason),
            End::Stop => {
                let session = session.goodbye("shutdown");
                session.tell(Event::Stopped { counters: total });
                session
            }
        };
        if end == End::PowerCut {
            drop(link);
        } else {
            link.close().await;
        }
        lived?;
        if end == End::Stop {
            return Ok(total);
        }
        (credentials, luck, firmware) = (kept, lucky, fate);
    }
}

/// When signs of life are due: by the command line, else by the box's settings. The first one is said on connecting.
fn beats(every: Duration) -> Interval {
    let mut beats = interval_at(tokio::time::Instant::now() + every, every);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats
}

impl Session {
    /// Switches the box on.
    fn start(
        credentials: Credentials,
        options: &Options,
        listener: &Listener,
        told: mpsc::Sender<Told>,
        mut luck: Option<Luck>,
        firmware: Firmware,
    ) -> anyhow::Result<Self> {
        let journal = Journal::open(credentials.dir(), options.durability)
            .context("the journal cannot be used")?;
        let identity = Identity {
            transport: options.transport.as_str(),
            vitals: options.vitals,
            wall_clock: luck.as_ref().map(Luck::wall_clock).unwrap_or_default(),
            ..credentials.identity()
        };
        let now = Instant::now();
        let soundbox =
            Soundbox::start(identity, journal, now).context("the journal cannot be written")?;
        let link = Link::open(options.transport, &credentials, options.keep_alive)?;
        let next_drop = luck.as_mut().and_then(Luck::next_drop);
        let mut session = Self {
            beats: beats(Duration::from_secs(1)),
            credentials,
            options: options.clone(),
            listener: listener.clone(),
            soundbox,
            link,
            connected: false,
            unanswered: 0,
            told,
            firmware,
            renewal: Renewal::default(),
            restart: None,
            luck,
            next_drop: next_drop.map(|wait| now + wait),
            late: Vec::new(),
        };
        session.take_settings();
        session.tell(Event::Started {
            transport: options.transport,
            firmware_version: session.credentials.device.firmware_version.clone(),
            config_version: session.credentials.device.config_version,
            bound: session.credentials.device.binding_id.is_some(),
            settings: session.soundbox.settings().clone(),
        });
        Ok(session)
    }

    /// Lives by the settings that hold now.
    fn take_settings(&mut self) {
        let settings = self.soundbox.settings();
        let every = self
            .options
            .heartbeat
            .unwrap_or(settings.heartbeat_interval());
        self.link.set_pace(every, settings);
        self.beats = beats(every);
    }

    async fn live(
        &mut self,
        tellings: &mut mpsc::Receiver<Told>,
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
                    Some(event) => self.heard(event)?,
                    None => anyhow::bail!("the connection's task has ended"),
                },
                Some(told) = tellings.recv() => self.told(told)?,
                Some(control) = controls.recv() => match control {
                    Control::Beat => self.beat()?,
                    Control::Cut { away } => self.link.cut(away),
                    Control::PowerCut => return Ok(End::PowerCut),
                    Control::AskQr { amount } => self.ask_qr(amount)?,
                },
                _ = self.beats.tick() => if self.connected && self.link.is_mqtt() {
                    self.beat()?;
                },
                _ = ticks.tick() => self.tick()?,
                () = tokio::time::sleep(FLUSH_AGAIN), if self.link.is_waiting() => {
                    self.link.flush();
                }
            }
        }
    }

    /// Before the box is switched off in order it says to the end what it has begun.
    async fn end_sentence(&mut self, tellings: &mut mpsc::Receiver<Told>) -> anyhow::Result<()> {
        self.soundbox.rest();
        let until = tokio::time::Instant::now() + SENTENCE_END_MAX;
        while self.soundbox.is_speaking() {
            // The link goes on by itself meanwhile; what it brings is not confirmed, and so comes again.
            match timeout_at(until, tellings.recv()).await {
                Ok(Some(told)) => self.told(told)?,
                Ok(None) | Err(_) => break,
            }
        }
        Ok(())
    }

    fn device_id(&self) -> DeviceId {
        self.credentials.device.device_id
    }

    fn tell(&self, event: Event) {
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

    /// The luck of this box, while faults are loose.
    fn bad_luck(&mut self) -> Option<&mut Luck> {
        let active = self
            .options
            .faults
            .as_ref()
            .is_some_and(|faults| faults.is_active());
        self.luck.as_mut().filter(|_| active)
    }

    fn heard(&mut self, event: LinkEvent) -> anyhow::Result<()> {
        match event {
            LinkEvent::Connected { session_present } => {
                self.connected = true;
                self.unanswered = 0;
                self.tell(Event::Connected { session_present });
                let actions = self.soundbox.connected(session_present);
                if self.link.is_mqtt() {
                    if !session_present {
                        self.link.subscribe();
                    }
                    self.ask_time()?;
                    self.beat()?;
                }
                self.act(actions)
            }
            LinkEvent::Message(message) => self.message(message),
            LinkEvent::Time(server_time) => {
                let known = self.soundbox.time(Instant::now()).is_some();
                let actions = self.soundbox.told_time(server_time, Instant::now());
                let mut actions = actions.context("the journal cannot be written")?;
                if known {
                    // Every answer brings the time; only the first one is news.
                    actions
                        .retain(|action| !matches!(action, crate::soundbox::Action::ClockSet(_)));
                }
                self.act(actions)
            }
            LinkEvent::BeatWanted => self.beat(),
            LinkEvent::SubscriptionRefused => {
                let reason = "the broker refused the subscription".to_owned();
                self.tell(Event::Refused {
                    topic: "subscribe".to_owned(),
                    reason,
                });
                Ok(())
            }
            LinkEvent::Disconnected { reason, retry_in } => {
                self.connected = false;
                self.soundbox.disconnected(&reason);
                let retry_in_ms = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX);
                self.tell(Event::Disconnected {
                    reason,
                    retry_in_ms,
                });
                Ok(())
            }
        }
    }

    fn message(&mut self, message: Message) -> anyhow::Result<()> {
        if self.bad_luck().is_some_and(Luck::loses_message) {
            // What the connection swallowed comes again on the next one.
            self.tell(Event::Fault(Fault::LostMessage));
            self.link.cut(Duration::ZERO);
            return Ok(());
        }
        let actions = self
            .soundbox
            .receive(message.topic(), message.payload(), Instant::now())
            .context("the journal cannot be written")?;
        // It is on the disk now, whatever comes next.
        self.link.confirm(message);
        self.act(actions)
    }

    fn beat(&mut self) -> anyhow::Result<()> {
        let beat = self.soundbox.heartbeat(Instant::now());
        self.link.publish(self.device_id(), &beat)
    }

    fn ask_time(&mut self) -> anyhow::Result<()> {
        let question = self.soundbox.ask_time(clock::nonce(), Instant::now());
        self.act(vec![question])
    }

    /// What is due by the clock.
    fn tick(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        self.send_late(now)?;
        if self.next_drop.is_some_and(|at| at <= now) {
            let wait = match self.bad_luck() {
                Some(luck) => {
                    let wait = luck.next_drop();
                    self.tell(Event::Fault(Fault::Drop));
                    self.link.cut(Duration::ZERO);
                    wait
                }
                // It waits until the faults are let loose.
                None => Some(TICK),
            };
            self.next_drop = wait.map(|wait| now + wait);
        }
        self.renew_in_time(now);
        self.ask_again(now)
    }

    /// Repeats a status whose answer does not come; from the second time on it also subscribes anew, in case that the
    /// broker's memory of this box is not what it said it was.
    fn ask_again(&mut self, now: Instant) -> anyhow::Result<()> {
        if !self.connected || !self.soundbox.is_time_overdue(now) {
            return Ok(());
        }
        self.unanswered += 1;
        if self.unanswered >= 2 {
            self.link.subscribe();
        }
        self.ask_time()
    }

    /// A clean end says so itself, because then the will is not said.
    fn goodbye(mut self, reason: &str) -> Self {
        if self.connected {
            let status = UplinkMessage::Status(Status {
                state: OnlineState::Offline,
                firmware_version: Some(self.credentials.device.firmware_version.clone()),
                reason: Some(reason.to_owned()),
                nonce: None,
            });
            if let Err(error) = self.link.publish(self.device_id(), &status) {
                tracing::warn!("cannot say goodbye: {error:#}");
            }
        }
        self
    }
}
