//! The topics of the contract.
//!
//! Every topic is `devices/{device id}/` and one of thirteen fixed channels. It is parsed and printed only here, so that
//! access rules compare values and never parts of strings.

use std::fmt;
use std::str::FromStr;

use crate::ids::DeviceId;

/// The direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From a box to the platform.
    Uplink,
    /// From the platform to a box.
    Downlink,
}

/// The last part of a topic. Each channel carries exactly one type of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// A heartbeat with telemetry.
    Heartbeat,
    /// Online, after every connect; offline, as the will.
    Status,
    /// A request for a QR with an amount.
    DynamicQrRequest,
    /// The outcome of a notification.
    PaymentAck,
    /// The outcome of a command.
    CommandAck,
    /// The outcome of a configuration.
    ConfigAck,
    /// Someone at the box wants to hear the last payment again.
    ReplayRequest,
    /// Someone at the box wants to hear the total of the day.
    TotalRequest,
    /// A payment to announce.
    PaymentSuccess,
    /// The requested QR, or the error.
    DynamicQrResponse,
    /// A command to a box.
    Command,
    /// A new configuration, or a new binding.
    ConfigPush,
    /// Server time, in answer to a status.
    Time,
}

impl Channel {
    /// The channels on which a box publishes.
    pub const UPLINKS: [Self; 8] = [
        Self::Heartbeat,
        Self::Status,
        Self::DynamicQrRequest,
        Self::PaymentAck,
        Self::CommandAck,
        Self::ConfigAck,
        Self::ReplayRequest,
        Self::TotalRequest,
    ];

    /// The channels on which the platform publishes.
    pub const DOWNLINKS: [Self; 5] = [
        Self::PaymentSuccess,
        Self::DynamicQrResponse,
        Self::Command,
        Self::ConfigPush,
        Self::Time,
    ];

    /// Every channel, uplinks first.
    pub const ALL: [Self; 13] = {
        let [a, b, c, d, e, f, g, h] = Self::UPLINKS;
        let [i, j, k, l, m] = Self::DOWNLINKS;
        [a, b, c, d, e, f, g, h, i, j, k, l, m]
    };

    /// Its direction.
    pub const fn direction(self) -> Direction {
        match self {
            Self::Heartbeat
            | Self::Status
            | Self::DynamicQrRequest
            | Self::PaymentAck
            | Self::CommandAck
            | Self::ConfigAck
            | Self::ReplayRequest
            | Self::TotalRequest => Direction::Uplink,
            Self::PaymentSuccess
            | Self::DynamicQrResponse
            | Self::Command
            | Self::ConfigPush
            | Self::Time => Direction::Downlink,
        }
    }

    /// The part of the topic after `devices/{id}/`.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Heartbeat => "uplink/heartbeat",
            Self::Status => "uplink/status",
            Self::DynamicQrRequest => "uplink/dynamic-qr/request",
            Self::PaymentAck => "uplink/payment/ack",
            Self::CommandAck => "uplink/command/ack",
            Self::ConfigAck => "uplink/config/ack",
            Self::ReplayRequest => "uplink/replay-request",
            Self::TotalRequest => "uplink/total-request",
            Self::PaymentSuccess => "downlink/payment/success",
            Self::DynamicQrResponse => "downlink/dynamic-qr/response",
            Self::Command => "downlink/command",
            Self::ConfigPush => "downlink/config/push",
            Self::Time => "downlink/time",
        }
    }

    /// The `message_type` of its messages.
    pub const fn message_type(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Status => "status",
            Self::DynamicQrRequest => "dynamic_qr_request",
            Self::PaymentAck => "payment_ack",
            Self::CommandAck => "command_ack",
            Self::ConfigAck => "config_ack",
            Self::ReplayRequest => "replay_request",
            Self::TotalRequest => "total_request",
            Self::PaymentSuccess => "payment_success",
            Self::DynamicQrResponse => "dynamic_qr_response",
            Self::Command => "command",
            Self::ConfigPush => "config_push",
            Self::Time => "time",
        }
    }

    fn from_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.path() == path)
    }
}

/// The topic of one device's channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic {
    /// The device.
    pub device_id: DeviceId,
    /// The channel.
    pub channel: Channel,
}

/// The error for a text that is no topic of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a topic of the contract")]
pub struct ParseTopicError;

impl Topic {
    /// The topic of `device_id`'s `channel`.
    pub const fn new(device_id: DeviceId, channel: Channel) -> Self {
        Self { device_id, channel }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "devices/{}/{}", self.device_id, self.channel.path())
    }
}

impl FromStr for Topic {
    type Err = ParseTopicError;

    fn from_str(text: &str) -> Result<Self, ParseTopicError> {
        let (device_id, path) = split(text).ok_or(ParseTopicError)?;
        let channel = Channel::from_path(path).ok_or(ParseTopicError)?;
        Ok(Self { device_id, channel })
    }
}

/// `devices/{id}/{path}` as the id and the path.
fn split(text: &str) -> Option<(DeviceId, &str)> {
    let (id, path) = text.strip_prefix("devices/")?.split_once('/')?;
    Some((id.parse().ok()?, path))
}

/// A subscription of a box: one of its own downlink topics, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DownlinkFilter {
    /// One downlink channel.
    Exact(Channel),
    /// `devices/{own}/downlink/#`.
    All,
}

