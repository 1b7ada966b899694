//! Commands: what boxes are to do for operators, from the request to the end.
//!
//! A command is a row that the outbox sends until the box reports how it ended, an operator cancels it or its time is
//! over. Whichever comes first is its end; what a box reports afterwards is kept beside it and changes nothing.

use chrono::{DateTime, TimeDelta, Utc};
use domain::alert::AlertSubject;
use domain::command::{CommandStatus, CommandType};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::Page;
use store::fleet::command::{Command, DueCommand, End, Filter};
use utoipa::ToSchema;
use uuid::Uuid;
use wire::ids::{CommandId, DeviceId};
use wire::message::{self, CommandAck};
use wire::speech::Kind;
use wire::{DownlinkMessage, Language, Rupiah};

use crate::batch::{Part, sweep};
use crate::fleet::{device, displayed_code};
use crate::outbox::Deliverable;
use crate::signal::Signal;
use crate::wakeup::Wakeup;
use crate::{Checks, Context, Error, Noun, Result, UnitOfWork};

/// How long a command is valid by default, and at most; seconds.
const EXPIRES_IN_S_DEFAULT: u32 = 300;
const EXPIRES_IN_S_MAX: u32 = 7 * 86_400;
/// How many commands may wait for one box.
pub(super) const OPEN_MAX: i64 = 100;
/// How long after its end a command waits for an acknowledgement that is on its way.
const LATE_ACK: TimeDelta = TimeDelta::seconds(2);

/// The parameter of `announce_total` by which it says that there is no payment to repeat.
const NOTHING_TO_REPEAT: &str = "nothing_to_repeat";

/// An order as an operator gives it.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
#[schema(example = json!({ "type": "set_volume", "payload": { "volume": 7 } }))]
pub struct NewCommand {
    #[serde(rename = "type")]
    #[schema(value_type = domain::command::CommandType)]
    pub kind: String,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub payload: Option<Map<String, Value>>,
    #[serde(default)]
    #[schema(minimum = 1, maximum = 604_800)]
    pub expires_in: Option<u32>,
}

/// Puts a command into the outbox of a box.
///
/// # Errors
/// No such device, or one that is out of service; a type that does not exist; a capability that the box lacks, which
/// comes before wrong parameters; a text that sounds like a payment; a code of another merchant or terminal; too many commands that wait.
pub async fn create(
    unit: &mut UnitOfWork,
    device_id: DeviceId,
    new: NewCommand,
) -> Result<Command> {
    create_with(unit, device_id, new, Map::new()).await
}

/// Has a box say that there is no payment to repeat: an `announce_total` with another sentence.
///
/// # Errors
/// As [`create`].
pub(crate) async fn say_nothing_to_repeat(
    unit: &mut UnitOfWork,
    device_id: DeviceId,
    expires_in_s: u32,
) -> Result<Command> {
    let new = NewCommand {
        kind: CommandType::AnnounceTotal.to_string(),
        payload: None,
        expires_in: Some(expires_in_s),
    };
    let more = Map::from_iter([(NOTHING_TO_REPEAT.to_owned(), json!(true))]);
    create_with(unit, device_id, new, more).await
}

