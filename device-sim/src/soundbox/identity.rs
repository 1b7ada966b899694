//! The identity and state with which a box starts.

use chrono::{DateTime, TimeDelta, Utc};
use wire::{BindingId, DeviceId, VerifyingKeys};

use super::settings::Settings;

/// The identity of a box from its credentials, and its simulated hardware.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its id.
    pub device_id: DeviceId,
    /// The platform's keys.
    pub keys: VerifyingKeys,
    /// Its binding to a terminal.
    pub binding_id: Option<BindingId>,
    /// The version of the newest configuration that it received.
    pub config_version: i64,
    /// Its settings.
    pub settings: Settings,
    /// The firmware version that it reports.
    pub firmware_version: String,
    /// Its transport: `mqtt` or `http`.
    pub transport: &'static str,
    /// Its measurements.
    pub vitals: Vitals,
    /// The clock by which it states times.
    pub wall_clock: WallClock,
}

/// The measurements that a box reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vitals {
    /// 0–100.
    pub network_strength: u8,
    /// 0–100.
    pub battery_level: u8,
}

impl Default for Vitals {
    fn default() -> Self {
        Self {
            network_strength: 78,
            battery_level: 92,
        }
    }
}

/// The clock by which a box states times, in heartbeats and acknowledgements. Only the trusted clock decides what is
/// spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WallClock {
    /// It is correct.
    #[default]
    Right,
    /// It is off by this much.
    Off(TimeDelta),
    /// The box has none.
    Absent,
}

impl WallClock {
    /// The time that it shows at `time`.
    pub fn shows(self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Right => Some(time),
            Self::Off(by) => time.checked_add_signed(by),
            Self::Absent => None,
        }
    }
}
