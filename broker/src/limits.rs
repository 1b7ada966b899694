//! Every bound of the edge, in one place, with the reason for its default.
//!
//! Nothing a client does may cost more than what is written here: memory, tasks, time. A limit that is reached ends
//! or slows the client that reached it, never its neighbours, and is counted in a metric.

use std::time::Duration;

use crate::host::ProtocolVersion;

/// The bounds of the edge. `Default` gives the documented defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all, whatever their state. Further ones are closed as they arrive. Default 65,536: at about
    /// 20 KiB each that is 1.3 GiB, and more than the descriptors most systems grant.
    pub connections_max: usize,
    /// The same for one address (an IPv6 /64 counts as one). Default 50,000: carriers hide whole fleets behind one
    /// address, and still one address cannot take every place.
    pub connections_per_address_max: usize,
    /// Connections that have not yet been admitted. Further ones are closed as they arrive, so that silent ones cost
    /// a bounded number of tasks, and for no longer than the timeouts below; an address that has fewer of them than
    /// another takes a place from it. Default 4,096.
    pub unauthenticated_max: usize,
    /// Connections accepted per second from one address, with a burst of one second's worth. Default 5,000: whole
    /// fleets sit behind one carrier's NAT address.
    pub accepts_per_address_per_s: u32,
    /// For the TLS handshake. Default 10 s.
    pub handshake_ms_max: u64,
    /// For the CONNECT packet after the handshake. Default 10 s.
    pub connect_ms_max: u64,
    /// For the platform's answer to a CONNECT. Default 10 s.
    pub admit_ms_max: u64,
    /// For the older connection of the same device to be over. Default 10 s, more than the bounded end of a session.
    pub takeover_ms_max: u64,
    /// For the uplinks that a session had under way when its box said goodbye or was lost. Default 2 s.
    pub drain_ms_max: u64,
    /// For the platform to take note that a session ended. Default 5 s.
    pub ended_ms_max: u64,
    /// For a last packet and the closing of the connection. Default 500 ms.
    pub goodbye_ms_max: u64,
    /// Bytes of a packet from a box, after its fixed header. Default 65,536: the largest message of the contract is a
    /// command's result.
    pub packet_bytes_max: usize,
    /// Bytes of a will, which is kept as long as its session lasts. Default 4,096: a status is a few hundred.
    pub will_bytes_max: usize,
    /// Silence after which a client is taken for lost that asked for no keep-alive, and the longest that a client of
    /// version 5 may be silent: it is told (Server Keep Alive). A client of version 3.1.1 cannot be told, and has the one
    /// and a half keep-alives that it asked for. Default 1,200 s. Carriers forget a silent connection sooner.
    pub silence_s_max: u64,
    /// How long a box may leave what it is sent unread. Default 10 s.
    pub write_ms_max: u64,
    /// Bytes waiting for a box to read them. Default 131,072: acknowledgements of what it sends while it reads
    /// nothing.
    pub output_bytes_max: usize,
    /// Packets of any kind per second of one client, with a burst of one second's worth. What comes faster is left
    /// unread, so that TCP slows its sender. A packet counts as one more for each of its KiB. Default 2,000: a box with
    /// a whole queue of announcements acknowledges 128.
    pub packets_per_s_max: u32,
    /// Publishes per second of one client, with a burst of one second's worth; payment acknowledgements are counted
    /// apart. What comes faster is taken later, and its PUBACK waits with it, so that it meets the next limit. Default
    /// 1,000, hundreds of times what an honest box sends.
    pub publishes_per_s_max: u32,
    /// Publishes of one box that wait for the platform, heartbeats and all. Default 64. A box with more is ended
    /// (v5: Receive Maximum, which it was told); heartbeats of quality 0 are dropped instead.
    pub uplinks_unacknowledged_max: usize,
    /// The same for payment acknowledgements, which have a lane of their own. Default 64.
    pub payment_acks_unacknowledged_max: usize,
    /// Subscription changes of one box that wait for the platform. Default 16.
    pub subscription_changes_max: usize,
    /// Subscriptions of one session; further ones are refused in the SUBACK. Default 32: a box has six topics to
    /// subscribe to.
    pub subscriptions_max: usize,
    /// Messages waiting for one box. Default 128: the newest are dropped then, and the outbox sends them again.
    pub queue_max: usize,
    /// Messages sent to one box and not yet acknowledged by it. Default 16; less if a v5 box asks for less.
    pub in_flight_max: usize,
    /// Unacknowledged packets, of all boxes together, that are kept for their box's return to this process. Default
    /// 32,768, about 32 MiB; the oldest sessions' go first, and the outbox sends their messages again.
    pub detached_max: usize,
    /// For how long. Default 3,600 s.
    pub detached_s_max: u64,
    /// Sessions are kept no longer than this after their connection, whatever a v5 box asks for; a session of MQTT
    /// 3.1.1, which cannot say how long, is kept as long as this. Default 604,800 s (7 days).
    pub session_expiry_s_max: u32,
    /// Services that observe the fleet at a time. Default 16: each costs a copy of every message it asks for.
    pub observers_max: usize,
    /// Bytes waiting for one observer to read them; what comes on top is dropped and counted. Default 4 MiB.
    pub observer_queue_bytes_max: usize,
    /// The router's ring, segments of it. Default 8.
    pub router_segments_max: usize,
    /// Bytes of one segment. Default 1 MiB: with 8 of them a burst of 10,000 announcements fits.
    pub router_segment_bytes_max: usize,
    /// Messages handed to the router that it has not yet taken. Default 16,384; further ones are dropped and counted.
    pub router_backlog_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 65_536,
            connections_per_address_max: 50_000,
            unauthenticated_max: 4_096,
            accepts_per_address_per_s: 5_000,
            handshake_ms_max: 10_000,
            connect_ms_max: 10_000,
            admit_ms_max: 10_000,
            takeover_ms_max: 10_000,
            drain_ms_max: 2_000,
            ended_ms_max: 5_000,
            goodbye_ms_max: 500,
            packet_bytes_max: 64 * 1024,
            will_bytes_max: 4 * 1024,
            silence_s_max: 1_200,
            write_ms_max: 10_000,
            output_bytes_max: 128 * 1024,
            packets_per_s_max: 2_000,
            publishes_per_s_max: 1_000,
            uplinks_unacknowledged_max: 64,
            payment_acks_unacknowledged_max: 64,
            subscription_changes_max: 16,
            subscriptions_max: 32,
            queue_max: 128,
            in_flight_max: 16,
            detached_max: 32_768,
            detached_s_max: 3_600,
            session_expiry_s_max: 7 * 24 * 3_600,
            observers_max: 16,
            observer_queue_bytes_max: 4 * 1024 * 1024,
            router_segments_max: 8,
            router_segment_bytes_max: 1024 * 1024,
            router_backlog_max: 16_384,
        }
    }
}

