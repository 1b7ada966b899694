//! Well-behaved boxes, and the delivery of their messages.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::client::puback;
use super::{World, within};

/// Boxes that receive and acknowledge, numbered from 1.
pub(crate) struct Neighbours {
    count: u128,
    next_event: u128,
    received: mpsc::UnboundedReceiver<(u128, u128, Instant)>,
}

impl Neighbours {
    pub(crate) async fn gather(world: &World, count: u128) -> Self {
        let (sender, received) = mpsc::unbounded_channel();
        for number in 1..=count {
            let mut client = world.listening_box(number).await;
            let sender = sender.clone();
            tokio::spawn(async move {
                while let Some(received) = client.next_publish().await {
                    let event = received.text.parse().expect("a number");
                    let _ = sender.send((number, event, Instant::now()));
                    let id = received.id.expect("quality 1");
                    if client.try_send(&puback(id)).await.is_err() {
                        return;
                    }
                }
            });
        }
        Self {
            count,
            next_event: 1,
            received,
        }
    }

    /// Publishes to one box after another, `messages` in all and one at every `spacing`, and waits until each box has
    /// received its own, in order and once. Returns the latencies in the order of arrival.
    pub(crate) async fn deliver_all(
        &mut self,
        world: &World,
        messages: u128,
        spacing: Duration,
    ) -> Vec<Duration> {
        let first = self.next_event;
        let mut sent = HashMap::new();
        let mut last = HashMap::new();
        let mut took = Vec::new();
        let mut ticks = interval(spacing);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        within("every message", async {
            while (took.len() as u128) < messages {
                tokio::select! {
                    _ = ticks.tick(), if self.next_event < first + messages => {
                        let event = self.next_event;
                        self.next_event += 1;
                        let number = event % self.count + 1;
                        sent.insert(event, (number, Instant::now()));
                        world.publish(number, event);
                    }
                    received = self.received.recv() => {
                        let (number, event, at) = received.expect("the boxes are connected");
                        let (addressee, since) = sent.remove(&event).expect("published and not received yet");
                        assert_eq!(number, addressee, "event {event}");
                        let before = last.insert(number, event);
                        assert!(before.is_none_or(|before| before < event), "in order");
                        took.push(at.duration_since(since));
                    }
                }
            }
        })
        .await;
        took
    }
}
