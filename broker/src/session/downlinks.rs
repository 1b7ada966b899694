//! Packets to the box, from its queue through its window.

use tokio::io::{AsyncRead, AsyncWrite};

use super::Session;
use crate::host::Host;
use crate::protocol::Outgoing;
use crate::transport::OUTPUT_FILL_BYTES;

impl<H: Host, S: AsyncRead + AsyncWrite + Unpin> Session<H, S> {
    pub(super) fn acknowledged(&mut self, packet_id: u16) {
        let (known, key) = {
            let mut outbound = self.handle.outbound();
            let key = outbound.key_of(packet_id);
            (outbound.acknowledged(packet_id), key)
        };
        match key {
            Some(key) if known => self.host.confirmed(self.key, key),
            _ if known => {}
            // It may belong to a packet of an earlier connection. No action is needed either way.
            _ => metrics::counter!("mqtt_unknown_pubacks_total").increment(1),
        }
    }

    pub(super) fn send_downlinks(&mut self) {
        let now = std::time::Instant::now();
        let mut expired = 0;
        while self.transport.output.len() < OUTPUT_FILL_BYTES {
            let next = self.handle.outbound().next(now, self.window, &mut expired);
            let Some(departure) = next else { break };
            let outgoing = Outgoing {
                topic: &departure.message.topic,
                payload: &departure.message.payload,
                dup: departure.dup,
                packet_id: departure.packet_id,
                expires_s: departure.expires_s,
                user_properties: &[],
            };
            if self.protocol.publish_len(&outgoing) > self.packet_bytes_max {
                // MQTT 5.0 section 3.1.2.11.4: treated as sent.
                if let Some(packet_id) = departure.packet_id {
                    self.handle.outbound().acknowledged(packet_id);
                }
                count_downlinks("larger_than_the_box_takes", 1);
                continue;
            }
            self.protocol
                .write_publish(&mut self.transport.output, &outgoing);
            count_downlinks(if departure.dup { "sent_again" } else { "sent" }, 1);
        }
        if expired > 0 {
            count_downlinks("expired", expired);
        }
        let blocked = self.transport.output.len() >= OUTPUT_FILL_BYTES;
        if std::mem::replace(&mut self.blocked, blocked) != blocked {
            self.handle.outbound().set_blocked(blocked);
        }
    }
}

/// Counts messages to boxes by outcome.
pub(crate) fn count_downlinks(outcome: &'static str, count: u64) {
    metrics::counter!("mqtt_downlinks_total", "outcome" => outcome).increment(count);
}
