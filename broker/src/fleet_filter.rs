//! The topic filters of observers: the whole fleet's uplinks or downlinks, or a part of them.

use wire::{Channel, DeviceId, Direction};

/// A topic filter of an observer: `devices/{+ or one device}/{uplink/# or downlink/# or one channel}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FleetFilter {
    /// `None`: every device (`+`).
    device: Option<DeviceId>,
    channels: Channels,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Channels {
    /// `uplink/#` or `downlink/#`.
    All(Direction),
    One(Channel),
}

impl FleetFilter {
    /// Reads a topic filter. `None` is a refusal: any other wildcard, a shared subscription, or no topic of the
    /// contract at all.
    pub fn parse(filter: &str) -> Option<Self> {
        let (device, path) = filter.strip_prefix("devices/")?.split_once('/')?;
        let device = match device {
            "+" => None,
            id => Some(id.parse().ok()?),
        };
        let channels = match path {
            "uplink/#" => Channels::All(Direction::Uplink),
            "downlink/#" => Channels::All(Direction::Downlink),
            path => Channels::One(Channel::ALL.into_iter().find(|one| one.path() == path)?),
        };
        Some(Self { device, channels })
    }

    /// Whether a message on this device's channel passes.
    pub fn matches(self, device: DeviceId, channel: Channel) -> bool {
        let whose = self.device.is_none_or(|one| one == device);
        let what = match self.channels {
            Channels::All(direction) => direction == channel.direction(),
            Channels::One(one) => one == channel,
        };
        whose && what
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn device(bits: u128) -> DeviceId {
        DeviceId::from_uuid(Uuid::from_u128(bits))
    }

    #[test]
    fn a_filter_passes_what_its_text_matches() {
        let one = device(1);
        for (filter, uplink_of_one, uplink_of_another, downlink_of_one) in [
            ("devices/+/uplink/#".to_owned(), true, true, false),
            ("devices/+/downlink/#".to_owned(), false, false, true),
            ("devices/+/uplink/heartbeat".to_owned(), true, true, false),
            ("devices/+/uplink/status".to_owned(), false, false, false),
            (format!("devices/{one}/uplink/#"), true, false, false),
            (format!("devices/{one}/downlink/time"), false, false, true),
        ] {
            let parsed = FleetFilter::parse(&filter).unwrap();
            assert_eq!(
                [
                    parsed.matches(one, Channel::Heartbeat),
                    parsed.matches(device(2), Channel::Heartbeat),
                    parsed.matches(one, Channel::Time),
                ],
                [uplink_of_one, uplink_of_another, downlink_of_one],
                "{filter}"
            );
        }
    }
}
