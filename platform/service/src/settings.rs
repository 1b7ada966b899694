//! The settings that use cases depend on, taken from the configuration.

use std::collections::HashMap;
use std::time::Duration;

use certs::csr::RsaKeys;
use chrono::{NaiveTime, TimeDelta};
use domain::announcement::{AnnouncementPolicy, ResendPolicy};
use domain::health::HealthPolicy;
use domain::payment_time::ClockPolicy;
use domain::reconciliation::Format;
use domain::registration::AcquirerGuid;
use domain::webhook::TargetPolicy;
use wire::Rupiah;

use crate::fleet::box_profile::BoxProfiles;

/// The settings that use cases depend on, taken from the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long payments are announced.
    pub announcement: AnnouncementPolicy,
    /// Words that no free text may use, in addition to those of [`domain::free_text`].
    pub reserved_words: Vec<String>,
    /// When an unacknowledged notification is sent again.
    pub resend: ResendPolicy,
    /// The largest payment.
    pub amount_max: Rupiah,
    /// The limits of partners' clocks.
    pub clocks: ClockPolicy,
    /// How long a dynamic code can be paid.
    pub qr_lifetime: TimeDelta,
    /// How long before its expiry the partner is asked about a code.
    pub query_before_expiry: TimeDelta,
    /// How long a request for a partner's code has it to itself.
    pub partner_lease: TimeDelta,
    /// The partner that merchants are registered with and that calls back for codes built here.
    pub qr_partner: String,
    /// Tag 26.00 of codes built here.
    pub acquirer_guid: AcquirerGuid,
    /// Validity of device certificates.
    pub certificate_lifetime: TimeDelta,
    /// Whether devices may have RSA keys.
    pub rsa_device_keys: RsaKeys,
    /// Validity of a certificate revocation list.
    pub crl_lifetime: TimeDelta,
    /// Validity of device tokens.
    pub device_token_lifetime: TimeDelta,
    /// Validity of activation codes.
    pub activation_code_lifetime: TimeDelta,
    /// Wrong activation codes per hour, for each pair of serial number and address.
    pub activation_failures_max: i64,
    /// Wrong activation codes per hour, from each address.
    pub activation_failures_per_address_max: i64,
    /// The heartbeat interval in devices' configuration, seconds.
    pub heartbeat_interval_s: u32,
    /// The longest that the answer to a heartbeat over HTTP is held back.
    pub long_poll_max: Duration,
    /// The thresholds of health alerts.
    pub health: HealthPolicy,
    /// How far a partner's timestamp may be from ours.
    pub timestamp_tolerance: TimeDelta,
    /// The largest part of a rejected callback that is kept, bytes.
    pub rejected_bytes_max: usize,
    /// Where webhook messages may be sent.
    pub webhook_targets: TargetPolicy,
    /// How long an answer is kept for its idempotency key.
    pub idempotency_lifetime: TimeDelta,
    /// How boxes join by MQTT.
    pub mqtt: MqttSettings,
    /// Whether demonstration data may be made.
    pub demo: bool,
    /// The partner that carries out payouts, if any.
    pub payout_partner: Option<String>,
    /// The file formats of acquirers, by partner; the others use the default format.
    pub file_formats: HashMap<String, Format>,
    /// The largest file, bytes.
    pub reconciliation_bytes_max: usize,
    /// Whether changes that move money or create users need a second person.
    pub maker_checker: bool,
    /// How long a user's account must have been unchanged before its owner may confirm anything.
    pub confirm_wait: TimeDelta,
    /// When the payout job tries again.
    pub payouts: RetryBackoff,
    /// When the daily settlement run happens, if at all.
    pub daily_run: Option<DailyRun>,
}

/// How boxes join by MQTT.
#[derive(Debug, Clone, Default)]
pub struct MqttSettings {
    /// The host.
    pub host: String,
    /// The ports.
    pub ports: MqttPorts,
    /// The profiles of other makers' boxes.
    pub profiles: BoxProfiles,
}

/// On which ports MQTT is served.
#[derive(Debug, Clone, Copy, Default)]
pub struct MqttPorts {
    /// For boxes with a certificate.
    pub certificate: u16,
    /// For boxes with a password, by TLS, if that is on.
    pub password: Option<u16>,
    /// For boxes with a password, without TLS, if that is on.
    pub plain: Option<u16>,
}

impl Settings {
    /// The file format of this acquirer.
    pub(super) fn file_format(&self, partner_id: &str) -> Format {
        let default = || Format {
            reference_column: "partner_reference".into(),
            amount_column: "amount".into(),
            delimiter: b',',
            decimal_comma: false,
        };
        self.file_formats
            .get(partner_id)
            .cloned()
            .unwrap_or_else(default)
    }

    /// [`Settings::heartbeat_interval_s`] as the type of the database's column.
    pub(super) fn heartbeat_interval(&self) -> i32 {
        i32::try_from(self.heartbeat_interval_s).unwrap_or(i32::MAX)
    }
}

/// When the payout job asks or instructs the partner again.
#[derive(Debug, Clone, Copy)]
pub struct RetryBackoff {
    /// From the partner's answer that it is processing a payout to the next question.
    pub ask_after: TimeDelta,
    /// From a try without an answer to the next one; doubled with each try. Longer than a call to the partner may take.
    pub wait_min: TimeDelta,
    /// The longest wait.
    pub wait_max: TimeDelta,
}

impl RetryBackoff {
    /// The wait after this many tries.
    pub(super) fn wait(&self, tries: i32) -> TimeDelta {
        let doublings = tries.clamp(0, 16);
        self.wait_min
            .checked_mul(1 << doublings)
            .unwrap_or(self.wait_max)
            .min(self.wait_max)
    }
}

/// When the daily settlement run happens.
#[derive(Debug, Clone, Copy)]
pub struct DailyRun {
    /// When a business day ends, WIB.
    pub ends_at: NaiveTime,
    /// How long after that callbacks of the day are waited for.
    pub grace: TimeDelta,
}
