//! The job that carries bulk commands on.
//!
//! Each look at one is a transaction that holds its row: it judges what has ended, goes on to the next step, and puts
//! as many orders into outboxes as the rate allows, all or nothing. So it may die anywhere and be done by any node.

use chrono::{DateTime, TimeDelta, Utc};
use domain::alert::AlertSubject;
use domain::command::{CommandStatus, CommandType};
use domain::device::DeviceStatus;
use domain::rollout::{Ended, Guard, GuardSeen, Heard, Rollout, RolloutStatus};
use serde_json::json;
use store::fleet::bulk_command::{BulkCommand, Candidate};
use wire::ids::{BulkCommandId, CommandId, DeviceId};

use crate::batch::failed_alert;
use crate::fleet::command::OPEN_MAX as COMMANDS_OPEN_MAX;
use crate::fleet::displayed_code;
use crate::retry::retried;
use crate::signal::Signal;
use crate::{Actor, Context, Error, Result, UnitOfWork, failed_item};

/// How alerts name this job.
const JOB: &str = "advance_bulk_commands";
/// How many bulk commands are looked at in one go.
const BULKS_MAX: i64 = 200;
/// How many orders one look releases or takes back.
const ORDERS_MAX: u32 = 1_000;
/// How often the guard of a firmware's roll-out looks, how far back, and how old a payment is that was not heard.
const GUARD_EVERY: TimeDelta = TimeDelta::seconds(15);
const GUARD_WINDOW: TimeDelta = TimeDelta::hours(1);
const UNHEARD_AFTER: TimeDelta = TimeDelta::seconds(30);

/// Carries all bulk commands on by one look.
///
/// # Errors
/// The database's; the others were looked at all the same.
pub async fn advance(context: &Context) -> Result<()> {
    let mut conn = context.pool().acquire().await?;
    let ids = store::fleet::bulk_command::at_work(&mut conn, BULKS_MAX).await?;
    drop(conn);
    let mut outcome = Ok(());
    for id in ids {
        match retried(|| advance_one(context, id)).await {
            Ok(()) => {}
            Err(error) if error.is_of_the_item() => give_up(context, id, &error).await?,
            Err(error) => outcome = Err(error),
        }
    }
    outcome
}

/// Aborts a bulk command that cannot be carried on. It may be resumed.
async fn give_up(context: &Context, id: BulkCommandId, error: &Error) -> Result<()> {
    let reason = format!("it cannot be carried on: {error}");
    let mut unit = context.begin(Actor::system()).await?;
    let now = unit.now();
    if store::fleet::bulk_command::abort(unit.conn(), id, &reason, now).await? {
        unit.audit(
            "bulk_command.abort",
            id,
            None,
            Some(json!({ "reason": reason })),
        )
        .await?;
        let details = json!({ "bulk_command_id": id });
        let alert = failed_item::alert(JOB, AlertSubject::Platform, &reason, details);
        unit.raise(alert);
    }
    tracing::error!(bulk_command_id = %id, %error, "a bulk command was aborted");
    unit.commit().await
}

async fn advance_one(context: &Context, id: BulkCommandId) -> Result<()> {
    let mut unit = context.begin(Actor::system()).await?;
    let Some(mut bulk) = store::fleet::bulk_command::lock_idle(unit.conn(), id).await? else {
        return Ok(());
    };
    let before = bulk.clone();
    match bulk.status {
        RolloutStatus::Running => run(&mut unit, &mut bulk).await?,
        RolloutStatus::Cancelled => take_back(&mut unit, &mut bulk).await?,
        RolloutStatus::Paused | RolloutStatus::Aborted | RolloutStatus::Completed => {}
    }
    if bulk != before {
        bulk.updated_at = unit.now();
        store::fleet::bulk_command::update(unit.conn(), &bulk).await?;
    }
    if bulk.status != before.status {
        let was = json!({ "status": before.status });
        let is = json!({ "status": bulk.status, "reason": bulk.reason });
        let action = match bulk.ended_at {
            None => "bulk_command.abort",
            Some(_) => "bulk_command.complete",
        };
        unit.audit(action, id, Some(was), Some(is)).await?;
    }
    unit.commit().await
}

/// What is known of the orders of a bulk command.
pub(super) struct Known {
    open: i64,
    pub(super) ended: i64,
    pub(super) failed: i64,
}

pub(super) async fn known(unit: &mut UnitOfWork, bulk: &BulkCommand) -> Result<Known> {
    let mut known = Known {
        open: 0,
        ended: 0,
        failed: 0,
    };
    for count in store::fleet::bulk_command::counts(unit.conn(), &[bulk.id]).await? {
        match count.status {
            CommandStatus::Queued | CommandStatus::Sent => known.open += count.count,
            CommandStatus::Delivered => known.ended += count.count,
            CommandStatus::Failed | CommandStatus::Timeout => {
                known.ended += count.count;
                known.failed += count.count;
            }
            CommandStatus::Cancelled => {}
        }
    }
    if let Some(seen) = seen(bulk)? {
        known.failed += seen.unconfirmed.cast_signed();
    }
    Ok(known)
}

