//! The arguments of the subcommands.

pub(super) mod access;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use wire::{Encoding, Rupiah, TerminalId, TransactionId};

use crate::api_faults::ApiFaultRates;
use crate::callback_faults::CallbackFaults;
use crate::duration::{self, HumanDuration};
use crate::fault_injection::FaultRates;
use crate::link::Transport;
use crate::link::address::MqttAddress;
use crate::rate::Rate;
use crate::scenario::Environment;
use crate::scenario::merchant::Admin;
use crate::scenario::plan::{Boxes, Expectations, Kind, Phase, Plan, PlanEncoding};
use crate::session::{Button, Options};
use crate::soundbox::identity::Vitals;
use crate::soundbox::journal::Durability;
use crate::trigger;
use crate::vendor::dev_config::Asking;
use crate::vendor::firmware::Model;
use crate::voice::Voice;
use access::{AdminArgs, PartnerArgs, Server, secret};

#[derive(Args)]
pub(super) struct Provision {
    #[command(flatten)]
    pub(super) server: Server,
    /// The serial number printed on the box.
    #[arg(long)]
    pub(super) serial: String,
    /// The one-time activation code.
    #[arg(
        long,
        env = "ACTIVATION_CODE",
        hide_env_values = true,
        required_unless_present = "profile"
    )]
    pub(super) activation_code: Option<String>,
    /// Register a box of another maker, as an administrator: it joins with user name and password.
    #[arg(long, value_enum)]
    pub(super) profile: Option<Model>,
    /// The IMEI of its modem; for boxes of another maker.
    #[arg(long, requires = "profile")]
    pub(super) imei: Option<String>,
    /// The maker's key for the product; for boxes of another maker.
    #[arg(long, requires = "profile")]
    pub(super) product_key: Option<String>,
    /// It speaks MQTT without TLS; for boxes of another maker.
    #[arg(long, requires = "profile")]
    pub(super) plain: bool,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
    /// The credentials directory to create.
    #[arg(long)]
    pub(super) dir: PathBuf,
    /// json or msgpack.
    #[arg(long, default_value = "json")]
    pub(super) encoding: Encoding,
    /// The firmware version that the box reports.
    #[arg(long, default_value = "1.0.3")]
    pub(super) firmware: String,
    /// The terminal that it will be bound to, if known.
    #[arg(long, value_name = "ID")]
    pub(super) terminal: Option<TerminalId>,
}

#[derive(Args)]
pub(super) struct Running {
    /// Where the box connects by MQTT, instead of the address that it was given: to the next of them when one fails. Boxes of a
    /// fleet begin at different ones. Not for boxes of other makers.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    pub(super) mqtt: Vec<MqttAddress>,
    /// The heartbeat interval; by default the one in the box's configuration.
    #[arg(long, value_parser = duration::parse)]
    pub(super) heartbeat: Option<Duration>,
    /// MQTT's keepalive.
    #[arg(long, default_value = "60s", value_parser = duration::parse)]
    pub(super) keep_alive: Duration,
    /// The longest wait between two attempts to connect, without the configured jitter.
    #[arg(long, default_value = "5m", value_parser = duration::parse)]
    pub(super) backoff_max: Duration,
    /// End after this long.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    pub(super) end_after: Option<Duration>,
    /// How many firmware updates fail: 5% or 0.05.
    #[arg(long, default_value = "0", value_name = "SHARE")]
    pub(super) firmware_failure_rate: Rate,
    /// Seeds every random choice.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// The battery level that the box reports, 0 to 100.
    #[arg(long, default_value_t = Vitals::default().battery_level, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(super) battery: u8,
    /// The network strength that the box reports, 0 to 100.
    #[arg(long, default_value_t = Vitals::default().network_strength, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(super) signal: u8,
}

impl Running {
    pub(super) fn options(
        &self,
        transport: Transport,
        voice: Voice,
        durability: Durability,
    ) -> anyhow::Result<Options> {
        anyhow::ensure!(
            self.heartbeat.is_none_or(|every| !every.is_zero()),
            "--heartbeat must not be zero"
        );
        anyhow::ensure!(
            self.keep_alive >= Duration::from_secs(1),
            "--keep-alive must be a second or more"
        );
        anyhow::ensure!(
            self.backoff_max >= Duration::from_secs(1),
            "--backoff-max must be a second or more"
        );
        Ok(Options {
            number: 0,
            transport,
            mqtt: self.mqtt.clone(),
            heartbeat: self.heartbeat,
            keep_alive: self.keep_alive,
            backoff_max: self.backoff_max,
            press: Vec::new(),
            voice,
            durability,
            vitals: Vitals {
                network_strength: self.signal,
                battery_level: self.battery,
            },
            firmware_failures: self.firmware_failure_rate,
            seed: self.seed,
            faults: None,
        })
    }
}

