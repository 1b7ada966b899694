//! Who may do what: one pure function, and the whole access policy.
//!
//! A box publishes to its own uplink topics and subscribes to its own downlink topics, one by one or all at once
//! (`devices/{own}/downlink/#`). Its will goes to its own `uplink/status`. A service observes: it subscribes to
//! `devices/+/uplink/#` and `devices/+/downlink/#` or exactly to parts of them, and publishes nothing.
//!
//! Topics are compared as parsed values ([`wire::Topic`] has one spelling for each), so a prefix, another case, another
//! encoding or a look-alike never matches.
//!
//! A box of another maker has a [`TopicMap`], which then decides alone: its topics are compared as whole texts, and those
//! of the contract are as foreign to it as another box's.

use certs::identity::Subject;
use wire::{Channel, DeviceId, Direction, DownlinkFilter, Topic};

use crate::fleet_filter::FleetFilter;
use crate::topic_map::TopicMap;

/// What a client does with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Publish a message to it.
    Publish,
    /// Name it as the topic of a will.
    LeaveWill,
    /// Subscribe to it.
    Subscribe,
}

/// A permitted action, with its topic parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permit {
    /// Publish on this channel of its own.
    Publish(Channel),
    /// Subscribe to these of its own downlinks.
    Subscribe(Vec<DownlinkFilter>),
    /// Receive copies of these uplinks or downlinks of the fleet.
    Observe(FleetFilter),
}

/// The action is not permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not authorized")]
pub struct Forbidden;

/// Decides whether `identity` may do `action` with `topic` (for a subscription: with this topic filter). `topics`: those of
/// a box that does not use the contract's.
pub fn authorize(
    identity: &Subject,
    topics: Option<&TopicMap>,
    action: Action,
    topic: &str,
) -> Result<Permit, Forbidden> {
    let own = match (identity, action) {
        (Subject::Device(own), _) => *own,
        (Subject::Service(_), Action::Subscribe) => {
            return FleetFilter::parse(topic)
                .map(Permit::Observe)
                .ok_or(Forbidden);
        }
        (Subject::Service(_), Action::Publish | Action::LeaveWill) => return Err(Forbidden),
    };
    if let Some(topics) = topics {
        return match action {
            Action::Publish | Action::LeaveWill => topics.channel_of(topic).map(Permit::Publish),
            Action::Subscribe => topics
                .filters_of(topic)
                .map(|filters| Permit::Subscribe(filters.to_vec())),
        }
        .ok_or(Forbidden);
    }
    match action {
        Action::Publish => own_uplink(own, topic).map(Permit::Publish),
        Action::LeaveWill => own_uplink(own, topic)
            .filter(|channel| *channel == Channel::Status)
            .map(Permit::Publish),
        Action::Subscribe => {
            DownlinkFilter::parse(own, topic).map(|filter| Permit::Subscribe(vec![filter]))
        }
    }
    .ok_or(Forbidden)
}

