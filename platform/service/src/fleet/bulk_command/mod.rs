//! Bulk commands: one order to many boxes, at a rate, in steps, until too much goes wrong.
//!
//! Which boxes is decided once, when it is made. A job ([`advance`]) puts the orders into their outboxes; from there
//! each is a command like any other.

mod advance;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::command::{CommandStatus, CommandType};
use domain::rollout::{Guard, GuardSeen, InvalidStep, Rollout, RolloutStatus};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::Page;
use store::fleet::bulk_command::{BulkCommand, Count, Filter, Selection, Target};
use store::fleet::firmware::Firmware;
use utoipa::ToSchema;
use wire::ids::{BulkCommandId, DeviceId, FirmwareId, MerchantId};

use crate::fleet::{command, displayed_code};
use crate::{Checks, Context, Error, Noun, Result, UnitOfWork, word};

pub use advance::advance;

/// How long each order is good for, unless the bulk command says otherwise, seconds.
const EXPIRES_IN_S_DEFAULT: u32 = 3_600;
/// How many boxes one bulk command is for at most.
const TARGETS_MAX: i64 = 200_000;
/// How many boxes can be named one by one.
const DEVICE_IDS_MAX: usize = 5_000;
/// How many bulk commands may be open at once.
const OPEN_MAX: i64 = 100;

/// Which boxes: those to which all of this applies. Nothing: the whole fleet.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct DeviceQuery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant_id: Option<MerchantId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 5000)]
    pub device_ids: Option<Vec<DeviceId>>,
}

/// A bulk command as an operator gives it.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
#[schema(example = json!({
    "type": "set_volume", "payload": { "volume": 7 }, "query": { "tag": "pilot" },
    "rollout": { "rate_per_minute": 600, "canary": 5, "phases": [10, 50], "abort_threshold_percent": 5, "min_sample": 20 },
}))]
pub struct NewBulkCommand {
    #[serde(rename = "type")]
    #[schema(value_type = CommandType)]
    pub kind: String,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub payload: Option<Map<String, Value>>,
    /// Seconds each order is good for, from the moment at which it goes out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 604_800)]
    pub expires_in: Option<u32>,
    pub query: DeviceQuery,
    pub rollout: Rollout,
}

/// How many boxes stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BulkCommandProgress)]
#[expect(missing_docs, reason = "the status of the same name")]
pub struct Progress {
    pub total: i64,
    /// Their turn has not come.
    pub pending: i64,
    pub queued: i64,
    pub sent: i64,
    pub delivered: i64,
    pub failed: i64,
    pub timeout: i64,
    pub cancelled: i64,
    /// They get none: they cannot carry it out.
    pub skipped: i64,
}

/// A bulk command, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = BulkCommand)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct View {
    pub id: BulkCommandId,
    #[serde(rename = "type")]
    pub kind: CommandType,
    #[schema(value_type = Object)]
    pub payload: Value,
    pub expires_in: i32,
    #[schema(value_type = Object)]
    pub query: Value,
    #[schema(value_type = Object)]
    pub rollout: Value,
    pub firmware_id: Option<FirmwareId>,
    #[schema(value_type = Option<Object>)]
    pub guard: Option<Value>,
    pub status: RolloutStatus,
    /// Why it was aborted.
    pub reason: Option<String>,
    /// The step that it is in: the canary, then each phase, from 0.
    pub step: i32,
    pub progress: Progress,
    /// What the guard last saw.
    #[schema(value_type = Option<GuardSeen>)]
    pub guard_seen: Option<Value>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
}

/// What a bulk command is made of, checked.
pub(super) struct Plan {
    pub(super) kind: CommandType,
    pub(super) payload: Value,
    pub(super) expires_in_s: u32,
    pub(super) query: DeviceQuery,
    pub(super) rollout: Rollout,
    /// For the roll-out of a firmware: which, and what is watched.
    pub(super) firmware: Option<(Firmware, Guard)>,
}

