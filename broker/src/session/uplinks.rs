//! Messages from the box, from PUBLISH to PUBACK.

use std::sync::Arc;
use std::time::Instant;

use certs::identity::Subject;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use wire::Channel;

use super::Session;
use crate::authorize::{Action, Permit, authorize};
use crate::ending::Ending;
use crate::host::{EndReason, Host, ProtocolVersion, Unavailable, Uplink};
use crate::protocol::Publish;

/// A message of the box whose outcome is known.
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
    /// v5: the reason code of the PUBACK, which is sent in its order among the others.
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
        let permit = authorize(
            &subject,
            self.topics.as_deref(),
            Action::Publish,
            &publish.topic,
        );
        let Ok(Permit::Publish(channel)) = permit else {
            return self.forbidden(&publish);
        };
        if !self.is_below_limit(channel)? {
            if publish.qos == 0 {
                count_uplink(channel, "dropped");
                return Ok(());
            }
            return Err(EndReason::TooManyUnacknowledged.into());
        }
        *self.running(Some(channel)) += 1;
        let due = self.delay(Some(channel));
        let host = Arc::clone(&self.host);
        let copies = self.copies.clone();
        let uplink = Uplink {
            session: self.key,
            channel,
            topic: self
                .topics
                .as_ref()
                .and_then(|topics| topics.published(&publish.topic))
                .map(|(topic, _)| Arc::clone(topic)),
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
                    // Resolves when the sender is dropped: after the last change, or with the session. Its messages are
                    // then still stored, unless it was taken over or revoked.
                    let _dropped = applying.changed().await;
                }
                sleep_until(due).await;
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
        // Counted like any other message: otherwise their number behind one slow uplink would have no limit.
        if !self.is_below_limit(Channel::Heartbeat)? {
            return Err(EndReason::TooManyUnacknowledged.into());
        }
        *self.running(None) += 1;
        let due = self.delay(None);
        let settled = Settled {
            channel: None,
            packet_id: publish.packet_id,
            outcome: Outcome::NotAuthorized,
        };
        self.uplinks.push_back(
            async move {
                sleep_until(due).await;
                settled
            }
            .boxed(),
        );
        Ok(())
    }

    /// Until when to delay the message, if the box publishes faster than its rate.
    fn delay(&mut self, channel: Option<Channel>) -> Option<Instant> {
        let rate = match channel {
            Some(Channel::PaymentAck) => &mut self.payment_ack_rate,
            _ => &mut self.ordinary_rate,
        };
        let due = rate.delay(Instant::now(), 1);
        if due.is_some() {
            metrics::counter!("mqtt_uplinks_slowed_total").increment(1);
        }
        due
    }

    /// The number of running calls to the host.
    fn running(&mut self, channel: Option<Channel>) -> &mut usize {
        match channel {
            Some(Channel::PaymentAck) => &mut self.payment_acks_running,
            _ => &mut self.ordinary_running,
        }
    }

    /// Whether another message is below the limit, after settling those that the platform has finished.
    fn is_below_limit(&mut self, channel: Channel) -> Result<bool, Ending> {
        let limit = match channel {
            Channel::PaymentAck => self.limits.payment_acks_unacknowledged_max,
            _ => self.limits.uplinks_unacknowledged_max,
        };
        if *self.running(Some(channel)) < limit {
            return Ok(true);
        }
        // The calls of a burst that arrived in one piece have not been polled since. The loop polls again before it
        // waits, so polling here without a waker loses no wake-up.
        while let Some(Some(settled)) = self.uplinks.next().now_or_never() {
            self.settle(settled)?;
        }
        Ok(*self.running(Some(channel)) < limit)
    }

    pub(super) fn settle(&mut self, settled: Settled) -> Result<(), Ending> {
        *self.running(settled.channel) -= 1;
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
            // Quality 0 has no acknowledgement.
            (0, _) => {}
            (_, Outcome::Unavailable) => return Err(EndReason::Unavailable.into()),
            (id, Outcome::Durable) => self.protocol.write_puback(output, id),
            (id, Outcome::NotAuthorized) => self.protocol.write_puback_not_authorized(output, id),
        }
        Ok(())
    }
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(due) = due {
        // Boxed, because it is rare and would enlarge the future of every message.
        Box::pin(tokio::time::sleep_until(due.into())).await;
    }
}

fn count_uplink(channel: Channel, outcome: &'static str) {
    let channel = channel.message_type();
    metrics::counter!("mqtt_uplinks_total", "type" => channel, "outcome" => outcome).increment(1);
}
