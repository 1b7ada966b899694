//! The layers of configuration above a box's own: the fleet's, a merchant's, an outlet's.
//!
//! A change is one row. A job applies it to its boxes in batches: each box whose configuration it changes gets a new
//! version, which is pushed.

use chrono::{DateTime, Utc};
use domain::alert::AlertSubject;
use domain::config::LayerKind;
use serde::Serialize;
use serde_json::{Value, json};
use store::fleet::config_layer::Layer;
use utoipa::ToSchema;
use uuid::Uuid;
use wire::ids::{DeviceId, MerchantId, OutletId};

use crate::batch::{failed_alert, put_aside};
use crate::fleet::config::{self, Patch};
use crate::retry::retried;
use crate::{Actor, Checks, Context, Error, Noun, Result, UnitOfWork};

/// How many boxes one transaction applies a change to, and how many such transactions one run has.
const BATCH_MAX: usize = 500;
const BATCHES_MAX: usize = 20;
/// How alerts name the job.
const JOB: &str = "spread_config_layers";

/// Whose layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Every box's.
    Fleet,
    /// A merchant's.
    Merchant(MerchantId),
    /// An outlet's.
    Outlet(OutletId),
}

impl Owner {
    fn key(self) -> (LayerKind, Uuid) {
        match self {
            Self::Fleet => (LayerKind::Fleet, Uuid::nil()),
            Self::Merchant(id) => (LayerKind::Merchant, id.as_uuid()),
            Self::Outlet(id) => (LayerKind::Outlet, id.as_uuid()),
        }
    }

    fn not_found(self) -> Error {
        Error::NotFound(match self {
            Self::Outlet(_) => Noun::Outlet,
            Self::Fleet | Self::Merchant(_) => Noun::Merchant,
        })
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fleet => f.write_str("fleet"),
            Self::Merchant(id) => id.fmt(f),
            Self::Outlet(id) => id.fmt(f),
        }
    }
}

/// A layer, as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConfigLayer)]
pub struct View {
    /// Rises by one with every change; 0: nothing was ever set.
    pub version: i64,
    /// What it sets.
    #[schema(value_type = Object)]
    pub config: Value,
    /// Whether the last change is still being carried to boxes.
    pub spreading: bool,
    /// Who changed it last.
    pub updated_by: Option<String>,
    /// When.
    pub updated_at: Option<DateTime<Utc>>,
}

impl From<Option<Layer>> for View {
    fn from(layer: Option<Layer>) -> Self {
        match layer {
            None => Self {
                version: 0,
                config: json!({}),
                spreading: false,
                updated_by: None,
                updated_at: None,
            },
            Some(layer) => Self {
                version: layer.version,
                config: layer.config,
                spreading: layer.spread_after.is_some(),
                updated_by: layer.updated_by,
                updated_at: layer.updated_at,
            },
        }
    }
}

/// A layer.
///
/// # Errors
/// No such merchant or outlet.
pub async fn get(context: &Context, owner: Owner) -> Result<View> {
    let (kind, id) = owner.key();
    let mut conn = context.pool().acquire().await?;
    if !store::fleet::config_layer::has_owner(&mut conn, kind, id).await? {
        return Err(owner.not_found());
    }
    let layer = store::fleet::config_layer::find(&mut conn, kind, id).await?;
    Ok(layer.into())
}

/// Changes a layer. The boxes that it is for follow in batches.
///
/// # Errors
/// No such merchant or outlet; keys that do not exist, values that they cannot have.
pub async fn patch(unit: &mut UnitOfWork, owner: Owner, patch: &Patch) -> Result<View> {
    let (kind, id) = owner.key();
    // A box that is being bound there holds this lock until it is; so it has either the old layer and is found by the
    // job, or the new one.
    if !store::fleet::config_layer::lock_owner(unit.conn(), kind, id).await? {
        return Err(owner.not_found());
    }
    let before = store::fleet::config_layer::lock(unit.conn(), kind, id).await?;
    unit.refresh_now();
    let was = before
        .as_ref()
        .map_or_else(|| json!({}), |layer| layer.config.clone());
    let mut checks = Checks::default();
    let config = patch.apply(&mut checks, was.clone());
    checks.finish()?;
    if config == was {
        return Ok(before.into());
    }
    let (actor, now) = (unit.actor_name().to_owned(), unit.now());
    let after =
        store::fleet::config_layer::save(unit.conn(), kind, id, &config, &actor, now).await?;
    unit.audit("config.patch", owner, Some(was), Some(config))
        .await?;
    Ok(Some(after).into())
}

/// Carries changed layers to their boxes, a bounded number of batches. What is left is found again. A box whose
/// configuration cannot be put together, and a layer that cannot be carried on, get an alert and stop no other.
pub async fn spread(context: &Context) -> Result<()> {
    let mut after = None;
    for _ in 0..BATCHES_MAX {
        let layer = {
            let mut conn = context.pool().acquire().await?;
            store::fleet::config_layer::next_spreading(&mut conn, after).await?
        };
        let Some(layer) = layer else {
            return Ok(());
        };
        let carried = match retried(|| carry(context, layer, false)).await {
            Err(error) if error.is_of_the_item() => retried(|| carry(context, layer, true)).await,
            carried => carried,
        };
        match carried {
            // Another process has the layer locked, or has just finished it.
            Ok(false) => after = Some(layer),
            Ok(true) => {}
            Err(error) if error.is_of_the_item() => {
                put_aside(context, JOB, subject(layer), &error).await;
                after = Some(layer);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The subject of an alert about a layer.
fn subject((kind, owner_id): (LayerKind, Uuid)) -> AlertSubject {
    match kind {
        LayerKind::Merchant => AlertSubject::Merchant(MerchantId::from_uuid(owner_id)),
        LayerKind::Outlet => AlertSubject::Outlet(OutletId::from_uuid(owner_id)),
        LayerKind::Fleet => AlertSubject::Platform,
    }
}

/// Carries a layer's change to the next batch of its boxes, in one transaction; `one_by_one`, because one of them fails.
/// `false`: there was nothing to do.
async fn carry(
    context: &Context,
    (kind, owner_id): (LayerKind, Uuid),
    one_by_one: bool,
) -> Result<bool> {
    let mut unit = context.begin(Actor::system()).await?;
    let locked = store::fleet::config_layer::lock_spreading(unit.conn(), kind, owner_id).await?;
    let Some(spreading) = locked else {
        return Ok(false);
    };
    let limit = i64::try_from(BATCH_MAX).map_err(anyhow::Error::from)?;
    let devices = store::fleet::config_layer::devices(unit.conn(), &spreading, limit).await?;
    if one_by_one {
        refresh_each(&mut unit, &devices).await?;
    } else {
        config::refresh(&mut unit, &devices).await?;
    }
    let after = devices
        .last()
        .copied()
        .filter(|_| devices.len() == BATCH_MAX);
    store::fleet::config_layer::set_spread(unit.conn(), &spreading, after).await?;
    unit.commit().await?;
    Ok(true)
}

async fn refresh_each(unit: &mut UnitOfWork, devices: &[DeviceId]) -> Result<()> {
    // In the order of their ids, as when all are done at once.
    store::fleet::config::lock(unit.conn(), devices).await?;
    for device in devices {
        let savepoint = unit.savepoint().await?;
        match config::refresh(unit, std::slice::from_ref(device)).await {
            Ok(()) => {}
            Err(error) if error.is_of_the_item() => {
                unit.roll_back_to(savepoint).await?;
                unit.raise(failed_alert(JOB, AlertSubject::Device(*device), &error));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