impl DownlinkFilter {
    /// Reads a topic filter as one that `own` may use. `None` is a refusal: another box's topics, an uplink, any
    /// other wildcard, a shared subscription, or no topic of the contract at all.
    pub fn parse(own: DeviceId, filter: &str) -> Option<Self> {
        let (device_id, path) = split(filter)?;
        if device_id != own {
            return None;
        }
        if path == "downlink/#" {
            return Some(Self::All);
        }
        Channel::from_path(path)
            .filter(|channel| channel.direction() == Direction::Downlink)
            .map(Self::Exact)
    }

    /// Whether messages of this channel pass.
    pub fn matches(self, channel: Channel) -> bool {
        match self {
            Self::Exact(own) => own == channel,
            Self::All => channel.direction() == Direction::Downlink,
        }
    }

    /// The filter as text, for a SUBSCRIBE.
    pub fn for_device(self, device_id: DeviceId) -> String {
        match self {
            Self::Exact(channel) => Topic::new(device_id, channel).to_string(),
            Self::All => format!("devices/{device_id}/downlink/#"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn device(bits: u128) -> DeviceId {
        DeviceId::from_uuid(Uuid::from_u128(bits))
    }

    #[test]
    fn every_topic_reads_back_as_itself() {
        for channel in Channel::ALL {
            let topic = Topic::new(device(7), channel);
            assert_eq!(topic.to_string().parse(), Ok(topic));
        }
        assert_eq!(
            Topic::new(device(7), Channel::PaymentSuccess).to_string(),
            "devices/sbx_00000000000000000000000000000007/downlink/payment/success"
        );
    }

    #[test]
    fn all_is_the_uplinks_then_the_downlinks() {
        let parts: Vec<_> = Channel::UPLINKS
            .into_iter()
            .chain(Channel::DOWNLINKS)
            .collect();
        assert_eq!(parts, Channel::ALL);
        for channel in Channel::ALL {
            let up = channel.path().starts_with("uplink/");
            assert_eq!(channel.direction() == Direction::Uplink, up);
            assert_eq!(Channel::UPLINKS.contains(&channel), up);
        }
    }

    #[test]
    fn texts_that_resemble_a_topic_are_refused() {
        let id = device(7);
        for text in [
            String::new(),
            format!("/devices/{id}/uplink/status"),
            format!("devices/{id}/uplink/status/"),
            format!("devices/{id}//uplink/status"),
            format!("devices/{id}/uplink"),
            format!("devices/{id}/uplink/+"),
            format!("devices/{id}/downlink/#"),
            format!("devices/{id}/uplink/status\0"),
            format!("Devices/{id}/uplink/status"),
            "devices/+/uplink/status".to_owned(),
            "devices/sbx_1/uplink/status".to_owned(),
            "$SYS/broker".to_owned(),
        ] {
            assert_eq!(text.parse::<Topic>(), Err(ParseTopicError), "{text:?}");
        }
    }

    #[test]
    fn a_box_subscribes_only_to_its_own_downlinks() {
        let (own, other) = (device(7), device(8));
        assert_eq!(
            DownlinkFilter::parse(own, &format!("devices/{own}/downlink/#")),
            Some(DownlinkFilter::All)
        );
        for channel in Channel::ALL {
            let expected = (channel.direction() == Direction::Downlink)
                .then_some(DownlinkFilter::Exact(channel));
            assert_eq!(
                DownlinkFilter::parse(own, &Topic::new(own, channel).to_string()),
                expected
            );
            assert_eq!(
                DownlinkFilter::parse(own, &Topic::new(other, channel).to_string()),
                None
            );
        }
        for filter in [
            "#".to_owned(),
            "devices/#".to_owned(),
            "devices/+/downlink/#".to_owned(),
            format!("devices/{other}/downlink/#"),
            format!("devices/{own}/#"),
            format!("devices/{own}/uplink/#"),
            format!("devices/{own}/downlink/+"),
            format!("devices/{own}/downlink/+/success"),
            format!("devices/{own}/downlink/payment/#"),
            format!("devices/{own}/downlink/"),
            format!("devices/{own}/downlink"),
            format!("$share/g/devices/{own}/downlink/#"),
        ] {
            assert_eq!(DownlinkFilter::parse(own, &filter), None, "{filter}");
        }
    }

    #[test]
    fn a_filter_prints_as_what_it_was_parsed_from() {
        let own = device(7);
        let filters = Channel::DOWNLINKS
            .map(DownlinkFilter::Exact)
            .into_iter()
            .chain([DownlinkFilter::All]);
        for filter in filters {
            assert_eq!(
                DownlinkFilter::parse(own, &filter.for_device(own)),
                Some(filter)
            );
            for channel in Channel::UPLINKS {
                assert!(!filter.matches(channel));
            }
        }
        assert!(DownlinkFilter::All.matches(Channel::Time));
        assert!(DownlinkFilter::Exact(Channel::Time).matches(Channel::Time));
        assert!(!DownlinkFilter::Exact(Channel::Time).matches(Channel::Command));
    }

    proptest! {
        #[test]
        fn what_parses_prints_the_same(text in "devices/(sbx_[0-9a-f]{32}|.{0,8})/(uplink|downlink)/(heartbeat|status|time|command|command/ack|#|\\PC{0,8})") {
            if let Ok(topic) = text.parse::<Topic>() {
                prop_assert_eq!(topic.to_string(), text);
            }
        }
    }
}
