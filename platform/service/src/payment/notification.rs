//! Notifications: what boxes receive about payments, from the outbox to the acknowledgement.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use domain::alert::AlertSubject;
use domain::announcement::{AnnouncementWindow, NotificationStatus};
use domain::device::DeviceStatus;
use domain::merchant::MerchantStatus;
use domain::transaction::TransactionStatus;
use serde_json::{Value, json};
use sqlx::PgPool;
use store::fleet::binding::Listener;
use store::payment::notification::{
    Ack, Acknowledged, Announcement, DueNotification, Notification, Risen,
};
use store::payment::payee::Payee;
use store::{Page, Scope};
use uuid::Uuid;
use wire::ids::{DeviceId, EventId, TransactionId};
use wire::message::{Currency, PaymentAck, PaymentSuccess, Speech};
use wire::speech::NoWordsError;
use wire::{DownlinkMessage, Rupiah};

use super::stats::{self, Step};
use super::trace::{self, Action, Traced};
use crate::batch::{Part, sweep};
use crate::outbox::Deliverable;
use crate::signal::Signal;
use crate::wakeup::Wakeup;
use crate::{Context, Error, Noun, Result, UnitOfWork};

/// How long after its end an announcement waits for a late acknowledgement before it is called stale.
const LATE_ACK: TimeDelta = TimeDelta::seconds(10);

/// A payment that is to be announced.
#[derive(Debug)]
pub(crate) struct Payment<'a> {
    pub(crate) transaction: &'a store::payment::transaction::Transaction,
    pub(crate) merchant_name: &'a str,
    pub(crate) merchant_status: MerchantStatus,
    pub(crate) paid_at: DateTime<Utc>,
    pub(crate) window: AnnouncementWindow,
    pub(crate) replay: bool,
    /// Whether a person at the box asked for the replay.
    pub(crate) requested: bool,
}

impl<'a> Payment<'a> {
    /// A payment of this payee that is announced for the first time.
    pub(crate) fn first(
        transaction: &'a store::payment::transaction::Transaction,
        payee: &'a Payee,
        paid_at: DateTime<Utc>,
        window: AnnouncementWindow,
    ) -> Self {
        Self {
            transaction,
            merchant_name: &payee.brand_name,
            merchant_status: payee.status,
            paid_at,
            window,
            replay: false,
            requested: false,
        }
    }
}

/// What became of a payment that was to be announced.
#[derive(Debug)]
pub(crate) struct Enqueued {
    /// One notification for each box; they are stale already when the window was over.
    pub(crate) events: Vec<EventId>,
    /// Why no box will announce it.
    pub(crate) unheard: Option<&'static str>,
}

/// Nothing is announced while the merchant is suspended.
const MERCHANT_SUSPENDED: &str = "merchant_suspended";

/// Why announcements are stale from their beginning.
const WINDOW_OVER: &str = "window_over";

/// Why no box can speak of a payment, if none can.
fn unheard_reason(listeners: &[Listener], is_over: bool) -> Option<&'static str> {
    let is_any = |status| listeners.iter().any(|listener| listener.status == status);
    if is_any(DeviceStatus::Active) {
        is_over.then_some(WINDOW_OVER)
    } else if is_any(DeviceStatus::Registered) {
        Some("box_not_active")
    } else if is_any(DeviceStatus::Suspended) {
        Some("box_suspended")
    } else {
        Some("no_box_bound")
    }
}

/// Puts a payment into the outbox of every box at its terminal, as [`prepare`] says.
pub(crate) async fn enqueue(unit: &mut UnitOfWork, payment: &Payment<'_>) -> Result<Enqueued> {
    let terminal_id = payment.transaction.terminal_id;
    let listeners = store::fleet::binding::listeners_for_share(unit.conn(), terminal_id).await?;
    let mut announcements = Vec::new();
    let outcome = prepare(unit, payment, &listeners, &mut announcements);
    if !announcements.is_empty() {
        store::payment::notification::insert(unit.conn(), &mut announcements).await?;
        enqueued(unit, announcements);
    }
    Ok(outcome)
}

