//! A platform in memory: a registry, kept sessions, and a record of all it was told. Its answers can be held back.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use broker::{
    Admission, Connecting, EndReason, Host, ObserverConnecting, Refusal, SessionEnd, SessionKey,
    Subscription, Unavailable, Uplink,
};
use bytes::Bytes;
use tokio::sync::watch;
use wire::{Channel, DeviceId};

use super::within;

/// Something that a story waits for before it goes on.
#[derive(Debug)]
pub(crate) struct Gate(watch::Sender<bool>);

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(true))
    }
}

impl Gate {
    pub(crate) fn close(&self) {
        self.0.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    async fn pass(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// What the host was told, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Admitting(DeviceId),
    Subscriptions(SessionKey, bool, Vec<Subscription>),
    Listening(SessionKey),
    /// An uplink has begun.
    Uplink(SessionKey, Channel, Bytes),
    Ended(SessionKey, EndReason, Option<Bytes>, bool),
}

#[derive(Debug, Default)]
struct Kept {
    epoch: i64,
    subscriptions: Option<Vec<Subscription>>,
}

#[derive(Debug, Default)]
pub(crate) struct FakeHost {
    pub(crate) admitting: Gate,
    pub(crate) uplinks: Gate,
    /// Heartbeats alone.
    pub(crate) heartbeats: Gate,
    pub(crate) subscribing: Gate,
    pub(crate) ending: Gate,
    pub(crate) refused: Mutex<HashSet<DeviceId>>,
    /// Certificates of services that may not observe.
    pub(crate) refused_observers: Mutex<HashSet<String>>,
    /// Uplinks and subscriptions cannot be taken.
    pub(crate) unavailable: Mutex<bool>,
    pub(crate) connecting: Mutex<Vec<Connecting>>,
    kept: Mutex<HashMap<DeviceId, Kept>>,
    told: watch::Sender<Vec<Told>>,
    /// Uplinks are not recorded: there will be very many.
    pub(crate) forgetful: AtomicBool,
    /// What boxes changed their session's expiry to with their last words.
    pub(crate) changed_expiries: Mutex<Vec<u32>>,
}

impl FakeHost {
    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.borrow().clone()
    }

    fn tell(&self, told: Told) {
        self.told.send_modify(|all| all.push(told));
    }

    /// Waits until the host was told something that this picks out.
    pub(crate) async fn was_told<T>(&self, what: &str, pick: impl Fn(&Told) -> Option<T>) -> T {
        let mut told = self.told.subscribe();
        let found = told.wait_for(|all| all.iter().any(|one| pick(one).is_some()));
        let all = within(what, found).await.unwrap();
        all.iter().find_map(pick).unwrap()
    }

    /// Waits for so many uplinks to have begun, and returns them all.
    pub(crate) async fn uplinks_begun(&self, count: usize) -> Vec<(Channel, Bytes)> {
        let uplinks = |all: &[Told]| -> Vec<(Channel, Bytes)> {
            all.iter()
                .filter_map(|told| match told {
                    Told::Uplink(_, channel, payload) => Some((*channel, payload.clone())),
                    _ => None,
                })
                .collect()
        };
        let mut told = self.told.subscribe();
        let enough = told.wait_for(|all| uplinks(all).len() >= count);
        uplinks(&within("so many uplinks", enough).await.unwrap())
    }

    pub(crate) async fn ended(&self, device: DeviceId) -> (EndReason, Option<Bytes>, bool) {
        self.was_told("the end of a session", |told| match told {
            Told::Ended(key, reason, will, clean) if key.device_id == device => {
                Some((*reason, will.clone(), *clean))
            }
            _ => None,
        })
        .await
    }

    /// Waits for so many sessions of the device to have ended.
    pub(crate) async fn ends(&self, device: DeviceId, count: usize) -> Vec<(i64, EndReason)> {
        let ends = |all: &[Told]| -> Vec<(i64, EndReason)> {
            all.iter()
                .filter_map(|told| match told {
                    Told::Ended(key, reason, ..) if key.device_id == device => {
                        Some((key.epoch, *reason))
                    }
                    _ => None,
                })
                .collect()
        };
        let mut told = self.told.subscribe();
        let enough = told.wait_for(|all| ends(all).len() >= count);
        ends(&within("so many ends", enough).await.unwrap())
    }
}

impl Host for FakeHost {
    async fn admit(&self, connecting: Connecting) -> Result<Admission, Refusal> {
        let device = connecting.device_id;
        self.tell(Told::Admitting(device));
        self.admitting.pass().await;
        if self.refused.lock().unwrap().contains(&device) {
            return Err(Refusal::NotAuthorized);
        }
        let mut kept = self.kept.lock().unwrap();
        let session = kept.entry(device).or_default();
        session.epoch += 1;
        if connecting.clean_session {
            session.subscriptions = None;
        }
        let stored = session.subscriptions.clone();
        if connecting.session_expiry_s > 0 {
            session.subscriptions.get_or_insert_default();
        }
        let epoch = session.epoch;
        drop(kept);
        self.connecting.lock().unwrap().push(connecting);
        Ok(Admission { epoch, stored })
    }

    async fn subscriptions_changed(
        &self,
        session: SessionKey,
        persistent: bool,
        subscriptions: Vec<Subscription>,
    ) -> Result<(), Unavailable> {
        self.tell(Told::Subscriptions(
            session,
            persistent,
            subscriptions.clone(),
        ));
        self.subscribing.pass().await;
        if *self.unavailable.lock().unwrap() {
            return Err(Unavailable);
        }
        if persistent {
            let mut kept = self.kept.lock().unwrap();
            kept.entry(session.device_id).or_default().subscriptions = Some(subscriptions);
        }
        Ok(())
    }

    fn listening(&self, session: SessionKey) {
        self.tell(Told::Listening(session));
    }

    async fn uplink(&self, uplink: Uplink) -> Result<(), Unavailable> {
        if !self.forgetful.load(Ordering::Relaxed) {
            self.tell(Told::Uplink(uplink.session, uplink.channel, uplink.payload));
        }
        self.uplinks.pass().await;
        if uplink.channel == Channel::Heartbeat {
            self.heartbeats.pass().await;
        }
        if *self.unavailable.lock().unwrap() {
            return Err(Unavailable);
        }
        Ok(())
    }

    async fn ended(&self, session: SessionKey, end: SessionEnd) {
        self.ending.pass().await;
        self.changed_expiries
            .lock()
            .unwrap()
            .extend(end.session_expiry_s);
        if end.clean {
            let mut kept = self.kept.lock().unwrap();
            kept.entry(session.device_id).or_default().subscriptions = None;
        }
        self.tell(Told::Ended(session, end.reason, end.will, end.clean));
    }

    async fn admit_observer(&self, observer: ObserverConnecting) -> Result<(), Refusal> {
        self.admitting.pass().await;
        let refused = self.refused_observers.lock().unwrap();
        if refused.contains(&observer.certificate_serial) {
            return Err(Refusal::NotAuthorized);
        }
        Ok(())
    }
}
