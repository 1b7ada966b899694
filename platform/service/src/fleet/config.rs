//! The configuration a box should have: pushed when it changes and when the box connects, until acknowledged.

use chrono::{DateTime, Utc};
use domain::config::{Difference, Settings};
use domain::delivery::UndeliverableReason;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sqlx::PgConnection;
use store::fleet::config::{ConfigId, Desired, Drift, DueConfig};
use store::outbox::Header;
use store::{Page, Scope};
use utoipa::ToSchema;
use uuid::Uuid;
use wire::ids::{BindingId, DeviceId};
use wire::message::{ConfigAck, ConfigAckStatus, ConfigPush};
use wire::{DownlinkMessage, Encoding};

use crate::outbox::{self, Deliverable};
use crate::signal::Signal;
use crate::wakeup::Wakeup;
use crate::{Checks, Context, Error, Noun, Result, UnitOfWork};

/// Above every version: a key that differs from the box's id by more is none of a configuration.
const VERSION_MAX: i64 = 1 << 40;

impl Deliverable for DueConfig {
    const NAME: &'static str = "configs";
    const WAKEUP: Wakeup = Wakeup::Configure;
    const SUPERSEDES: bool = true;
    const IS_OPTIONAL: bool = true;

    fn message(&self, _now: DateTime<Utc>) -> anyhow::Result<DownlinkMessage> {
        Ok(push(self.version, self.binding_id, &self.config))
    }

    fn key(_id: ConfigId) -> Option<Uuid> {
        None
    }

    fn vendor_key(id: ConfigId) -> Option<Uuid> {
        Some(vendor_key(id.device_id, id.version))
    }

    fn detail(id: ConfigId) -> (&'static str, Value) {
        ("config_version", json!(id.version))
    }
}

/// The key of a configuration for another maker's box.
fn vendor_key(device_id: DeviceId, version: i64) -> Uuid {
    Uuid::from_u128(device_id.as_uuid().as_u128() ^ u128::from(version.unsigned_abs()))
}

/// The version, if this is the key of a configuration for this box. Other keys differ from the box's id in their first half.
pub fn version_of_key(device_id: DeviceId, key: Uuid) -> Option<i64> {
    let difference = device_id.as_uuid().as_u128() ^ key.as_u128();
    i64::try_from(difference)
        .ok()
        .filter(|version| *version <= VERSION_MAX)
}

fn push(version: i64, binding_id: Option<BindingId>, config: &Value) -> DownlinkMessage {
    DownlinkMessage::ConfigPush(ConfigPush {
        version,
        binding_id,
        config: config.clone(),
    })
}

/// Takes a box's answer to a push; `false` for a version that it was never sent.
pub async fn acknowledge(context: &Context, device_id: DeviceId, ack: &ConfigAck) -> Result<bool> {
    let mut conn = context.pool().acquire().await?;
    let rejected = match ack.status {
        ConfigAckStatus::Applied => None,
        ConfigAckStatus::Rejected => Some(ack.reason.as_deref().unwrap_or("no reason given")),
    };
    Ok(store::fleet::config::acknowledge(
        &mut conn,
        device_id,
        ack.version,
        rejected,
        context.clock().now(),
    )
    .await?)
}

/// What a box that asks is told: its configuration, plainly and as the signed message that MQTT would push.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DesiredConfig)]
pub struct Current {
    /// Which version.
    pub version: i64,
    /// Where the box stands.
    pub binding_id: Option<BindingId>,
    /// The configuration.
    #[schema(value_type = Object)]
    pub config: Value,
    /// A `config_push` in its signed envelope.
    #[schema(value_type = Object)]
    pub envelope: Box<RawValue>,
}

/// What a box should be set to, and what it said it is set to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConfigStatus)]
pub struct Status {
    /// The version that it should have.
    pub version: i64,
    /// The newest version that it applied.
    pub applied_version: Option<i64>,
    /// The newest version that it will not take.
    pub rejected_version: Option<i64>,
    /// Why not.
    pub rejected_reason: Option<String>,
}

