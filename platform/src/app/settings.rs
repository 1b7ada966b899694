//! Settings and limits, taken from the configuration.

use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::Context as _;
use chrono::TimeDelta;
use domain::announcement::{AnnouncementPolicy, ResendPolicy};
use domain::box_profile::{BoxValues, NATIVE, Profile};
use domain::health::HealthPolicy;
use domain::payment_time::ClockPolicy;
use domain::webhook::TargetPolicy;
use service::Settings;
use service::fleet::box_profile::BoxProfiles;
use service::settings::{DailyRun, MqttPorts, MqttSettings, RetryBackoff};
use wire::Rupiah;
use wire::ids::DeviceId;

use super::partners;
use crate::config::{Config, Switch};

/// The longest that the answer to a heartbeat over HTTP is held back.
const LONG_POLL_MAX: Duration = Duration::from_secs(25);
/// The part of a request's time limit that is left for the answer itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The settings of use cases.
///
/// # Errors
/// A value that cannot be used, with its key.
pub(super) fn settings(config: &Config, mqtt_ports: MqttPorts) -> anyhow::Result<Settings> {
    let seconds = |seconds: u32| TimeDelta::seconds(i64::from(seconds));
    let days = |days: u32| TimeDelta::days(i64::from(days));
    let mqtt_host = match config.mqtt.public_host.as_str() {
        "" => config.pki.server_names.first().cloned().unwrap_or_default(),
        host => host.to_owned(),
    };
    Ok(Settings {
        reserved_words: config.announcements.reserved_words.clone(),
        announcement: AnnouncementPolicy {
            plain_for: seconds(config.announcements.delayed_after_s),
            announce_for: seconds(config.announcements.window_s),
        },
        resend: ResendPolicy {
            first: Duration::from_secs(config.announcements.resend_first_s.into()),
            longest: Duration::from_secs(config.announcements.resend_max_s.into()),
        },
        amount_max: Rupiah::from_i64(config.payments.amount_max),
        clocks: ClockPolicy {
            skew_max: seconds(config.payments.clock_skew_max_s),
            age_max: TimeDelta::hours(i64::from(config.payments.paid_at_age_max_h)),
        },
        qr_lifetime: seconds(config.payments.qr_lifetime_s),
        query_before_expiry: seconds(config.payments.query_before_expiry_s),
        // Longer than the call and its repetitions may take.
        partner_lease: TimeDelta::milliseconds(
            i64::try_from(config.payments.partner_timeout_ms.saturating_mul(4)).unwrap_or(60_000),
        ),
        qr_partner: partners::issuing(config)?,
        acquirer_guid: config
            .payments
            .acquirer_guid
            .parse()
            .context("configuration: payments.acquirer_guid")?,
        certificate_lifetime: days(config.pki.device_certificate_days),
        rsa_device_keys: config.pki.rsa_keys(),
        crl_lifetime: TimeDelta::hours(i64::from(config.pki.crl_valid_h)),
        device_token_lifetime: days(config.devices.token_days),
        activation_code_lifetime: days(config.devices.activation_code_days),
        activation_failures_max: i64::from(config.devices.activation_failures_per_hour_max),
        activation_failures_per_address_max: i64::from(
            config.devices.activation_failures_per_address_per_hour_max,
        ),
        heartbeat_interval_s: config.devices.heartbeat_interval_s,
        long_poll_max: LONG_POLL_MAX.min(
            Duration::from_millis(config.http.request_timeout_ms).saturating_sub(ANSWER_WITHIN),
        ),
        health: health(config)?,
        timestamp_tolerance: seconds(config.callbacks.timestamp_tolerance_s),
        rejected_bytes_max: config.callbacks.rejected_bytes_max,
        webhook_targets: webhook_targets(config),
        idempotency_lifetime: TimeDelta::hours(i64::from(config.idempotency.lifetime_h)),
        mqtt: MqttSettings {
            host: mqtt_host,
            ports: mqtt_ports,
            profiles: box_profiles(config)?,
        },
        demo: config.demo.enabled,
        payout_partner: partners::paying(config)?,
        file_formats: partners::file_formats(config)?,
        reconciliation_bytes_max: config.reconciliation.bytes_max,
        maker_checker: config.money.maker_checker == Switch::On,
        confirm_wait: TimeDelta::hours(i64::from(config.money.confirm_wait_h)),
        payouts: RetryBackoff {
            ask_after: seconds(config.money.payout_ask_after_s),
            wait_min: seconds(config.money.payout_wait_min_s),
            wait_max: seconds(config.money.payout_wait_max_s),
        },
        daily_run: match config.money.daily_run {
            Switch::Off => None,
            Switch::On => Some(DailyRun {
                ends_at: config.money.business_day_ends_at()?,
                grace: TimeDelta::minutes(i64::from(config.money.daily_run_after_min)),
            }),
        },
    })
}