/// [`create`], with what the platform adds to the parameters.
async fn create_with(
    unit: &mut UnitOfWork,
    device_id: DeviceId,
    new: NewCommand,
    more: Map<String, Value>,
) -> Result<Command> {
    // Under the box's lock its commands are counted by one transaction at a time.
    let found = store::fleet::device::lock(unit.conn(), device_id)
        .await?
        .ok_or(Error::NotFound(Noun::Device))?;
    unit.refresh_now();
    let mut checks = Checks::default();
    let kind: Option<CommandType> = checks.parse("type", &new.kind);
    check_expires_in(&mut checks, new.expires_in);
    checks.finish()?;
    let expires_in = new.expires_in.unwrap_or(EXPIRES_IN_S_DEFAULT);
    let kind = kind.ok_or_else(|| Error::field("type", "is required"))?;
    found.status.activate()?;
    if let Some(capability) = kind.capability()
        && !found.capabilities.contains(&capability)
    {
        return Err(Error::CapabilityNotSupported(capability.as_str()));
    }
    let profiles = &unit.context().settings().mqtt.profiles;
    if !profiles.supports(&found.profile, kind) {
        return Err(Error::CapabilityNotSupported(kind.as_str()));
    }
    let mut payload = new.payload.unwrap_or_default();
    kind.check(&payload, &unit.context().settings().reserved_words)
        .map_err(Error::Validation)?;
    if kind == CommandType::DisplayQr {
        displayed_code::check(unit, device_id, &payload).await?;
    }
    if kind == CommandType::AnnounceTotal {
        payload = day_total(unit, device_id).await?;
    }
    payload.extend(more);
    if store::fleet::command::count_open(unit.conn(), device_id).await? >= OPEN_MAX {
        return Err(Error::RateLimited {
            message: "too many commands wait for this device",
            retry_after_s: EXPIRES_IN_S_DEFAULT,
        });
    }
    let now = unit.now();
    let command = Command {
        id: CommandId::from_uuid(unit.uuid()),
        device_id,
        kind,
        payload: Value::Object(payload),
        status: CommandStatus::Queued,
        reason: None,
        result_payload: None,
        attempts: 0,
        created_by: unit.actor_name().to_owned(),
        created_at: now,
        expires_at: now + TimeDelta::seconds(i64::from(expires_in)),
        sent_at: None,
        acked_at: None,
        ended_at: None,
        late_ack: None,
    };
    store::fleet::command::insert(unit.conn(), &command).await?;
    unit.audit("command.create", command.id, None, Some(json!(command)))
        .await?;
    if kind == CommandType::SyncConfig {
        // A box on MQTT cannot request its configuration: it is pushed again, with the command.
        store::fleet::config::request_push(unit.conn(), &[device_id], now).await?;
        unit.signal(Signal::Configure(device_id));
    }
    unit.signal(Signal::Command(device_id));
    Ok(command)
}

/// The parameters of `announce_total`: what the ledger has of today at the terminal of a box.
async fn day_total(unit: &mut UnitOfWork, device_id: DeviceId) -> Result<Map<String, Value>> {
    let binding = store::fleet::binding::find_active(unit.conn(), device_id)
        .await?
        .ok_or(Error::DeviceNotBound)?;
    let now = unit.now();
    let total = store::payment::device_request::day_total(unit.conn(), binding.id, now).await?;
    let has_words = |amount: &Rupiah| {
        wire::speech::sentence(Language::default(), Kind::Total(*amount), None).is_ok()
    };
    let amount = total
        .amount
        .to_rupiah()
        .filter(has_words)
        .ok_or_else(|| Error::InvalidState {
            current: json!(total.amount).to_string(),
            message: "there are no words for this total".into(),
        })?;
    Ok(Map::from_iter([
        ("amount".to_owned(), json!(amount)),
        ("transaction_count".to_owned(), json!(total.count)),
        ("date".to_owned(), json!(total.date)),
    ]))
}

/// The parameters of a command as they are sent: with what the box is to say, in its language, where it has a fixed sentence.
fn payload(command: &DueCommand) -> anyhow::Result<Value> {
    let amount = || command.payload.get("amount").and_then(Value::as_i64);
    let kind = match (command.kind, amount()) {
        (CommandType::PlayTest, _) => Kind::Test,
        (CommandType::AnnounceTotal, _) if command.payload.get(NOTHING_TO_REPEAT).is_some() => {
            Kind::NothingToRepeat
        }
        (CommandType::AnnounceTotal, Some(amount)) => Kind::Total(Rupiah::from_i64(amount)),
        _ => return Ok(command.payload.clone()),
    };
    let text = wire::speech::sentence(command.language, kind, None)?.text();
    let mut payload = command.payload.as_object().cloned().unwrap_or_default();
    payload.insert(
        "speech".to_owned(),
        json!({ "language": command.language, "text": text }),
    );
    Ok(Value::Object(payload))
}

pub(super) fn check_expires_in(checks: &mut Checks, expires_in: Option<u32>) {
    if expires_in.is_some_and(|seconds| !(1..=EXPIRES_IN_S_MAX).contains(&seconds)) {
        checks.refuse(
            "expires_in",
            format!("from 1 to {EXPIRES_IN_S_MAX} seconds"),
        );
    }
}

/// Cancels a command. A box that has it already may carry it out all the same; what it reports then is kept.
///
/// # Errors
/// No such command of this box; [`Error::InvalidState`] when it has ended.
pub async fn cancel(unit: &mut UnitOfWork, device_id: DeviceId, id: CommandId) -> Result<Command> {
    let command = store::fleet::command::lock(unit.conn(), device_id, id)
        .await?
        .ok_or(Error::NotFound(Noun::Command))?;
    unit.refresh_now();
    if !command.status.is_open() {
        return Err(Error::InvalidState {
            current: command.status.to_string(),
            message: "the command has ended already".into(),
        });
    }
    let end = End {
        status: CommandStatus::Cancelled,
        reason: Some("cancelled by an operator"),
        result_payload: None,
        acked_at: None,
        ended_at: unit.now(),
    };
    store::fleet::command::end(unit.conn(), id, &end).await?;
    let cancelled = store::fleet::command::find(unit.conn(), device_id, id)
        .await?
        .ok_or(Error::NotFound(Noun::Command))?;
    unit.audit(
        "command.cancel",
        id,
        Some(json!(command)),
        Some(json!(cancelled)),
    )
    .await?;
    Ok(cancelled)
}