#[derive(Args)]
pub(super) struct Run {
    /// The credentials directory.
    #[arg(long)]
    pub(super) dir: PathBuf,
    /// The maker's box that must be in the directory.
    #[arg(long, value_enum)]
    pub(super) profile: Option<Model>,
    #[command(flatten)]
    pub(super) dev_config: DevConfigArgs,
    #[command(flatten)]
    pub(super) common: Running,
    /// Speak with espeak-ng, if it is installed.
    #[arg(long)]
    pub(super) speak: bool,
    /// Draw the box in the terminal. Its keys: digits and Enter request a code, r and t press the buttons.
    #[arg(long, conflicts_with = "json")]
    pub(super) screen: bool,
    /// Press this button once, as soon as the box knows the time; may be repeated.
    #[arg(long, value_enum)]
    pub(super) press: Vec<Button>,
}

/// Where a box whose directory has no credentials asks for its settings.
#[derive(Args)]
pub(super) struct DevConfigArgs {
    /// The HTTPS API, which a qf100 without credentials asks for its settings.
    #[arg(long, requires_all = ["ca", "serial", "imei", "profile"])]
    url: Option<String>,
    /// The CA certificates that verify the server.
    #[arg(long, value_name = "FILE", requires = "url")]
    ca: Option<PathBuf>,
    /// The serial number with which it asks.
    #[arg(long, requires = "url")]
    serial: Option<String>,
    /// The IMEI with which it asks.
    #[arg(long, requires = "url")]
    imei: Option<String>,
    /// It speaks MQTT without TLS.
    #[arg(long, requires = "url")]
    plain: bool,
}

impl DevConfigArgs {
    /// The server that is asked, and with what; `None`: the box does not ask.
    pub(super) fn asking(&self) -> Option<(Server, Asking<'_>)> {
        let server = Server {
            url: self.url.clone()?,
            ca: self.ca.clone()?,
        };
        let asking = Asking {
            serial_number: self.serial.as_deref()?,
            imei: self.imei.as_deref()?,
            plain: self.plain,
            device_id: None,
            terminal_id: None,
        };
        Some((server, asking))
    }
}

#[derive(Args)]
pub(super) struct Fleet {
    /// The directory of this fleet's boxes; missing ones are created with the admin token.
    #[arg(long, required_unless_present = "boxes")]
    pub(super) dir: Option<PathBuf>,
    /// How many boxes.
    #[arg(long, required_unless_present = "boxes")]
    pub(super) count: Option<usize>,
    /// Run the boxes in the subdirectories of this directory instead.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["dir", "count", "url"])]
    pub(super) boxes: Option<PathBuf>,
    #[command(flatten)]
    pub(super) common: Running,
    /// The boxes use HTTPS instead of MQTT.
    #[arg(long)]
    pub(super) http: bool,
    /// The HTTPS API, to create missing boxes.
    #[arg(long, requires = "ca")]
    pub(super) url: Option<String>,
    /// The CA certificates that verify the server.
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
    /// Bind new boxes to these terminals, in turn.
    #[arg(long, value_name = "ID")]
    pub(super) terminal: Vec<TerminalId>,
    /// New boxes are this one of another maker.
    #[arg(long, value_enum, conflicts_with = "http")]
    pub(super) profile: Option<Model>,
    /// They speak MQTT without TLS.
    #[arg(long, requires = "profile")]
    pub(super) plain: bool,
    /// They ask for their settings, as a qf100 does, instead of having them typed in.
    #[arg(long, requires = "profile")]
    pub(super) dev_config: bool,
    /// json or msgpack, for new boxes.
    #[arg(long, default_value = "json")]
    pub(super) encoding: Encoding,
    /// The firmware version that new boxes report.
    #[arg(long, default_value = "1.0.3")]
    pub(super) firmware: String,
    /// How many boxes are started per second.
    #[arg(long, default_value_t = 200, value_name = "PER_SECOND")]
    pub(super) connect_rate: u32,
}

/// The server that a scenario runs against.
#[derive(Args)]
pub(super) struct EnvironmentArgs {
    #[command(flatten)]
    pub(super) server: Server,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
    #[command(flatten)]
    pub(super) partner: Option<PartnerArgs>,
    /// Where the boxes are kept for the next run; without it they are deleted afterwards.
    #[arg(long)]
    pub(super) dir: Option<PathBuf>,
}