/// Gives many boxes an order.
///
/// # Errors
/// A type that does not exist; wrong parameters; a rollout beyond its limits; a query that no active box matches; a
/// capability that none of them has; too many bulk commands at once.
pub async fn create(unit: &mut UnitOfWork, new: NewBulkCommand) -> Result<View> {
    let mut checks = Checks::default();
    let kind: Option<CommandType> = checks.parse("type", &new.kind);
    let payload = new.payload.unwrap_or_default();
    if let Some(kind) = kind {
        checks.extend(kind.check(&payload, &unit.context().settings().reserved_words));
        if kind == CommandType::AnnounceTotal {
            checks.refuse(
                "type",
                "announce_total is for one box: each has its own total",
            );
        }
    }
    check_plan(&mut checks, new.expires_in, &new.query, &new.rollout);
    checks.finish()?;
    let kind = kind.ok_or_else(|| Error::field("type", "is required"))?;
    let plan = Plan {
        kind,
        payload: Value::Object(payload),
        expires_in_s: new.expires_in.unwrap_or(EXPIRES_IN_S_DEFAULT),
        query: new.query,
        rollout: new.rollout,
        firmware: None,
    };
    start(unit, plan).await
}

/// The rules for what any bulk command has.
pub(super) fn check_plan(
    checks: &mut Checks,
    expires_in: Option<u32>,
    query: &DeviceQuery,
    rollout: &Rollout,
) {
    command::check_expires_in(checks, expires_in);
    if let Some(tag) = &query.tag {
        checks.extend(
            domain::tag::check(std::slice::from_ref(tag))
                .map(drop)
                .map_err(|_| {
                    vec![domain::validation::FieldError::new(
                        "query.tag",
                        "is no tag",
                    )]
                }),
        );
    }
    checks.optional_text("query.model", query.model.as_deref(), 60);
    checks.optional_text(
        "query.firmware_version",
        query.firmware_version.as_deref(),
        64,
    );
    let named = query.device_ids.as_ref().map_or(1, Vec::len);
    if !(1..=DEVICE_IDS_MAX).contains(&named) {
        checks.refuse("query.device_ids", format!("from 1 to {DEVICE_IDS_MAX}"));
    }
    checks.extend(rollout.check());
}

/// Chooses the boxes and lets it go.
pub(super) async fn start(unit: &mut UnitOfWork, plan: Plan) -> Result<View> {
    store::serialise(unit.conn(), "bulk_commands").await?;
    unit.refresh_now();
    if store::fleet::bulk_command::count_open(unit.conn()).await? >= OPEN_MAX {
        return Err(Error::RateLimited {
            message: "too many bulk commands are not over",
            retry_after_s: 60,
        });
    }
    let now = unit.now();
    let (firmware, guard) = plan.firmware.unzip();
    let mut bulk = BulkCommand {
        id: BulkCommandId::from_uuid(unit.uuid()),
        command_type: plan.kind,
        payload: plan.payload,
        expires_in_s: i32::try_from(plan.expires_in_s).map_err(anyhow::Error::from)?,
        query: json!(plan.query),
        rollout: json!(plan.rollout),
        firmware_id: firmware.as_ref().map(|firmware| firmware.id),
        guard: guard.map(|guard| json!(guard)),
        status: RolloutStatus::Running,
        reason: None,
        target_count: 0,
        skipped_count: 0,
        released_count: 0,
        step: 0,
        next_release_at: now,
        ended_before: 0,
        failed_before: 0,
        guard_seen: None,
        guard_seen_at: None,
        resumed_at: None,
        created_by: unit.actor_name().to_owned(),
        created_at: now,
        updated_at: now,
        ended_at: None,
    };
    let selection = Selection {
        tag: plan.query.tag,
        merchant_id: plan.query.merchant_id,
        model: plan.query.model,
        firmware_version: plan.query.firmware_version,
        online: plan.query.online,
        device_ids: plan.query.device_ids,
        not_firmware_version: firmware.map(|firmware| firmware.version),
    };
    let capability = plan.kind.capability();
    let profiles = unit
        .context()
        .settings()
        .mqtt
        .profiles
        .supporting(plan.kind);
    store::fleet::bulk_command::insert(unit.conn(), &bulk).await?;
    let (count, skipped) = store::fleet::bulk_command::choose_targets(
        unit.conn(),
        bulk.id,
        &selection,
        capability,
        &profiles,
        TARGETS_MAX + 1,
    )
    .await?;
    match capability {
        _ if count == 0 => return Err(Error::field("query", "no active device matches it")),
        _ if count > TARGETS_MAX => {
            return Err(Error::field(
                "query",
                format!("more than {TARGETS_MAX} devices match it"),
            ));
        }
        lacking if skipped == count => {
            let lacking = lacking.map_or(plan.kind.as_str(), |capability| capability.as_str());
            return Err(Error::CapabilityNotSupported(lacking));
        }
        _ => {}
    }
    if plan.kind == CommandType::DisplayQr {
        check_displayed(unit, &bulk).await?;
    }
    bulk.target_count = i32::try_from(count).map_err(anyhow::Error::from)?;
    bulk.skipped_count = i32::try_from(skipped).map_err(anyhow::Error::from)?;
    store::fleet::bulk_command::set_targets(unit.conn(), &bulk).await?;
    let view = view_of(bulk, Vec::new());
    unit.audit("bulk_command.create", view.id, None, Some(json!(view)))
        .await?;
    Ok(view)
}

