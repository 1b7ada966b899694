//! Every limit of the edge, with the reason for its default.
//!
//! They bound the memory, tasks and time that a client can cost. A limit that is reached ends or slows the client that
//! reached it, and is counted in a metric. Three limits are shared, so that they may cost another client:
//! `connections_max` and `unauthenticated_max` (the busiest address may lose its oldest connection that is not yet
//! admitted), and `detached_max` (messages for boxes whose session has ended).

use std::time::Duration;

use crate::host::ProtocolVersion;

/// The limits of the edge. `Default` gives the documented defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// All connections, in any state. Further ones are closed as they arrive, unless one that is not yet admitted is
    /// evicted for them (see `unauthenticated_max`); until it has ended, there is one more. Default 65,536: at about 20 KiB
    /// each that is 1.3 GiB, and more file descriptors than most systems allow.
    pub connections_max: usize,
    /// The same for one address (an IPv6 /64 counts as one). Default 50,000: a mobile network's NAT puts whole fleets
    /// behind one address, but one address cannot use all connections.
    pub connections_per_address_max: usize,
    /// Connections that are not yet admitted. Further ones are closed as they arrive, so that silent ones cost a bounded
    /// number of tasks for the time of the timeouts below. A connection of an address that has at least two fewer of
    /// them than the busiest address evicts the oldest of that one. Default 4,096.
    pub unauthenticated_max: usize,
    /// Connections accepted per second from one address, with a burst of one second's worth. Default 5,000: a
    /// mobile network's NAT puts whole fleets behind one address.
    pub accepts_per_address_per_s: u32,
    /// Wrong passwords per second that are answered at once, for each address and each user name; the answers to others are
    /// held back, up to 5 s. A right password is always accepted at once. Default 5.
    pub failed_logins_per_s: u32,
    /// Timeout of the TLS handshake. Default 10 s.
    pub handshake_ms_max: u64,
    /// Timeout of the CONNECT packet after the handshake. Default 10 s.
    pub connect_ms_max: u64,
    /// Timeout of the platform's answer to a CONNECT. Default 10 s.
    pub admit_ms_max: u64,
    /// Timeout of the end of the same device's older connection. Default 10 s, more than a session's end can take. One
    /// that is still being admitted may take longer (`admit_ms_max`, then `ended_ms_max`): the newer is then refused.
    pub takeover_ms_max: u64,
    /// Timeout of the uplinks that the platform is storing when their session ends. Default 2 s.
    pub drain_ms_max: u64,
    /// Timeout of the platform's record of a session's end. Default 5 s.
    pub ended_ms_max: u64,
    /// Timeout of writing the last packet, and of its being read before the connection is closed. Default 500 ms.
    pub close_ms_max: u64,
    /// Bytes of a packet from a box, after its fixed header. Default 65,536: the largest message of the contract is a
    /// command's result.
    pub packet_bytes_max: usize,
    /// Bytes of a will, which is kept as long as its session lasts. Default 4,096: a status is a few hundred.
    pub will_bytes_max: usize,
    /// How long a client without keep-alive may be silent, and a client of version 5 at most, which is informed by
    /// Server Keep Alive. A client of version 3.1.1 cannot be informed, and may be silent for one and a half times its
    /// keep-alive. Default 1,200 s. Mobile networks drop a silent connection sooner.
    pub silence_s_max: u64,
    /// How long a box may read nothing of its output. Default 10 s.
    pub write_ms_max: u64,
    /// Unread output of a box, bytes. Default 131,072: acknowledgements of what it sends while it reads nothing.
    pub output_bytes_max: usize,
    /// Packets of any kind per second of one client, with a burst of one second's worth. Further packets are read later,
    /// so that TCP slows the sender. A packet counts as one more for each of its KiB. Default 2,000: a box with a full
    /// queue acknowledges 128 messages.
    pub packets_per_s_max: u32,
    /// Publishes per second of one box, with a burst of one second's worth; payment acknowledgements are counted apart.
    /// Further publishes are delayed together with their PUBACKs, and so count in the next limit. Default 1,000,
    /// hundreds of times what a correct box sends.
    pub publishes_per_s_max: u32,
    /// Unacknowledged publishes of one box. Default 64. A box that exceeds it is disconnected (v5: it was sent as
    /// Receive Maximum); messages of quality 0 are dropped instead.
    pub uplinks_unacknowledged_max: usize,
    /// The same for payment acknowledgements, which are counted apart. Default 64.
    pub payment_acks_unacknowledged_max: usize,
    /// Unanswered SUBSCRIBE and UNSUBSCRIBE packets of one box. Default 16.
    pub subscription_changes_max: usize,
    /// Subscriptions of one session; further ones are refused in the SUBACK. Default 32: there are six filters for a box.
    pub subscriptions_max: usize,
    /// Queued messages of one box. Default 128. Further ones are dropped, and the outbox sends them again.
    pub queue_max: usize,
    /// Unacknowledged messages to one box. Default 16; a v5 box may lower it by its Receive Maximum.
    pub in_flight_max: usize,
    /// Unacknowledged packets of ended sessions, of all boxes together, that are kept for boxes that reconnect to this
    /// process. Default 32,768, about 32 MiB. The oldest are dropped first, and the outbox sends their messages again.
    pub detached_max: usize,
    /// How long they are kept. Default 3,600 s.
    pub detached_s_max: u64,
    /// The longest time for which a session is kept after its connection. A v5 box may request less; a session of MQTT
    /// 3.1.1, which has no such property, is kept this long. Default 604,800 s (7 days).
    pub session_expiry_s_max: u32,
    /// Services that observe the fleet at a time. Default 16: each costs a copy of every message it subscribes to.
    pub observers_max: usize,
    /// Queued bytes of one observer; further copies are dropped and counted. Default 4 MiB.
    pub observer_queue_bytes_max: usize,
    /// Segments of the router's ring. Default 8.
    pub router_segments_max: usize,
    /// Bytes of one segment. Default 1 MiB: 8 of them hold a burst of 10,000 notifications.
    pub router_segment_bytes_max: usize,
    /// Messages that wait for the router's thread. Default 16,384; further ones are dropped and counted.
    pub router_backlog_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 65_536,
            connections_per_address_max: 50_000,
            unauthenticated_max: 4_096,
            accepts_per_address_per_s: 5_000,
            failed_logins_per_s: 5,
            handshake_ms_max: 10_000,
            connect_ms_max: 10_000,
            admit_ms_max: 10_000,
            takeover_ms_max: 10_000,
            drain_ms_max: 2_000,
            ended_ms_max: 5_000,
            close_ms_max: 500,
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

    pub(crate) fn close(&self) -> Duration {
        Duration::from_millis(self.close_ms_max)
    }

    pub(crate) fn write(&self) -> Duration {
        Duration::from_millis(self.write_ms_max)
    }

    pub(crate) fn detached(&self) -> Duration {
        Duration::from_secs(self.detached_s_max)
    }

    /// How long a client with this keep-alive may be silent: one and a half times as long (MQTT-3.1.2-24). The ceiling
    /// holds for clients without keep-alive, and in version 5, where the client is informed of it.
    pub(crate) fn silence(&self, version: ProtocolVersion, keep_alive_s: u16) -> Duration {
        let ceiling = Duration::from_secs(self.silence_s_max);
        let requested = Duration::from_millis(u64::from(keep_alive_s) * 1_500);
        match (keep_alive_s, version) {
            (0, _) => ceiling,
            (_, ProtocolVersion::V311) => requested,
            (_, ProtocolVersion::V5) => requested.min(ceiling),
        }
    }

    /// The Server Keep Alive for a v5 box whose keep-alive is longer than the ceiling allows.
    pub(crate) fn server_keep_alive_s(&self, keep_alive_s: u16) -> Option<u16> {
        let max = u16::try_from(self.silence_s_max * 2 / 3).unwrap_or(u16::MAX);
        (keep_alive_s == 0 || keep_alive_s > max).then_some(max)
    }

    /// The longest time that a session's end may take: what a graceful stop waits for.
    pub(crate) fn end_of_session(&self) -> Duration {
        self.drain() + self.ended() + self.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_one_and_a_half_keep_alives_up_to_a_ceiling_that_connack_states() {
        let limits = Limits::default();
        let v311 = |keep_alive_s| {
            limits
                .silence(ProtocolVersion::V311, keep_alive_s)
                .as_millis()
        };
        let v5 = |keep_alive_s| {
            limits
                .silence(ProtocolVersion::V5, keep_alive_s)
                .as_millis()
        };
        for keep_alive_s in [1, 2, 30, 799, 800] {
            assert_eq!(v311(keep_alive_s), u128::from(keep_alive_s) * 1_500);
            assert_eq!(v5(keep_alive_s), u128::from(keep_alive_s) * 1_500);
        }
        assert_eq!((v311(0), v5(0)), (1_200_000, 1_200_000));
        for keep_alive_s in [801, 1_200, 3_600, u16::MAX] {
            assert_eq!(v311(keep_alive_s), u128::from(keep_alive_s) * 1_500);
            assert_eq!(v5(keep_alive_s), 1_200_000);
            assert_eq!(limits.server_keep_alive_s(keep_alive_s), Some(800));
        }
        assert_eq!(limits.server_keep_alive_s(30), None);
        assert_eq!(limits.server_keep_alive_s(0), Some(800));
    }
}