/// The configuration that a box should have.
///
/// # Errors
/// [`Noun::Device`] not found; [`Error::InvalidState`] for one that cannot be sent.
pub async fn current(context: &Context, device_id: DeviceId) -> Result<Current> {
    let desired = desired(context, device_id).await?;
    let message = push(desired.version, desired.binding_id, &desired.config);
    let signer = context.signer().map_err(anyhow::Error::from);
    let sealed =
        match signer.and_then(|signer| Ok(signer.seal(&message, device_id, Encoding::Json)?)) {
            Ok(sealed) => sealed,
            Err(error) => {
                let unsent = Header {
                    device_id,
                    id: ConfigId {
                        device_id,
                        version: desired.version,
                    },
                    attempts: 0,
                    encoding: Encoding::Json,
                    expires_at: None,
                };
                let reason = UndeliverableReason::Unsendable;
                outbox::fail::<DueConfig>(context, &unsent, reason, &error.to_string()).await?;
                return Err(Error::InvalidState {
                    current: "failed".into(),
                    message: "this version of the configuration cannot be sent".into(),
                });
            }
        };
    Ok(Current {
        version: desired.version,
        binding_id: desired.binding_id,
        config: desired.config,
        envelope: serde_json::from_slice(&sealed).map_err(anyhow::Error::from)?,
    })
}

/// [`acknowledge`], for a box that waits for an answer.
///
/// # Errors
/// A version that it was never sent.
pub async fn acknowledge_one(
    context: &Context,
    device_id: DeviceId,
    ack: &ConfigAck,
) -> Result<Status> {
    if !acknowledge(context, device_id, ack).await? {
        return Err(Error::field("version", "there is no such version"));
    }
    status(context, device_id).await
}

impl From<Desired> for Status {
    fn from(desired: Desired) -> Self {
        Self {
            version: desired.version,
            applied_version: desired.applied_version,
            rejected_version: desired.rejected_version,
            rejected_reason: desired.rejected_reason,
        }
    }
}

async fn desired(context: &Context, device_id: DeviceId) -> Result<Desired> {
    let mut conn = context.pool().acquire().await?;
    find(&mut conn, device_id).await
}

/// What a box is to be set to.
///
/// # Errors
/// [`Noun::Device`] not found.
pub(super) async fn find(conn: &mut PgConnection, device_id: DeviceId) -> Result<Desired> {
    store::fleet::config::find(conn, device_id)
        .await?
        .ok_or(Error::NotFound(Noun::Device))
}

/// What is changed of a layer: a merge patch (RFC 7396), in which null removes a key.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Patch(pub Settings);

impl utoipa::PartialSchema for Patch {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, SchemaType, Type};

        let nullable =
            |kind| ObjectBuilder::new().schema_type(SchemaType::from_iter([kind, Type::Null]));
        let number = |low: i32, high: i32| {
            nullable(Type::Integer)
                .minimum(Some(low))
                .maximum(Some(high))
        };
        let time = || {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .pattern(Some("^[0-9]{2}:[0-9]{2}$"))
        };
        ObjectBuilder::new()
            .property("volume", number(0, 10))
            .property(
                "language",
                nullable(Type::String)
                    .pattern(Some("^(id|en|jv|su)(-[A-Z]{2})?$"))
                    .description(Some(
                        "The language of announcements: id, en, jv (Javanese) or su (Sundanese)",
                    )),
            )
            .property(
                "announce_merchant_name",
                nullable(Type::Boolean).description(Some(
                    "Whether an announcement of a payment ends with the merchant's name; false by default",
                )),
            )
            .property("heartbeat_interval_s", number(1, 86_400))
            .property(
                "quiet_hours",
                nullable(Type::Object)
                    .property("start", time())
                    .property("end", time())
                    .property("volume", number(0, 10)),
            )
            .property("reconnect_jitter_s", number(0, 3600))
            .property("display_brightness", number(0, 100))
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .examples([json!({ "volume": 7, "language": null })])
            .into()
    }
}