/// A code is one merchant's: a bulk command that shows one is for boxes of that merchant alone. Each box is looked at
/// again when its turn comes.
async fn check_displayed(unit: &mut UnitOfWork, bulk: &BulkCommand) -> Result<()> {
    let boxes = store::fleet::bulk_command::target_of_each_merchant(unit.conn(), bulk.id).await?;
    let &[device_id] = boxes.as_slice() else {
        return Err(Error::field(
            "query",
            "a code is shown by boxes of one merchant; these are of several, or of none",
        ));
    };
    let payload = bulk.payload.as_object().cloned().unwrap_or_default();
    displayed_code::check_merchant(unit, device_id, &payload).await
}

/// Holds a bulk command: no further order goes out; those that went out go on.
///
/// # Errors
/// No such bulk command; [`Error::InvalidState`] unless it is running.
pub async fn pause(unit: &mut UnitOfWork, id: BulkCommandId) -> Result<View> {
    step(unit, id, "bulk_command.pause", RolloutStatus::pause).await
}

/// Lets a paused or aborted bulk command go on. What had failed by now is not held against it again.
///
/// # Errors
/// No such bulk command; [`Error::InvalidState`] unless it is paused or aborted.
pub async fn resume(unit: &mut UnitOfWork, id: BulkCommandId) -> Result<View> {
    step(unit, id, "bulk_command.resume", RolloutStatus::resume).await
}

/// Ends a bulk command for good; orders that have not ended are taken back.
///
/// # Errors
/// No such bulk command; [`Error::InvalidState`] when it is over.
pub async fn cancel(unit: &mut UnitOfWork, id: BulkCommandId) -> Result<View> {
    step(unit, id, "bulk_command.cancel", RolloutStatus::cancel).await
}

async fn step(
    unit: &mut UnitOfWork,
    id: BulkCommandId,
    action: &'static str,
    transition: fn(RolloutStatus) -> std::result::Result<RolloutStatus, InvalidStep>,
) -> Result<View> {
    let mut bulk = store::fleet::bulk_command::lock(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::BulkCommand))?;
    unit.refresh_now();
    let before = json!({ "status": bulk.status, "reason": bulk.reason });
    let next = transition(bulk.status).map_err(|error| Error::InvalidState {
        current: error.current.to_string(),
        message: error.to_string(),
    })?;
    bulk.status = next;
    if next == RolloutStatus::Running {
        let known = advance::known(unit, &bulk).await?;
        bulk.reason = None;
        bulk.ended_before = known.ended;
        bulk.failed_before = known.failed;
        // Its guard looks at payments from now on.
        bulk.resumed_at = Some(unit.now());
    }
    bulk.updated_at = unit.now();
    store::fleet::bulk_command::update(unit.conn(), &bulk).await?;
    let counts = store::fleet::bulk_command::counts(unit.conn(), &[id]).await?;
    let view = view_of(bulk, counts);
    let after = json!({ "status": view.status, "progress": view.progress });
    unit.audit(action, id, Some(before), Some(after)).await?;
    Ok(view)
}

