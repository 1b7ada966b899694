//! A box's standing, what it can do, and how it talks to us.

use crate::text_enum::text_enum;

text_enum! {
    /// Whether a box may connect: only `active` may.
    pub enum DeviceStatus as "device status" {
        /// Known to us; has no credentials yet.
        Registered = "registered",
        /// Has proved its key; may connect.
        Active = "active",
        /// Stopped by an operator, credentials revoked; may come back.
        Suspended = "suspended",
        /// Gone for good, credentials revoked.
        Retired = "retired",
    }
}

/// A step that a box's standing does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a device that is {current} cannot become {wanted}")]
pub struct InvalidTransition {
    /// The current state.
    pub current: DeviceStatus,
    /// Where it was to go.
    pub wanted: DeviceStatus,
}

impl DeviceStatus {
    /// The box proved its key with an activation code. An active box does so again when its first answer was lost
    /// or it was given a new code.
    ///
    /// # Errors
    /// When it is suspended or retired.
    pub fn activate(self) -> Result<Self, InvalidTransition> {
        match self {
            Self::Registered | Self::Active => Ok(Self::Active),
            Self::Suspended | Self::Retired => Err(self.refuse(Self::Active)),
        }
    }

    /// By an operator.
    ///
    /// # Errors
    /// When it is retired, or suspended already.
    pub fn suspend(self) -> Result<Self, InvalidTransition> {
        match self {
            Self::Registered | Self::Active => Ok(Self::Suspended),
            Self::Suspended | Self::Retired => Err(self.refuse(Self::Suspended)),
        }
    }

    /// By an operator. Its credentials were revoked, so it still needs a new activation code to connect.
    ///
    /// # Errors
    /// Unless it is suspended.
    pub fn reinstate(self) -> Result<Self, InvalidTransition> {
        match self {
            Self::Suspended => Ok(Self::Active),
            _ => Err(self.refuse(Self::Active)),
        }
    }

    /// By an operator. Final.
    ///
    /// # Errors
    /// When it is retired already.
    pub fn retire(self) -> Result<Self, InvalidTransition> {
        match self {
            Self::Retired => Err(self.refuse(Self::Retired)),
            _ => Ok(Self::Retired),
        }
    }

    /// Whether it may connect and speak.
    pub const fn may_connect(self) -> bool {
        matches!(self, Self::Active)
    }

    const fn refuse(self, wanted: Self) -> InvalidTransition {
        InvalidTransition {
            current: self,
            wanted,
        }
    }
}

text_enum! {
    /// What a box can do.
    pub enum Capability as "capability" {
        /// Has a speaker.
        Speaker = "speaker",
        /// Shows text and codes.
        Display = "display",
        /// Requests dynamic codes.
        DynamicQr = "dynamic_qr",
        /// Prints slips.
        Printer = "printer",
        /// Has keys to enter an amount.
        Keypad = "keypad",
        /// Runs without mains.
        Battery = "battery",
        /// Reads contactless cards.
        Nfc = "nfc",
        /// Reads codes.
        Scanner = "scanner",
    }
}

text_enum! {
    /// How a box talks to us.
    pub enum CommunicationMode as "communication mode" {
        /// A persistent MQTT session.
        Mqtt = "mqtt",
        /// Heartbeats over HTTPS.
        Http = "http",
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceStatus::{Active, Registered, Retired, Suspended};
    use super::*;

    #[test]
    fn every_step_of_a_standing_is_allowed_or_refused() {
        let reached = |step: fn(DeviceStatus) -> Result<DeviceStatus, InvalidTransition>| -> Vec<Option<DeviceStatus>> {
            DeviceStatus::ALL.iter().map(|status| step(*status).ok()).collect()
        };
        assert_eq!(DeviceStatus::ALL, [Registered, Active, Suspended, Retired]);
        assert_eq!(
            reached(DeviceStatus::activate),
            [Some(Active), Some(Active), None, None]
        );
        assert_eq!(
            reached(DeviceStatus::suspend),
            [Some(Suspended), Some(Suspended), None, None]
        );
        assert_eq!(
            reached(DeviceStatus::reinstate),
            [None, None, Some(Active), None]
        );
        assert_eq!(
            reached(DeviceStatus::retire),
            [Some(Retired), Some(Retired), Some(Retired), None]
        );
        let connecting: Vec<_> = DeviceStatus::ALL
            .iter()
            .filter(|status| status.may_connect())
            .collect();
        assert_eq!(connecting, [&Active]);
    }

    #[test]
    fn words_are_those_of_the_contract() {
        assert_eq!("dynamic_qr".parse(), Ok(Capability::DynamicQr));
        assert_eq!("http".parse(), Ok(CommunicationMode::Http));
        assert!("telepathy".parse::<Capability>().is_err());
    }
}
