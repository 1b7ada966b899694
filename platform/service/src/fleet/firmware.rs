//! Firmware: the catalogue, and its roll-outs, which are bulk commands that are watched more closely.

use domain::command::CommandType;
use domain::rollout::{Guard, Rollout};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::Page;
use store::fleet::bulk_command::Filter;
use store::fleet::firmware::Firmware;
use utoipa::ToSchema;
use wire::ids::FirmwareId;

use crate::fleet::bulk_command::{self, DeviceQuery, Plan, View};
use crate::{Checks, Context, Error, Noun, Result, UnitOfWork, word};

/// How long each order of a roll-out is good for, unless it says otherwise, seconds: a day, for boxes that are away.
const EXPIRES_IN_S_DEFAULT: u32 = 86_400;

/// A firmware as an operator adds it.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
#[schema(example = json!({
    "version": "1.1.0", "model": "SB-1", "url": "https://firmware.example/sb-1/1.1.0.bin",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "notes": "Louder",
}))]
pub struct NewFirmware {
    #[schema(min_length = 1, max_length = 64)]
    pub version: String,
    #[schema(min_length = 1, max_length = 60)]
    pub model: String,
    #[schema(max_length = 2048)]
    pub url: String,
    #[schema(pattern = "^[0-9a-fA-F]{64}$")]
    pub sha256: String,
    #[serde(default)]
    #[schema(max_length = 2000)]
    pub notes: Option<String>,
}

/// A roll-out as an operator starts it.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
#[schema(example = json!({
    "query": { "tag": "pilot" },
    "rollout": { "rate_per_minute": 60, "canary": 10, "phases": [10, 50], "abort_threshold_percent": 3, "min_sample": 20 },
}))]
pub struct NewRollout {
    /// Which boxes of the firmware's model; those that run it already are left out.
    #[serde(default)]
    pub query: DeviceQuery,
    pub rollout: Rollout,
    #[serde(default)]
    pub guard: Guard,
    #[serde(default)]
    #[schema(minimum = 1, maximum = 604_800)]
    pub expires_in: Option<u32>,
}

/// Adds a firmware to the catalogue.
///
/// # Errors
/// Wrong fields; a version that this model has already.
pub async fn create(unit: &mut UnitOfWork, new: NewFirmware) -> Result<Firmware> {
    let mut checks = Checks::default();
    checks.text("model", &new.model, 60);
    if new
        .notes
        .as_ref()
        .is_some_and(|notes| notes.chars().count() > 2000)
    {
        checks.refuse("notes", "at most 2000 characters");
    }
    let firmware = Firmware {
        id: FirmwareId::from_uuid(unit.uuid()),
        version: new.version,
        model: new.model,
        url: new.url,
        sha256: new.sha256.to_ascii_lowercase(),
        notes: new.notes,
        created_by: unit.actor_name().to_owned(),
        created_at: unit.now(),
    };
    // What the order will carry keeps the order's rules.
    checks.extend(
        CommandType::UpdateFirmware
            .check(&payload(&firmware), &[])
            .map_err(|wrong| {
                wrong
                    .into_iter()
                    .map(|mut error| {
                        error.field = error.field.replace("payload.", "");
                        error
                    })
                    .collect()
            }),
    );
    checks.finish()?;
    store::fleet::firmware::insert(unit.conn(), &firmware)
        .await
        .map_err(|error| {
            if Error::breaks(&error, "firmwares_version_unique") {
                Error::duplicate("this model has a firmware of this version already")
            } else {
                error.into()
            }
        })?;
    unit.audit("firmware.create", firmware.id, None, Some(json!(firmware)))
        .await?;
    Ok(firmware)
}

fn payload(firmware: &Firmware) -> Map<String, Value> {
    let fields = [
        ("url", &firmware.url),
        ("sha256", &firmware.sha256),
        ("version", &firmware.version),
    ];
    fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect()
}

/// One firmware.
///
/// # Errors
/// [`Noun::Firmware`] not found.
pub async fn get(context: &Context, id: FirmwareId) -> Result<Firmware> {
    let mut conn = context.pool().acquire().await?;
    store::fleet::firmware::find(&mut conn, id)
        .await?
        .ok_or(Error::NotFound(Noun::Firmware))
}

/// The catalogue, newest first.
pub async fn list(
    context: &Context,
    model: Option<&str>,
    version: Option<&str>,
    page: Page,
) -> Result<Vec<Firmware>> {
    let mut conn = context.lists().acquire().await?;
    Ok(store::fleet::firmware::list(&mut conn, model, version, page).await?)
}

/// Updates boxes of its model to a firmware, step by step.
///
/// # Errors
/// No such firmware; a query for another model; otherwise as for any bulk command.
pub async fn roll_out(unit: &mut UnitOfWork, id: FirmwareId, new: NewRollout) -> Result<View> {
    let firmware = store::fleet::firmware::find(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::Firmware))?;
    let mut query = new.query;
    let mut checks = Checks::default();
    if query
        .model
        .as_ref()
        .is_some_and(|model| *model != firmware.model)
    {
        checks.refuse("query.model", "is not the model of this firmware");
    }
    checks.extend(new.guard.check());
    bulk_command::check_plan(&mut checks, new.expires_in, &query, &new.rollout);
    checks.finish()?;
    query.model = Some(firmware.model.clone());
    let plan = Plan {
        kind: CommandType::UpdateFirmware,
        payload: Value::Object(payload(&firmware)),
        expires_in_s: new.expires_in.unwrap_or(EXPIRES_IN_S_DEFAULT),
        query,
        rollout: new.rollout,
        firmware: Some((firmware, new.guard)),
    };
    bulk_command::start(unit, plan).await
}

/// The roll-outs of a firmware, newest first.
///
/// # Errors
/// No such firmware; a status that does not exist.
pub async fn rollouts(
    context: &Context,
    id: FirmwareId,
    status: Option<&str>,
    page: Page,
) -> Result<Vec<View>> {
    get(context, id).await?;
    let filter = Filter {
        status: word("status", status)?,
        firmware_id: Some(id),
        ..Filter::default()
    };
    bulk_command::list(context, &filter, page).await
}
