//! The outbox: messages that a box is sent until it acknowledges them.
//!
//! A round reads what is due ([`due`]), seals it, hands it over (the bridge to the broker, a poll into its answer), and
//! then notes when it is tried again ([`mark_sent`], [`postpone`]). A message that was committed for a live session is
//! stored as sent from the beginning and handed over without being read ([`committed`]); after a crash in between it is
//! sent when its next attempt is due. A message that can never be
//! sent is ended, with its reason and an alert ([`fail`]); those after it are still sent.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::alert::{AlertKind, AlertSubject, NewAlert};
use domain::box_profile::RenderError;
use domain::delivery::UndeliverableReason;
use serde_json::{Value, json};
use store::outbox::{Header, OutboxRow, Selection};
use uuid::Uuid;
use wire::ids::DeviceId;
use wire::{Channel, DownlinkMessage, Encoding};

use crate::batch::{Part, finish, isolate};
use crate::payment::trace::{self, Action, Traced, Transport};
use crate::wakeup::Wakeup;
use crate::{Actor, Context, Result};

/// A kind of message in the outbox.
pub trait Deliverable: OutboxRow {
    /// Its name in spans and log lines.
    const NAME: &'static str;
    /// By which another node learns of one.
    const WAKEUP: Wakeup;
    /// The newest message replaces those before it. So messages are handed over in the order in which they were read.
    const SUPERSEDES: bool = false;
    /// Every box has one, whether it can take it or not: nobody needs to know of a box that cannot.
    const IS_OPTIONAL: bool = false;

    /// The message.
    ///
    /// # Errors
    /// A row that makes no message.
    fn message(&self, now: DateTime<Utc>) -> anyhow::Result<DownlinkMessage>;

    /// By which the broker recognises a repetition, if it is to.
    fn key(id: Self::Id) -> Option<Uuid>;

    /// The same for another maker's box, whose PUBACK tells of it.
    fn vendor_key(id: Self::Id) -> Option<Uuid> {
        Self::key(id)
    }

    /// How an alert names it.
    fn detail(id: Self::Id) -> (&'static str, Value);

    /// The announcement in the trace of its payment, if it is one.
    fn traced(&self) -> Option<Traced> {
        None
    }

    /// Counts a message that was sent.
    fn count_sent(&self, _now: DateTime<Utc>) {}

    /// Counts a message that can never be sent.
    fn count_failed() {}
}

/// A message that is to be sent now.
#[derive(Debug)]
pub struct Sealed<R> {
    row: R,
    /// Where it is published.
    pub channel: Channel,
    /// The signed bytes, or what another maker's box reads.
    pub payload: Bytes,
    /// For how long it is of use, seconds.
    pub expires_s: Option<u32>,
    sealed_at: DateTime<Utc>,
    is_vendors: bool,
}

impl<R: Deliverable> Sealed<R> {
    /// Which message it is, and for which box.
    pub fn header(&self) -> Header<R::Id> {
        self.row.header()
    }

    /// The announcement in the trace of its payment, if it is one.
    pub fn traced(&self) -> Option<Traced> {
        self.row.traced()
    }

    /// By which the broker recognises a repetition, if it is to.
    pub fn key(&self) -> Option<Uuid> {
        let id = self.header().id;
        if self.is_vendors {
            R::vendor_key(id)
        } else {
            R::key(id)
        }
    }

