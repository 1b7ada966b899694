//! The receiving sides of the router's links.

use rumqttd::local::LinkRx;
use rumqttd::{Forward, Notification};
use wire::{DeviceId, Topic};

use super::label::Label;
use crate::downlink::Message;
use crate::expiry::expires_at;
use crate::observers::Observed;

/// The receiving sides of one router.
#[derive(Debug)]
pub(crate) struct Receivers {
    pub(super) downlinks: Receiver,
    pub(super) observed: Receiver,
}

#[derive(Debug)]
pub(super) struct Receiver {
    link: LinkRx,
    /// The expected offset of the next message of each ring. There is one ring for each direction.
    expected: [Option<u64>; 2],
}

impl Receiver {
    pub(super) fn new(link: LinkRx) -> Self {
        Self {
            link,
            expected: [None; 2],
        }
    }

    /// Passes what is forwarded to `take`, until the router ends.
    pub(super) async fn run(&mut self, take: impl Fn(Forward)) {
        loop {
            match self.link.next().await {
                Ok(Some(Notification::Forward(forward))) => {
                    self.count_overwritten(&forward);
                    take(forward);
                }
                // The link was read too slowly, and the router pauses until it is woken. Everything before this
                // notification has been delivered.
                Ok(Some(Notification::Unschedule)) => {
                    if self.link.wake().await.is_err() {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
                Ok(Some(Notification::Disconnect(..))) | Err(_) => return,
                Ok(Some(_) | None) => {}
            }
        }
    }

    fn count_overwritten(&mut self, forward: &Forward) {
        let Some((_, offset)) = forward.cursor else {
            return;
        };
        let is_uplink = forward
            .publish
            .topic
            .windows(8)
            .any(|part| part == b"/uplink/");
        let expected = &mut self.expected[usize::from(is_uplink)];
        if let Some(expected) = *expected
            && offset > expected
        {
            metrics::counter!("mqtt_router_overwritten_total").increment(offset - expected);
        }
        *expected = Some(offset + 1);
    }
}

pub(super) fn read(forward: Forward) -> Option<(DeviceId, Message)> {
    let Forward {
        publish,
        properties,
        ..
    } = forward;
    let topic: Topic = std::str::from_utf8(&publish.topic).ok()?.parse().ok()?;
    let properties = properties?;
    let label = Label::from_bytes(properties.correlation_data?)?;
    let message = Message {
        topic: publish.topic,
        channel: topic.channel,
        payload: publish.payload,
        key: label.key,
        expires_at: expires_at(properties.message_expiry_interval),
        sequence: label.sequence,
    };
    Some((topic.device_id, message))
}

/// A copy for observers, without the downlink's label.
pub(super) fn read_observed(forward: Forward) -> Option<Observed> {
    let Forward {
        publish,
        properties,
        ..
    } = forward;
    let topic: Topic = std::str::from_utf8(&publish.topic).ok()?.parse().ok()?;
    let (expiry_s, user_properties) = properties
        .map(|properties| {
            (
                properties.message_expiry_interval,
                properties.user_properties,
            )
        })
        .unwrap_or_default();
    Some(Observed {
        device_id: topic.device_id,
        channel: topic.channel,
        topic: publish.topic,
        payload: publish.payload,
        expires_at: expires_at(expiry_s),
        user_properties,
    })
}
