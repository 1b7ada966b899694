//! What a box is when it is switched on.

use chrono::{DateTime, TimeDelta, Utc};
use wire::{BindingId, DeviceId, VerifyingKeys};

use super::settings::Settings;

/// Who a box is, from its credentials, and in what shape.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its id.
    pub device_id: DeviceId,
    /// The keys it was given.
    pub keys: VerifyingKeys,
    /// Where it belongs.
    pub binding_id: Option<BindingId>,
    /// The newest configuration that it was sent.
    pub config_version: i64,
    /// What it is set to.
    pub settings: Settings,
    /// The firmware it says it runs.
    pub firmware_version: String,
    /// How it is connected: `mqtt` or `http`.
    pub transport: &'static str,
    /// What it measures.
    pub vitals: Vitals,
    /// The clock that it states times by.
    pub wall_clock: WallClock,
}

/// What a box measures of itself.
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

/// The clock by which a box states times, in beats and acknowledgements. It never decides what is spoken: that is
/// the trusted clock's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WallClock {
    /// It is right.
    #[default]
    Right,
    /// It is off by so much.
    Off(TimeDelta),
    /// The box has none.
    Absent,
}

impl WallClock {
    /// What it shows, when it is `time`.
    pub fn shows(self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Right => Some(time),
            Self::Off(by) => time.checked_add_signed(by),
            Self::Absent => None,
        }
    }
}