fn own_uplink(own: DeviceId, topic: &str) -> Option<Channel> {
    let topic: Topic = topic.parse().ok()?;
    (topic.device_id == own && topic.channel.direction() == Direction::Uplink)
        .then_some(topic.channel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    const ACTIONS: [Action; 3] = [Action::Publish, Action::LeaveWill, Action::Subscribe];

    fn device(bits: u128) -> DeviceId {
        DeviceId::from_uuid(Uuid::from_u128(bits))
    }

    /// The policy as a list: every topic that a box may use, with its action.
    fn allowed(own: DeviceId) -> Vec<(Action, String)> {
        let uplinks = Channel::UPLINKS.map(|c| (Action::Publish, Topic::new(own, c).to_string()));
        let downlinks =
            Channel::DOWNLINKS.map(|c| (Action::Subscribe, Topic::new(own, c).to_string()));
        uplinks
            .into_iter()
            .chain(downlinks)
            .chain([
                (
                    Action::LeaveWill,
                    Topic::new(own, Channel::Status).to_string(),
                ),
                (Action::Subscribe, format!("devices/{own}/downlink/#")),
            ])
            .collect()
    }

    #[test]
    fn a_box_may_do_what_the_contract_lists() {
        let own = device(7);
        for (action, topic) in allowed(own) {
            assert!(
                authorize(&Subject::Device(own), None, action, &topic).is_ok(),
                "{action:?} {topic}"
            );
        }
        assert_eq!(allowed(own).len(), 8 + 5 + 2);
    }

    fn service() -> Subject {
        Subject::Service("analytics".to_owned())
    }

    /// Every filter that an observer may use, for the whole fleet and for one device.
    fn observable(device: DeviceId) -> Vec<String> {
        let parts = Channel::ALL.map(|channel| channel.path().to_owned());
        let all = ["uplink/#".to_owned(), "downlink/#".to_owned()];
        let paths: Vec<String> = parts.into_iter().chain(all).collect();
        ["+".to_owned(), device.to_string()]
            .iter()
            .flat_map(|whose| {
                paths
                    .iter()
                    .map(move |path| format!("devices/{whose}/{path}"))
            })
            .collect()
    }

    #[test]
    fn a_service_observes_what_the_contract_lists_and_publishes_nothing() {
        let filters = observable(device(7));
        assert_eq!(filters.len(), 2 * (13 + 2));
        for filter in filters {
            assert!(
                authorize(&service(), None, Action::Subscribe, &filter).is_ok(),
                "{filter}"
            );
            for action in [Action::Publish, Action::LeaveWill] {
                assert_eq!(authorize(&service(), None, action, &filter), Err(Forbidden));
            }
        }
    }

    /// Topics near the allowed ones: another box's, wildcards, prefixes, suffixes, shared, system, case, look-alikes.
    fn near_miss() -> impl Strategy<Value = String> {
        let root = prop_oneof![
            Just("devices"),
            Just("Devices"),
            Just("device"),
            Just("/devices"),
            Just("$share/g/devices"),
            Just("$SYS/devices"),
            Just("+"),
            Just("#"),
            Just("devіces"),
            Just("%64evices"),
        ];
        let id = prop_oneof![
            Just(device(7).to_string()),
            Just(device(8).to_string()),
            Just(device(7).to_string().to_uppercase()),
            Just(device(7).as_uuid().hyphenated().to_string()),
            Just("+".to_owned()),
            Just("#".to_owned()),
            Just(String::new()),
            "sbx_[0-9a-f]{30,34}",
            Just(format!("{}\0", device(7))),
            Just(format!("{}/../{}", device(7), device(8))),
        ];
        let path = prop_oneof![
            prop::sample::select(Channel::ALL.map(|c| c.path().to_owned()).to_vec()),
            Just("downlink/#".to_owned()),
            Just("downlink/+".to_owned()),
            Just("uplink/#".to_owned()),
            Just("#".to_owned()),
            Just("downlink/payment/#".to_owned()),
            Just("downlink/payment/success/".to_owned()),
            Just("Uplink/status".to_owned()),
            "\\PC{0,12}",
        ];
        (root, id, path).prop_map(|(root, id, path)| format!("{root}/{id}/{path}"))
    }

    proptest! {
        #[test]
        fn nothing_else_is_allowed(topic in prop_oneof![near_miss(), any::<String>()]) {
            let own = device(7);
            let allowed = allowed(own);
            for action in ACTIONS {
                let listed = allowed.contains(&(action, topic.clone()));
                let granted = authorize(&Subject::Device(own), None, action, &topic).is_ok();
                prop_assert_eq!(granted, listed, "{:?} {:?}", action, topic);
            }
        }

        #[test]
        fn nothing_else_can_be_observed(filter in prop_oneof![near_miss(), any::<String>()]) {
            let devices = [device(7), device(8)];
            // Another device of the right form is observable too.
            let id = filter.split('/').nth(1).and_then(|id| id.parse().ok());
            let listed = devices.into_iter().chain(id).any(|one| observable(one).contains(&filter));
            let granted = authorize(&service(), None, Action::Subscribe, &filter).is_ok();
            prop_assert_eq!(granted, listed, "{:?}", filter);
            prop_assert!(authorize(&service(), None, Action::Publish, &filter).is_err());
            prop_assert!(authorize(&service(), None, Action::LeaveWill, &filter).is_err());
        }

        #[test]
        fn a_map_allows_what_it_names_and_nothing_of_the_contract(
            topic in prop_oneof![near_miss(), any::<String>(), Just("box/7/up".to_owned()), Just("box/7/down".to_owned()),
                                 Just("box/8/down".to_owned()), Just("box/7/down/#".to_owned())],
        ) {
            let map = TopicMap::new(
                vec![("box/7/up".to_owned(), Channel::Heartbeat)],
                vec!["box/7/down".to_owned()],
                Channel::DOWNLINKS.map(|_| "box/7/down".to_owned()),
            )
            .unwrap();
            let own = Subject::Device(device(7));
            for action in ACTIONS {
                let listed = match action {
                    Action::Publish | Action::LeaveWill => topic == "box/7/up",
                    Action::Subscribe => topic == "box/7/down",
                };
                let granted = authorize(&own, Some(&map), action, &topic).is_ok();
                prop_assert_eq!(granted, listed, "{:?} {:?}", action, topic);
            }
        }

        #[test]
        fn two_boxes_share_no_topic(a: u128, b: u128, pick in 0_usize..15) {
            prop_assume!(a != b);
            let (_, topic) = allowed(device(a)).swap_remove(pick);
            for action in ACTIONS {
                prop_assert_eq!(
                    authorize(&Subject::Device(device(b)), None, action, &topic),
                    Err(Forbidden)
                );
            }
        }
    }
}