impl EnvironmentArgs {
    pub(super) fn environment(self) -> anyhow::Result<Environment> {
        let api = self.server.api()?;
        Ok(Environment {
            ca_pem: self.server.ca_pem()?,
            partner: self
                .partner
                .map(|partner| partner.partner(api.clone()))
                .transpose()?,
            admin: Admin {
                api,
                token: self.admin.token()?,
            },
            dir: self.dir,
        })
    }
}

#[derive(Args)]
pub(super) struct Scenario {
    /// The scenario (TOML).
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) environment: EnvironmentArgs,
    /// Overrides the scenario's seed.
    #[arg(long)]
    pub(super) seed: Option<u64>,
}

#[derive(Args)]
pub(super) struct Trigger {
    /// What is to happen.
    #[arg(value_enum, value_name = "EVENT")]
    pub(super) event: trigger::Event,
    #[command(flatten)]
    pub(super) environment: EnvironmentArgs,
    /// The webhook endpoint that is tested; for endpoint.test.
    #[arg(long, value_name = "ID", required_if_eq("event", "endpoint.test"))]
    pub(super) endpoint: Option<String>,
    /// What is paid, in rupiah.
    #[arg(long, default_value = "50000")]
    pub(super) amount: Rupiah,
}

#[derive(Args)]
pub(super) struct Chaos {
    #[command(flatten)]
    pub(super) environment: EnvironmentArgs,
    /// How many boxes.
    #[arg(long, default_value_t = 20)]
    pub(super) count: usize,
    /// How many of them use HTTPS.
    #[arg(long, default_value_t = 2)]
    pub(super) http: usize,
    /// The boxes are this one of another maker; all of them by MQTT, and customers pay printed codes.
    #[arg(long, value_enum)]
    pub(super) box_profile: Option<Model>,
    /// They speak MQTT without TLS.
    #[arg(long, requires = "box_profile")]
    pub(super) plain: bool,
    /// How long faults are injected.
    #[arg(long = "for", value_name = "DURATION", default_value = "30s")]
    pub(super) lasting: HumanDuration,
    /// Payments per second meanwhile; they need the partner arguments.
    #[arg(long, default_value_t = 5)]
    pub(super) pay_rate: u32,
    /// The interval between power cuts of all boxes at once.
    #[arg(long, default_value = "12s", value_name = "DURATION")]
    pub(super) reboot_storm_every: HumanDuration,
    #[command(flatten)]
    pub(super) rates: FaultRates,
    /// Seeds every random choice; by default a random seed, which is printed.
    #[arg(long)]
    pub(super) seed: Option<u64>,
}

impl Chaos {
    /// The scenario of these arguments.
    pub(super) fn plan(&self) -> Plan {
        let lasting_s = u32::try_from(self.lasting.get().as_secs()).unwrap_or(u32::MAX);
        let payments = self.pay_rate.saturating_mul(lasting_s);
        let mut phases = vec![Phase::connect()];
        if self.environment.partner.is_some() && payments > 0 {
            phases.push(Phase::Pay {
                payments,
                rate: self.pay_rate,
                qr: match self.box_profile {
                    None => Kind::Dynamic,
                    Some(_) => Kind::Static,
                },
                beside: true,
            });
        }
        phases.push(Phase::Faults {
            lasting: self.lasting,
            reboot_storm_every: Some(self.reboot_storm_every),
            beside: false,
        });
        Plan {
            name: "chaos".to_owned(),
            seed: self.seed.unwrap_or_else(|| rand::random::<u32>().into()),
            boxes: Boxes {
                count: self.count,
                http: self.box_profile.map_or(self.http, |_| 0),
                per_terminal: 1,
                encoding: PlanEncoding::Json,
                heartbeat: None,
                profile: self.box_profile,
                plain: self.plain,
            },
            faults: self.rates.clone(),
            phases,
            // Without its power such a box forgets what it said.
            expect: Expectations {
                played_exactly_once: self.box_profile.is_none(),
                none_lost: self.box_profile.is_some(),
                ..Expectations::default()
            },
        }
    }
}

#[derive(Args)]
pub(super) struct Qr {
    /// The credentials directory of the box.
    #[arg(long)]
    pub(super) dir: PathBuf,
    /// The amount in rupiah.
    #[arg(long)]
    pub(super) amount: Rupiah,
    /// Send the request by MQTT.
    #[arg(long)]
    pub(super) mqtt: bool,
}

