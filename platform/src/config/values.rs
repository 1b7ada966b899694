//! The values of a configuration: one type for each table of `config/default.toml`, and what is derived from them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use certs::csr::RsaKeys;
use chrono::NaiveTime;
use domain::dialect::status::Meaning;
use serde::{Deserialize, Deserializer};

/// The whole configuration. Field names are the keys of `config/default.toml`, which explains each.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Config {
    pub data_dir: PathBuf,
    pub node: Node,
    pub database: Database,
    pub pki: Pki,
    pub http: Http,
    pub mqtt: Mqtt,
    pub box_profiles: BTreeMap<String, PathBuf>,
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
    pub webhooks: Webhooks,
    #[serde(default)]
    pub alert_channels: BTreeMap<String, AlertChannel>,
    pub demo: Demo,
    pub log: Log,
    pub otel: Otel,
    /// The file it was read from, for errors.
    #[serde(skip)]
    pub file: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Node {
    pub name: String,
    pub lease_s: u32,
    pub unready_ms: u64,
    pub drain_sessions_per_s: u32,
    pub server_reference: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Database {
    pub url: String,
    pub connections_max: u32,
    pub list_connections_max: u32,
    pub lists_url: String,
    pub lists_max_lag_s: u32,
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
    pub page_streams_max: usize,
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
    pub vendor: Vendor,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Vendor {
    #[serde(deserialize_with = "address_or_none")]
    pub listen: Option<SocketAddr>,
    #[serde(deserialize_with = "address_or_none")]
    pub plain_listen: Option<SocketAddr>,
    pub failed_logins_per_s: u32,
}

/// An address to listen on; none when it is empty.
fn address_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = text.parse().map_err(|_| {
        serde::de::Error::custom(format!(
            "{text:?} is no address with a port, such as \"0.0.0.0:8884\", and is not empty"
        ))
    })?;
    Ok(Some(parsed))
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

/// The dialect of a QRIS partner that names none: an older way to choose between two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QrisProfile {
    /// HMAC-SHA256 over timestamp and raw body.
    #[default]
    Hmac,
    /// SNAP BI.
    Snap,
}

/// Which of SNAP's two signatures a partner's notifications carry, instead of those of its dialect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifySignature {
    /// Those that the dialect accepts.
    #[default]
    OfDialect,
    /// HMAC-SHA512 with an access token that we issued.
    Symmetric,
    /// SHA256withRSA.
    Asymmetric,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct QrisPartner {
    pub profile: QrisProfile,
    pub dialect: String,
    pub sender_ids: Vec<String>,
    pub secret_files: Vec<PathBuf>,
    pub secret_envs: Vec<String>,
    pub public_key_files: Vec<PathBuf>,
    pub notify_signature: NotifySignature,
    pub statuses: BTreeMap<String, Meaning>,
    pub query_statuses: BTreeMap<String, Meaning>,
    pub confirmed_statuses: Vec<String>,
    pub api: Option<QrisPartnerApi>,
}

/// A SNAP partner's own API, which we call.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct QrisPartnerApi {
    pub url: String,
    pub client_id: String,
    #[serde(default)]
    pub partner_id: String,
    #[serde(default)]
    pub merchant_id: String,
    #[serde(default)]
    pub terminal_id: String,
    #[serde(default)]
    pub ip_address: String,
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
    /// A text that is not a time of day.
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
    pub queue_max: u32,
    pub batches_at_once: u32,
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

/// How a channel of alerts reaches people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "config/default.toml documents every kind")]
pub enum AlertChannelKind {
    Webhook,
    Smtp,
    Telegram,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct AlertChannel {
    pub kind: AlertChannelKind,
    #[serde(default)]
    pub kinds: Vec<String>,
    #[serde(default)]
    pub merchants: Vec<String>,
    #[serde(default)]
    pub quiet_hours: String,
    #[serde(default)]
    pub urgent: Vec<String>,
    #[serde(default)]
    pub url: String,
    #[serde(default)]
    pub secret_file: PathBuf,
    #[serde(default)]
    pub user: String,
    #[serde(default)]
    pub from: String,
    #[serde(default)]
    pub to: Vec<String>,
    #[serde(default)]
    pub chat_id: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Webhooks {
    pub allow_http: bool,
    pub allow_private_addresses: bool,
    pub retention_days: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Demo {
    pub enabled: bool,
}

impl Pki {
    /// Whether devices may have RSA keys.
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
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Log {
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Otel {
    pub endpoint: String,
    pub sample: f64,
}

impl Config {
    /// The data directory, with the default filled in.
    pub fn data_dir(&self) -> PathBuf {
        if self.data_dir.as_os_str().is_empty() {
            embedded_postgres::default_data_dir()
        } else {
            self.data_dir.clone()
        }
    }

    /// The directory of the fleet's CA.
    pub fn pki_dir(&self) -> PathBuf {
        if self.pki.dir.as_os_str().is_empty() {
            self.data_dir().join("pki")
        } else {
            self.pki.dir.clone()
        }
    }

    /// The host names and the IP addresses of the server certificate.
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

impl Database {
    /// How long a caller waits for a connection.
    pub fn acquire_timeout(&self) -> Duration {
        Duration::from_millis(self.acquire_timeout_ms)
    }
}