    /// Whether it is for another maker's box.
    pub fn is_vendors(&self) -> bool {
        self.is_vendors
    }
}

/// What is due to these boxes, signed and ready. `all`: also what is not due again yet, because the box has just become
/// reachable. What cannot be sealed is ended and left out.
pub async fn due<R: Deliverable>(
    context: &Context,
    devices: &[DeviceId],
    all: bool,
) -> Result<Vec<Sealed<R>>> {
    due_as(context, devices, all, None).await
}

/// [`due`], in an encoding of the caller's choice instead of the box's: HTTP carries JSON.
pub(crate) async fn due_as<R: Deliverable>(
    context: &Context,
    devices: &[DeviceId],
    all: bool,
    encoding: Option<Encoding>,
) -> Result<Vec<Sealed<R>>> {
    let now = context.clock().now();
    let mut conn = context.pool().acquire().await?;
    let due = R::due(&mut conn, devices, Selection { now, all }).await?;
    drop(conn);
    Ok(seal_all(context, due, encoding).await)
}

/// Rows that are stored as sent, signed and ready. What cannot be sealed is ended and left out.
pub async fn committed<R: Deliverable>(context: &Context, rows: Vec<R>) -> Vec<Sealed<R>> {
    seal_all(context, rows, None).await
}

async fn seal_all<R: Deliverable>(
    context: &Context,
    rows: Vec<R>,
    encoding: Option<Encoding>,
) -> Vec<Sealed<R>> {
    let now = context.clock().now();
    let mut sealed = Vec::with_capacity(rows.len());
    for row in rows {
        let header = row.header();
        match seal(context, row, encoding, now) {
            Ok(one) => sealed.push(one),
            // Its time is over: the sweep ends it.
            Err(Unsealed::TooLate) => {}
            Err(Unsealed::Never(reason, problem)) => {
                let Header { device_id, id, .. } = header;
                if let Err(error) = fail::<R>(context, &header, reason, &problem).await {
                    // It is found and tried again; the others do not wait for that.
                    tracing::warn!(%device_id, messages = R::NAME, ?id, %error, "an undeliverable message could not be ended");
                }
            }
        }
    }
    sealed
}

/// Why there are no bytes for a message.
enum Unsealed {
    /// Its time is over.
    TooLate,
    /// There never will be.
    Never(UndeliverableReason, String),
}

impl Unsealed {
    fn of(error: impl std::fmt::Display) -> Self {
        Self::Never(UndeliverableReason::Unsendable, error.to_string())
    }
}

impl From<RenderError> for Unsealed {
    fn from(error: RenderError) -> Self {
        let reason = match error {
            RenderError::TooLate => return Self::TooLate,
            RenderError::Unsupported => UndeliverableReason::Unsupported,
            RenderError::TooLong { .. } => UndeliverableReason::PacketTooLarge,
            RenderError::Value { .. } | RenderError::Box(_) => UndeliverableReason::Unsendable,
        };
        Self::Never(reason, error.to_string())
    }
}

fn seal<R: Deliverable>(
    context: &Context,
    row: R,
    encoding: Option<Encoding>,
    now: DateTime<Utc>,
) -> std::result::Result<Sealed<R>, Unsealed> {
    let header = row.header();
    let message = row.message(now).map_err(Unsealed::of)?;
    let began = context.clock().now();
    let vendor = context.vendor_boxes().get(header.device_id);
    let vendor = vendor.filter(|_| encoding.is_none());
    let payload = match &vendor {
        Some(vendor) => vendor.render(&message, now)?,
        None => {
            let encoding = encoding.unwrap_or(header.encoding);
            let signer = context.signer().map_err(Unsealed::of)?;
            let sealed = signer.seal(&message, header.device_id, encoding);
            sealed.map_err(Unsealed::of)?
        }
    };
    trace::report(context, row.traced(), Action::Seal, began);
    Ok(Sealed {
        row,
        channel: message.channel(),
        payload: payload.into(),
        expires_s: header.expires_at.map(|at| {
            let left = (at - now).num_seconds().max(1);
            u32::try_from(left).unwrap_or(u32::MAX)
        }),
        sealed_at: context.clock().now(),
        is_vendors: vendor.is_some(),
    })
}

/// Notes that messages were handed to the wire, and when each is tried again: later each time, because the box may be
/// away.
pub async fn mark_sent<R: Deliverable>(context: &Context, sent: &[Sealed<R>]) -> Result<()> {
    let resend = context.settings().resend;
    let wait_after = |attempts| resend.wait_after(attempts);
    mark(context, sent, Transport::Mqtt, wait_after).await
}

/// Notes that messages were put into an answer to a box, which polls again.
pub(crate) async fn mark_polled<R: Deliverable>(
    context: &Context,
    sent: &[Sealed<R>],
) -> Result<()> {
    let first = context.settings().resend.first;
    mark(context, sent, Transport::Http, |_| first).await
}

async fn mark<R: Deliverable>(
    context: &Context,
    sent: &[Sealed<R>],
    transport: Transport,
    wait_after: impl Fn(u32) -> Duration,
) -> Result<()> {
    if sent.is_empty() {
        return Ok(());
    }
    let now = context.clock().now();
    let next_attempts: Vec<(R::Id, DateTime<Utc>)> = sent
        .iter()
        .map(|one| {
            let header = one.header();
            (
                header.id,
                now + wait_after(header.attempts.unsigned_abs() + 1),
            )
        })
        .collect();
    let mark = |part: Part<(R::Id, DateTime<Utc>)>| async move {
        let mut conn = context.pool().acquire().await?;
        R::mark_sent(&mut conn, &part, now).await?;
        Ok(vec![(); part.len()])
    };
    finish(&isolate(next_attempts, mark).await)?;
    count_sent(context, sent, transport, now);
    Ok(())
}

/// Counts what was stored as sent and has been handed to the wire.
pub fn handed_over<R: Deliverable>(context: &Context, sent: &[Sealed<R>]) {
    count_sent(context, sent, Transport::Mqtt, context.clock().now());
}

fn count_sent<R: Deliverable>(
    context: &Context,
    sent: &[Sealed<R>],
    transport: Transport,
    now: DateTime<Utc>,
) {
    for one in sent {
        one.row.count_sent(now);
        trace::report(
            context,
            one.traced(),
            Action::Send(transport),
            one.sealed_at,
        );
    }
}

/// Puts off messages of which nothing was sent: each is tried again after the first wait, or when its box subscribes.
pub async fn postpone<R: Deliverable>(context: &Context, queued: &[Sealed<R>]) -> Result<()> {
    if queued.is_empty() {
        return Ok(());
    }
    let until = context.clock().now() + context.settings().resend.first;
    put_off(context, queued, until).await
}

/// Gives back messages whose boxes are no longer connected here: they are due at once, and the node that a box has connected
/// to meanwhile is told.
pub async fn give_back<R: Deliverable>(context: &Context, away: &[Sealed<R>]) -> Result<()> {
    if away.is_empty() {
        return Ok(());
    }
    put_off(context, away, context.clock().now()).await?;
    for one in away {
        let device_id = one.header().device_id;
        context.signals().tell_owner(device_id, R::WAKEUP);
    }
    Ok(())
}

async fn put_off<R: Deliverable>(
    context: &Context,
    unsent: &[Sealed<R>],
    until: DateTime<Utc>,
) -> Result<()> {
    let unsent: Vec<Header<R::Id>> = unsent.iter().map(Sealed::header).collect();
    let mut conn = context.pool().acquire().await?;
    Ok(R::postpone(&mut conn, &unsent, until).await?)
}

/// Boxes that are connected to this node, and to which something is to be sent again.
pub async fn devices_with_due<R: Deliverable>(
    context: &Context,
    limit: i64,
) -> Result<Vec<DeviceId>> {
    let mut conn = context.pool().acquire().await?;
    let (incarnation, now) = (context.node().incarnation(), context.clock().now());
    Ok(R::devices_with_due(&mut conn, incarnation, now, limit).await?)
}

/// Ends a message that can never be delivered as it is: an announcement and a command are `failed` with the reason, a
/// configuration is not pushed again until it becomes another version, it is requested, or the box connects again. Opens
/// an alert for the box, with `problem` for the person who reads it. Without effect, and without an alert, when the
/// message has ended meanwhile.
pub async fn fail<R: Deliverable>(
    context: &Context,
    unsent: &Header<R::Id>,
    reason: UndeliverableReason,
    problem: &str,
) -> Result<()> {
    let Header { device_id, id, .. } = *unsent;
    let mut unit = context.begin(Actor::system()).await?;
    let (now, reason) = (unit.now(), reason.as_str());
    if !R::fail(unit.conn(), unsent, reason, now).await? {
        return Ok(());
    }
    let (name, value) = R::detail(id);
    if !(R::IS_OPTIONAL && reason == UndeliverableReason::Unsupported.as_str()) {
        unit.raise(NewAlert::new(
            AlertKind::UndeliverableMessage,
            AlertSubject::Device(device_id),
            json!({ "reason": reason, "problem": problem, name: value }),
        ));
    }
    unit.commit().await?;
    metrics::counter!("undeliverable_messages_total", "reason" => reason).increment(1);
    R::count_failed();
    tracing::warn!(%device_id, messages = R::NAME, ?id, reason, problem, "a message cannot be delivered");
    Ok(())
}