/// One bulk command and how far it has come.
///
/// # Errors
/// [`Noun::BulkCommand`] not found.
pub async fn get(context: &Context, id: BulkCommandId) -> Result<View> {
    let mut conn = context.pool().acquire().await?;
    let bulk = store::fleet::bulk_command::find(&mut conn, id)
        .await?
        .ok_or(Error::NotFound(Noun::BulkCommand))?;
    let counts = store::fleet::bulk_command::counts(&mut conn, &[id]).await?;
    Ok(view_of(bulk, counts))
}

/// Bulk commands, newest first.
///
/// # Errors
/// The database's.
pub async fn list(context: &Context, filter: &Filter, page: Page) -> Result<Vec<View>> {
    let mut conn = context.lists().acquire().await?;
    let found = store::fleet::bulk_command::list(&mut conn, filter, page).await?;
    let ids: Vec<BulkCommandId> = found.iter().map(|bulk| bulk.id).collect();
    let mut counts: HashMap<BulkCommandId, Vec<Count>> = HashMap::new();
    for count in store::fleet::bulk_command::counts(&mut conn, &ids).await? {
        counts.entry(count.bulk_command_id).or_default().push(count);
    }
    Ok(found
        .into_iter()
        .map(|bulk| {
            let own = counts.remove(&bulk.id).unwrap_or_default();
            view_of(bulk, own)
        })
        .collect())
}

/// The boxes of a bulk command, and what became of the order of each.
///
/// # Errors
/// [`Noun::BulkCommand`] not found; a status that does not exist.
pub async fn devices(
    context: &Context,
    id: BulkCommandId,
    status: Option<&str>,
    page: Page,
) -> Result<(DateTime<Utc>, Vec<Target>)> {
    let of_order = status.filter(|status| !matches!(*status, "pending" | "skipped"));
    word::<CommandStatus>("status", of_order)?;
    let mut conn = context.lists().acquire().await?;
    let bulk = store::fleet::bulk_command::find(&mut conn, id)
        .await?
        .ok_or(Error::NotFound(Noun::BulkCommand))?;
    let targets = store::fleet::bulk_command::targets(&mut conn, id, status, page).await?;
    Ok((bulk.created_at, targets))
}

fn view_of(bulk: BulkCommand, counts: Vec<Count>) -> View {
    let mut progress = Progress {
        total: bulk.target_count.into(),
        skipped: bulk.skipped_count.into(),
        ..Progress::default()
    };
    let mut ordered = 0;
    for Count { status, count, .. } in counts {
        ordered += count;
        let place = match status {
            CommandStatus::Queued => &mut progress.queued,
            CommandStatus::Sent => &mut progress.sent,
            CommandStatus::Delivered => &mut progress.delivered,
            CommandStatus::Failed => &mut progress.failed,
            CommandStatus::Timeout => &mut progress.timeout,
            CommandStatus::Cancelled => &mut progress.cancelled,
        };
        *place += count;
    }
    progress.pending = progress.total - progress.skipped - ordered;
    if bulk.status == RolloutStatus::Cancelled {
        progress.cancelled += std::mem::take(&mut progress.pending);
    }
    View {
        id: bulk.id,
        kind: bulk.command_type,
        payload: bulk.payload,
        expires_in: bulk.expires_in_s,
        query: bulk.query,
        rollout: bulk.rollout,
        firmware_id: bulk.firmware_id,
        guard: bulk.guard,
        status: bulk.status,
        reason: bulk.reason,
        step: bulk.step,
        progress,
        guard_seen: bulk.guard_seen,
        created_by: bulk.created_by,
        created_at: bulk.created_at,
        updated_at: bulk.updated_at,
        ended_at: bulk.ended_at,
    }
}
