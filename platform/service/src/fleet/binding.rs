//! Binding a box to a terminal, and taking it away again.
//!
//! A rebind must never let anything of the old merchant's be heard at the new one: the old binding's
//! announcements are closed in the same transaction, what waits in the session is purged, and the
//! box is pushed the new binding id, after which it refuses every other.

use serde_json::json;
use store::Scope;
use store::fleet::binding::Binding;
use store::fleet::device_view::DeviceView;
use wire::ids::{BindingId, DeviceId, TerminalId};

use crate::fleet::{config, device};
use crate::signal::Signal;
use crate::{Error, Noun, Result, UnitOfWork};

/// Puts a box at a terminal; wherever it stood before, it stands there no longer.
///
/// # Errors
/// No such device or terminal; [`Error::InvalidState`] for a box out of service.
pub async fn bind(
    unit: &mut UnitOfWork,
    device_id: DeviceId,
    terminal_id: TerminalId,
) -> Result<DeviceView> {
    lock_serviceable(unit, device_id).await?;
    unit.refresh_now();
    let terminal = store::shop::terminal::find(unit.conn(), Scope::All, terminal_id)
        .await?
        .ok_or(Error::NotFound(Noun::Terminal))?;
    if store::fleet::binding::find_active(unit.conn(), device_id)
        .await?
        .is_some_and(|now| now.terminal_id == terminal_id)
    {
        return device::view(unit, device_id).await;
    }
    let before = end_current(unit, device_id).await?;
    let binding = Binding {
        id: BindingId::from_uuid(unit.uuid()),
        device_id,
        terminal_id,
        outlet_id: terminal.outlet_id,
        merchant_id: terminal.merchant_id,
        bound_at: unit.now(),
        unbound_at: None,
    };
    store::fleet::binding::insert(unit.conn(), &binding).await?;
    configure(unit, device_id, Some(binding.id)).await?;
    unit.audit(
        "device.bind",
        device_id,
        before.map(|id| json!({ "binding_id": id })),
        Some(json!(binding)),
    )
    .await?;
    device::view(unit, device_id).await
}

/// Takes a box away from its terminal.
///
/// # Errors
/// No such device; [`Error::DeviceNotBound`].
pub async fn unbind(unit: &mut UnitOfWork, device_id: DeviceId) -> Result<DeviceView> {
    store::fleet::device::lock(unit.conn(), device_id)
        .await?
        .ok_or(Error::NotFound(Noun::Device))?;
    unit.refresh_now();
    let before = end_current(unit, device_id)
        .await?
        .ok_or(Error::DeviceNotBound)?;
    configure(unit, device_id, None).await?;
    unit.audit(
        "device.unbind",
        device_id,
        Some(json!({ "binding_id": before })),
        None,
    )
    .await?;
    device::view(unit, device_id).await
}

async fn lock_serviceable(unit: &mut UnitOfWork, device_id: DeviceId) -> Result<()> {
    let found = store::fleet::device::lock(unit.conn(), device_id)
        .await?
        .ok_or(Error::NotFound(Noun::Device))?;
    found.status.activate()?;
    Ok(())
}

async fn end_current(unit: &mut UnitOfWork, device_id: DeviceId) -> Result<Option<BindingId>> {
    let now = unit.now();
    let ended = store::fleet::binding::end_active(unit.conn(), device_id, now).await?;
    if let Some(binding_id) = ended {
        store::payment::notification::cancel_binding(unit.conn(), binding_id, now).await?;
        store::fleet::command::cancel_of_binding(unit.conn(), device_id, now).await?;
        unit.signal(Signal::Purge(device_id));
    }
    Ok(ended)
}

async fn configure(
    unit: &mut UnitOfWork,
    device_id: DeviceId,
    binding_id: Option<BindingId>,
) -> Result<()> {
    let now = unit.now();
    store::fleet::config::set_binding(unit.conn(), device_id, binding_id, now).await?;
    // The layers of another merchant and outlet hold from now on. The binding's row keeps theirs from changing meanwhile.
    config::refresh(unit, &[device_id]).await?;
    unit.signal(Signal::Configure(device_id));
    Ok(())
}
