//! A host in memory: admissions, kept sessions, and a record of all calls. Its answers can be delayed.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use broker::{
    Admission, Authenticated, Connecting, EndReason, Host, Login, LoginRefusal, ObserverConnecting,
    Refusal, SessionEnd, SessionKey, Subscription, Unavailable, Uplink,
};
use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;
use wire::{Channel, DeviceId};

use super::within;

/// Delays the host's answers while it is closed.
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

/// A call to the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostCall {
    Checking(DeviceId),
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
    pub(crate) checking: Gate,
    pub(crate) admitting: Gate,
    pub(crate) uplinks: Gate,
    /// For heartbeats only.
    pub(crate) heartbeats: Gate,
    pub(crate) subscribing: Gate,
    pub(crate) ending: Gate,
    pub(crate) refused: Mutex<HashSet<DeviceId>>,
    /// Certificates that may not be used.
    pub(crate) refused_certificates: Mutex<HashSet<String>>,
    /// Takeovers, uplinks and subscriptions are refused.
    pub(crate) unavailable: Mutex<bool>,
    pub(crate) connecting: Mutex<Vec<Connecting>>,
    kept: Mutex<HashMap<DeviceId, Kept>>,
    calls: watch::Sender<Vec<HostCall>>,
    /// Uplinks are not recorded, because there are very many.
    pub(crate) ignores_uplinks: AtomicBool,
    /// The session expiries that boxes set with their DISCONNECT.
    pub(crate) changed_expiries: Mutex<Vec<u32>>,
    /// The keys of downlinks that were confirmed.
    pub(crate) confirmed: Mutex<Vec<Uuid>>,
    /// By user name: the password, and whose it is.
    pub(crate) logins: Mutex<HashMap<String, (Vec<u8>, Authenticated)>>,
    /// The topics of uplinks of sessions with a topic map.
    pub(crate) topics: Mutex<Vec<(DeviceId, String)>>,
    /// How many logins were checked.
    pub(crate) logins_checked: AtomicUsize,
}

impl FakeHost {
    pub(crate) fn calls(&self) -> Vec<HostCall> {
        self.calls.borrow().clone()
    }

    pub(crate) fn refuse_certificate(&self, serial: &str) {
        let mut refused = self.refused_certificates.lock().unwrap();
        refused.insert(serial.to_owned());
    }

    fn check_certificate(&self, serial: &str) -> Result<(), Refusal> {
        match self.refused_certificates.lock().unwrap().contains(serial) {
            true => Err(Refusal::NotAuthorized),
            false => Ok(()),
        }
    }

    fn record(&self, call: HostCall) {
        self.calls.send_modify(|all| all.push(call));
    }

    /// Waits for a call that `pick` selects.
    pub(crate) async fn wait_for_call<T>(
        &self,
        what: &str,
        pick: impl Fn(&HostCall) -> Option<T>,
    ) -> T {
        let mut calls = self.calls.subscribe();
        let found = calls.wait_for(|all| all.iter().any(|one| pick(one).is_some()));
        let all = within(what, found).await.unwrap();
        all.iter().find_map(pick).unwrap()
    }

    /// Waits for this call.
    pub(crate) async fn called(&self, call: HostCall) {
        self.wait_for_call("a call", |one| (*one == call).then_some(()))
            .await;
    }

    /// Waits until `count` uplinks have begun, and returns them all.
    pub(crate) async fn uplinks_begun(&self, count: usize) -> Vec<(Channel, Bytes)> {
        let uplinks = |all: &[HostCall]| -> Vec<(Channel, Bytes)> {
            all.iter()
                .filter_map(|call| match call {
                    HostCall::Uplink(_, channel, payload) => Some((*channel, payload.clone())),
                    _ => None,
                })
                .collect()
        };
        let mut calls = self.calls.subscribe();
        let enough = calls.wait_for(|all| uplinks(all).len() >= count);
        uplinks(&within("so many uplinks", enough).await.unwrap())
    }

    pub(crate) async fn ended(&self, device: DeviceId) -> (EndReason, Option<Bytes>, bool) {
        self.wait_for_call("the end of a session", |call| match call {
            HostCall::Ended(key, reason, will, clean) if key.device_id == device => {
                Some((*reason, will.clone(), *clean))
            }
            _ => None,
        })
        .await
    }

    /// Waits until a session of the device has ended, and expects this reason.
    pub(crate) async fn expect_end(&self, device: DeviceId, reason: EndReason) {
        assert_eq!(self.ended(device).await.0, reason);
    }

    /// Waits until `count` sessions of the device have ended.
    pub(crate) async fn ends(&self, device: DeviceId, count: usize) -> Vec<(i64, EndReason)> {
        let ends = |all: &[HostCall]| -> Vec<(i64, EndReason)> {
            all.iter()
                .filter_map(|call| match call {
                    HostCall::Ended(key, reason, ..) if key.device_id == device => {
                        Some((key.epoch, *reason))
                    }
                    _ => None,
                })
                .collect()
        };
        let mut calls = self.calls.subscribe();
        let enough = calls.wait_for(|all| ends(all).len() >= count);
        ends(&within("so many ends", enough).await.unwrap())
    }
}

impl Host for FakeHost {
    async fn authenticate(&self, login: Login) -> Result<Authenticated, LoginRefusal> {
        self.logins_checked.fetch_add(1, Ordering::Relaxed);
        if *self.unavailable.lock().unwrap() {
            return Err(LoginRefusal::Unavailable);
        }
        match self.logins.lock().unwrap().get(&login.user_name) {
            Some((password, found)) if password == login.password.as_bytes() => Ok(found.clone()),
            Some((_, found)) => Err(LoginRefusal::WrongPassword(found.device_id)),
            None => Err(LoginRefusal::BadCredentials),
        }
    }

    async fn may_connect(&self, device: DeviceId, serial: &str) -> Result<(), Refusal> {
        self.record(HostCall::Checking(device));
        self.checking.pass().await;
        if *self.unavailable.lock().unwrap() {
            return Err(Refusal::Unavailable);
        }
        self.check_certificate(serial)
    }

    async fn admit(&self, connecting: Connecting) -> Result<Admission, Refusal> {
        let device = connecting.device_id;
        self.record(HostCall::Admitting(device));
        self.admitting.pass().await;
        if self.refused.lock().unwrap().contains(&device) {
            return Err(Refusal::NotAuthorized);
        }
        self.check_certificate(&connecting.certificate_serial)?;
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
        self.record(HostCall::Subscriptions(
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
        self.record(HostCall::Listening(session));
    }

    async fn uplink(&self, uplink: Uplink) -> Result<(), Unavailable> {
        if let Some(topic) = &uplink.topic {
            let mut topics = self.topics.lock().unwrap();
            topics.push((uplink.session.device_id, topic.to_string()));
        }
        if !self.ignores_uplinks.load(Ordering::Relaxed) {
            self.record(HostCall::Uplink(
                uplink.session,
                uplink.channel,
                uplink.payload,
            ));
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

    fn confirmed(&self, _: SessionKey, key: Uuid) {
        self.confirmed.lock().unwrap().push(key);
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
        self.record(HostCall::Ended(session, end.reason, end.will, end.clean));
    }

    async fn admit_observer(&self, observer: ObserverConnecting) -> Result<(), Refusal> {
        self.admitting.pass().await;
        self.check_certificate(&observer.certificate_serial)
    }
}