/// The profiles of other makers' boxes: those that are built in, then those of the configuration.
fn box_profiles(config: &Config) -> anyhow::Result<BoxProfiles> {
    let mut profiles = Profile::all_built_in().to_vec();
    for (name, file) in &config.box_profiles {
        let key = || format!("configuration: box_profiles.{name}: {}", file.display());
        let text = std::fs::read_to_string(file).with_context(key)?;
        let profile = Profile::parse(name, &text).with_context(key)?;
        if name == NATIVE || profile.speaks_contract() {
            anyhow::bail!(
                "{}: only profiles of other makers' boxes are set here",
                key()
            );
        }
        profiles.push(profile);
    }
    let known = BoxProfiles::new(profiles);
    for (name, file) in &config.box_profiles {
        // Whether the edge takes its topics, as far as that does not depend on the box.
        let some_box = BoxValues {
            serial: "SN1".to_owned(),
            imei: Some("123456789012345".to_owned()),
            product_key: Some("KEY".to_owned()),
            device_id: DeviceId::from_uuid(uuid::Uuid::nil()),
        };
        let vendor = known.vendor_box(name, some_box);
        vendor
            .map_or(Ok(()), |vendor| bridge::topic_map(&vendor).map(drop))
            .with_context(|| format!("configuration: box_profiles.{name}: {}", file.display()))?;
    }
    Ok(known)
}

fn health(config: &Config) -> anyhow::Result<HealthPolicy> {
    let seconds = |seconds: u32| TimeDelta::seconds(i64::from(seconds));
    let health = &config.health;
    Ok(HealthPolicy {
        trading_hours: health
            .trading_hours
            .parse()
            .context("configuration: health.trading_hours")?,
        offline_after: seconds(health.offline_after_s),
        unheard_after: seconds(health.unheard_after_s),
        certificate_expires_within: TimeDelta::days(i64::from(
            health.certificate_expires_within_days,
        )),
        battery_low_percent: health.battery_low_percent.into(),
        signal_weak_percent: health.signal_weak_percent.into(),
        flips_max: health.flips_max.into(),
        flips_within: TimeDelta::minutes(i64::from(health.flips_within_min)),
        clock_skew_max: seconds(health.clock_skew_max_s),
    })
}

/// The rate limits of the API; zero means none. Without TLS the platform is behind a proxy, whose address all clients share.
pub(super) fn rates(config: &Config) -> http_api::rate::Quotas {
    let direct = config.http.tls == Switch::On;
    http_api::rate::Quotas {
        per_principal: NonZeroU32::new(config.http.rate_per_principal_per_s),
        per_address: NonZeroU32::new(config.http.rate_per_address_per_s).filter(|_| direct),
        direct,
    }
}

/// The limits of the MQTT edge.
pub(super) fn edge_limits(config: &Config) -> broker::Limits {
    let mqtt = &config.mqtt;
    broker::Limits {
        connections_max: mqtt.connections_max,
        connections_per_address_max: mqtt.connections_per_address_max,
        unauthenticated_max: mqtt.unauthenticated_max,
        accepts_per_address_per_s: mqtt.accept_rate_per_address_per_s,
        handshake_ms_max: mqtt.handshake_timeout_ms,
        connect_ms_max: mqtt.connect_timeout_ms,
        failed_logins_per_s: mqtt.vendor.failed_logins_per_s,
        packet_bytes_max: mqtt.packet_bytes_max,
        will_bytes_max: mqtt.will_bytes_max,
        packets_per_s_max: mqtt.packets_per_s_max,
        publishes_per_s_max: mqtt.publishes_per_s_max,
        uplinks_unacknowledged_max: mqtt.uplink_unacked_max,
        payment_acks_unacknowledged_max: mqtt.uplink_unacked_max,
        subscriptions_max: mqtt.subscriptions_max,
        in_flight_max: mqtt.downlink_inflight_max,
        queue_max: mqtt.downlink_queue_max,
        silence_s_max: mqtt.keepalive_ceiling_s,
        write_ms_max: mqtt.write_timeout_ms,
        session_expiry_s_max: mqtt.session_expiry_max_s,
        observers_max: mqtt.observers_max,
        observer_queue_bytes_max: mqtt.observer_queue_bytes_max,
        ..broker::Limits::default()
    }
}

/// Where webhook messages may be sent.
pub(super) fn webhook_targets(config: &Config) -> TargetPolicy {
    TargetPolicy {
        http: config.webhooks.allow_http,
        private: config.webhooks.allow_private_addresses,
    }
}
