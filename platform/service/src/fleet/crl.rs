//! The certificate revocation list, for brokers that cannot read the registry.
//!
//! The database holds one list for all processes. A job signs the next list when its content has changed, or after half of
//! the validity of the present one. Each process keeps the list in memory, so that serving it needs neither the database
//! nor the CA.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{Context as Digest, SHA256};
use certs::crl::{Reason, Revoked, to_pem};
use certs::durable_file;
use chrono::{DateTime, TimeDelta, Utc};
use domain::credential::RevocationReason;
use store::fleet::credential::Ended;
use store::fleet::crl::Crl;

use super::published_crl::PublishedCrl;
use crate::{Actor, Context, Result};

/// The list in memory; right after the start of a process, the one in the database, or the first.
///
/// # Errors
/// A CA that cannot sign.
pub async fn current(context: &Context) -> Result<Arc<PublishedCrl>> {
    match context.crl() {
        Some(published) => Ok(published),
        None => refresh(context).await,
    }
}

/// Signs a new list if one is due, and keeps the newest in memory.
///
/// # Errors
/// A CA that cannot sign.
pub async fn refresh(context: &Context) -> Result<Arc<PublishedCrl>> {
    let lifetime = context.settings().crl_lifetime;
    let mut unit = context.begin(Actor::system()).await?;
    // One process at a time, so that numbers increase.
    store::serialise(unit.conn(), "crl").await?;
    unit.refresh_now();
    let now = unit.now();
    let present = store::fleet::crl::find(unit.conn()).await?;
    // RFC 5280 §3.3: an entry stays for one list beyond the certificate's validity.
    let ended = store::fleet::credential::revoked(unit.conn(), now - lifetime, now).await?;
    let content_sha256 = content_of(context.ca()?.issuing_pem(), &ended);
    let crl = match present {
        Some(crl) if crl.content_sha256 == content_sha256 && is_fresh(&crl, lifetime, now) => crl,
        present => {
            let number = present.map_or(0, |crl| crl.number) + 1;
            let entries = ended.iter().map(entry).collect::<Result<Vec<_>>>()?;
            let der = context
                .ca()?
                .sign_crl(number.unsigned_abs(), &entries, now, lifetime)
                .map_err(anyhow::Error::from)?;
            let crl = Crl {
                number,
                content_sha256,
                entries: i64::try_from(entries.len()).unwrap_or(i64::MAX),
                this_update: now,
                next_update: now + lifetime,
                der,
            };
            store::fleet::crl::put(unit.conn(), &crl).await?;
            tracing::info!(
                number,
                entries = crl.entries,
                "a revocation list was signed"
            );
            crl
        }
    };
    unit.commit().await?;
    let published = Arc::new(PublishedCrl {
        der: crl.der.into(),
        number: crl.number,
        next_update: crl.next_update,
    });
    context.publish_crl(Arc::clone(&published));
    Ok(published)
}

/// Refreshes the list and writes it to `file` as PEM, unless the file holds it already. Readers find the old list or the
/// new one, never a part.
///
/// # Errors
/// As [`refresh`]; a file that cannot be written.
pub async fn publish(context: &Context, file: &Path) -> Result<()> {
    let published = refresh(context).await?;
    let pem = to_pem(&published.der);
    let file = file.to_owned();
    let written = tokio::task::spawn_blocking(move || write(&file, &pem));
    Ok(written.await.map_err(anyhow::Error::from)??)
}

fn write(file: &Path, pem: &str) -> anyhow::Result<()> {
    use anyhow::Context as _;

    if std::fs::read(file).is_ok_and(|present| present == pem.as_bytes()) {
        return Ok(());
    }
    durable_file::replace(file, pem.as_bytes(), 0o644)
        .with_context(|| format!("cannot write {} (pki.crl_file)", file.display()))
}

/// Whether a list is in the first half of its validity, and not from the future.
fn is_fresh(crl: &Crl, lifetime: TimeDelta, now: DateTime<Utc>) -> bool {
    crl.this_update <= now && now < crl.this_update + lifetime / 2 && now < crl.next_update
}

/// The SHA-256 of a list's content.
fn content_of(issuing_pem: &str, ended: &[Ended]) -> Vec<u8> {
    let mut digest = Digest::new(&SHA256);
    digest.update(issuing_pem.as_bytes());
    for ended in ended {
        digest.update(ended.certificate_serial.as_bytes());
        digest.update(&ended.at.timestamp().to_be_bytes());
        digest.update(ended.reason.as_str().as_bytes());
        digest.update(b"\n");
    }
    digest.finish().as_ref().to_vec()
}

fn entry(ended: &Ended) -> Result<Revoked> {
    Ok(Revoked {
        serial_hex: ended.certificate_serial.clone(),
        at: ended.at,
        reason: match ended.reason {
            RevocationReason::Unspecified => Reason::Unspecified,
            RevocationReason::KeyCompromise => Reason::KeyCompromise,
            RevocationReason::Superseded => Reason::Superseded,
            RevocationReason::CessationOfOperation => Reason::CessationOfOperation,
            RevocationReason::PrivilegeWithdrawn => Reason::PrivilegeWithdrawn,
        },
    })
}
