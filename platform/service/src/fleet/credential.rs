//! Device certificates: whether one may be used now, how each stands, and how one is ended.

use std::collections::BTreeMap;

use certs::identity::PeerIdentity;
use chrono::{DateTime, TimeDelta, Utc};
use domain::credential::{CredentialStatus, Life, RENEWAL_GRACE, RevocationReason};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Page;
use store::fleet::credential::Record;
use utoipa::ToSchema;
use wire::ids::DeviceId;

use crate::retry::retried;
use crate::signal::Signal;
use crate::{Checks, Context, Error, Noun, Result, UnitOfWork};

/// The longest serial number of a certificate, hex digits (RFC 5280 §4.1.2.2: 20 octets).
const SERIAL_LEN_MAX: usize = 40;

/// A certificate, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Credential)]
pub struct CredentialView {
    /// Its serial number, hex.
    pub serial: String,
    /// How it stands now.
    pub status: CredentialStatus,
    /// SHA-256 of its public key (SPKI), hex.
    pub public_key_sha256: String,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// The last moment of its validity.
    pub not_after: DateTime<Utc>,
    /// When a box first showed it.
    pub first_used_at: Option<DateTime<Utc>>,
    /// When it ends, or ended, because a successor was issued.
    pub superseded_until: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Why.
    pub revoked_reason: Option<RevocationReason>,
}

impl CredentialView {
    fn of(record: Record, now: DateTime<Utc>) -> Self {
        let life = Life {
            not_after: record.not_after,
            superseded_until: record.superseded_until,
            revoked_at: record.revoked_at,
        };
        Self {
            status: life.status(now),
            serial: record.certificate_serial,
            public_key_sha256: record.public_key_sha256,
            issued_at: record.created_at,
            not_after: record.not_after,
            first_used_at: record.first_used_at,
            superseded_until: record.superseded_until,
            revoked_at: record.revoked_at,
            revoked_reason: record.revoked_reason,
        }
    }
}

/// What an operator ends of a box's credentials.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CredentialRevocation)]
pub struct Revocation {
    /// The certificate, by its serial number, with the token that was issued with it. Without one: all of the box's
    /// certificates and tokens, so that it needs a new activation code.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 40)]
    pub serial: Option<String>,
    /// Why; `unspecified` unless said otherwise.
    #[serde(default)]
    #[schema(value_type = Option<RevocationReason>)]
    pub reason: Option<String>,
}

/// What was ended.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = CredentialsRevoked)]
pub struct Revoked {
    /// The box.
    pub device_id: DeviceId,
    /// The serial numbers of the certificates that are ended now and were not before.
    pub revoked: Vec<String>,
}

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
    let uses = [(device_id, peer.serial.as_str())];
    let used = may_use(context, &uses).await?;
    if !used.first().copied().flatten().ok_or_else(refused)? {
        note_first_uses(context, &uses).await?;
    }
    Ok(device_id)
}

/// Whether boxes may use certificates now, as [`store::fleet::credential::may_use`] says.
pub(super) async fn may_use(
    context: &Context,
    uses: &[(DeviceId, &str)],
) -> Result<Vec<Option<bool>>> {
    let mut conn = context.pool().acquire().await?;
    Ok(store::fleet::credential::may_use(&mut conn, uses, context.clock().now()).await?)
}

/// Notes the first uses of certificates, each by its box. Those that they replace end now, and with them their sessions.
pub(super) async fn note_first_uses(context: &Context, uses: &[(DeviceId, &str)]) -> Result<()> {
    let devices: Vec<DeviceId> = uses.iter().map(|(device_id, _)| *device_id).collect();
    let note = || async {
        let mut tx = context.transaction().await?;
        // A change of a box's credentials holds the box's row: otherwise this and their revocation, which both go over all
        // of them, could wait for each other.
        store::fleet::device::hold(&mut tx, &devices).await?;
        let now = context.clock().now();
        let mut replaced: BTreeMap<DeviceId, Vec<String>> = BTreeMap::new();
        for (device_id, serial) in store::fleet::credential::mark_used(&mut tx, uses, now).await? {
            replaced.entry(device_id).or_default().push(serial);
        }
        for device_id in replaced.keys() {
            store::fleet::credential::announce_end(&mut tx, *device_id).await?;
        }
        tx.commit().await?;
        Ok(replaced)
    };
    for (device_id, certificate_serials) in retried(note).await? {
        let ended = Signal::Revoked {
            device_id,
            certificate_serials,
        };
        context.signals().send(ended);
    }
    Ok(())
}

