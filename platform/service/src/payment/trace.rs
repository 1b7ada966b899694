//! The steps of a payment, from the callback to the spoken announcement, reported for a trace.
//!
//! All steps that concern a transaction belong to one trace, whose id is the transaction's id. So no row and no message
//! has to carry an id of a trace, although the steps are minutes apart and happen in different tasks and processes. A
//! step is reported when it is over. Without a [`PaymentTracer`] nothing is reported and nothing is computed.

use std::fmt;

use chrono::{DateTime, Utc};
use domain::announcement::NotificationStatus;
use tracing::Span;
use wire::ids::{DeviceId, EventId, TransactionId};

use crate::Context;

/// Where the steps of payments are reported. Called in the midst of a payment: it must neither block nor fail.
pub trait PaymentTracer: fmt::Debug + Send + Sync {
    /// A message about the transaction took effect.
    fn committed(&self, origin: &Origin, times: &UnitTimes);
    /// Something happened to an announcement.
    fn announced(&self, step: &AnnouncementStep);
}

/// What changed a transaction.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// The transaction.
    pub transaction_id: TransactionId,
    /// `callback`, or `assign` for unmatched money that was attributed to a terminal.
    pub name: &'static str,
    /// accepted, duplicate, unmatched, held or ignored.
    pub verdict: &'static str,
    /// It made the transaction paid, which happens at most once: the first step of the trace.
    pub pays: bool,
    /// When it was received.
    pub received_at: DateTime<Utc>,
    /// When its signature was verified and its body parsed.
    pub verified_at: DateTime<Utc>,
}

/// When a unit of work did what.
#[derive(Debug, Clone, Copy)]
pub struct UnitTimes {
    /// It began: for a callback, it was no longer waiting for a worker.
    pub began: DateTime<Utc>,
    /// Everything was locked and read, and it was decided what to write.
    pub decided: DateTime<Utc>,
    /// Everything was written, and COMMIT began.
    pub written: DateTime<Utc>,
    /// It was durable.
    pub committed: DateTime<Utc>,
}

/// What a unit of work does to payments, to be reported after its commit.
#[derive(Debug)]
pub(crate) struct Steps {
    began: DateTime<Utc>,
    decided: DateTime<Utc>,
    /// Each with the span in which it happened.
    origins: Vec<(Span, Origin)>,
}

impl Steps {
    /// Of a unit of work that begins now; none if payments are not traced.
    pub(crate) fn begin(context: &Context) -> Option<Self> {
        context.payment_tracer()?;
        let now = context.clock().now();
        Some(Self {
            began: now,
            decided: now,
            origins: Vec::new(),
        })
    }

    pub(crate) fn decided(&mut self, now: DateTime<Utc>) {
        self.decided = now;
    }

    pub(crate) fn add(&mut self, origin: Origin) {
        self.origins.push((Span::current(), origin));
    }

    /// Reports them once they are committed.
    pub(crate) fn report(&self, context: &Context, written: DateTime<Utc>) {
        let Some(tracer) = context.payment_tracer() else {
            return;
        };
        let times = UnitTimes {
            began: self.began,
            decided: self.decided,
            written,
            committed: context.clock().now(),
        };
        for (span, origin) in &self.origins {
            span.in_scope(|| tracer.committed(origin, &times));
        }
    }
}

/// An announcement in the trace of its payment.
#[derive(Debug, Clone, Copy)]
pub struct Traced {
    /// The transaction.
    pub transaction_id: TransactionId,
    /// The announcement.
    pub event_id: EventId,
    /// Its box.
    pub device_id: DeviceId,
}

/// Something that happened to an announcement.
#[derive(Debug, Clone, Copy)]
pub struct AnnouncementStep {
    /// The announcement.
    pub announcement: Traced,
    /// What happened.
    pub action: Action,
    /// When it began.
    pub began: DateTime<Utc>,
    /// When it was over.
    pub ended: DateTime<Utc>,
}

/// What happened to an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It was signed for its box.
    Seal,
    /// From the sealed message to the note that it was handed over.
    Send(Transport),
    /// From the hand-over to the broker to the box's PUBACK.
    Publish,
    /// An acknowledgement of the box was stored.
    Acknowledge(NotificationStatus),
}

/// How an announcement is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Through the broker.
    Mqtt,
    /// In the answer to a request of the box.
    Http,
}

/// Reports what happened to a message from `began` until now, if it is an announcement and payments are traced.
pub fn report(context: &Context, traced: Option<Traced>, action: Action, began: DateTime<Utc>) {
    if let (Some(tracer), Some(announcement)) = (context.payment_tracer(), traced) {
        tracer.announced(&AnnouncementStep {
            announcement,
            action,
            began,
            ended: context.clock().now(),
        });
    }
}
