//! Copies of a box's messages for the observers.

use std::sync::Arc;

use bytes::Bytes;
use wire::{Channel, Topic};

use crate::host::{SessionKey, Uplink};
use crate::observers::Observers;
use crate::protocol::UserProperties;
use crate::router::Router;

#[derive(Debug, Clone)]
pub(crate) struct Copies {
    pub(crate) observers: Arc<Observers>,
    pub(crate) router: Arc<Router>,
}

/// A copy that is published when the platform has stored the original.
#[derive(Debug)]
pub(crate) struct Prepared {
    topic: Topic,
    payload: Bytes,
    user_properties: UserProperties,
}

impl Copies {
    /// A copy of an uplink, if there is an observer.
    pub(crate) fn of(&self, uplink: &Uplink, user_properties: UserProperties) -> Option<Prepared> {
        self.observers.any().then(|| Prepared {
            topic: Topic::new(uplink.session.device_id, uplink.channel),
            payload: uplink.payload.clone(),
            user_properties,
        })
    }

    pub(crate) fn publish(&self, copy: Option<Prepared>) {
        if let Some(copy) = copy {
            self.router
                .publish_uplink(copy.topic, copy.payload, copy.user_properties);
        }
    }

    /// Publishes the will of a box whose connection was lost, as the status that the box did not send.
    pub(crate) fn publish_will(
        &self,
        session: SessionKey,
        payload: Bytes,
        user_properties: UserProperties,
    ) {
        if self.observers.any() {
            let topic = Topic::new(session.device_id, Channel::Status);
            self.router.publish_uplink(topic, payload, user_properties);
        }
    }
}
