//! Device certificates: whether one may be used now.

use certs::identity::PeerIdentity;
use chrono::TimeDelta;
use wire::ids::DeviceId;

use crate::service::{Context, Error, Result};
use crate::store;

/// For how long an expired certificate may still be renewed. TLS on HTTPS lets it in for as long.
const RENEWAL_GRACE: TimeDelta = TimeDelta::days(30);

/// The box behind a certificate that TLS has verified, if it may still use it.
///
/// # Errors
/// [`Error::DeviceUnauthorized`] for a certificate that is revoked, replaced, not a device's, or of a
/// device that is out of service.
pub async fn authenticate(context: &Context, peer: &PeerIdentity) -> Result<DeviceId> {
    check(context, peer, TimeDelta::zero()).await
}

/// As [`authenticate`], for the one thing that a lately expired certificate is still good for: its own renewal.
///
/// # Errors
/// As [`authenticate`].
pub async fn authenticate_for_renewal(context: &Context, peer: &PeerIdentity) -> Result<DeviceId> {
    check(context, peer, RENEWAL_GRACE).await
}

async fn check(context: &Context, peer: &PeerIdentity, grace: TimeDelta) -> Result<DeviceId> {
    let refused = || Error::DeviceUnauthorized("this certificate may not be used");
    let device_id = peer.device().ok_or_else(refused)?;
    let now = context.clock().now();
    if peer.not_after + grace <= now {
        return Err(refused());
    }
    let mut conn = context.pool().acquire().await?;
    let used = store::fleet::credential::may_use(&mut conn, device_id, &peer.serial, now)
        .await?
        .ok_or_else(refused)?;
    if !used {
        store::fleet::credential::mark_used(&mut conn, device_id, &peer.serial, now).await?;
    }
    Ok(device_id)
}