/// Makes a notification of a payment for every box at its terminal, but none while the merchant is suspended. When its
/// window is over already, they are stale from their beginning, which records that it was not announced, and why. What a box
/// with a live session is to announce is handed over with the commit, without being read again; the outbox sends it again
/// until it is acknowledged.
pub(crate) fn prepare(
    unit: &UnitOfWork,
    payment: &Payment<'_>,
    listeners: &[Listener],
    announcements: &mut Vec<Announcement<'_>>,
) -> Enqueued {
    if payment.merchant_status == MerchantStatus::Suspended {
        return Enqueued {
            events: Vec::new(),
            unheard: Some(MERCHANT_SUSPENDED),
        };
    }
    let now = unit.now();
    let sent_again_at = now + unit.context().settings().resend.wait_after(1);
    let is_over = payment.window.is_over(now);
    let mut events = Vec::new();
    for listener in listeners {
        let hears = [DeviceStatus::Registered, DeviceStatus::Active];
        if !hears.contains(&listener.status) {
            continue;
        }
        let event_id = EventId::from_uuid(unit.uuid());
        let is_handed_over = !is_over
            && listener.status == DeviceStatus::Active
            && unit.context().signals().is_live(listener.device_id);
        let row = DueNotification {
            event_id,
            device_id: listener.device_id,
            sequence: 0,
            binding_id: listener.binding_id,
            transaction_id: payment.transaction.id,
            merchant_name: payment.merchant_name.to_owned(),
            amount: payment.transaction.amount,
            paid_at: payment.paid_at,
            replay: payment.replay,
            attempts: 0,
            created_at: now,
            delayed_after: payment.window.delayed_after,
            announce_until: payment.window.announce_until,
            payload_encoding: listener.payload_encoding,
            language: listener.language,
            announce_merchant_name: listener.announce_merchant_name,
            requested: payment.requested,
        };
        announcements.push(Announcement {
            row,
            stale_reason: is_over.then_some(WINDOW_OVER),
            sent_again_at: is_handed_over.then_some(sent_again_at),
        });
        events.push(event_id);
    }
    Enqueued {
        events,
        unheard: unheard_reason(listeners, is_over),
    }
}

/// What follows from announcements that are in the outbox, with the commit.
pub(crate) fn enqueued(unit: &mut UnitOfWork, announcements: Vec<Announcement<'_>>) {
    for announcement in announcements {
        if announcement.stale_reason.is_some() {
            stats::count_unheard(1);
        } else if announcement.sent_again_at.is_some() {
            unit.signal(Signal::HandOver(Box::new(announcement.row)));
        } else {
            unit.signal(Signal::Announce(announcement.row.device_id));
        }
    }
}

/// What the box says, in its language.
fn speech(row: &DueNotification) -> std::result::Result<Speech, NoWordsError> {
    let name = row
        .announce_merchant_name
        .then_some(row.merchant_name.as_str());
    if row.requested {
        wire::speech::repeated(row.language, row.amount, name)
    } else {
        wire::speech::payment(row.language, row.amount, name)
    }
}

impl Deliverable for DueNotification {
    const NAME: &'static str = "notifications";
    const WAKEUP: Wakeup = Wakeup::Announce;

    fn message(&self, now: DateTime<Utc>) -> anyhow::Result<DownlinkMessage> {
        Ok(DownlinkMessage::PaymentSuccess(PaymentSuccess {
            event_id: self.event_id,
            sequence: self.sequence,
            binding_id: self.binding_id,
            transaction_id: self.transaction_id,
            merchant_name: self.merchant_name.clone(),
            amount: self.amount,
            currency: Currency::Idr,
            paid_at: self.paid_at,
            sent_at: now,
            delayed_after: self.delayed_after,
            announce_until: self.announce_until,
            replay: self.replay,
            speech: speech(self)?,
        }))
    }

    fn key(id: EventId) -> Option<Uuid> {
        Some(id.as_uuid())
    }

    fn detail(id: EventId) -> (&'static str, Value) {
        ("event_id", json!(id))
    }

    fn traced(&self) -> Option<Traced> {
        Some(Traced {
            transaction_id: self.transaction_id,
            event_id: self.event_id,
            device_id: self.device_id,
        })
    }