fn seen(bulk: &BulkCommand) -> Result<Option<GuardSeen>> {
    let seen = bulk.guard_seen.clone().map(serde_json::from_value);
    Ok(seen.transpose().map_err(anyhow::Error::from)?)
}

async fn run(unit: &mut UnitOfWork, bulk: &mut BulkCommand) -> Result<()> {
    let rollout: Rollout =
        serde_json::from_value(bulk.rollout.clone()).map_err(anyhow::Error::from)?;
    let unheard = watch(unit, bulk).await?;
    let known = known(unit, bulk).await?;
    let total = bulk.target_count.unsigned_abs();
    let released = bulk.released_count.unsigned_abs();
    let steps = rollout.steps(total);
    let end_of = |step: i32| -> u32 {
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        steps.get(step).copied().unwrap_or(total)
    };
    let over = released >= end_of(bulk.step) && known.open == 0;
    let ended = Ended {
        all: since(known.ended, bulk.ended_before),
        failed: since(known.failed, bulk.failed_before),
    };
    if rollout.aborts(ended, over) {
        let Ended { all, failed } = ended;
        let threshold = rollout.abort_threshold_percent;
        abort(
            bulk,
            format!(
                "{failed} of {all} ended orders failed or timed out; the threshold is {threshold} %"
            ),
        );
        return Ok(());
    }
    if let Some(reason) = unheard {
        abort(bulk, reason);
        return Ok(());
    }
    if over && released >= total {
        bulk.status = RolloutStatus::Completed;
        bulk.ended_at = Some(unit.now());
        return Ok(());
    }
    if over {
        bulk.step += 1;
    }
    let most = end_of(bulk.step).saturating_sub(released).min(ORDERS_MAX);
    let (count, next) = rollout.release(bulk.next_release_at, unit.now(), most);
    if count > 0 {
        release(unit, bulk, count).await?;
        bulk.next_release_at = next;
    }
    Ok(())
}

fn since(now: i64, before: i64) -> u64 {
    now.saturating_sub(before).max(0).unsigned_abs()
}

fn abort(bulk: &mut BulkCommand, reason: String) {
    bulk.status = RolloutStatus::Aborted;
    bulk.reason = Some(reason);
}

/// Gives the next `count` targets their orders.
async fn release(unit: &mut UnitOfWork, bulk: &mut BulkCommand, count: u32) -> Result<()> {
    let kind = bulk.command_type;
    let capability = kind.capability();
    let from = bulk.released_count;
    let to = from + count.cast_signed();
    let profiles = unit.context().settings().mqtt.profiles.supporting(kind);
    let conn = unit.conn();
    let turn =
        store::fleet::bulk_command::candidates(conn, bulk.id, from, to, capability, &profiles)
            .await?;
    let mut orders: Vec<(CommandId, DeviceId)> = Vec::with_capacity(turn.len());
    let mut skipped = Vec::new();
    for candidate in turn.iter().filter(|candidate| candidate.skipped.is_none()) {
        match obstacle(candidate) {
            Some(reason) => skipped.push((candidate.device_id, reason)),
            None => orders.push((CommandId::from_uuid(unit.uuid()), candidate.device_id)),
        }
    }
    if kind == CommandType::DisplayQr {
        orders = showing(unit, bulk, orders, &mut skipped).await?;
    }
    let now = unit.now();
    let expires_at = now + TimeDelta::seconds(bulk.expires_in_s.into());
    let savepoint = unit.savepoint().await?;
    let released =
        store::fleet::bulk_command::release(unit.conn(), bulk, &orders, now, expires_at).await;
    match released.map_err(Error::from) {
        Ok(()) => {}
        Err(error) if error.is_of_the_item() => {
            unit.roll_back_to(savepoint).await?;
            let failed = release_each(unit, bulk, &orders, expires_at).await?;
            orders.retain(|(_, device)| !failed.contains(device));
            skipped.extend(failed.into_iter().map(|device| (device, "failed")));
        }
        Err(error) => return Err(error),
    }
    store::fleet::bulk_command::skip(unit.conn(), bulk.id, &skipped).await?;
    let devices: Vec<DeviceId> = orders.into_iter().map(|(_, device)| device).collect();
    if kind == CommandType::SyncConfig {
        store::fleet::config::request_push(unit.conn(), &devices, now).await?;
    }
    for device in devices {
        if kind == CommandType::SyncConfig {
            unit.signal(Signal::Configure(device));
        }
        unit.signal(Signal::Command(device));
    }
    bulk.released_count = to;
    bulk.skipped_count += i32::try_from(skipped.len()).map_err(anyhow::Error::from)?;
    Ok(())
}

