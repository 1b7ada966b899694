//! Boxes that behave well, and what becomes of their messages.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::client::puback;
use super::{World, within};

/// A number of boxes that listen and acknowledge, numbered from 1.
pub(crate) struct Neighbours {
    count: u128,
    next_event: u128,
    heard: mpsc::UnboundedReceiver<(u128, u128, Instant)>,
}

impl Neighbours {
    pub(crate) async fn gather(world: &World, count: u128) -> Self {
        let (sender, heard) = mpsc::unbounded_channel();
        for number in 1..=count {
            let mut client = world.listening_box(number).await;
            let sender = sender.clone();
            tokio::spawn(async move {
                while let Some(heard) = client.listen().await {
                    let event = heard.text.parse().expect("a number");
                    let _ = sender.send((number, event, Instant::now()));
                    let id = heard.id.expect("quality 1");
                    if client.try_send(&puback(id)).await.is_err() {
                        return;
                    }
                }
            });
        }
        Self {
            count,
            next_event: 1,
            heard,
        }
    }

    /// Publishes to one box after another, `messages` in all and one at every `spacing`, and waits until each box has
    /// heard all of its own, in order and once. How long each took, in the order of arrival.
    pub(crate) async fn hear_all(
        &mut self,
        world: &World,
        messages: u128,
        spacing: Duration,
    ) -> Vec<Duration> {
        let first = self.next_event;
        let mut sent = HashMap::new();
        let mut last = HashMap::new();
        let mut took = Vec::new();
        let mut pace = interval(spacing);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        within("every message", async {
            while (took.len() as u128) < messages {
                tokio::select! {
                    _ = pace.tick(), if self.next_event < first + messages => {
                        let event = self.next_event;
                        self.next_event += 1;
                        let number = event % self.count + 1;
                        sent.insert(event, (number, Instant::now()));
                        world.publish(number, event);
                    }
                    heard = self.heard.recv() => {
                        let (number, event, at) = heard.expect("they listen");
                        let (addressee, since) = sent.remove(&event).expect("published and not heard yet");
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
