//! The topics of one box that does not use those of the contract.
//!
//! The host makes a map for each such session from that device's own values. A map only names topics: where a message
//! goes is decided by the session it belongs to. So of two boxes with the same topic none receives what is for the other, and
//! what several publish on one topic is attributed to whoever sent it.

use std::sync::Arc;

use bytes::Bytes;
use wire::{Channel, Direction, DownlinkFilter};

/// The longest topic, bytes.
const TOPIC_BYTES_MAX: usize = 256;
/// The most topics in one direction.
const TOPICS_MAX: usize = 16;

/// What a box of another maker may publish and subscribe to. Topics are compared as whole texts; there are no wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMap {
    publish: Vec<(Arc<str>, Channel)>,
    /// Each topic that it may subscribe to, with the downlinks that go out on it.
    subscribe: Vec<(String, Vec<DownlinkFilter>)>,
    downlink: [Bytes; Channel::DOWNLINKS.len()],
}

/// Why topics make no map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicMapError {
    /// Empty, too long, or with a character that a topic name must not have.
    #[error("not the name of a topic: {0:?}")]
    Topic(String),
    /// The same topic twice in one direction.
    #[error("twice: {0:?}")]
    Twice(String),
    /// A message is published on a channel of downlinks.
    #[error("not an uplink: {0:?}")]
    Uplink(Channel),
    /// Downlinks go out on a topic that the box may not subscribe to.
    #[error("messages go out on {0:?}, which the box does not subscribe to")]
    NotSubscribed(String),
    /// More topics than a box can need.
    #[error("more than {TOPICS_MAX} topics")]
    TooMany,
}

impl TopicMap {
    /// A map. `publish`: what the box may publish, each with the channel as which its messages are limited, counted and
    /// copied to observers. `subscribe`: what it may subscribe to. `downlink`: the topic on which each of
    /// [`Channel::DOWNLINKS`] goes out.
    ///
    /// # Errors
    /// [`TopicMapError`].
    pub fn new(
        publish: Vec<(String, Channel)>,
        subscribe: Vec<String>,
        downlink: [String; Channel::DOWNLINKS.len()],
    ) -> Result<Self, TopicMapError> {
        if publish.len() > TOPICS_MAX || subscribe.len() > TOPICS_MAX {
            return Err(TopicMapError::TooMany);
        }
        let names = publish.iter().map(|(topic, _)| topic).chain(&subscribe);
        if let Some(bad) = names.chain(&downlink).find(|topic| !is_name(topic)) {
            return Err(TopicMapError::Topic(bad.clone()));
        }
        if let Some((_, channel)) = publish
            .iter()
            .find(|(_, channel)| channel.direction() != Direction::Uplink)
        {
            return Err(TopicMapError::Uplink(*channel));
        }
        if let Some(twice) = twice(publish.iter().map(|(topic, _)| topic.as_str()))
            .or_else(|| twice(subscribe.iter().map(String::as_str)))
        {
            return Err(TopicMapError::Twice(twice.to_owned()));
        }
        if let Some(topic) = downlink.iter().find(|topic| !subscribe.contains(topic)) {
            return Err(TopicMapError::NotSubscribed(topic.clone()));
        }
        let subscribe = subscribe
            .into_iter()
            .map(|topic| {
                let on_it: Vec<Channel> = Channel::DOWNLINKS
                    .into_iter()
                    .zip(&downlink)
                    .filter(|(_, its)| **its == topic)
                    .map(|(channel, _)| channel)
                    .collect();
                let filters = if on_it.len() == Channel::DOWNLINKS.len() {
                    vec![DownlinkFilter::All]
                } else {
                    on_it.into_iter().map(DownlinkFilter::Exact).collect()
                };
                (topic, filters)
            })
            .collect();
        Ok(Self {
            publish: publish
                .into_iter()
                .map(|(topic, channel)| (topic.into(), channel))
                .collect(),
            subscribe,
            downlink: downlink.map(Bytes::from),
        })
    }

