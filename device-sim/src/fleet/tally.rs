//! The figures of a whole fleet.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde::Serialize;
use wire::message::AckStatus;

use crate::latency::{Latency, Percentiles};
use crate::output::Output;
use crate::report::{Event, Listener, Report};
use crate::soundbox::counters::Counters;

/// The figures of a whole fleet.
pub(super) struct Tally {
    pub(super) connects: u64,
    pub(super) disconnects: u64,
    pub(super) online: u64,
    /// Boxes that have the time or need none, and when the last of them got it.
    pub(super) ready: usize,
    pub(super) ready_at: Instant,
    pub(super) received: u64,
    pub(super) spoken: u64,
    pub(super) failed: u64,
    pub(super) refused: u64,
    /// From `sent_at` to received, in milliseconds.
    latency: Latency,
}

/// The state of one box.
#[derive(Default)]
struct BoxState {
    connected: bool,
    ready: bool,
}

/// An event on standard output.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum OutputEvent {
    FleetConnected {
        boxes: usize,
        connect_ms: u64,
    },
    Fleet {
        boxes: usize,
        online: u64,
        received: u64,
        spoken: u64,
        failed: u64,
        refused: u64,
    },
    FleetReport {
        boxes: usize,
        connects: u64,
        disconnects: u64,
        sent_to_received: Percentiles,
        counters: Counters,
    },
}

impl Tally {
    /// All zero.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            connects: 0,
            disconnects: 0,
            online: 0,
            ready: 0,
            ready_at: now,
            received: 0,
            spoken: 0,
            failed: 0,
            refused: 0,
            latency: Latency::default(),
        }
    }

    fn record(&mut self, report: &Report, state: &mut BoxState) {
        let connected = &mut state.connected;
        match &report.event {
            Event::Connected { .. } => {
                self.connects += 1;
                self.online += u64::from(!*connected);
                *connected = true;
            }
            Event::Disconnected { .. } | Event::Stopped { .. } => {
                if *connected {
                    self.disconnects +=
                        u64::from(matches!(report.event, Event::Disconnected { .. }));
                    self.online -= 1;
                }
                *connected = false;
            }
            Event::ClockSet | Event::Subscribed if !state.ready => {
                state.ready = true;
                self.ready += 1;
                self.ready_at = Instant::now();
            }
            Event::Received {
                sent_to_received_ms,
                ..
            } => {
                self.received += 1;
                if let Some(ms) = sent_to_received_ms {
                    self.latency.record_ms(u64::try_from(*ms).unwrap_or(0));
                }
            }
            Event::Spoken { .. } => self.spoken += 1,
            Event::Announced { .. } => {
                self.received += 1;
                self.spoken += 1;
            }
            Event::Acked {
                status: AckStatus::Failed | AckStatus::Stale,
                ..
            } => self.failed += 1,
            Event::Refused { .. } => self.refused += 1,
            _ => {}
        }
    }

    /// The text beside the progress bar.
    pub(super) fn sentence(&self, count: usize) -> String {
        format!(
            "received {}  spoken {}  failed {}  refused {}  reconnects {}",
            self.received,
            self.spoken,
            self.failed,
            self.refused,
            self.connects.saturating_sub(count as u64),
        )
    }

    /// The present figures.
    pub(super) fn event(&self, boxes: usize) -> OutputEvent {
        OutputEvent::Fleet {
            boxes,
            online: self.online,
            received: self.received,
            spoken: self.spoken,
            failed: self.failed,
            refused: self.refused,
        }
    }

    /// The final figures.
    pub(super) fn report(&self, boxes: usize, counters: Counters) -> OutputEvent {
        OutputEvent::FleetReport {
            boxes,
            connects: self.connects,
            disconnects: self.disconnects,
            sent_to_received: self.latency(),
            counters,
        }
    }

    /// The final figures as text.
    pub(super) fn summary(&self, boxes: usize, counters: Counters) -> String {
        let Counters {
            received,
            spoken,
            duplicates,
            stale,
            failed,
            refused,
            gaps,
            ..
        } = counters;
        let latency = self.latency();
        format!(
            "{boxes} boxes, {} connects, {} disconnects\n\
             received {received}, spoken {spoken}, duplicates {duplicates}, stale {stale}, failed {failed}, \
             refused {refused}, sequence gaps {gaps}\n\
             sent_at to received, by the boxes' trusted clocks, {} announcements: {latency}",
            self.connects, self.disconnects, latency.count,
        )
    }

    /// From the platform's `sent_at` to the box, by the boxes' trusted clocks. A trusted clock is late by the network
    /// delay of its time answer, so these figures are too low by about that much.
    fn latency(&self) -> Percentiles {
        self.latency.percentiles()
    }
}

/// The listener of one box of the fleet.
pub(super) fn listener(tally: Arc<Mutex<Tally>>, output: Output) -> Listener {
    let state = Mutex::new(BoxState::default());
    Arc::new(move |report: &Report| {
        if let (Ok(mut tally), Ok(mut state)) = (tally.lock(), state.lock()) {
            tally.record(report, &mut state);
        }
        if output.is_json()
            && matches!(report.event, Event::Spoken { .. } | Event::Announced { .. })
        {
            output.emit(report, String::new);
        }
    })
}