#[derive(Args)]
pub(super) struct Pay {
    #[command(flatten)]
    pub(super) server: Server,
    #[command(flatten)]
    pub(super) partner: PartnerArgs,
    /// The transaction of a dynamic QR.
    #[arg(
        long,
        value_name = "ID",
        required_unless_present = "static_qr",
        conflicts_with = "static_qr"
    )]
    pub(super) transaction: Option<TransactionId>,
    /// Pay a static QR.
    #[arg(long = "static", requires = "nmid")]
    pub(super) static_qr: bool,
    /// The merchant of a static QR.
    #[arg(long, requires = "static_qr")]
    pub(super) nmid: Option<String>,
    /// The terminal of a static QR.
    #[arg(long, requires = "static_qr")]
    pub(super) terminal_label: Option<String>,
    /// The amount in rupiah.
    #[arg(long)]
    pub(super) amount: Rupiah,
    /// success, failed, expired or reversed.
    #[arg(long, default_value = "success")]
    pub(super) status: String,
    /// The acquirer's reference, instead of a new one.
    #[arg(long)]
    pub(super) reference: Option<String>,
    /// The callback's event id, instead of a new one.
    #[arg(long)]
    pub(super) event_id: Option<String>,
    /// When the customer paid (RFC 3339); default now.
    #[arg(long, value_name = "TIME")]
    pub(super) paid_at: Option<DateTime<Utc>>,
}

#[derive(Args)]
pub(super) struct Listen {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub(super) listen: SocketAddr,
    /// The endpoint's secret (whsec_…); pass it by file or environment, because other users can see command lines.
    #[arg(long, env = "WEBHOOK_SECRET", hide_env_values = true)]
    webhook_secret: Option<String>,
    /// A file with the endpoint's secret.
    #[arg(long, value_name = "FILE", conflicts_with = "webhook_secret")]
    webhook_secret_file: Option<PathBuf>,
    /// The status to answer with; a failure shows how messages are sent again.
    #[arg(long, default_value_t = 204)]
    pub(super) answer: u16,
}

impl Listen {
    pub(super) fn secret(&self) -> anyhow::Result<String> {
        secret(
            self.webhook_secret.as_deref(),
            self.webhook_secret_file.as_deref(),
            "webhook-secret",
        )
    }
}

#[derive(Args)]
pub(super) struct AcquirerArgs {
    #[command(flatten)]
    pub(super) server: Server,
    #[command(flatten)]
    pub(super) partner: PartnerArgs,
    /// A directory with the credentials directories of the boxes that request codes.
    #[arg(long, value_name = "DIR", required_unless_present = "listen")]
    pub(super) boxes: Option<PathBuf>,
    /// Listen here as the partner that issues codes: profile snap, or a dialect whose acquirer issues codes.
    #[arg(long, value_name = "ADDRESS", requires = "platform_key_file")]
    pub(super) listen: Option<SocketAddr>,
    /// The platform's RSA public key (PEM), which verifies its token requests.
    #[arg(long, value_name = "FILE", requires = "listen")]
    pub(super) platform_key_file: Option<PathBuf>,
    /// How long customers take to pay issued codes; 0 for no payments.
    #[arg(long, default_value = "2s", value_parser = duration::parse, requires = "listen")]
    pub(super) pay_after: Duration,
    #[command(flatten)]
    pub(super) faults: CallbackFaults,
    #[command(flatten)]
    pub(super) api_faults: ApiFaultRates,
    /// The time between payments.
    #[arg(long, default_value = "5s", value_parser = duration::parse)]
    pub(super) every: Duration,
    /// Store payments here until they are accepted.
    #[arg(long, value_name = "FILE")]
    pub(super) journal: Option<PathBuf>,
    /// Seeds the choice of boxes and amounts.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
}

#[derive(Args)]
pub(super) struct BankArgs {
    #[command(flatten)]
    pub(super) server: Server,
    #[command(flatten)]
    pub(super) partner: PartnerArgs,
    /// The address to listen on for payouts; port 0 is any.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(super) listen: SocketAddr,
    /// The delay before a decision about a payout.
    #[arg(long, default_value = "5s", value_parser = duration::parse)]
    pub(super) after: Duration,
    /// How many of a hundred payouts fail.
    #[arg(long, default_value_t = 0, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(super) fail: u8,
    /// Store payouts here.
    #[arg(long, value_name = "FILE")]
    pub(super) journal: Option<PathBuf>,
    /// Seeds which payouts fail.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
}
