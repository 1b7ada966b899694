//! The platform's side of the edge: admission, subscriptions, uplinks and ends of sessions, implemented with services.

use std::sync::Arc;
use std::time::Duration;

use broker::{
    Admission, Authenticated, Connecting, EndReason, Host, Login, LoginRefusal, ObserverConnecting,
    Refusal, SessionEnd, SessionKey, Subscription, TopicMap, Unavailable, Uplink,
};
use serde_json::{Value, json};
use service::Context;
use service::fleet::box_profile::{self, VendorBox};
use service::fleet::password::{self, Checked};
use service::fleet::{observer, session};
use service::retry::retried;
use service::span;
use tokio::sync::{OnceCell, mpsc};
use tracing::Instrument as _;
use uuid::Uuid;
use wire::ids::{DeviceId, EventId};
use wire::{Channel, DownlinkFilter};

use super::carrier::Carrier;
use super::delivery::Deliveries;
use super::pool_quota::PoolQuotas;
use super::puback::Pubacks;
use super::uplink;
use super::uplink_batcher::UplinkBatchers;
use super::vendor_uplink;

/// How often recording the end of a session is tried while the database is away.
const END_TRIES: u32 = 5;
const END_RETRY: Duration = Duration::from_millis(200);

/// The platform, as the edge uses it.
pub struct PlatformHost<C> {
    context: Context,
    batchers: UplinkBatchers,
    carrier: Arc<OnceCell<C>>,
    listening: mpsc::Sender<DeviceId>,
    quotas: PoolQuotas,
    deliveries: Arc<Deliveries>,
    pubacks: Arc<Pubacks>,
}

impl<C: Carrier> PlatformHost<C> {
    pub(super) fn new(
        context: Context,
        batchers: UplinkBatchers,
        pubacks: Arc<Pubacks>,
        carrier: Arc<OnceCell<C>>,
        listening: mpsc::Sender<DeviceId>,
    ) -> Self {
        let deliveries = Deliveries::new(&context);
        let quotas = PoolQuotas::of(context.pool().options().get_max_connections());
        Self {
            context,
            batchers,
            carrier,
            listening,
            quotas,
            deliveries: Arc::new(deliveries),
            pubacks,
        }
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    pub(super) fn deliveries(&self) -> Arc<Deliveries> {
        Arc::clone(&self.deliveries)
    }

    pub(super) fn pubacks(&self) -> Arc<Pubacks> {
        Arc::clone(&self.pubacks)
    }

    /// Remembers a box of another maker, for the messages of the session that it is about to have.
    fn note(&self, vendor: Arc<VendorBox>) {
        let carrier = self.carrier.get();
        let is_live = |device_id| carrier.is_some_and(|carrier| carrier.is_live(device_id));
        self.context.vendor_boxes().note(vendor, is_live);
    }
}

impl<C: Carrier> PlatformHost<C> {
    /// Notes whether another maker's box has subscribed to payments with PUBACK.
    async fn note_quality(
        &self,
        device_id: DeviceId,
        subscriptions: &[Subscription],
    ) -> Result<(), Unavailable> {
        let Some(vendor) = self.context.vendor_boxes().get(device_id) else {
            return Ok(());
        };
        let of_payments = subscriptions
            .iter()
            .filter(|one| one.filter.matches(Channel::PaymentSuccess));
        let Some(qos) = of_payments.map(|one| one.qos).max() else {
            return Ok(());
        };
        let note = || box_profile::note_subscription(&self.context, &vendor, qos > 0);
        retried(note).await.map_err(|error| {
            tracing::warn!(%device_id, %error, "the quality of a subscription could not be stored");
            Unavailable
        })
    }
}

impl<C: Carrier> Host for PlatformHost<C> {
    async fn authenticate(&self, login: Login) -> Result<Authenticated, LoginRefusal> {
        let checking = async {
            let _permit = self.quotas.logins.take().await;
            password::check(&self.context, &login.user_name, login.password.as_bytes()).await
        };
        let (credential, vendor) = match checking.await {
            Ok(Checked::Right { credential, vendor }) => (credential, vendor),
            Ok(Checked::WrongPassword(device_id)) => {
                return Err(LoginRefusal::WrongPassword(device_id));
            }
            Ok(Checked::Unknown) => return Err(LoginRefusal::BadCredentials),
            Err(error) => {
                tracing::warn!(%error, "a password could not be checked");
                return Err(LoginRefusal::Unavailable);
            }
        };
        let device_id = vendor.values.device_id;
        match topic_map(&vendor) {
            Ok(topics) => {
                self.note(vendor);
                Ok(Authenticated {
                    device_id,
                    credential,
                    topics: Arc::new(topics),
                })
            }
            Err(error) => {
                tracing::error!(%device_id, %error, "a box's profile gives it no topics");
                Err(LoginRefusal::Unavailable)
            }
        }
    }