    fn count_sent(&self, now: DateTime<Utc>) {
        if self.attempts == 0 && !self.replay {
            stats::observe(Step::Sent, self.created_at, now);
        }
    }

    fn count_failed() {
        stats::count_unheard(1);
    }
}

/// A box's acknowledgement, as it is stored. The box's clock is only data: a time that does not read is left out, never a
/// reason to refuse.
pub fn ack(device_id: DeviceId, ack: PaymentAck) -> Ack {
    let played_at = ack
        .played_at
        .as_deref()
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    Ack {
        event_id: ack.event_id,
        device_id,
        status: ack.status.into(),
        played_at: played_at.map(|time| time.to_utc()),
        reason: ack.reason,
        is_final: false,
    }
}

/// Applies one box's acknowledgement of one announcement, and answers with what is known of it now.
///
/// # Errors
/// [`Noun::Notification`] not found, or another box's.
pub async fn acknowledge_one(
    context: &Context,
    device_id: DeviceId,
    acknowledgement: PaymentAck,
) -> Result<Notification> {
    let event_id = acknowledgement.event_id;
    let acks = [ack(device_id, acknowledgement)];
    let owned = acknowledge(context, context.pool(), &acks).await?;
    if owned != [true] {
        return Err(Error::NotFound(Noun::Notification));
    }
    let mut conn = context.pool().acquire().await?;
    store::payment::notification::find_of_device(&mut conn, device_id, event_id)
        .await?
        .ok_or(Error::NotFound(Noun::Notification))
}

/// Applies acknowledgements of announcements. Returns for each whether the announcement is the box's that sent it.
///
/// # Errors
/// The database's; then none of them is taken.
pub async fn acknowledge(context: &Context, pool: &PgPool, acks: &[Ack]) -> Result<Vec<bool>> {
    let now = context.clock().now();
    let mut conn = pool.acquire().await?;
    let taken = store::payment::notification::acknowledge(&mut conn, acks, now).await?;
    drop(conn);
    if context.payment_tracer().is_some() {
        trace_acks(context, acks, &taken, now);
    }
    let owned: HashSet<(EventId, DeviceId)> = taken
        .iter()
        .map(|one| (one.event_id, one.device_id))
        .collect();
    taken
        .into_iter()
        .filter_map(|one| one.risen_to)
        .for_each(|risen| observe(&risen, now));
    Ok(acks
        .iter()
        .map(|ack| owned.contains(&(ack.event_id, ack.device_id)))
        .collect())
}

/// Reports acknowledgements that were stored since `began`, also those that raised nothing.
fn trace_acks(context: &Context, acks: &[Ack], taken: &[Acknowledged], began: DateTime<Utc>) {
    let transactions: HashMap<(EventId, DeviceId), TransactionId> = taken
        .iter()
        .map(|one| ((one.event_id, one.device_id), one.transaction_id))
        .collect();
    for ack in acks {
        let transaction_id = transactions.get(&(ack.event_id, ack.device_id));
        let traced = transaction_id.map(|transaction_id| Traced {
            transaction_id: *transaction_id,
            event_id: ack.event_id,
            device_id: ack.device_id,
        });
        trace::report(context, traced, Action::Acknowledge(ack.status), began);
    }
}

/// Counts what an acknowledgement adds. A replay is made by an operator, and is no measure of speed.
fn observe(risen: &Risen, now: DateTime<Utc>) {
    if risen.replay {
        return;
    }
    if risen.first {
        stats::observe(Step::Received, risen.created_at, now);
    }
    match risen.status {
        NotificationStatus::Played => stats::observe(Step::Played, risen.created_at, now),
        NotificationStatus::Failed | NotificationStatus::Stale => stats::count_unheard(1),
        NotificationStatus::Pending | NotificationStatus::Sent | NotificationStatus::Received => {}
    }
}

/// The amount that a notification of a box announces; none if it is not this box's.
pub async fn announced_amount(
    context: &Context,
    device_id: DeviceId,
    event_id: EventId,
) -> Result<Option<Rupiah>> {
    let mut conn = context.pool().acquire().await?;
    let found =
        store::payment::notification::find_of_device(&mut conn, device_id, event_id).await?;
    Ok(found.map(|notification| notification.amount))
}

