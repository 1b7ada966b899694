//! What the box says: from PUBLISH to PUBACK.

use std::sync::Arc;
use std::time::Instant;

use certs::identity::Subject;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use wire::Channel;

use super::{Ending, Session};
use crate::authorize::{Action, Permit, authorize};
use crate::host::{EndReason, Host, ProtocolVersion, Unavailable, Uplink};
use crate::protocol::Publish;

/// What became of a message of the box.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settled {
    channel: Option<Channel>,
    /// 0: nothing to acknowledge.
    packet_id: u16,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Durable,
    Unavailable,
    /// v5 says so in the PUBACK, which keeps its place among the others.
    NotAuthorized,
}

impl<H: Host, S: AsyncRead + AsyncWrite + Unpin> Session<H, S> {
    pub(super) fn published(&mut self, publish: Publish) -> Result<(), Ending> {
        if publish.qos > 1 {
            return Err(EndReason::QosNotSupported.into());
        }
        if publish.retain {
            return Err(EndReason::RetainNotSupported.into());
        }
        let subject = Subject::Device(self.key.device_id);
        let Ok(Permit::Publish(channel)) = authorize(&subject, Action::Publish, &publish.topic)
        else {
            return self.forbidden(&publish);
        };
        if !self.has_room(channel)? {
            if publish.qos == 0 {
                count_uplink(channel, "dropped");
                return Ok(());
            }
            return Err(EndReason::TooManyUnacknowledged.into());
        }
        *self.under_way(Some(channel)) += 1;
        let turn = self.turn(Some(channel));
        let host = Arc::clone(&self.host);
        let copies = self.copies.clone();
        let uplink = Uplink {
            session: self.key,
            channel,
            payload: publish.payload,
        };
        let (packet_id, user_properties) = (publish.packet_id, publish.user_properties);
        let applying = (!self.changes.is_empty()).then(|| {
            let applying = self.applying.get_or_insert_with(|| watch::Sender::new(()));
            applying.subscribe()
        });
        self.uplinks.push_back(
            async move {
                if let Some(mut applying) = applying {
                    // Nothing is ever sent here. When the session ends first, what it said still counts.
                    let _dropped = applying.changed().await;
                }
                wait_for(turn).await;
                let copy = copies.of(&uplink, user_properties);
                let outcome = match host.uplink(uplink).await {
                    Ok(()) => {
                        copies.publish(copy);
                        Outcome::Durable
                    }
                    Err(Unavailable) => Outcome::Unavailable,
                };
                Settled {
                    channel: Some(channel),
                    packet_id,
                    outcome,
                }
            }
            .boxed(),
        );
        Ok(())
    }

    fn forbidden(&mut self, publish: &Publish) -> Result<(), Ending> {
        self.count_forbidden("publish");
        if self.protocol.0 == ProtocolVersion::V311 {
            return Err(EndReason::NotAuthorized.into());
        }
        if publish.qos == 0 {
            return Ok(());
        }
        // Counted like any message, or a flood of them would wait without bound behind one slow uplink.
        if !self.has_room(Channel::Heartbeat)? {
            return Err(EndReason::TooManyUnacknowledged.into());
        }
        *self.under_way(None) += 1;
        let turn = self.turn(None);
        let settled = Settled {
            channel: None,
            packet_id: publish.packet_id,
            outcome: Outcome::NotAuthorized,
        };
        self.uplinks.push_back(
            async move {
                wait_for(turn).await;
                settled
            }
            .boxed(),
        );
        Ok(())
    }

    /// When the message may go on, if it comes faster than the box may publish.
    fn turn(&mut self, channel: Option<Channel>) -> Option<Instant> {
        let rate = match channel {
            Some(Channel::PaymentAck) => &mut self.payment_ack_rate,
            _ => &mut self.ordinary_rate,
        };
        let turn = rate.turn(Instant::now(), 1);
        if turn.is_some() {
            metrics::counter!("mqtt_uplinks_slowed_total").increment(1);
        }
        turn
    }

    fn under_way(&mut self, channel: Option<Channel>) -> &mut usize {
        match channel {
            Some(Channel::PaymentAck) => &mut self.payment_acks_under_way,
            _ => &mut self.ordinary_under_way,
        }
    }

    /// Whether another message may be under way, after those that the platform has finished with meanwhile.
    fn has_room(&mut self, channel: Channel) -> Result<bool, Ending> {
        let limit = match channel {
            Channel::PaymentAck => self.limits.payment_acks_unacknowledged_max,
            _ => self.limits.uplinks_unacknowledged_max,
        };
        if *self.under_way(Some(channel)) < limit {
            return Ok(true);
        }
        // A burst that arrived in one piece has not been looked at since. The loop polls again before it waits, so
        // nothing is lost by polling here without a waker.
        while let Some(Some(settled)) = self.uplinks.next().now_or_never() {
            self.settle(settled)?;
        }
        Ok(*self.under_way(Some(channel)) < limit)
    }

    pub(super) fn settle(&mut self, settled: Settled) -> Result<(), Ending> {
        *self.under_way(settled.channel) -= 1;
        let outcome = match settled.outcome {
            Outcome::Durable => "durable",
            Outcome::Unavailable => "unavailable",
            Outcome::NotAuthorized => "not_authorized",
        };
        if let Some(channel) = settled.channel {
            count_uplink(channel, outcome);
        }
        let output = &mut self.transport.output;
        match (settled.packet_id, settled.outcome) {
            // Quality 0 promises nothing: the next heartbeat will do.
            (0, _) => {}
            (_, Outcome::Unavailable) => return Err(EndReason::Unavailable.into()),
            (id, Outcome::Durable) => self.protocol.write_puback(output, id),
            (id, Outcome::NotAuthorized) => self.protocol.write_puback_not_authorized(output, id),
        }
        Ok(())
    }
}

async fn wait_for(turn: Option<Instant>) {
    if let Some(turn) = turn {
        // In a box, because it is rare and every message's future would have to have room for it.
        Box::pin(tokio::time::sleep_until(turn.into())).await;
    }
}

fn count_uplink(channel: Channel, outcome: &'static str) {
    let channel = channel.message_type();
    metrics::counter!("mqtt_uplinks_total", "type" => channel, "outcome" => outcome).increment(1);
}
