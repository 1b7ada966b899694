//! What the box is sent: out of its queue, through its window.

use tokio::io::{AsyncRead, AsyncWrite};

use super::{OUTPUT_FILL_BYTES, Session};
use crate::host::Host;
use crate::protocol::Outgoing;

impl<H: Host, S: AsyncRead + AsyncWrite + Unpin> Session<H, S> {
    pub(super) fn acknowledged(&mut self, packet_id: u16) {
        if !self.line.outbound().acknowledged(packet_id) {
            // It may answer a packet of its last connection. There is nothing to do about the others either.
            metrics::counter!("mqtt_unknown_pubacks_total").increment(1);
        }
    }

    pub(super) fn send_downlinks(&mut self) {
        let now = std::time::Instant::now();
        let mut expired = 0;
        while self.transport.output.len() < OUTPUT_FILL_BYTES {
            let next = self.line.outbound().next(now, self.window, &mut expired);
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
                // MQTT 5.0 section 3.1.2.11.4: as if it had been sent.
                if let Some(packet_id) = departure.packet_id {
                    self.line.outbound().acknowledged(packet_id);
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
            self.line.outbound().set_blocked(blocked);
        }
    }
}

/// Counts what became of messages for boxes.
pub(crate) fn count_downlinks(outcome: &'static str, count: u64) {
    metrics::counter!("mqtt_downlinks_total", "outcome" => outcome).increment(count);
}
