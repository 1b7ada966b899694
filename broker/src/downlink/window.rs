//! The window: packets of quality 1 that have been sent and are not acknowledged.

use std::collections::VecDeque;
use std::time::Instant;

use uuid::Uuid;

use super::{Message, Transmission};
use crate::expiry::seconds_until;
use crate::host::Published;

#[derive(Debug, Default)]
pub(super) struct Window {
    packets: VecDeque<InFlight>,
    pub(super) last_packet_id: u16,
}

#[derive(Debug)]
struct InFlight {
    packet_id: u16,
    /// `None`: withdrawn. The identifier stays in use until the box acknowledges it.
    message: Option<Message>,
    /// Written on this connection. `false`: a resumed packet that is still to be sent.
    written: bool,
}

/// The unacknowledged packets of a session whose connection has ended.
#[derive(Debug)]
pub(crate) struct Unacknowledged(Window);

impl Unacknowledged {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Window {
    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether the message with this key is sent, or queued to be sent again. `None`: it is not here.
    pub(super) fn find(&self, key: Uuid) -> Option<Published> {
        let is = |message: &Message| message.key == Some(key);
        let packet = self
            .packets
            .iter()
            .find(|packet| packet.message.as_ref().is_some_and(is))?;
        Some(if packet.written {
            Published::Sent
        } else {
            Published::Queued
        })
    }

    /// Takes over the packets of an earlier connection of the same session.
    pub(super) fn resume(&mut self, left: Unacknowledged) {
        debug_assert!(self.packets.is_empty());
        *self = left.0;
    }

    /// Hands over the packets, for a later connection of the same session.
    pub(super) fn detach(&mut self) -> Option<Unacknowledged> {
        let mut packets = std::mem::take(&mut self.packets);
        packets.retain(|packet| packet.message.is_some());
        for packet in &mut packets {
            packet.written = false;
        }
        packets.shrink_to_fit();
        (!packets.is_empty()).then_some(Unacknowledged(Self {
            packets,
            last_packet_id: self.last_packet_id,
        }))
    }

    /// The next packet of an earlier connection, in their order.
    pub(super) fn next_resumed(
        &mut self,
        now: Instant,
        window: usize,
        expired: &mut u64,
    ) -> Option<Transmission> {
        loop {
            let index = self.packets.iter().position(|packet| !packet.written)?;
            // Resumed packets precede all others, so the index is also the number of packets in flight.
            if index >= window {
                return None;
            }
            let packet = &mut self.packets[index];
            let Some((message, expires_s)) = packet.message.as_ref().and_then(|message| {
                let left = seconds_until(message.expires_at, now).ok()?;
                Some((message.clone(), left))
            }) else {
                *expired += 1;
                self.packets.remove(index);
                continue;
            };
            packet.written = true;
            return Some(Transmission {
                message,
                packet_id: Some(packet.packet_id),
                dup: true,
                expires_s,
            });
        }
    }

    /// Adds a message that is about to be written, and returns its packet identifier.
    pub(super) fn push(&mut self, message: Message) -> u16 {
        let packet_id = self.free_packet_id();
        self.packets.push_back(InFlight {
            packet_id,
            message: Some(message),
            written: true,
        });
        packet_id
    }

    /// The next identifier that is not in use. The window is far smaller than the 65,535 there are.
    fn free_packet_id(&mut self) -> u16 {
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            let id = self.last_packet_id;
            if self.packets.iter().all(|packet| packet.packet_id != id) {
                return id;
            }
        }
    }

    /// The key of the message in flight with this packet identifier.
    pub(super) fn key_of(&self, packet_id: u16) -> Option<Uuid> {
        let packet = self
            .packets
            .iter()
            .find(|packet| packet.packet_id == packet_id)?;
        packet.message.as_ref()?.key
    }

    /// Removes an acknowledged packet. `false`: it was not in flight.
    pub(super) fn acknowledged(&mut self, packet_id: u16) -> bool {
        let Some(index) = self
            .packets
            .iter()
            .position(|packet| packet.packet_id == packet_id && packet.written)
        else {
            return false;
        };
        self.packets.remove(index);
        if self.packets.is_empty() {
            self.packets = VecDeque::new();
        }
        true
    }

    /// Drops the packets that are still to be sent, and the messages of those that have been sent.
    pub(super) fn withdraw(&mut self) {
        self.packets.retain(|packet| packet.written);
        for packet in &mut self.packets {
            packet.message = None;
        }
    }
}