/// Sends a notification no more, without ending it: its box's MQTT client has it, and the box would announce a repetition.
pub async fn keep_from_repeating(
    context: &Context,
    device_id: DeviceId,
    event_id: EventId,
) -> Result<()> {
    let mut conn = context.pool().acquire().await?;
    Ok(store::payment::notification::keep_from_repeating(&mut conn, device_id, event_id).await?)
}

/// Ends notifications that were not played in time.
pub async fn end_stale(context: &Context, limit: i64) -> Result<u64> {
    let before = context.clock().now() - LATE_ACK;
    let end = |only: Option<Part<(EventId, DeviceId)>>| async move {
        let mut conn = context.pool().acquire().await?;
        let only: Option<Vec<EventId>> =
            only.map(|some| some.iter().map(|(event_id, _)| *event_id).collect());
        let only = only.as_deref();
        Ok(store::payment::notification::end_stale(&mut conn, before, only, limit).await?)
    };
    let find = || async {
        let mut conn = context.pool().acquire().await?;
        Ok(store::payment::notification::stale(&mut conn, before, limit).await?)
    };
    let subject = |(_, device_id)| AlertSubject::Device(device_id);
    let ended = sweep(context, "end_stale_notifications", subject, end, find).await?;
    stats::count_unheard(ended);
    Ok(ended)
}

/// A box's announcements, newest first.
///
/// # Errors
/// [`Noun::Device`] not found.
pub async fn list_of_device(
    context: &Context,
    scope: Scope,
    device_id: DeviceId,
    page: Page,
) -> Result<Vec<Notification>> {
    let mut conn = context.lists().acquire().await?;
    store::fleet::device::find(&mut conn, device_id)
        .await?
        .ok_or(Error::NotFound(Noun::Device))?;
    Ok(store::payment::notification::list_of_device(&mut conn, scope, device_id, page).await?)
}

/// Announces a payment again to every box at its terminal: new events, always spoken as delayed.
///
/// # Errors
/// [`Error::InvalidState`] unless the transaction is paid, or while its merchant is suspended; [`Error::DeviceNotBound`] when no box stands there.
pub async fn retry(unit: &mut UnitOfWork, id: TransactionId) -> Result<Vec<Notification>> {
    // It must not be taken back meanwhile, and is locked before the bindings, as a payment does it.
    let transaction = store::payment::transaction::lock(unit.conn(), id, None)
        .await?
        .ok_or(Error::NotFound(Noun::Transaction))?;
    unit.refresh_now();
    let (TransactionStatus::Paid, Some(paid_at)) = (transaction.status, transaction.paid_at) else {
        return Err(Error::InvalidState {
            current: transaction.status.to_string(),
            message: "only a paid transaction is announced".into(),
        });
    };
    let merchant = store::shop::merchant::find(unit.conn(), Scope::All, transaction.merchant_id)
        .await?
        .ok_or(Error::NotFound(Noun::Merchant))?;
    let window = unit
        .context()
        .settings()
        .announcement
        .replay_window(unit.now());
    let payment = Payment {
        transaction: &transaction,
        merchant_name: &merchant.brand_name,
        merchant_status: merchant.status,
        paid_at,
        window,
        replay: true,
        requested: false,
    };
    let Enqueued { events, unheard } = enqueue(unit, &payment).await?;
    if unheard == Some(MERCHANT_SUSPENDED) {
        return Err(Error::InvalidState {
            current: merchant.status.to_string(),
            message: "the merchant is suspended: its boxes announce nothing".into(),
        });
    }
    if events.is_empty() {
        return Err(Error::DeviceNotBound);
    }
    unit.audit(
        "transaction.retry_notification",
        id,
        None,
        Some(json!({ "event_ids": events })),
    )
    .await?;
    let all = store::payment::notification::list_of_transaction(unit.conn(), id).await?;
    Ok(all
        .into_iter()
        .filter(|notification| events.contains(&notification.event_id))
        .collect())
}
