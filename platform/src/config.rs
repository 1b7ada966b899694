//! Configuration: `config/default.toml` < `--config FILE` < environment.
//!
//! Each layer may set any key; a key that does not exist is refused by name. Secrets are never
//! values here: a partner's entry names the files or environment variables that hold them.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use certs::csr::RsaKeys;
use chrono::NaiveTime;
use domain::snap::status::Meaning;
use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format, Toml};
use secrecy::SecretString;
use serde::Deserialize;

const DEFAULT: &str = include_str!("../../config/default.toml");
const DEMO: &str = include_str!("../../config/demo.toml");
/// The longest wait of a new user, hours: a year.
const CONFIRM_WAIT_H_MAX: u32 = 8760;
/// Below it one large packet would silence a client for longer than its keep-alive may be.
const PACKETS_PER_S_MIN: u32 = 200;
/// As the database's constraint `rejected_callbacks_body_small` has it.
const REJECTED_BYTES_MAX: usize = 2048;
/// The shortest secret of a partner, in bytes.
const SECRET_LEN_MIN: usize = 16;

/// The whole configuration. Field names are the keys of `config/default.toml`, which explains each.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Config {
    pub data_dir: PathBuf,
    pub node: String,
    pub database: Database,
    pub pki: Pki,
    pub http: Http,
    pub mqtt: Mqtt,
    pub metrics: Metrics,
    pub announcements: Announcements,
    pub payments: Payments,
    pub devices: Devices,
    pub health: Health,
    pub qris_partners: BTreeMap<String, QrisPartner>,
    pub payout_partners: BTreeMap<String, PayoutPartner>,
    pub money: Money,
    pub reconciliation: Reconciliation,
    pub callbacks: Callbacks,
    pub idempotency: Idempotency,
    pub demo: Demo,
    pub log: Log,
    /// The file it was read from, for errors.
    #[serde(skip)]
    pub file: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Database {
    pub url: String,
    pub connections_max: u32,
    pub list_connections_max: u32,
    pub acquire_timeout_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Pki {
    pub dir: PathBuf,
    pub server_names: Vec<String>,
    pub server_certificate_file: PathBuf,
    pub server_key_file: PathBuf,
    pub server_certificate_warning_days: u32,
    pub device_certificate_days: u32,
    pub rsa_device_keys: Switch,
    pub crl_file: PathBuf,
    pub crl_refresh_s: u32,
    pub crl_valid_h: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub enum Switch {
    On,
    Off,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Http {
    pub listen: SocketAddr,
    pub tls: Switch,
    pub public_url: String,
    pub body_bytes_max: usize,
    pub body_bytes_in_flight_max: usize,
    pub request_timeout_ms: u64,
    pub connections_max: usize,
    pub connections_per_address_max: usize,
    pub accept_rate_per_address_per_s: u32,
    pub long_polls_max: usize,
    pub rate_per_principal_per_s: u32,
    pub rate_per_address_per_s: u32,
    pub shutdown_timeout_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Mqtt {
    pub listen: SocketAddr,
    pub public_host: String,
    pub connections_max: usize,
    pub connections_per_address_max: usize,
    pub unauthenticated_max: usize,
    pub accept_rate_per_address_per_s: u32,
    pub handshake_timeout_ms: u64,
    pub connect_timeout_ms: u64,
    pub packet_bytes_max: usize,
    pub will_bytes_max: usize,
    pub packets_per_s_max: u32,
    pub publishes_per_s_max: u32,
    pub uplink_unacked_max: usize,
    pub subscriptions_max: usize,
    pub downlink_inflight_max: usize,
    pub downlink_queue_max: usize,
    pub keepalive_ceiling_s: u64,
    pub write_timeout_ms: u64,
    pub session_expiry_max_s: u32,
    pub observers_max: usize,
    pub observer_queue_bytes_max: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Metrics {
    pub listen: SocketAddr,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Announcements {
    pub key_files: Vec<PathBuf>,
    pub window_s: u32,
    pub delayed_after_s: u32,
    pub resend_first_s: u32,
    pub resend_max_s: u32,
    pub reserved_words: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Payments {
    pub amount_max: i64,
    pub qr_lifetime_s: u32,
    pub qr_partner: String,
    pub acquirer_guid: String,
    pub partner_timeout_ms: u64,
    pub partner_attempts_max: u32,
    pub partner_failures_max: u32,
    pub partner_pause_ms: u64,
    pub query_before_expiry_s: u32,
    pub clock_skew_max_s: u32,
    pub paid_at_age_max_h: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Devices {
    pub heartbeat_interval_s: u32,
    pub activation_code_days: u32,
    pub activation_failures_per_hour_max: u32,
    pub activation_failures_per_address_per_hour_max: u32,
    pub token_days: u32,
    pub heartbeat_retention_days: u32,
    pub heartbeat_hours_retention_days: u32,
    pub rejected_uplinks_per_minute_max: u32,
    pub rejected_uplink_days: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Health {
    pub check_interval_s: u32,
    pub trading_hours: String,
    pub offline_after_s: u32,
    pub unheard_after_s: u32,
    pub certificate_expires_within_days: u32,
    pub battery_low_percent: u8,
    pub signal_weak_percent: u8,
    pub flips_max: u32,
    pub flips_within_min: u32,
    pub clock_skew_max_s: u32,
    pub retention_days: u32,
}

/// How a QRIS partner speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QrisProfile {
    /// HMAC-SHA256 over timestamp and raw body.
    #[default]
    Hmac,
    /// SNAP BI.
    Snap,
}

/// Which of SNAP's two signatures a partner's notifications have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifySignature {
    /// HMAC-SHA512 with an access token of ours.
    #[default]
    Symmetric,
    /// SHA256withRSA.
    Asymmetric,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct QrisPartner {
    pub profile: QrisProfile,
    pub secret_files: Vec<PathBuf>,
    pub secret_envs: Vec<String>,
    pub public_key_files: Vec<PathBuf>,
    pub notify_signature: NotifySignature,
    pub statuses: BTreeMap<String, Meaning>,
    pub api: Option<QrisPartnerApi>,
}

/// Where we call a SNAP partner.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct QrisPartnerApi {
    pub url: String,
    pub client_id: String,
    pub private_key_file: PathBuf,
    #[serde(default)]
    pub secret_files: Vec<PathBuf>,
    #[serde(default)]
    pub secret_envs: Vec<String>,
    pub channel_id: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct PayoutPartner {
    #[serde(default)]
    pub url: String,
    #[serde(default)]
    pub ca_file: PathBuf,
    #[serde(default)]
    pub secret_files: Vec<PathBuf>,
    #[serde(default)]
    pub secret_envs: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Money {
    pub payout_partner: String,
    pub payout_timeout_ms: u64,
    pub payout_ask_after_s: u32,
    pub payout_wait_min_s: u32,
    pub payout_wait_max_s: u32,
    pub maker_checker: Switch,
    pub confirm_wait_h: u32,
    pub daily_run: Switch,
    pub business_day_ends: String,
    pub daily_run_after_min: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Reconciliation {
    pub bytes_max: usize,
    pub formats: BTreeMap<String, FileFormat>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct FileFormat {
    pub reference_column: String,
    pub amount_column: String,
    pub delimiter: String,
    pub decimal_comma: bool,
}

impl Money {
    /// When a business day ends, WIB.
    ///
    /// # Errors
    /// A text that is no time of day.
    pub fn business_day_ends_at(&self) -> anyhow::Result<NaiveTime> {
        NaiveTime::parse_from_str(&self.business_day_ends, "%H:%M")
            .context("configuration: money.business_day_ends must be a time of day like 23:30")
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Callbacks {
    pub timestamp_tolerance_s: u32,
    pub rejected_bytes_max: usize,
    pub rejected_per_minute_max: u32,
    pub rejected_per_address_per_minute_max: u32,
    pub rejected_days: u32,
    pub archive_days: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Idempotency {
    pub lifetime_h: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Demo {
    pub enabled: bool,
}

impl Pki {
    /// Whether boxes may have RSA keys.
    pub fn rsa_keys(&self) -> RsaKeys {
        match self.rsa_device_keys {
            Switch::On => RsaKeys::Accepted,
            Switch::Off => RsaKeys::Refused,
        }
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Log {
    pub filter: String,
    pub format: LogFormat,
}

impl Config {
    /// Reads the defaults, then `file`, then the environment.
    ///
    /// # Errors
    /// A file that cannot be read, a key that does not exist, a value of the wrong kind: the message
    /// names the key.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let mut figment = Figment::from(Toml::string(DEFAULT));
        if let Some(file) = file {
            // Read here too, because what is missing would be taken for empty.
            std::fs::metadata(file).with_context(|| {
                format!("cannot read the configuration file {}", file.display())
            })?;
            figment = figment.merge(Toml::file_exact(file));
        }
        let mut config = Self::finish(figment, file)?;
        config.file = file.map(Path::to_owned);
        Ok(config)
    }

    /// The configuration of `platform demo`.
    ///
    /// # Errors
    /// As [`Config::load`], for what the environment sets.
    pub fn demo() -> anyhow::Result<Self> {
        Self::finish(
            Figment::from(Toml::string(DEFAULT)).merge(Toml::string(DEMO)),
            None,
        )
    }

    fn finish(figment: Figment, file: Option<&Path>) -> anyhow::Result<Self> {
        let figment = figment
            .merge(Env::prefixed("SOUNDBOX__").split("__"))
            .merge(
                Env::raw()
                    .only(&["DATABASE_URL"])
                    .map(|_| "database.url".into()),
            );
        let config: Self = figment.extract().map_err(explain)?;
        match file {
            Some(file) => config.check().with_context(|| file.display().to_string())?,
            None => config.check()?,
        }
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.http.tls == Switch::Off && !self.http.listen.ip().is_loopback() {
            bail!(
                "configuration: http.tls = \"off\" is allowed only on a loopback address, not {}",
                self.http.listen
            );
        }
        if self.http.connections_max == 0 || self.http.connections_per_address_max == 0 {
            bail!(
                "configuration: http.connections_max and http.connections_per_address_max must be at least 1"
            );
        }
        // An address alone may fill half of it.
        if self.http.body_bytes_in_flight_max < self.http.body_bytes_max.saturating_mul(4) {
            bail!(
                "configuration: http.body_bytes_in_flight_max must be at least four times http.body_bytes_max"
            );
        }
        if self.mqtt.packets_per_s_max < PACKETS_PER_S_MIN {
            bail!("configuration: mqtt.packets_per_s_max must be at least {PACKETS_PER_S_MIN}");
        }
        if self.mqtt.unauthenticated_max < 1024 {
            bail!("configuration: mqtt.unauthenticated_max must be at least 1024");
        }
        if self.pki.server_names.is_empty() {
            bail!("configuration: pki.server_names must name at least one host");
        }
        if self.pki.server_certificate_file.as_os_str().is_empty()
            != self.pki.server_key_file.as_os_str().is_empty()
        {
            bail!("configuration: pki.server_certificate_file and pki.server_key_file go together");
        }
        // A list is signed anew in the middle of its time, by a job that must have run twice until then.
        let (refresh_s, valid_s) = (
            self.pki.crl_refresh_s,
            u64::from(self.pki.crl_valid_h) * 3600,
        );
        if refresh_s == 0 || u64::from(refresh_s) * 4 > valid_s {
            bail!(
                "configuration: pki.crl_refresh_s must be at least 1 and at most a quarter of pki.crl_valid_h"
            );
        }
        if self.payments.amount_max < 1 {
            bail!("configuration: payments.amount_max must be at least 1");
        }
        if self.payments.clock_skew_max_s == 0 {
            bail!("configuration: payments.clock_skew_max_s must be at least 1");
        }
        if self.payments.paid_at_age_max_h == 0 {
            bail!("configuration: payments.paid_at_age_max_h must be at least 1");
        }
        if self.http.long_polls_max >= self.http.connections_max {
            bail!(
                "configuration: http.long_polls_max must be below http.connections_max, so that others are served too"
            );
        }
        if self.callbacks.rejected_bytes_max > REJECTED_BYTES_MAX {
            bail!(
                "configuration: callbacks.rejected_bytes_max must be at most {REJECTED_BYTES_MAX}"
            );
        }
        for (key, value) in [
            (
                "callbacks.rejected_per_minute_max",
                self.callbacks.rejected_per_minute_max,
            ),
            (
                "callbacks.rejected_per_address_per_minute_max",
                self.callbacks.rejected_per_address_per_minute_max,
            ),
            ("callbacks.rejected_days", self.callbacks.rejected_days),
            ("callbacks.archive_days", self.callbacks.archive_days),
            (
                "devices.rejected_uplinks_per_minute_max",
                self.devices.rejected_uplinks_per_minute_max,
            ),
            (
                "devices.rejected_uplink_days",
                self.devices.rejected_uplink_days,
            ),
            (
                "devices.activation_failures_per_hour_max",
                self.devices.activation_failures_per_hour_max,
            ),
            (
                "devices.activation_failures_per_address_per_hour_max",
                self.devices.activation_failures_per_address_per_hour_max,
            ),
        ] {
            if value == 0 {
                bail!("configuration: {key} must be at least 1");
            }
        }
        if self.health.check_interval_s == 0 {
            bail!("configuration: health.check_interval_s must be at least 1");
        }
        if self.announcements.delayed_after_s > self.announcements.window_s {
            bail!("configuration: announcements.delayed_after_s is beyond announcements.window_s");
        }
        if let Some(word) = self
            .announcements
            .reserved_words
            .iter()
            .find(|word| !domain::free_text::is_reservable(word))
        {
            bail!(
                "configuration: announcements.reserved_words: {word:?} is not a word of at least two letters a to z in lower case"
            );
        }
        if self.money.confirm_wait_h > CONFIRM_WAIT_H_MAX {
            bail!("configuration: money.confirm_wait_h must be at most {CONFIRM_WAIT_H_MAX}");
        }
        self.money.business_day_ends_at()?;
        if self.money.payout_timeout_ms == 0
            || u64::from(self.money.payout_wait_min_s) * 1000 <= self.money.payout_timeout_ms
            || self.money.payout_wait_max_s < self.money.payout_wait_min_s
        {
            bail!(
                "configuration: money.payout_wait_min_s must be longer than money.payout_timeout_ms, and money.payout_wait_max_s \
                 no shorter"
            );
        }
        if self.database.connections_max < 4 {
            bail!("configuration: database.connections_max must be at least 4");
        }
        if self.database.list_connections_max == 0 {
            bail!("configuration: database.list_connections_max must be at least 1");
        }
        Ok(())
    }

    /// The data directory, with the default filled in.
    pub fn data_dir(&self) -> PathBuf {
        if self.data_dir.as_os_str().is_empty() {
            crate::postgres::default_data_dir()
        } else {
            self.data_dir.clone()
        }
    }

    /// Where the fleet's CA lives.
    pub fn pki_dir(&self) -> PathBuf {
        if self.pki.dir.as_os_str().is_empty() {
            self.data_dir().join("pki")
        } else {
            self.pki.dir.clone()
        }
    }

    /// Names and addresses of the server certificate, told apart.
    pub fn server_names(&self) -> (Vec<String>, Vec<IpAddr>) {
        let mut hosts = Vec::new();
        let mut addresses = Vec::new();
        for name in &self.pki.server_names {
            match name.parse() {
                Ok(address) => addresses.push(address),
                Err(_) => hosts.push(name.clone()),
            }
        }
        (hosts, addresses)
    }
}

/// Names the key and where its value is: a file, or the environment.
fn explain(error: figment::Error) -> anyhow::Error {
    let lines: Vec<String> = error
        .into_iter()
        .map(|one| {
            let place = one.metadata.as_ref().map(|metadata| {
                match metadata
                    .source
                    .as_ref()
                    .and_then(figment::Source::file_path)
                {
                    Some(file) => file.display().to_string(),
                    None => metadata.name.to_string(),
                }
            });
            let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
            let key = one.path.join(".");
            match &one.kind {
                // The path of an unknown key ends with it.
                Kind::UnknownField(_, known) => format!(
                    "configuration: {place}there is no key {key}; known there: {}",
                    known.join(", ")
                ),
                kind if key.is_empty() => format!("configuration: {place}{kind}"),
                kind => format!("configuration: {place}{key}: {kind}"),
            }
        })
        .collect();
    anyhow::anyhow!("{}", lines.join("\n"))
}

impl Database {
    /// How long a caller waits for a connection.
    pub fn acquire_timeout(&self) -> Duration {
        Duration::from_millis(self.acquire_timeout_ms)
    }
}

/// Reads the secrets of a partner, whose table is called `key`, from where the configuration says they are.
///
/// # Errors
/// Every file or variable that is missing or empty, a line each, named without its content.
pub fn read_secrets(
    key: &str,
    files: &[PathBuf],
    variables: &[String],
) -> anyhow::Result<Vec<SecretString>> {
    let mut secrets = Vec::new();
    let mut problems = Vec::new();
    let mut take = |secret: &str, place: String, problems: &mut Vec<String>| {
        if secret.len() < SECRET_LEN_MIN {
            problems.push(format!(
                "{key}: the secret in {place} is shorter than {SECRET_LEN_MIN} characters"
            ));
        } else {
            secrets.push(SecretString::from(secret));
        }
    };
    for file in files {
        let place = file.display().to_string();
        match std::fs::read_to_string(file) {
            Ok(text) => take(text.trim_end_matches(['\r', '\n']), place, &mut problems),
            Err(error) if error.kind() == io::ErrorKind::NotFound => problems.push(format!(
                "{key}.secret_files: {place} is missing; put the partner's secret there, or make one for both sides: \
                 openssl rand -hex 32 > {place}"
            )),
            Err(error) => problems.push(format!("{key}.secret_files: cannot read {place}: {error}")),
        }
    }
    for variable in variables {
        match std::env::var(variable) {
            Ok(text) => take(&text, format!("the variable {variable}"), &mut problems),
            Err(_) => problems.push(format!(
                "{key}.secret_envs: the environment variable {variable} is not set"
            )),
        }
    }
    if files.is_empty() && variables.is_empty() {
        problems.push(format!(
            "{key} has no secret: set {key}.secret_files or {key}.secret_envs"
        ));
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        std::fs::write(&file, text).unwrap();
        match Config::load(Some(&file)) {
            Ok(_) => panic!("{text} was taken"),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn the_defaults_are_in_order() {
        let _ = Config::load(None).unwrap();
        let _ = Config::demo().unwrap();
    }

    #[test]
    fn what_is_wrong_is_refused_by_its_name() {
        for (text, key) in [
            ("[mqtt]\nspeed = 1", "speed"),
            ("[mqtt]\nlisten = \"here\"", "mqtt.listen"),
            ("[mqtt]\nconnections_max = \"many\"", "mqtt.connections_max"),
            ("[mqtt]\npackets_per_s_max = 199", "mqtt.packets_per_s_max"),
            (
                "[mqtt]\nunauthenticated_max = 1",
                "mqtt.unauthenticated_max",
            ),
            ("[http]\ntls = \"off\"", "http.tls"),
            ("[http]\nlong_polls_max = 1000000", "http.long_polls_max"),
            (
                "[http]\nconnections_per_address_max = 0",
                "http.connections_per_address_max",
            ),
            (
                "[http]\nbody_bytes_in_flight_max = 1000000",
                "http.body_bytes_in_flight_max",
            ),
            ("[pki]\nserver_names = []", "pki.server_names"),
            (
                "[pki]\nserver_key_file = \"key.pem\"",
                "pki.server_key_file",
            ),
            ("[pki]\ncrl_refresh_s = 0", "pki.crl_refresh_s"),
            ("[payments]\namount_max = 0", "payments.amount_max"),
            (
                "[payments]\nclock_skew_max_s = 0",
                "payments.clock_skew_max_s",
            ),
            (
                "[payments]\npaid_at_age_max_h = 0",
                "payments.paid_at_age_max_h",
            ),
            ("[health]\nlook_every_s = 0", "health.check_interval_s"),
            (
                "[callbacks]\nrejected_bytes_max = 2049",
                "callbacks.rejected_bytes_max",
            ),
            (
                "[callbacks]\nrejected_per_address_per_minute_max = 0",
                "callbacks.rejected_per_address_per_minute_max",
            ),
            ("[callbacks]\nrejected_days = 0", "callbacks.rejected_days"),
            ("[callbacks]\narchive_days = 0", "callbacks.archive_days"),
            (
                "[devices]\nrejected_uplink_days = 0",
                "devices.rejected_uplink_days",
            ),
            (
                "[devices]\nactivation_failures_per_hour_max = 0",
                "devices.activation_failures_per_hour_max",
            ),
            (
                "[announcements]\ndelayed_after_s = 1000000",
                "announcements.delayed_after_s",
            ),
            (
                "[announcements]\nreserved_words = [\"OVO\"]",
                "announcements.reserved_words",
            ),
            ("[money]\nconfirm_wait_h = 8761", "money.confirm_wait_h"),
            ("[money]\npayout_timeout_ms = 0", "money.payout_wait_min_s"),
            (
                "[database]\nconnections_max = 3",
                "database.connections_max",
            ),
            (
                "[database]\nlist_connections_max = 0",
                "database.list_connections_max",
            ),
        ] {
            let refusal = refusal(text);
            assert!(refusal.contains(key), "{text}: {refusal}");
        }
    }
}
