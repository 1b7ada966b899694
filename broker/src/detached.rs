//! Unacknowledged packets of ended sessions, kept for a while for boxes that reconnect to this process.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use wire::DeviceId;

use crate::downlink::Unacknowledged;

/// Unacknowledged packets of ended sessions, bounded in number and age. The oldest are dropped first.
#[derive(Debug)]
pub(crate) struct Detached {
    sessions: HashMap<DeviceId, Left>,
    /// In the order of their arrival. Entries whose session has been removed or replaced are skipped.
    order: VecDeque<(Instant, DeviceId)>,
    packets: usize,
    packets_max: usize,
    kept_for: Duration,
}

#[derive(Debug)]
struct Left {
    epoch: i64,
    since: Instant,
    packets: Unacknowledged,
}

impl Detached {
    pub(crate) fn new(packets_max: usize, kept_for: Duration) -> Self {
        Self {
            sessions: HashMap::new(),
            order: VecDeque::new(),
            packets: 0,
            packets_max,
            kept_for,
        }
    }

    pub(crate) fn put(
        &mut self,
        device: DeviceId,
        epoch: i64,
        packets: Unacknowledged,
        now: Instant,
    ) {
        self.remove(device);
        self.packets += packets.len();
        self.order.push_back((now, device));
        let left = Left {
            epoch,
            since: now,
            packets,
        };
        self.sessions.insert(device, left);
        while let Some(&(since, device)) = self.order.front() {
            let current = self
                .sessions
                .get(&device)
                .is_some_and(|left| left.since == since);
            let old = now.duration_since(since) > self.kept_for;
            if current && !old && self.packets <= self.packets_max {
                break;
            }
            self.order.pop_front();
            if current {
                self.remove(device);
            }
        }
    }

    pub(crate) fn take(
        &mut self,
        device: DeviceId,
        epoch: i64,
        now: Instant,
    ) -> Option<Unacknowledged> {
        let left = self.remove(device)?;
        let fresh = now.duration_since(left.since) <= self.kept_for;
        (fresh && left.epoch.checked_add(1) == Some(epoch)).then_some(left.packets)
    }

    /// Drops the packets of the device.
    pub(crate) fn forget(&mut self, device: DeviceId) {
        self.remove(device);
    }

    fn remove(&mut self, device: DeviceId) -> Option<Left> {
        let left = self.sessions.remove(&device)?;
        self.packets -= left.packets.len();
        if self.sessions.is_empty() {
            self.order.clear();
        }
        Some(left)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.packets == 0 && self.order.is_empty()
    }
}
