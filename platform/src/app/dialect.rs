//! The dialect of a configured partner: a built-in one or a file, with what the partner's table changes of it.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use domain::dialect::signature::SignatureKind;
use domain::dialect::{Dialect, NAMES, built_in};
use service::Partner;

use crate::config::{NotifySignature, QrisPartner, QrisProfile};

/// The dialect of the partner `id`.
///
/// # Errors
/// A name that is none, a file that does not read, with line and key; a key that the dialect has no use for.
pub(super) fn of(id: &str, partner: &QrisPartner) -> anyhow::Result<Dialect> {
    let key = format!("qris_partners.{id}");
    let named = match (partner.dialect.as_str(), partner.profile) {
        ("", QrisProfile::Hmac) => "hmac",
        ("", QrisProfile::Snap) => "snap",
        (named, QrisProfile::Hmac) => named,
        (_, QrisProfile::Snap) => {
            bail!("configuration: {key}: dialect takes the place of profile; leave profile out")
        }
    };
    let mut dialect = read(named).with_context(|| format!("configuration: {key}.dialect"))?;
    let is_snap = dialect.signing.kinds.iter().any(|kind| {
        matches!(
            kind,
            SignatureKind::SnapSymmetric
                | SignatureKind::SnapAsymmetric
                | SignatureKind::SnapSymmetricWithoutToken
        )
    });
    if !is_snap && (!partner.public_key_files.is_empty() || partner.api.is_some()) {
        bail!(
            "configuration: {key}: public_key_files and api are for dialects of SNAP; {} is none",
            dialect.name
        );
    }
    if dialect.name == "hmac" && !partner.statuses.is_empty() {
        bail!(
            "configuration: {key}: statuses are for other dialects than \"hmac\", which is our own form"
        );
    }
    match partner.notify_signature {
        NotifySignature::OfDialect => {}
        NotifySignature::Symmetric if dialect.inbound.token_path.is_some() => {
            dialect.signing.kinds = vec![SignatureKind::SnapSymmetric];
        }
        NotifySignature::Symmetric => bail!(
            "configuration: {key}.notify_signature: the dialect {} gives no token to sign with",
            dialect.name
        ),
        NotifySignature::Asymmetric if is_snap => {
            dialect.signing.kinds = vec![SignatureKind::SnapAsymmetric];
        }
        NotifySignature::Asymmetric => bail!(
            "configuration: {key}.notify_signature is for dialects of SNAP; {} is none",
            dialect.name
        ),
    }
    // One table was enough while there was one dialect of SNAP: it counts for what is sent and for what is answered.
    let statuses = &mut dialect.statuses;
    statuses.notify = std::mem::take(&mut statuses.notify).with(partner.statuses.clone());
    statuses.query = std::mem::take(&mut statuses.query)
        .with(partner.statuses.clone())
        .with(partner.query_statuses.clone());
    let confirmed = partner.confirmed_statuses.iter().cloned();
    statuses.confirmed.extend(confirmed);
    statuses.confirmed.extend(partner.statuses.keys().cloned());
    statuses
        .confirmed
        .extend(partner.query_statuses.keys().cloned());
    Ok(dialect)
}

fn read(named: &str) -> anyhow::Result<Dialect> {
    let is_path = named.contains('/') || Path::new(named).extension().is_some();
    if is_path {
        let text =
            std::fs::read_to_string(named).with_context(|| format!("cannot read {named}"))?;
        return Dialect::parse(&text).map_err(|error| anyhow::anyhow!("{named}: {error}"));
    }
    match built_in(named)? {
        Some(dialect) => Ok(Dialect::clone(&dialect)),
        None => bail!(
            "there is no dialect {named:?}; known: {}; or a path of a file",
            NAMES.join(", ")
        ),
    }
}

/// Refuses partners that a message on the path of their dialect could not be told apart by.
///
/// # Errors
/// The path with the two partners.
pub(super) fn must_be_told_apart(partners: &HashMap<String, Partner>) -> anyhow::Result<()> {
    let mut claims: HashMap<(&str, Option<&str>), &str> = HashMap::new();
    let mut alone: HashMap<&str, &str> = HashMap::new();
    for (id, partner) in partners {
        let inbound = &partner.dialect.inbound;
        for path in inbound.paths.iter().chain(&inbound.token_path) {
            let ids = std::iter::once(id).chain(&partner.sender_ids);
            for named in ids {
                let named = inbound.partner_header.as_ref().map(|_| named.as_str());
                match claims.insert((path, named), id) {
                    Some(other) if other != id => bail!(
                        "configuration: qris_partners.{id} and qris_partners.{other} both call {path} and cannot be told \
                         apart there; give one of them /integrations/qris/callback/{id}, or other sender_ids"
                    ),
                    _ => {}
                }
            }
            if inbound.partner_header.is_none() {
                alone.insert(path, id);
            }
        }
    }
    for (path, named) in claims.keys() {
        if let (Some(other), Some(named)) = (alone.get(path), named) {
            bail!(
                "configuration: {path} is called by qris_partners.{other}, which names itself nowhere, and by {named}: they \
                 cannot be told apart"
            );
        }
    }
    Ok(())
}

/// Says which codes mean what nobody has confirmed: on 03 and 04 partners contradict each other, and one of them moves money.
pub(super) fn warn_of_unconfirmed(partners: &HashMap<String, Partner>) {
    for (id, partner) in partners {
        for (table, code, meaning) in partner.dialect.statuses.unconfirmed() {
            tracing::warn!(
                partner_id = id,
                dialect = partner.dialect.name,
                table,
                code,
                %meaning,
                "the meaning of this status code is not confirmed by the partner; ask it, and list the code in \
                 qris_partners.{id}.confirmed_statuses, or give it another meaning in qris_partners.{id}.statuses"
            );
        }
    }
}
