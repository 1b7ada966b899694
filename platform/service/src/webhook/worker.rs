//! Sends messages until they are taken.
//!
//! A message is taken from the database with a lease; whoever dies with it leaves it due again. Of one subject an endpoint is
//! sent one message at a time, the earliest that it has not taken; messages of different subjects are sent beside each other.
//! An endpoint that fails is paused, later ever longer, and is switched off with an alert when a message of it was not taken for
//! three days, or when it answers 410 Gone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::alert::{AlertKind, AlertSubject, NewAlert};
use domain::webhook::{ABANDON_AFTER, LEASE, Secret, header, wait};
use serde_json::json;
use store::webhook::delivery::Due;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wire::ids::WebhookEndpointId;

use super::fan_out;
use super::sender::{Message, NotSent, WebhookSender};
use crate::retry::retried;
use crate::{Context, Result, alert_record};

/// How often the database is asked for something to send.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// How many messages are sent at the same time, in all and to one endpoint.
const AT_ONCE: usize = 128;
const AT_ONCE_EACH: i64 = 32;
/// The longest error that is kept, characters.
const ERROR_LEN_MAX: usize = 200;
/// HTTP's word for "never again".
const GONE: u16 = 410;

/// Makes and sends messages until `stop`. What is on its way then is sent again by the next process.
pub async fn run(context: Context, sender: Arc<dyn WebhookSender>, stop: CancellationToken) {
    let mut ticks = interval(CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sending: JoinSet<WebhookEndpointId> = JoinSet::new();
    // How many messages are on their way to each endpoint.
    let mut busy: HashMap<WebhookEndpointId, usize> = HashMap::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
            Some(ended) = sending.join_next() => match ended {
                Ok(endpoint_id) => release(&mut busy, endpoint_id),
                // It is not known whose it was: all are asked again.
                Err(_) => busy.clear(),
            },
        }
        let due = tokio::select! {
            () = stop.cancelled() => return,
            due = next(&context, &busy, AT_ONCE.saturating_sub(sending.len())) => due,
        };
        match due {
            Ok(due) => {
                for one in due {
                    *busy.entry(one.endpoint_id).or_default() += 1;
                    sending.spawn(send(context.clone(), Arc::clone(&sender), one));
                }
            }
            Err(error) => {
                metrics::counter!("job_failures_total", "job" => "webhooks").increment(1);
                tracing::warn!(%error, "webhook messages could not be read");
            }
        }
    }
}

fn release(busy: &mut HashMap<WebhookEndpointId, usize>, endpoint_id: WebhookEndpointId) {
    if let Some(count) = busy.get_mut(&endpoint_id) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            busy.remove(&endpoint_id);
        }
    }
}

/// What is to be sent now: nothing to an endpoint that has not answered everything yet.
async fn next(
    context: &Context,
    busy: &HashMap<WebhookEndpointId, usize>,
    free: usize,
) -> Result<Vec<Due>> {
    while retried(|| fan_out::run(context)).await? > 0 {}
    let limit = i64::try_from(free).unwrap_or(0);
    if limit == 0 {
        return Ok(Vec::new());
    }
    let busy: Vec<WebhookEndpointId> = busy.keys().copied().collect();
    let now = context.clock().now();
    let mut conn = context.pool().acquire().await?;
    let taken = store::webhook::delivery::take_due(
        &mut conn,
        &busy,
        AT_ONCE_EACH,
        limit,
        context.node().incarnation(),
        now,
        now + LEASE,
    );
    Ok(taken.await?)
}

async fn send(context: Context, sender: Arc<dyn WebhookSender>, due: Due) -> WebhookEndpointId {
    let began = context.clock().now();
    let secrets: Vec<Secret> = std::iter::once(due.secret.clone())
        .chain(due.previous_secret.clone())
        .map(Secret::from_bytes)
        .collect();
    let id = due.id.to_string();
    let (timestamp, signature) = header(&secrets, &id, began, due.body.as_bytes());
    let message = Message {
        url: due.url.clone(),
        id,
        timestamp,
        signature,
        body: due.body.clone(),
    };
    let answer = sender.send(&message).await;
    if let Err(error) = retried(|| note(&context, &due, began, &answer)).await {
        // It is sent again when its lease is over.
        tracing::warn!(delivery_id = %due.id, %error, "what became of a webhook message could not be stored");
    }
    due.endpoint_id
}

/// Stores what became of an attempt.
async fn note(
    context: &Context,
    due: &Due,
    began: DateTime<Utc>,
    answer: &std::result::Result<u16, NotSent>,
) -> Result<()> {
    let now = context.clock().now();
    let (status, error) = match answer {
        Ok(status) if (200..300).contains(status) => {
            metrics::counter!("webhook_messages_total", "outcome" => "delivered").increment(1);
            let mut tx = context.transaction().await?;
            store::webhook::delivery::note_delivered(&mut tx, due.id, i32::from(*status), now)
                .await?;
            store::webhook::endpoint::note_success(&mut tx, due.endpoint_id).await?;
            return Ok(tx.commit().await?);
        }
        Ok(status) => (Some(*status), format!("it answered {status}")),
        Err(NotSent(reason)) => (None, reason.chars().take(ERROR_LEN_MAX).collect()),
    };
    metrics::counter!("webhook_messages_total", "outcome" => "failed").increment(1);
    let mut tx = context.transaction().await?;
    let due_at = now + wait(due.attempts);
    let answer_status = status.map(i32::from);
    store::webhook::delivery::note_failed(&mut tx, due.id, answer_status, &error, due_at).await?;
    let failures = due.failures.saturating_add(1);
    let paused_until = now + wait(failures);
    store::webhook::endpoint::note_failure(&mut tx, due.endpoint_id, began, failures, paused_until)
        .await?;
    let over = status == Some(GONE) || now - due.since >= ABANDON_AFTER;
    if over && store::webhook::endpoint::disable(&mut tx, due.endpoint_id, &error, now).await? {
        tracing::warn!(endpoint_id = %due.endpoint_id, %error, "a webhook endpoint was switched off");
        let subject = AlertSubject::WebhookEndpoint(due.endpoint_id);
        let details = json!({ "url": due.url, "error": error, "delivery_id": due.id });
        let alert = NewAlert::new(AlertKind::WebhookDisabled, subject, details);
        alert_record::open(context, &mut tx, &[alert]).await?;
    }
    Ok(tx.commit().await?)
}