/// Applies a box's acknowledgement of a command. `None`: the command is not this box's.
pub async fn acknowledge(
    context: &Context,
    device_id: DeviceId,
    ack: &CommandAck,
) -> Result<Option<Command>> {
    let now = context.clock().now();
    let mut tx = context.transaction().await?;
    let Some(command) = store::fleet::command::lock(&mut tx, device_id, ack.command_id).await?
    else {
        return Ok(None);
    };
    if command.status.is_open() {
        let end = End {
            status: ack.status.into(),
            reason: ack.reason.as_deref(),
            result_payload: ack.result_payload.as_ref(),
            acked_at: Some(now),
            ended_at: now,
        };
        store::fleet::command::end(&mut tx, command.id, &end).await?;
    } else if command.acked_at.is_none() || command.status != ack.status.into() {
        let late_ack = json!({
            "status": ack.status,
            "reason": ack.reason,
            "result_payload": ack.result_payload,
            "acked_at": now,
        });
        store::fleet::command::keep_late_ack(&mut tx, command.id, &late_ack, now).await?;
    }
    let known = store::fleet::command::find(&mut tx, device_id, ack.command_id).await?;
    tx.commit().await?;
    Ok(known)
}

/// One command of a box.
///
/// # Errors
/// [`Noun::Command`] not found, or another box's.
pub async fn get(context: &Context, device_id: DeviceId, id: CommandId) -> Result<Command> {
    let mut conn = context.pool().acquire().await?;
    store::fleet::command::find(&mut conn, device_id, id)
        .await?
        .ok_or(Error::NotFound(Noun::Command))
}

/// Which commands a list shows.
///
/// # Errors
/// A status or type that does not exist.
pub fn filter(status: Option<&str>, kind: Option<&str>) -> Result<Filter> {
    let mut checks = Checks::default();
    let filter = Filter {
        status: status.and_then(|status| checks.parse("status", status)),
        kind: kind.and_then(|kind| checks.parse("type", kind)),
    };
    checks.finish()?;
    Ok(filter)
}

/// A box's commands, newest first.
///
/// # Errors
/// [`Noun::Device`] not found.
pub async fn list_of_device(
    context: &Context,
    device_id: DeviceId,
    filter: &Filter,
    page: Page,
) -> Result<Vec<Command>> {
    let mut conn = context.lists().acquire().await?;
    device::find(&mut conn, device_id).await?;
    Ok(store::fleet::command::list_of_device(&mut conn, device_id, filter, page).await?)
}

impl Deliverable for DueCommand {
    const NAME: &'static str = "commands";
    const WAKEUP: Wakeup = Wakeup::Command;

    fn message(&self, _now: DateTime<Utc>) -> anyhow::Result<DownlinkMessage> {
        Ok(DownlinkMessage::Command(message::Command {
            command_id: self.id,
            kind: self.kind.to_string(),
            payload: payload(self)?,
            issued_at: self.created_at,
            expires_at: self.expires_at,
        }))
    }

    fn key(id: CommandId) -> Option<Uuid> {
        Some(id.as_uuid())
    }

    fn detail(id: CommandId) -> (&'static str, Value) {
        ("command_id", json!(id))
    }
}

/// Ends commands whose time is over.
pub async fn end_overdue(context: &Context, limit: i64) -> Result<u64> {
    let now = context.clock().now();
    let end = |only: Option<Part<(CommandId, DeviceId)>>| async move {
        let mut conn = context.pool().acquire().await?;
        let only: Option<Vec<CommandId>> =
            only.map(|some| some.iter().map(|(id, _)| *id).collect());
        let (before, only) = (now - LATE_ACK, only.as_deref());
        Ok(store::fleet::command::end_overdue(&mut conn, before, now, only, limit).await?)
    };
    let find = || async {
        let mut conn = context.pool().acquire().await?;
        Ok(store::fleet::command::overdue(&mut conn, now - LATE_ACK, limit).await?)
    };
    let subject = |(_, device_id)| AlertSubject::Device(device_id);
    sweep(context, "end_overdue_commands", subject, end, find).await
}
