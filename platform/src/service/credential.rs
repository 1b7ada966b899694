//! Device certificates: whether one may be used now.

use certs::identity::PeerIdentity;
use wire::ids::DeviceId;

use super::{Context, Error, Result};
use crate::store;

/// The box behind a certificate that TLS has verified, if it may still use it.
///
/// # Errors
/// [`Error::DeviceUnauthorized`] for a certificate that is revoked, replaced, not a device's, or of a
/// device that is out of service.
pub async fn authenticate(context: &Context, peer: &PeerIdentity) -> Result<DeviceId> {
    let refused = || Error::DeviceUnauthorized("this certificate may not be used");
    let device_id = peer.device().ok_or_else(refused)?;
    let now = context.clock().now();
    if peer.not_after <= now {
        return Err(refused());
    }
    let mut conn = context.pool().acquire().await?;
    let used = store::credential::may_use(&mut conn, device_id, &peer.serial, now)
        .await?
        .ok_or_else(refused)?;
    if !used {
        store::credential::mark_used(&mut conn, device_id, &peer.serial, now).await?;
    }
    Ok(device_id)
}
