//! Rules between the values of a configuration, checked before anything starts.

use anyhow::{Context as _, bail};
use reqwest::Url;

use super::values::{Config, Otel, Switch};

/// The longest `money.confirm_wait_h`: a year.
const CONFIRM_WAIT_H_MAX: u32 = 8760;
/// Below it, one large packet would exceed a client's rate for longer than its keep-alive may be.
const PACKETS_PER_S_MIN: u32 = 200;
/// A shorter lease is lost when the database is slow for a moment, a longer one leaves boxes of a dead process online.
const NODE_LEASE_S_MIN: u32 = 2;
const NODE_LEASE_S_MAX: u32 = 60;
/// The longest name of a node, and of the server that it names.
const NODE_NAME_LEN_MAX: usize = 200;
/// The limit of the database's constraint `rejected_callbacks_body_small`.
const REJECTED_BYTES_MAX: usize = 2048;

impl Config {
    /// Refuses values that are well-formed and cannot work.
    ///
    /// # Errors
    /// The first rule that is broken; the message names the key.
    pub(super) fn check(&self) -> anyhow::Result<()> {
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
        // One address may hold half of it.
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
            bail!(
                "configuration: pki.server_certificate_file and pki.server_key_file must both be set, or neither"
            );
        }
        // A list is signed again after half of its validity, by a job that must have run twice by then.
        let (refresh_s, valid_s) = (
            self.pki.crl_refresh_s,
            u64::from(self.pki.crl_valid_h) * 3600,
        );
        if refresh_s == 0 || u64::from(refresh_s) * 4 > valid_s {
            bail!(
                "configuration: pki.crl_refresh_s must be at least 1 and at most a quarter of pki.crl_valid_h"
            );
        }
        if !(NODE_LEASE_S_MIN..=NODE_LEASE_S_MAX).contains(&self.node.lease_s) {
            bail!(
                "configuration: node.lease_s must be from {NODE_LEASE_S_MIN} to {NODE_LEASE_S_MAX}"
            );
        }
        if self.node.name.is_empty() || self.node.name.len() > NODE_NAME_LEN_MAX {
            bail!("configuration: node.name must have 1 to {NODE_NAME_LEN_MAX} characters");
        }
        if self.node.server_reference.len() > NODE_NAME_LEN_MAX {
            bail!(
                "configuration: node.server_reference must have at most {NODE_NAME_LEN_MAX} characters"
            );
        }
        if self.payments.amount_max < 1 {
            bail!("configuration: payments.amount_max must be at least 1");
        }
        if self.http.long_polls_max >= self.http.connections_max {
            bail!(
                "configuration: http.long_polls_max must be below http.connections_max, so that other requests are served too"
            );
        }
        if self.callbacks.rejected_bytes_max > REJECTED_BYTES_MAX {
            bail!(
                "configuration: callbacks.rejected_bytes_max must be at most {REJECTED_BYTES_MAX}"
            );
        }
        for (key, value) in [
            (
                "database.list_connections_max",
                self.database.list_connections_max,
            ),
            ("database.lists_max_lag_s", self.database.lists_max_lag_s),
            ("node.drain_sessions_per_s", self.node.drain_sessions_per_s),
            ("payments.clock_skew_max_s", self.payments.clock_skew_max_s),
            (
                "payments.paid_at_age_max_h",
                self.payments.paid_at_age_max_h,
            ),
            ("health.check_interval_s", self.health.check_interval_s),
            ("callbacks.queue_max", self.callbacks.queue_max),
            ("callbacks.batches_at_once", self.callbacks.batches_at_once),
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
        if self.announcements.delayed_after_s > self.announcements.window_s {
            bail!(
                "configuration: announcements.delayed_after_s must be at most announcements.window_s"
            );
        }
        if let Some(word) = self
            .announcements
            .reserved_words
            .iter()
            .find(|word| !domain::free_text::is_reservable(word))
        {
            bail!(
                "configuration: announcements.reserved_words: {word:?} must be at least two letters, a to z in lower case"
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
                 at least as long"
            );
        }
        self.otel.check()?;
        if self.database.connections_max < 4 {
            bail!("configuration: database.connections_max must be at least 4");
        }
        Ok(())
    }
}

impl Otel {
    fn check(&self) -> anyhow::Result<()> {
        if !(0.0..=1.0).contains(&self.sample) {
            bail!("configuration: otel.sample must be from 0 to 1");
        }
        if self.endpoint.is_empty() {
            return Ok(());
        }
        let url: Url = self
            .endpoint
            .parse()
            .context("configuration: otel.endpoint must be a URL like http://127.0.0.1:4318")?;
        if !matches!(url.scheme(), "http" | "https") {
            bail!("configuration: otel.endpoint must begin with http:// or https://");
        }
        if !url.username().is_empty() || url.query().is_some() || url.fragment().is_some() {
            bail!(
                "configuration: otel.endpoint must be a URL without user, query and fragment; headers are set by the \
                 variable OTEL_EXPORTER_OTLP_HEADERS"
            );
        }
        Ok(())
    }
}
