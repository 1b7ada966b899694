//! SUBSCRIBE and UNSUBSCRIBE, one after another, each answered when it is durable.

use std::collections::VecDeque;
use std::sync::Arc;

use certs::identity::Subject;
use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use wire::DownlinkFilter;

use super::Session;
use crate::authorize::{Action, Permit, authorize};
use crate::ending::Ending;
use crate::host::{EndReason, Host, Subscription};
use crate::protocol::Granted;

/// A SUBSCRIBE or UNSUBSCRIBE that waits for its answer.
#[derive(Debug)]
pub(super) struct Change {
    answer: Answer,
    /// The subscriptions after it; `None` if it changes nothing.
    subscriptions: Option<Vec<Subscription>>,
}

#[derive(Debug)]
enum Answer {
    Subscribed {
        packet_id: u16,
        granted: Vec<Granted>,
    },
    Unsubscribed {
        packet_id: u16,
        existed: Vec<bool>,
    },
}

impl<H: Host, S: AsyncRead + AsyncWrite + Unpin> Session<H, S> {
    pub(super) fn subscribe(
        &mut self,
        packet_id: u16,
        filters: &[(String, u8)],
    ) -> Result<(), Ending> {
        let mut after = self.intended.clone();
        let granted: Vec<Granted> = filters
            .iter()
            .map(|(filter, requested)| {
                let Some(permitted) = self.permitted(filter) else {
                    return Granted::NotAuthorized;
                };
                let qos = (*requested).min(1);
                for filter in permitted {
                    let full = after.len() >= self.limits.subscriptions_max;
                    match after.iter_mut().find(|one| one.filter == filter) {
                        Some(one) => one.qos = qos,
                        None if full => return Granted::QuotaExceeded,
                        None => after.push(Subscription { filter, qos }),
                    }
                }
                Granted::Quality(qos)
            })
            .collect();
        if granted.contains(&Granted::NotAuthorized) {
            self.count_forbidden("subscribe");
        }
        if granted.contains(&Granted::QuotaExceeded) {
            metrics::counter!("mqtt_subscriptions_over_limit_total").increment(1);
        }
        self.change(Answer::Subscribed { packet_id, granted }, after)
    }

    pub(super) fn unsubscribe(&mut self, packet_id: u16, filters: &[String]) -> Result<(), Ending> {
        let mut after = self.intended.clone();
        let existed = filters
            .iter()
            .map(|filter| {
                let Some(permitted) = self.permitted(filter) else {
                    return false;
                };
                let before = after.len();
                after.retain(|one| !permitted.contains(&one.filter));
                after.len() < before
            })
            .collect();
        self.change(Answer::Unsubscribed { packet_id, existed }, after)
    }

    /// The box's own downlinks that a topic filter names; `None`: it names others too, or none.
    fn permitted(&self, filter: &str) -> Option<Vec<DownlinkFilter>> {
        let subject = Subject::Device(self.key.device_id);
        match authorize(&subject, self.topics.as_deref(), Action::Subscribe, filter) {
            Ok(Permit::Subscribe(filters)) => Some(filters),
            Ok(Permit::Publish(_) | Permit::Observe(_)) | Err(_) => None,
        }
    }

    fn change(&mut self, answer: Answer, after: Vec<Subscription>) -> Result<(), Ending> {
        if self.changes.len() >= self.limits.subscription_changes_max {
            return Err(EndReason::TooManyUnacknowledged.into());
        }
        let subscriptions = (after != self.intended).then(|| after.clone());
        self.intended = after;
        self.changes.push_back(Change {
            answer,
            subscriptions,
        });
        self.start_changes();
        Ok(())
    }

    /// Starts the next change unless one is running. Those that change nothing are answered at once.
    pub(super) fn start_changes(&mut self) {
        while self.changing.is_none() {
            match self.changes.front() {
                None => {
                    self.changes = VecDeque::new();
                    self.applying = None;
                    return;
                }
                Some(Change {
                    subscriptions: Some(subscriptions),
                    ..
                }) => {
                    let (host, key) = (Arc::clone(&self.host), self.key);
                    let (persistent, after) = (self.persistent, subscriptions.clone());
                    self.changing = Some(
                        async move { host.subscriptions_changed(key, persistent, after).await }
                            .boxed(),
                    );
                }
                Some(_) => self.finish_change(),
            }
        }
    }

    /// Applies and answers the oldest change, which is durable.
    pub(super) fn finish_change(&mut self) {
        let Some(change) = self.changes.pop_front() else {
            return;
        };
        if let Some(subscriptions) = change.subscriptions {
            self.handle.outbound().set_subscriptions(subscriptions);
        }
        let output = &mut self.transport.output;
        match change.answer {
            Answer::Subscribed { packet_id, granted } => {
                self.protocol.write_suback(output, packet_id, &granted);
                let is_granted = |granted: &Granted| matches!(granted, Granted::Quality(_));
                if granted.iter().any(is_granted) {
                    // Resulting messages are written after the SUBACK, which is already in the output.
                    self.host.listening(self.key);
                }
            }
            Answer::Unsubscribed { packet_id, existed } => {
                self.protocol.write_unsuback(output, packet_id, &existed);
            }
        }
    }
}
