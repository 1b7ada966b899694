//! MQTT sessions: admission, stored subscriptions, and presence.

use serde_json::Value;
use store::fleet::session::Opening;
use wire::ids::DeviceId;

use crate::fleet::credential;
use crate::{Context, Result};
pub use store::fleet::session::Ending;

/// A CONNECT that asks to be admitted.
#[derive(Debug)]
pub struct Connect<'a> {
    /// The box.
    pub device_id: DeviceId,
    /// The serial number of its certificate.
    pub certificate_serial: &'a str,
    /// Whether an earlier session is dropped.
    pub clean_start: bool,
    /// How long the session is kept after its end, seconds; 0: not at all.
    pub expiry_s: u32,
}

/// An admitted session.
#[derive(Debug)]
pub struct Admitted {
    /// Its epoch.
    pub epoch: i64,
    /// The stored subscriptions; absent when there was no session to continue.
    pub kept: Option<Value>,
}

/// Whether a device may connect with this certificate now. Changes nothing.
pub async fn may_connect(context: &Context, device_id: DeviceId, serial: &str) -> Result<bool> {
    let now = context.clock().now();
    let mut conn = context.pool().acquire().await?;
    let used = store::fleet::credential::may_use(&mut conn, device_id, serial, now).await?;
    Ok(used.is_some())
}

/// Admits a device if its certificate is valid now, and marks it as online. `None`: it is not admitted.
pub async fn admit(context: &Context, connect: &Connect<'_>) -> Result<Option<Admitted>> {
    let now = context.clock().now();
    let mut tx = context.transaction().await?;
    let serial = connect.certificate_serial;
    let Some(used) =
        store::fleet::credential::may_use(&mut tx, connect.device_id, serial, now).await?
    else {
        return Ok(None);
    };
    let ended = match used {
        true => None,
        false => credential::use_first(&mut tx, connect.device_id, serial, now).await?,
    };
    let opening = Opening {
        device_id: connect.device_id,
        node: &context.settings().node,
        persistent: connect.expiry_s > 0,
        clean_start: connect.clean_start,
        certificate_serial: serial,
        expiry_s: i64::from(connect.expiry_s),
    };
    let opened = store::fleet::session::open(&mut tx, &opening, now).await?;
    store::fleet::presence::session_opened(&mut tx, connect.device_id, now).await?;
    tx.commit().await?;
    if let Some(signal) = ended {
        context.signals().send(signal).await;
    }
    Ok(Some(Admitted {
        epoch: opened.epoch,
        kept: opened.kept,
    }))
}

/// Stores a session's subscriptions; `false` when it is no longer the current one.
pub async fn keep_subscriptions(
    context: &Context,
    device_id: DeviceId,
    epoch: i64,
    subscriptions: &Value,
) -> Result<bool> {
    let mut conn = context.pool().acquire().await?;
    Ok(
        store::fleet::session::set_subscriptions(&mut conn, device_id, epoch, subscriptions)
            .await?,
    )
}

/// Ends a session's connection and marks the device as offline, unless it has connected again since.
pub async fn end(context: &Context, ending: &Ending<'_>) -> Result<()> {
    let Ending {
        device_id, reason, ..
    } = *ending;
    let now = context.clock().now();
    let mut tx = context.transaction().await?;
    if store::fleet::session::end(&mut tx, ending, now).await? {
        store::fleet::presence::session_ended(&mut tx, device_id, reason, now).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Ends the sessions that this node left connected: when it stops, and when it starts after a crash.
pub async fn end_leftovers(context: &Context) -> Result<()> {
    let mut conn = context.pool().acquire().await?;
    store::fleet::session::end_leftovers(
        &mut conn,
        &context.settings().node,
        context.clock().now(),
    )
    .await?;
    Ok(())
}
