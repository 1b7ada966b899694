//! The configuration a box should have: pushed when it changes and when the box connects, until acknowledged.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use wire::ids::{BindingId, DeviceId};
use wire::message::{ConfigAck, ConfigAckStatus, ConfigPush};
use wire::{DownlinkMessage, Encoding};

use crate::service::{Context, Error, Noun, Result};
use crate::store;

/// A configuration that is to be pushed now.
#[derive(Debug)]
pub struct Push {
    /// To which box.
    pub device_id: DeviceId,
    /// Which version.
    pub version: i64,
    /// The signed bytes.
    pub payload: Bytes,
    attempts: i32,
}

/// What these boxes have not acknowledged, signed and ready. `all`: also what is not due again yet,
/// because the box has just connected.
///
/// # Errors
/// The database's.
pub async fn due(context: &Context, devices: &[DeviceId], all: bool) -> Result<Vec<Push>> {
    let mut conn = context.pool().acquire().await?;
    let due_by = if all {
        DateTime::<Utc>::MAX_UTC
    } else {
        context.clock().now()
    };
    let mut pushes = Vec::new();
    for due in store::fleet::config::due(&mut conn, devices, due_by).await? {
        let desired = due.desired;
        let encoding: Encoding = due.payload_encoding.parse().map_err(anyhow::Error::from)?;
        let message = DownlinkMessage::ConfigPush(ConfigPush {
            version: desired.version,
            binding_id: desired.binding_id,
            config: desired.config,
        });
        let payload = context
            .signer()
            .seal(&message, desired.device_id, encoding)
            .map_err(anyhow::Error::from)?;
        pushes.push(Push {
            device_id: desired.device_id,
            version: desired.version,
            payload: payload.into(),
            attempts: due.attempts,
        });
    }
    Ok(pushes)
}

/// Notes that configurations were handed to the wire.
///
/// # Errors
/// The database's.
pub async fn mark_sent(context: &Context, pushes: &[Push]) -> Result<()> {
    if pushes.is_empty() {
        return Ok(());
    }
    let now = context.clock().now();
    let sent: Vec<store::fleet::config::Sent> = pushes
        .iter()
        .map(|push| store::fleet::config::Sent {
            device_id: push.device_id,
            version: push.version,
            next_attempt_at: now
                + context
                    .settings()
                    .resend
                    .wait_after(push.attempts.unsigned_abs() + 1),
        })
        .collect();
    let mut conn = context.pool().acquire().await?;
    store::fleet::config::mark_sent(&mut conn, &sent).await?;
    Ok(())
}

/// Connected boxes to which a configuration is to be pushed again.
///
/// # Errors
/// The database's.
pub async fn devices_with_due(context: &Context, limit: i64) -> Result<Vec<DeviceId>> {
    let mut conn = context.pool().acquire().await?;
    Ok(store::fleet::config::devices_with_due(&mut conn, context.clock().now(), limit).await?)
}

/// Takes a box's answer to a push; `false` for a version that it was never sent.
///
/// # Errors
/// The database's.
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
/// [`Noun::Device`] not found.
pub async fn current(context: &Context, device_id: DeviceId) -> Result<Current> {
    let desired = desired(context, device_id).await?;
    let message = DownlinkMessage::ConfigPush(ConfigPush {
        version: desired.version,
        binding_id: desired.binding_id,
        config: desired.config.clone(),
    });
    let sealed = context
        .signer()
        .seal(&message, device_id, Encoding::Json)
        .map_err(anyhow::Error::from)?;
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
    let desired = desired(context, device_id).await?;
    Ok(Status {
        version: desired.version,
        applied_version: desired.applied_version,
        rejected_version: desired.rejected_version,
        rejected_reason: desired.rejected_reason,
    })
}

async fn desired(context: &Context, device_id: DeviceId) -> Result<store::fleet::config::Desired> {
    let mut conn = context.pool().acquire().await?;
    store::fleet::config::find(&mut conn, device_id)
        .await?
        .ok_or(Error::NotFound(Noun::Device))
}
