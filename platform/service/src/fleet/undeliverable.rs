//! Messages that can never be delivered as they are. Each ends by itself, with its reason and an alert, and what waits
//! beside it goes on.

use domain::alert::{AlertKind, AlertSubject, NewAlert};
use domain::command::CommandStatus;
use domain::delivery::UndeliverableReason;
use serde_json::json;
use store::fleet::command::End;
use wire::ids::{CommandId, DeviceId, EventId};

use crate::payment::stats;
use crate::{Actor, Context, Result};

/// Which message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// The announcement of a payment.
    Notification(EventId),
    /// A command.
    Command(CommandId),
    /// This version of the box's configuration.
    Config(i64),
}

/// A message for a box that cannot be delivered.
#[derive(Debug, Clone)]
pub struct Undeliverable {
    /// The box.
    pub device_id: DeviceId,
    /// The message.
    pub message: Message,
    /// Why, in a word of the contract.
    pub reason: UndeliverableReason,
    /// Why, for the person who reads the alert.
    pub problem: String,
}

/// Ends a message: an announcement and a command are `failed` with the reason, a configuration is not pushed again until
/// it becomes another version, it is requested, or the box connects again. Opens an alert for the box. Without
/// effect, and without an alert, when the message has ended meanwhile.
pub async fn fail(context: &Context, one: &Undeliverable) -> Result<()> {
    let mut unit = context.begin(Actor::system()).await?;
    let (now, reason) = (unit.now(), one.reason.as_str());
    let ended = match one.message {
        Message::Notification(event_id) => {
            store::payment::notification::fail(unit.conn(), event_id, reason, now).await?
        }
        Message::Command(id) => {
            let end = End {
                status: CommandStatus::Failed,
                reason: Some(reason),
                result_payload: None,
                acked_at: None,
                ended_at: now,
            };
            match store::fleet::command::end(unit.conn(), id, &end).await {
                Ok(()) => true,
                Err(sqlx::Error::RowNotFound) => false,
                Err(error) => return Err(error.into()),
            }
        }
        Message::Config(version) => {
            store::fleet::config::fail(unit.conn(), one.device_id, version, reason).await?
        }
    };
    if !ended {
        return Ok(());
    }
    let details = match one.message {
        Message::Notification(id) => {
            json!({ "reason": reason, "problem": one.problem, "event_id": id })
        }
        Message::Command(id) => {
            json!({ "reason": reason, "problem": one.problem, "command_id": id })
        }
        Message::Config(version) => {
            json!({ "reason": reason, "problem": one.problem, "config_version": version })
        }
    };
    unit.raise(NewAlert::new(
        AlertKind::UndeliverableMessage,
        AlertSubject::Device(one.device_id),
        details,
    ));
    unit.commit().await?;
    metrics::counter!("undeliverable_messages_total", "reason" => reason).increment(1);
    if matches!(one.message, Message::Notification(_)) {
        stats::count_unheard(1);
    }
    tracing::warn!(device_id = %one.device_id, message = ?one.message, reason, problem = one.problem, "a message cannot be delivered");
    Ok(())
}

/// Seals each of `rows`; what cannot be sealed is ended ([`fail`]) and left out.
pub(crate) async fn seal_each<R, S>(
    context: &Context,
    rows: Vec<R>,
    name: impl Fn(&R) -> (DeviceId, Message),
    seal: impl Fn(&R) -> anyhow::Result<S>,
) -> Vec<S> {
    let mut sealed = Vec::with_capacity(rows.len());
    for row in &rows {
        let error = match seal(row) {
            Ok(one) => {
                sealed.push(one);
                continue;
            }
            Err(error) => error,
        };
        let (device_id, message) = name(row);
        let one = Undeliverable {
            device_id,
            message,
            reason: UndeliverableReason::Unsendable,
            problem: error.to_string(),
        };
        if let Err(error) = fail(context, &one).await {
            // It is found and tried again; the others do not wait for that.
            tracing::warn!(%device_id, ?message, %error, "an undeliverable message could not be ended");
        }
    }
    sealed
}