    async fn may_connect(&self, device_id: DeviceId, serial: &str) -> Result<(), Refusal> {
        let checking = async {
            let _permit = self.quotas.sessions.take().await;
            session::may_connect(&self.context, device_id, serial).await
        };
        let span = span::session("takeover", device_id);
        match checking.instrument(span).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::NotAuthorized),
            Err(error) => {
                tracing::warn!(%device_id, %error, "whether a device may connect could not be checked");
                Err(Refusal::Unavailable)
            }
        }
    }

    async fn admit(&self, connecting: Connecting) -> Result<Admission, Refusal> {
        let device_id = connecting.device_id;
        if self.context.node().is_draining() {
            return Err(Refusal::Unavailable);
        }
        if connecting.topics.is_none() {
            self.context.vendor_boxes().forget(device_id);
        }
        let connect = session::Connect {
            device_id,
            certificate_serial: connecting.certificate_serial,
            clean_start: connecting.clean_session,
            expiry_s: connecting.session_expiry_s,
        };
        let span = span::session("admit", device_id);
        let admitting = self.batchers.connects.store(connect);
        match admitting.instrument(span).await {
            Ok(Ok(Some(opened))) => Ok(Admission {
                epoch: opened.epoch,
                stored: opened.kept.map(|kept| read_subscriptions(device_id, &kept)),
            }),
            Ok(Ok(None)) => Err(Refusal::NotAuthorized),
            Ok(Err(error)) => {
                tracing::warn!(%device_id, error, "a device could not be admitted");
                Err(Refusal::Unavailable)
            }
            Err(Unavailable) => Err(Refusal::Unavailable),
        }
    }

    async fn subscriptions_changed(
        &self,
        session: SessionKey,
        persistent: bool,
        subscriptions: Vec<Subscription>,
    ) -> Result<(), Unavailable> {
        self.note_quality(session.device_id, &subscriptions).await?;
        if !persistent {
            return Ok(());
        }
        let stored = write_subscriptions(session.device_id, &subscriptions);
        let (device_id, epoch) = (session.device_id, session.epoch);
        let store = || session::keep_subscriptions(&self.context, device_id, epoch, &stored);
        let span = span::session("subscribe", device_id);
        match retried(store).instrument(span).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Unavailable),
            Err(error) => {
                tracing::warn!(%session, %error, "subscriptions could not be stored");
                Err(Unavailable)
            }
        }
    }

    fn listening(&self, session: SessionKey) {
        if self.listening.try_send(session.device_id).is_err() {
            metrics::counter!("outbox_replays_deferred_total").increment(1);
        }
    }

    async fn uplink(&self, uplink: Uplink) -> Result<(), Unavailable> {
        let carrier = self.carrier.get().ok_or(Unavailable)?;
        let span = span::uplink(uplink.session.device_id, uplink.channel);
        let handling = async {
            // Heartbeats and payment acknowledgements wait in their batchers, which hold one connection each.
            let _permit = match uplink.channel {
                Channel::Heartbeat | Channel::PaymentAck => None,
                _ => self.quotas.uplinks.take().await,
            };
            let (context, batchers) = (&self.context, &self.batchers);
            let Some(topic) = &uplink.topic else {
                return uplink::take(context, batchers, carrier, uplink).await;
            };
            // Noted before the session was admitted.
            let vendor = context.vendor_boxes().get(uplink.session.device_id);
            let vendor = vendor.ok_or(Unavailable)?;
            vendor_uplink::take(context, batchers, carrier, &vendor, topic, &uplink).await
        };
        handling.instrument(span).await
    }

    fn confirmed(&self, session: SessionKey, key: Uuid) {
        self.deliveries.confirm(EventId::from_uuid(key));
        if let Some(vendor) = self.context.vendor_boxes().get(session.device_id) {
            self.pubacks.take(vendor, key);
        }
    }

    async fn ended(&self, session: SessionKey, end: SessionEnd) {
        if end.reason == EndReason::ShuttingDown {
            // All sessions end then; `App::stop` records them in one statement.
            return;
        }
        let ending = session::Ending {
            device_id: session.device_id,
            epoch: session.epoch,
            forget: end.clean,
            expiry_s: end.session_expiry_s,
            reason: end.reason.as_str(),
        };
        for _ in 0..END_TRIES {
            let span = span::session("end", session.device_id);
            let recording = self.batchers.endings.store(ending.clone());
            match recording.instrument(span).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    tracing::warn!(%session, error, "the end of a session could not be recorded");
                }
                Err(Unavailable) => {
                    tracing::warn!(%session, "the end of a session could not be recorded: the database is away");
                }
            }
            tokio::time::sleep(END_RETRY).await;
        }
    }

    async fn admit_observer(&self, observer: ObserverConnecting) -> Result<(), Refusal> {
        let serial = &observer.certificate_serial;
        match observer::admit(&self.context, serial, &observer.name).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::NotAuthorized),
            Err(error) => {
                tracing::warn!(name = observer.name, %error, "an observer could not be admitted");
                Err(Refusal::Unavailable)
            }
        }
    }
}

/// The topics of one box, from its own values alone.
///
/// # Errors
/// A value that the profile needs; topics that the edge does not take.
pub fn topic_map(vendor: &VendorBox) -> anyhow::Result<TopicMap> {
    let topics = vendor.topics()?;
    let publish = topics
        .publish
        .into_iter()
        .map(|one| (one.topic, one.channel))
        .collect();
    Ok(TopicMap::new(publish, topics.subscribe, topics.downlinks)?)
}

fn write_subscriptions(device_id: DeviceId, subscriptions: &[Subscription]) -> Value {
    subscriptions
        .iter()
        .map(|subscription| json!({ "filter": subscription.filter.for_device(device_id), "qos": subscription.qos }))
        .collect()
}

/// A filter that cannot be read, or that no longer exists, is left out: the device subscribes again.
fn read_subscriptions(device_id: DeviceId, stored: &Value) -> Vec<Subscription> {
    let read = |entry: &Value| {
        let filter = DownlinkFilter::parse(device_id, entry.get("filter")?.as_str()?)?;
        let qos = u8::try_from(entry.get("qos")?.as_u64()?).ok()?.min(1);
        Some(Subscription { filter, qos })
    };
    stored
        .as_array()
        .map(|entries| entries.iter().filter_map(read).collect())
        .unwrap_or_default()
}
