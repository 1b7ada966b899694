//! Says what is to be said.

use std::time::Duration;

use chrono::TimeDelta;
use domain::alert_group::{GIVE_UP_AFTER, Text};
use domain::backoff;
use futures_util::StreamExt as _;
use store::alert_channel::DueMessage;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Channel, NotSaid, group};
use crate::retry::retried;
use crate::{Context, Result};

/// How often alerts are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How many messages are said at the same time.
const AT_ONCE: usize = 8;
const AT_ONCE_MAX: i64 = 64;
/// After how long a process that began to say something and says nothing more has died.
const LEASE: TimeDelta = TimeDelta::seconds(90);
/// How long to wait after the first failures; from then on as after the last.
const WAITS_S: [i64; 5] = [5, 30, 120, 600, 1_800];

/// Tells people of alerts until `stop`. Without channels there is nothing to do.
pub async fn run(context: Context, channels: Vec<Channel>, stop: CancellationToken) {
    if channels.is_empty() {
        return;
    }
    let mut ticks = interval(CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            done = round(&context, &channels) => if let Err(error) = done {
                metrics::counter!("job_failures_total", "job" => "alert_channels").increment(1);
                tracing::warn!(%error, "people could not be told of alerts and will be");
            }
        }
    }
}

async fn round(context: &Context, channels: &[Channel]) -> Result<()> {
    retried(|| group::find(context, channels)).await?;
    let now = context.clock().now();
    let names: Vec<String> = channels.iter().map(|one| one.name.clone()).collect();
    let mut conn = context.pool().acquire().await?;
    let due = store::alert_channel::take_due(
        &mut conn,
        &names,
        AT_ONCE_MAX,
        context.node().incarnation(),
        now,
        now + LEASE,
    )
    .await?;
    drop(conn);
    futures_util::stream::iter(due)
        .for_each_concurrent(AT_ONCE, |message| say(context, channels, message))
        .await;
    Ok(())
}

async fn say(context: &Context, channels: &[Channel], message: DueMessage) {
    let Some(channel) = channels.iter().find(|one| one.name == message.channel) else {
        return;
    };
    let text = Text {
        title: message.title.clone(),
        body: message.body.clone(),
    };
    let said = channel.sender.say(message.id, message.phase, &text).await;
    if let Err(error) = note(context, &message, &said).await {
        // It is said again when its lease is over.
        tracing::warn!(channel = channel.name, %error, "what became of a message about an alert could not be stored");
    }
}

async fn note(
    context: &Context,
    message: &DueMessage,
    said: &std::result::Result<(), NotSaid>,
) -> Result<()> {
    let now = context.clock().now();
    let mut conn = context.pool().acquire().await?;
    let outcome = match said {
        Ok(()) => {
            store::alert_channel::note_sent(&mut conn, message.id, now).await?;
            "sent"
        }
        Err(NotSaid(reason)) => {
            tracing::warn!(
                channel = message.channel,
                reason,
                "people could not be told of an alert"
            );
            let is_over = now - message.created_at > GIVE_UP_AFTER;
            let due_at = (!is_over).then(|| now + backoff::after(message.attempts, &WAITS_S));
            store::alert_channel::note_failed(&mut conn, message.id, reason, due_at).await?;
            if is_over { "given_up" } else { "failed" }
        }
    };
    metrics::counter!("alert_messages_total", "channel" => message.channel.clone(), "outcome" => outcome)
        .increment(1);
    Ok(())
}