impl ToSchema for Patch {
    fn name() -> std::borrow::Cow<'static, str> {
        "ConfigPatch".into()
    }
}

impl Patch {
    /// The layer as it is after this; the complaints go to `checks`.
    pub(super) fn apply(&self, checks: &mut Checks, layer: Value) -> Value {
        let mut settings = settings(layer);
        checks.extend(domain::config::patch(&mut settings, &self.0));
        Value::Object(settings)
    }
}

/// What is kept of a layer; only objects are.
fn settings(layer: Value) -> Settings {
    match layer {
        Value::Object(settings) => settings,
        _ => Settings::new(),
    }
}

/// What a box is set to when no layer says otherwise.
pub(super) fn defaults(context: &Context) -> Value {
    let heartbeat_interval_s = context.settings().heartbeat_interval_s;
    json!({ "heartbeat_interval_s": heartbeat_interval_s, "language": "id", "volume": 8 })
}

/// Puts the layers of boxes together again, and has those pushed for which that makes something else.
pub(super) async fn refresh(unit: &mut UnitOfWork, devices: &[DeviceId]) -> Result<()> {
    let (defaults, now) = (defaults(unit.context()), unit.now());
    store::fleet::config::lock(unit.conn(), devices).await?;
    for changed in store::fleet::config::refresh(unit.conn(), devices, &defaults, now).await? {
        unit.signal(Signal::Configure(changed));
    }
    Ok(())
}

/// The layers that make a box's configuration, each over the one before it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConfigLayers)]
#[expect(missing_docs, reason = "the layers of the same names")]
pub struct Layers {
    #[schema(value_type = Object)]
    pub defaults: Value,
    #[schema(value_type = Object)]
    pub fleet: Value,
    #[schema(value_type = Object)]
    pub merchant: Value,
    #[schema(value_type = Object)]
    pub outlet: Value,
    #[schema(value_type = Object)]
    pub device: Value,
}

/// What a box said it applied.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReportedConfig)]
pub struct Reported {
    /// Which version.
    pub version: i64,
    /// What that was.
    #[schema(value_type = Object)]
    pub config: Value,
}

/// What a box should be set to and why, and what it said it is set to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeviceConfig)]
pub struct View {
    /// The box.
    pub device_id: DeviceId,
    /// The version that it should have.
    pub version: i64,
    /// Where it stands.
    pub binding_id: Option<BindingId>,
    /// What it should be set to: all layers together.
    #[schema(value_type = Object)]
    pub config: Value,
    /// Where that comes from.
    pub layers: Layers,
    /// `applied`, `pending`, `rejected` by the box, or `failed`: it cannot be sent.
    pub status: &'static str,
    /// What it last said it applied.
    pub reported: Option<Reported>,
    /// Where the two differ.
    pub diff: Vec<Difference>,
    /// The newest version that it will not take.
    pub rejected_version: Option<i64>,
    /// Why not.
    pub rejected_reason: Option<String>,
    /// Why the version could not be sent, when it is `failed`.
    pub failed_reason: Option<String>,
    /// When it last became something else.
    pub updated_at: DateTime<Utc>,
    /// When the box last answered to a version.
    pub acked_at: Option<DateTime<Utc>>,
}

/// What a box should be set to and why, and what it said it is set to.
///
/// # Errors
/// [`Noun::Device`] not found.
pub async fn view(context: &Context, device_id: DeviceId) -> Result<View> {
    let mut conn = context.pool().acquire().await?;
    view_on(context, &mut conn, device_id).await
}