    /// The channel as which a message on this topic counts, if the box may publish it.
    pub fn channel_of(&self, topic: &str) -> Option<Channel> {
        self.published(topic).map(|(_, channel)| *channel)
    }

    /// A topic that the box may publish, shared, and the channel as which a message on it counts.
    pub(crate) fn published(&self, topic: &str) -> Option<&(Arc<str>, Channel)> {
        self.publish.iter().find(|(known, _)| &**known == topic)
    }

    /// The downlinks that go out on this topic, if the box may subscribe to it.
    pub fn filters_of(&self, topic: &str) -> Option<&[DownlinkFilter]> {
        let known = self.subscribe.iter().find(|(known, _)| known == topic);
        known.map(|(_, filters)| filters.as_slice())
    }

    /// The topic on which a downlink goes out. `None` for an uplink.
    pub fn topic_of(&self, channel: Channel) -> Option<&Bytes> {
        let place = Channel::DOWNLINKS.iter().position(|one| *one == channel)?;
        self.downlink.get(place)
    }
}

fn is_name(topic: &str) -> bool {
    !topic.is_empty()
        && topic.len() <= TOPIC_BYTES_MAX
        && !topic.starts_with('$')
        && !topic
            .chars()
            .any(|c| matches!(c, '+' | '#') || c.is_control())
}

fn twice<'a>(topics: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = std::collections::HashSet::new();
    let mut topics = topics;
    topics.find(|topic| !seen.insert(*topic))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(publish: &[&str], subscribe: &[&str], out: &str) -> Result<TopicMap, TopicMapError> {
        TopicMap::new(
            publish
                .iter()
                .map(|topic| ((*topic).to_owned(), Channel::Heartbeat))
                .collect(),
            subscribe.iter().map(|topic| (*topic).to_owned()).collect(),
            Channel::DOWNLINKS.map(|_| out.to_owned()),
        )
    }

    #[test]
    fn topics_are_names_and_each_is_there_once() {
        assert!(map(&["box/1/up"], &["box/1/down"], "box/1/down").is_ok());
        for bad in ["", "a/+", "a/#", "#", "$share/g/a", "$SYS/a", "a\0", "a\nb"] {
            let bad = Err(TopicMapError::Topic(bad.to_owned()));
            let Err(TopicMapError::Topic(name)) = &bad else {
                unreachable!()
            };
            assert_eq!(map(&[name], &["down"], "down"), bad);
            assert_eq!(map(&["up"], &["down", name], "down"), bad);
        }
        let long = "a".repeat(TOPIC_BYTES_MAX + 1);
        assert_eq!(
            map(&[&long], &["d"], "d"),
            Err(TopicMapError::Topic(long.clone()))
        );
        assert_eq!(
            map(&["up", "up"], &["d"], "d"),
            Err(TopicMapError::Twice("up".to_owned()))
        );
        assert_eq!(
            map(&["up"], &["d"], "elsewhere"),
            Err(TopicMapError::NotSubscribed("elsewhere".to_owned()))
        );
    }

    #[test]
    fn a_topic_carries_those_downlinks_that_go_out_on_it() {
        let one = map(&["up"], &["down"], "down").unwrap();
        assert_eq!(one.filters_of("down"), Some(&[DownlinkFilter::All][..]));
        assert_eq!(one.filters_of("down/"), None);
        assert_eq!(one.channel_of("up"), Some(Channel::Heartbeat));
        assert_eq!(one.channel_of("down"), None);
        let two = TopicMap::new(
            vec![],
            vec!["pay".to_owned(), "rest".to_owned()],
            Channel::DOWNLINKS.map(|channel| match channel {
                Channel::PaymentSuccess => "pay".to_owned(),
                _ => "rest".to_owned(),
            }),
        )
        .unwrap();
        assert_eq!(
            two.filters_of("pay"),
            Some(&[DownlinkFilter::Exact(Channel::PaymentSuccess)][..])
        );
        assert_eq!(two.filters_of("rest").unwrap().len(), 4);
        assert_eq!(two.topic_of(Channel::Command).unwrap(), "rest");
        assert_eq!(two.topic_of(Channel::Heartbeat), None);
    }
}