impl Limits {
    pub(crate) fn handshake(&self) -> Duration {
        Duration::from_millis(self.handshake_ms_max)
    }

    pub(crate) fn connect(&self) -> Duration {
        Duration::from_millis(self.connect_ms_max)
    }

    pub(crate) fn admit(&self) -> Duration {
        Duration::from_millis(self.admit_ms_max)
    }

    pub(crate) fn takeover(&self) -> Duration {
        Duration::from_millis(self.takeover_ms_max)
    }

    pub(crate) fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms_max)
    }

    pub(crate) fn ended(&self) -> Duration {
        Duration::from_millis(self.ended_ms_max)
    }

    pub(crate) fn goodbye(&self) -> Duration {
        Duration::from_millis(self.goodbye_ms_max)
    }

    pub(crate) fn write(&self) -> Duration {
        Duration::from_millis(self.write_ms_max)
    }

    pub(crate) fn detached(&self) -> Duration {
        Duration::from_secs(self.detached_s_max)
    }

    /// How long a client that asked for this keep-alive may be silent: one and a half times as long (MQTT-3.1.2-24).
    /// The ceiling holds for who asked for none, and in version 5, where the client is told of it.
    pub(crate) fn silence(&self, version: ProtocolVersion, keep_alive_s: u16) -> Duration {
        let ceiling = Duration::from_secs(self.silence_s_max);
        let asked = Duration::from_millis(u64::from(keep_alive_s) * 1_500);
        match (keep_alive_s, version) {
            (0, _) => ceiling,
            (_, ProtocolVersion::V311) => asked,
            (_, ProtocolVersion::V5) => asked.min(ceiling),
        }
    }

    /// The keep-alive to tell a v5 box whose own is longer than our ceiling allows.
    pub(crate) fn server_keep_alive_s(&self, keep_alive_s: u16) -> Option<u16> {
        let ours = u16::try_from(self.silence_s_max * 2 / 3).unwrap_or(u16::MAX);
        (keep_alive_s == 0 || keep_alive_s > ours).then_some(ours)
    }

    /// How long a connection's end may take in all: what a graceful stop waits for.
    pub(crate) fn end_of_session(&self) -> Duration {
        self.drain() + self.ended() + self.goodbye()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_one_and_a_half_keep_alives_up_to_a_ceiling_of_which_the_client_is_told() {
        let limits = Limits::default();
        let v311 = |asked| limits.silence(ProtocolVersion::V311, asked).as_millis();
        let v5 = |asked| limits.silence(ProtocolVersion::V5, asked).as_millis();
        for asked in [1, 2, 30, 799, 800] {
            assert_eq!(v311(asked), u128::from(asked) * 1_500);
            assert_eq!(v5(asked), u128::from(asked) * 1_500);
        }
        assert_eq!((v311(0), v5(0)), (1_200_000, 1_200_000));
        for asked in [801, 1_200, 3_600, u16::MAX] {
            assert_eq!(v311(asked), u128::from(asked) * 1_500);
            assert_eq!(v5(asked), 1_200_000);
            assert_eq!(limits.server_keep_alive_s(asked), Some(800));
        }
        assert_eq!(limits.server_keep_alive_s(30), None);
        assert_eq!(limits.server_keep_alive_s(0), Some(800));
    }
}