async fn view_on(context: &Context, conn: &mut PgConnection, device_id: DeviceId) -> Result<View> {
    let desired = find(conn, device_id).await?;
    let above = store::fleet::config::above(conn, device_id).await?;
    let or_empty = |layer: Option<Value>| layer.unwrap_or_else(|| json!({}));
    let reported = desired
        .reported_version
        .zip(desired.reported)
        .map(|(version, config)| Reported { version, config });
    let diff = domain::config::difference(
        &settings(desired.config.clone()),
        &settings(or_empty(
            reported.as_ref().map(|reported| reported.config.clone()),
        )),
    );
    let status = if desired.applied_version == Some(desired.version) {
        "applied"
    } else if desired.rejected_version == Some(desired.version) {
        "rejected"
    } else if desired.failed_version == Some(desired.version) {
        "failed"
    } else {
        "pending"
    };
    Ok(View {
        device_id,
        version: desired.version,
        binding_id: desired.binding_id,
        config: desired.config,
        layers: Layers {
            defaults: defaults(context),
            fleet: or_empty(above.fleet),
            merchant: or_empty(above.merchant),
            outlet: or_empty(above.outlet),
            device: desired.layer,
        },
        status,
        reported,
        diff,
        rejected_version: desired.rejected_version,
        rejected_reason: desired.rejected_reason,
        failed_reason: desired.failed_reason.filter(|_| status == "failed"),
        updated_at: desired.updated_at,
        acked_at: desired.acked_at,
    })
}

/// Changes a box's own layer.
///
/// # Errors
/// [`Noun::Device`] not found; keys that do not exist, values that they cannot have.
pub async fn patch(unit: &mut UnitOfWork, device_id: DeviceId, patch: &Patch) -> Result<View> {
    store::fleet::config::lock(unit.conn(), &[device_id]).await?;
    unit.refresh_now();
    let before = find(unit.conn(), device_id).await?;
    let mut checks = Checks::default();
    let layer = patch.apply(&mut checks, before.layer.clone());
    checks.finish()?;
    if layer != before.layer {
        store::fleet::config::set_layer(unit.conn(), device_id, &layer).await?;
        refresh(unit, &[device_id]).await?;
        unit.audit("config.patch", device_id, Some(before.layer), Some(layer))
            .await?;
    }
    let context = unit.context().clone();
    view_on(&context, unit.conn(), device_id).await
}

/// Where a box stands with the versions of its configuration.
///
/// # Errors
/// [`Noun::Device`] not found.
pub async fn status(context: &Context, device_id: DeviceId) -> Result<Status> {
    desired(context, device_id).await.map(Status::from)
}

/// Pushes a box's configuration again, also when it applied or rejected this version before.
///
/// # Errors
/// [`Noun::Device`] not found.
pub async fn retry_push(unit: &mut UnitOfWork, device_id: DeviceId) -> Result<Status> {
    let now = unit.now();
    store::fleet::config::request_push(unit.conn(), &[device_id], now).await?;
    let desired = find(unit.conn(), device_id).await?;
    unit.audit(
        "config.retry_push",
        device_id,
        None,
        Some(json!({ "version": desired.version })),
    )
    .await?;
    unit.signal(Signal::Configure(device_id));
    Ok(desired.into())
}

/// Active boxes that are not set to what they should be.
///
/// # Errors
/// A status that does not exist.
pub async fn drift(
    context: &Context,
    scope: Scope,
    status: Option<&str>,
    page: Page,
) -> Result<Vec<Drift>> {
    if status.is_some_and(|status| !matches!(status, "pending" | "rejected" | "failed")) {
        return Err(Error::field(
            "status",
            "expected pending, rejected or failed",
        ));
    }
    let mut conn = context.lists().acquire().await?;
    Ok(store::fleet::config::drift(&mut conn, scope, status, page).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_configuration_is_recognised_and_no_other() {
        let id = |bits| Uuid::from_u128(bits);
        let one = DeviceId::from_uuid(id(0x0190_a5b0_0000_7000_8000_0000_0000_0001));
        for version in [0, 1, 2, 1_000_000] {
            assert_eq!(version_of_key(one, vendor_key(one, version)), Some(version));
        }
        for other in [
            0x0190_a5b0_0001_7000_8000_0000_0000_0001,
            0x0190_a5b0_0000_7001_8000_0000_0000_0001,
            0x0190_a5b0_0000_7000_8100_0000_0000_0001,
        ] {
            assert_eq!(version_of_key(one, id(other)), None);
        }
    }
}
