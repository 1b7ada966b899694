//! Announcements that the broker has and their boxes have not confirmed: when each was handed over, for its payment's trace.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use service::Context;
use service::payment::trace::{self, Action, Traced};
use wire::ids::EventId;

/// How many are remembered. Sessions may end without PUBACK, so all are forgotten then: their traces lack this step.
const DELIVERIES_MAX: usize = 16_384;

/// Empty unless payments are traced.
pub(super) struct Deliveries {
    context: Context,
    open: Mutex<HashMap<EventId, (Traced, DateTime<Utc>)>>,
}

impl Deliveries {
    pub(super) fn new(context: &Context) -> Self {
        Self {
            context: context.clone(),
            open: Mutex::default(),
        }
    }

    /// A message is about to be handed to the broker. An announcement that is handed over again continues.
    pub(super) fn begin(&self, traced: Option<Traced>) {
        let Some(announcement) = traced else { return };
        self.with_open(|open| {
            if open.len() >= DELIVERIES_MAX {
                open.clear();
            }
            open.entry(announcement.event_id)
                .or_insert_with(|| (announcement, self.context.clock().now()));
        });
    }

    /// The broker refused the announcement.
    pub(super) fn forget(&self, event_id: EventId) {
        self.with_open(|open| open.remove(&event_id));
    }

    /// The box has confirmed a message; keys of other messages than announcements are not known here.
    pub(super) fn confirm(&self, event_id: EventId) {
        if let Some((announcement, began)) = self.with_open(|open| open.remove(&event_id)).flatten()
        {
            trace::report(&self.context, Some(announcement), Action::Publish, began);
        }
    }

    /// `None`: payments are not traced.
    fn with_open<T>(
        &self,
        work: impl FnOnce(&mut HashMap<EventId, (Traced, DateTime<Utc>)>) -> T,
    ) -> Option<T> {
        self.context.payment_tracer()?;
        // A panic leaves the map consistent.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        Some(work(&mut open))
    }
}