/// Gives targets their orders one by one, because one of them cannot have one. Those that cannot get an alert.
async fn release_each(
    unit: &mut UnitOfWork,
    bulk: &BulkCommand,
    orders: &[(CommandId, DeviceId)],
    expires_at: DateTime<Utc>,
) -> Result<Vec<DeviceId>> {
    let now = unit.now();
    let mut failed = Vec::new();
    for order in orders {
        let savepoint = unit.savepoint().await?;
        let one = std::slice::from_ref(order);
        let released =
            store::fleet::bulk_command::release(unit.conn(), bulk, one, now, expires_at).await;
        match released.map_err(Error::from) {
            Ok(()) => {}
            Err(error) if error.is_of_the_item() => {
                unit.roll_back_to(savepoint).await?;
                unit.raise(failed_alert(JOB, AlertSubject::Device(order.1), &error));
                failed.push(order.1);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(failed)
}

/// Of these orders to show a code, those whose box stands where the code is paid; the others are skipped. The devices
/// stay locked, in the order of their ids, so that none is bound elsewhere between the look and the order.
async fn showing(
    unit: &mut UnitOfWork,
    bulk: &BulkCommand,
    mut orders: Vec<(CommandId, DeviceId)>,
    skipped: &mut Vec<(DeviceId, &'static str)>,
) -> Result<Vec<(CommandId, DeviceId)>> {
    let payload = bulk.payload.as_object().cloned().unwrap_or_default();
    orders.sort_unstable_by_key(|(_, device_id)| *device_id);
    let mut kept = Vec::with_capacity(orders.len());
    for (id, device_id) in orders {
        store::fleet::device::lock(unit.conn(), device_id).await?;
        match displayed_code::check(unit, device_id, &payload).await {
            Ok(()) => kept.push((id, device_id)),
            Err(Error::Database(error)) => return Err(error.into()),
            Err(Error::Internal(error)) => return Err(error.into()),
            Err(_) => skipped.push((device_id, "code_of_another")),
        }
    }
    Ok(kept)
}

/// Why a box gets no order now, if it does not.
fn obstacle(candidate: &Candidate) -> Option<&'static str> {
    if candidate.device_status != DeviceStatus::Active {
        Some("out_of_service")
    } else if !candidate.capable {
        Some("capability")
    } else if candidate.open_commands >= COMMANDS_OPEN_MAX {
        Some("too_many_commands")
    } else {
        None
    }
}

async fn take_back(unit: &mut UnitOfWork, bulk: &mut BulkCommand) -> Result<()> {
    let now = unit.now();
    store::fleet::bulk_command::take_back(unit.conn(), bulk.id, now, ORDERS_MAX.into()).await?;
    if known(unit, bulk).await?.open == 0 {
        bulk.ended_at = Some(now);
    }
    Ok(())
}

/// Looks at what a firmware's roll-out does to its boxes, now and then; why it aborts, if it does.
async fn watch(unit: &mut UnitOfWork, bulk: &mut BulkCommand) -> Result<Option<String>> {
    let now = unit.now();
    let Some(guard) = bulk.guard.clone() else {
        return Ok(None);
    };
    if bulk
        .guard_seen_at
        .is_some_and(|last| now < last + GUARD_EVERY)
    {
        return Ok(None);
    }
    let guard: Guard = serde_json::from_value(guard).map_err(anyhow::Error::from)?;
    let text = |field: &str| bulk.payload[field].as_str().unwrap_or_default().to_owned();
    let version = text("version");
    let query: super::DeviceQuery =
        serde_json::from_value(bulk.query.clone()).map_err(anyhow::Error::from)?;
    let model = query.model.unwrap_or_default();
    let since = (now - GUARD_WINDOW).max(bulk.resumed_at.unwrap_or(now - GUARD_WINDOW));
    let until = now - UNHEARD_AFTER;
    let (mut updated, mut rest) = (Heard::default(), Heard::default());
    for heard in store::fleet::firmware::heard(unit.conn(), bulk.id, &model, since, until).await? {
        let place = if heard.updated {
            &mut updated
        } else {
            &mut rest
        };
        place.payments += heard.payments.unsigned_abs();
        place.unheard += heard.unheard.unsigned_abs();
    }
    let before = now - TimeDelta::seconds(guard.confirm_within_s.into());
    let unconfirmed =
        store::fleet::firmware::count_unconfirmed(unit.conn(), bulk.id, &version, before).await?;
    bulk.guard_seen = Some(json!(GuardSeen {
        updated,
        rest,
        unconfirmed: unconfirmed.unsigned_abs(),
    }));
    bulk.guard_seen_at = Some(now);
    Ok(guard.aborts(updated, rest).then(|| {
        format!(
            "{} of {} payments were not heard on updated boxes, {} of {} on the rest",
            updated.unheard, updated.payments, rest.unheard, rest.payments
        )
    }))
}
