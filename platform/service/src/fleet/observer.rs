//! Observers: the services that may observe the fleet.
//!
//! The CA issues a service's certificate (`certs issue --service`); here it is only recorded and revoked. A node with
//! observers checks every half second which of their certificates were revoked, so that a revocation takes effect on every
//! node.

use serde_json::json;
use store::fleet::observer::Observer;

use crate::{Context, Error, Result, UnitOfWork};

/// A serial number has at most 20 octets (RFC 5280, section 4.1.2.2).
const SERIAL_HEX_MAX: usize = 40;
/// How many are listed.
const LISTED_MAX: i64 = 1000;

/// Whether a service may observe; its connection is recorded.
pub async fn admit(context: &Context, certificate_serial: &str, name: &str) -> Result<bool> {
    let now = context.clock().now();
    let mut conn = context.pool().acquire().await?;
    Ok(store::fleet::observer::admit(&mut conn, certificate_serial, name, now).await?)
}

/// Revokes a service's certificate by its serial number (hex, colons allowed), also one that never connected.
///
/// # Errors
/// Text that is not a serial number.
pub async fn revoke(unit: &mut UnitOfWork, certificate_serial: &str) -> Result<Observer> {
    let serial = certificate_serial.trim().replace(':', "").to_lowercase();
    let is_hex = serial.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex || !serial.len().is_multiple_of(2) || !(2..=SERIAL_HEX_MAX).contains(&serial.len()) {
        return Err(Error::field(
            "certificate_serial",
            "a serial number is 2 to 40 hex digits",
        ));
    }
    let now = unit.now();
    let revoked = store::fleet::observer::revoke(unit.conn(), &serial, now).await?;
    if revoked.revoked_at == Some(now) {
        unit.audit("observer.revoke", &serial, None, Some(json!(revoked)))
            .await?;
    }
    Ok(revoked)
}

/// Those of these certificates that are revoked.
pub async fn revoked_among(
    context: &Context,
    certificate_serials: &[String],
) -> Result<Vec<String>> {
    let mut conn = context.pool().acquire().await?;
    Ok(store::fleet::observer::revoked_among(&mut conn, certificate_serials).await?)
}

/// The services that have connected, and the certificates that are revoked.
pub async fn list(context: &Context) -> Result<Vec<Observer>> {
    let mut conn = context.lists().acquire().await?;
    Ok(store::fleet::observer::list(&mut conn, LISTED_MAX).await?)
}
