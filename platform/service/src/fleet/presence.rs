//! Presence: which devices are online, and the history of changes.

use domain::alert::AlertSubject;
use domain::validation::FieldError;
use store::Page;
use store::fleet::presence::DeviceEvent;
use wire::ids::DeviceId;

use crate::batch::{Part, sweep};
use crate::fleet::device;
use crate::{Context, Error, Result};

/// The longest name of a kind of event, bytes.
const KIND_LEN_MAX: usize = 40;

/// Marks as offline up to `limit` devices on HTTP that have missed three heartbeats.
pub async fn end_silent(context: &Context, limit: i64) -> Result<u64> {
    let interval_s = context.settings().heartbeat_interval();
    let now = context.clock().now();
    let end = |only: Option<Part<DeviceId>>| async move {
        let mut conn = context.pool().acquire().await?;
        let only = only.as_deref();
        Ok(store::fleet::presence::end_silent(&mut conn, interval_s, now, only, limit).await?)
    };
    let find = || async {
        let mut conn = context.pool().acquire().await?;
        Ok(store::fleet::presence::silent(&mut conn, interval_s, now, limit).await?)
    };
    sweep(context, "end_silent_boxes", AlertSubject::Device, end, find).await
}

/// A box's history, newest first.
///
/// # Errors
/// [`crate::Noun::Device`] not found; a kind that cannot be one.
pub async fn events(
    context: &Context,
    device_id: DeviceId,
    kind: Option<&str>,
    page: Page,
) -> Result<Vec<DeviceEvent>> {
    if kind.is_some_and(|kind| kind.is_empty() || kind.len() > KIND_LEN_MAX) {
        let problem = format!("1 to {KIND_LEN_MAX} bytes");
        return Err(Error::Validation(vec![FieldError::new("kind", problem)]));
    }
    let mut conn = context.lists().acquire().await?;
    device::find(&mut conn, device_id).await?;
    Ok(store::fleet::presence::events(&mut conn, device_id, kind, page).await?)
}