/// The certificates that a box ever had, newest first.
///
/// # Errors
/// [`Noun::Device`] not found.
pub async fn list(context: &Context, id: DeviceId, page: Page) -> Result<Vec<CredentialView>> {
    let now = context.clock().now();
    let mut conn = context.lists().acquire().await?;
    store::fleet::device::find(&mut conn, id)
        .await?
        .ok_or(Error::NotFound(Noun::Device))?;
    let records = store::fleet::credential::list(&mut conn, id, page).await?;
    let view = |record| CredentialView::of(record, now);
    Ok(records.into_iter().map(view).collect())
}

/// Ends one of a box's certificates, or all of them, for an operator. Its session ends with the certificate that it was
/// opened with. Revoking again what is revoked changes nothing.
///
/// # Errors
/// Wrong fields; [`Noun::Device`] or [`Noun::Credential`] not found.
pub async fn revoke(
    unit: &mut UnitOfWork,
    id: DeviceId,
    revocation: Revocation,
) -> Result<Revoked> {
    let mut checks = Checks::default();
    let reason = match revocation.reason.as_deref() {
        None => Some(RevocationReason::Unspecified),
        Some(text) => checks.parse("reason", text),
    };
    checks.optional_text("serial", revocation.serial.as_deref(), SERIAL_LEN_MAX);
    checks.finish()?;
    let reason = reason.unwrap_or(RevocationReason::Unspecified);
    store::fleet::device::lock(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::Device))?;
    unit.refresh_now();
    let revoked = match revocation.serial {
        None => revoke_all(unit, id, reason).await?,
        Some(serial) => revoke_one(unit, id, serial.to_ascii_lowercase(), reason).await?,
    };
    if !revoked.is_empty() {
        let after = json!({ "revoked": revoked, "reason": reason });
        unit.audit("device.revoke_credentials", id, None, Some(after))
            .await?;
    }
    Ok(Revoked {
        device_id: id,
        revoked,
    })
}

async fn revoke_one(
    unit: &mut UnitOfWork,
    device_id: DeviceId,
    serial: String,
    reason: RevocationReason,
) -> Result<Vec<String>> {
    let found = store::fleet::credential::lock(unit.conn(), device_id, &serial)
        .await?
        .ok_or(Error::NotFound(Noun::Credential))?;
    if found.revoked_at.is_some() {
        return Ok(Vec::new());
    }
    let now = unit.now();
    store::fleet::credential::revoke(unit.conn(), &serial, reason, now).await?;
    store::people::token::revoke_with_certificate(unit.conn(), device_id, &serial, now).await?;
    end_sessions(unit, device_id, vec![serial.clone()]).await?;
    Ok(vec![serial])
}

/// Ends all certificates and tokens of a box, and its session. The caller holds the device's lock. The answer: the serial
/// numbers of the certificates that were not revoked before.
pub(super) async fn revoke_all(
    unit: &mut UnitOfWork,
    device_id: DeviceId,
    reason: RevocationReason,
) -> Result<Vec<String>> {
    let now = unit.now();
    let all = store::fleet::credential::revoke_all(unit.conn(), device_id, reason, now).await?;
    store::people::token::revoke_device(unit.conn(), device_id, now).await?;
    // Also with those that were revoked before: a session may have outlived the use of its own.
    let serials = all.iter().map(|(serial, _)| serial.clone()).collect();
    end_sessions(unit, device_id, serials).await?;
    let fresh = |(serial, fresh): (String, bool)| fresh.then_some(serial);
    Ok(all.into_iter().filter_map(fresh).collect())
}

/// After the commit this process ends the sessions itself, and the others are notified.
async fn end_sessions(
    unit: &mut UnitOfWork,
    device_id: DeviceId,
    serials: Vec<String>,
) -> Result<()> {
    store::fleet::credential::announce_end(unit.conn(), device_id).await?;
    unit.signal(Signal::Revoked {
        device_id,
        certificate_serials: serials,
    });
    Ok(())
}

/// The serial numbers of a box's certificates that may not be used now.
pub async fn ended(context: &Context, device_id: DeviceId) -> Result<Vec<String>> {
    let now = context.clock().now();
    let mut conn = context.pool().acquire().await?;
    Ok(store::fleet::credential::ended(&mut conn, device_id, now).await?)
}

/// The sessions of this process whose certificates may not be used now: what a lost notification would have ended, and what
/// has expired or was replaced meanwhile.
pub async fn ended_sessions(context: &Context) -> Result<Vec<(DeviceId, String)>> {
    let now = context.clock().now();
    let node = context.node().name();
    let mut conn = context.pool().acquire().await?;
    Ok(store::fleet::credential::ended_sessions(&mut conn, node, now).await?)
}
