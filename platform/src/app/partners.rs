//! The partners of the configuration, with their secrets and keys read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use domain::dialect::request::OwnNames;
use domain::dialect::signature::{Credentials, SignatureKind};
use domain::partner_signature::PartnerSecret;
use domain::reconciliation::Format;
use domain::snap::signature::{ClientSecret, PrivateKey, PublicKey};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use secrecy::ExposeSecret;
use service::clock::Clock;
use service::money::payout_partner::PayoutPartner;
use service::payment::qr_partner::QrPartner;
use service::{Partner, PayoutChannel};

use super::dialect;
use super::problems::Problems;
use crate::config::{self, Config, QrisPartner, QrisPartnerApi, read_secrets};
use crate::partner::bank;
use crate::partner::snap::{Settings, SnapClient};

/// The partners that may send callbacks. Dialects, secrets and keys that cannot be read are added to `problems`.
pub(super) fn qris(config: &Config, problems: &mut Problems) -> HashMap<String, Partner> {
    let mut partners = HashMap::new();
    for (id, partner) in &config.qris_partners {
        if let Some(read) = qris_partner(id, partner, problems) {
            partners.insert(id.clone(), read);
        }
    }
    problems.keep(dialect::must_be_told_apart(&partners));
    dialect::warn_of_unconfirmed(&partners);
    partners
}

/// One of them.
pub(super) fn qris_partner(
    id: &str,
    partner: &QrisPartner,
    problems: &mut Problems,
) -> Option<Partner> {
    let key = format!("qris_partners.{id}");
    let dialect = problems.keep(dialect::of(id, partner))?;
    let kinds = &dialect.signing.kinds;
    let mut credentials = Credentials::default();
    if kinds.iter().any(|kind| kind.needs_key()) && partner.public_key_files.is_empty() {
        let none = anyhow::anyhow!("{key}.public_key_files names no key; the partner gives it");
        problems.keep::<()>(Err(none));
    }
    let keys = partner.public_key_files.iter();
    credentials.keys = keys
        .filter_map(|file| problems.keep(public_key(&key, file)))
        .collect();
    if kinds.iter().any(|kind| kind.needs_secret()) {
        // Where the acquirer may sign with either, one of them is enough.
        let has_none = partner.secret_files.is_empty() && partner.secret_envs.is_empty();
        let is_optional = has_none && !credentials.keys.is_empty();
        if !(is_optional && kinds.contains(&SignatureKind::SnapAsymmetric)) {
            let secrets = read_secrets(&key, &partner.secret_files, &partner.secret_envs);
            for secret in problems.keep(secrets)? {
                credentials.add_secret(secret.expose_secret().as_bytes());
            }
        }
    }
    Some(Partner {
        dialect: Arc::new(dialect),
        credentials,
        sender_ids: partner.sender_ids.clone(),
    })
}

/// The partners that issue codes. Secrets, keys and URLs that cannot be read are added to `problems`.
pub(super) fn issuers(
    config: &Config,
    clock: &Clock,
    problems: &mut Problems,
) -> HashMap<String, Arc<dyn QrPartner>> {
    let mut issuers: HashMap<String, Arc<dyn QrPartner>> = HashMap::new();
    for (id, partner) in &config.qris_partners {
        if let Some(api) = &partner.api
            && let Some(client) = client(config, id, api, clock, problems)
        {
            issuers.insert(id.clone(), Arc::new(client));
        }
    }
    issuers
}

/// The client of a partner.
pub(super) fn client(
    config: &Config,
    id: &str,
    api: &QrisPartnerApi,
    clock: &Clock,
    problems: &mut Problems,
) -> Option<SnapClient> {
    let named = format!("qris_partners.{id}.api");
    let url = problems.keep(partner_url(api).with_context(|| named.clone()));
    let key = problems.keep(own_key(&named, &api.private_key_file));
    let secrets = problems.keep(client_secrets(&named, &api.secret_files, &api.secret_envs));
    let payments = &config.payments;
    let dialect = problems.keep(dialect::of(id, config.qris_partners.get(id)?))?;
    let Some(outbound) = dialect.outbound else {
        let none = anyhow::anyhow!("{named}: dialect {} says nothing of an API", dialect.name);
        return problems.keep(Err(none));
    };
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let settings = Settings {
        url: url?,
        outbound,
        query_codes: dialect.statuses.query,
        own: OwnNames {
            client_id: api.client_id.clone(),
            partner_id: given(&api.partner_id).unwrap_or_else(|| api.client_id.clone()),
            merchant_id: given(&api.merchant_id),
            terminal_id: given(&api.terminal_id),
            ip_address: given(&api.ip_address),
        },
        key: key?,
        // The first is the newest: it signs our requests.
        secret: secrets?.swap_remove(0),
        channel_id: api.channel_id.clone(),
        timeout: Duration::from_millis(payments.partner_timeout_ms),
        attempts_max: payments.partner_attempts_max,
        failures_max: payments.partner_failures_max,
        pause: Duration::from_millis(payments.partner_pause_ms),
    };
    problems.keep(SnapClient::new(settings, clock.clone()).with_context(|| named))
}

fn partner_url(api: &QrisPartnerApi) -> anyhow::Result<reqwest::Url> {
    let url: reqwest::Url = api.url.parse().context("url")?;
    let loopback = match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback()),
        None => false,
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
        bail!("url must be https, or http on a loopback address");
    }
    Ok(url)
}

/// Our private key for requests to a partner.
fn own_key(named: &str, file: &Path) -> anyhow::Result<PrivateKey> {
    let pem = std::fs::read(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => anyhow::anyhow!(
            "{named}.private_key_file: {0} is missing; make it and give its public half to the partner: openssl genpkey \
             -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out {0}",
            file.display()
        ),
        _ => anyhow::anyhow!("{named}.private_key_file: cannot read {}: {error}", file.display()),
    })?;
    PrivatePkcs8KeyDer::from_pem_slice(&pem)
        .map_err(anyhow::Error::from)
        .and_then(|key| Ok(PrivateKey::from_pkcs8(key.secret_pkcs8_der())?))
        .with_context(|| format!("{named}.private_key_file: {}", file.display()))
}

fn client_secrets(
    key: &str,
    files: &[PathBuf],
    variables: &[String],
) -> anyhow::Result<Vec<ClientSecret>> {
    let secrets = read_secrets(key, files, variables)?;
    Ok(secrets
        .iter()
        .map(|secret| ClientSecret::new(secret.expose_secret().as_bytes()))
        .collect())
}

fn public_key(named: &str, file: &Path) -> anyhow::Result<PublicKey> {
    let key = SubjectPublicKeyInfoDer::from_pem_file(file).with_context(|| {
        format!(
            "{named}.public_key_files: cannot read {} (the partner gives it)",
            file.display()
        )
    })?;
    Ok(PublicKey::from_der(&key))
}

/// The partners that carry out payouts. Secrets, URLs and CAs that cannot be read are added to `problems`.
pub(super) fn payout(
    config: &Config,
    clock: &Clock,
    problems: &mut Problems,
) -> HashMap<String, PayoutChannel> {
    let channels = config.payout_partners.iter().filter_map(|(id, partner)| {
        let channel = problems.keep(payout_channel(config, clock, id, partner))?;
        Some((id.clone(), channel))
    });
    channels.collect()
}

fn payout_channel(
    config: &Config,
    clock: &Clock,
    id: &str,
    partner: &config::PayoutPartner,
) -> anyhow::Result<PayoutChannel> {
    let key = format!("payout_partners.{id}");
    let secrets: Vec<_> = read_secrets(&key, &partner.secret_files, &partner.secret_envs)?
        .iter()
        .map(|secret| PartnerSecret::new(secret.expose_secret().as_bytes()))
        .collect();
    let connection: Option<Arc<dyn PayoutPartner>> = match (&*partner.url, secrets.first()) {
        (url, Some(secret)) if !url.is_empty() => {
            let settings = bank::Settings {
                id: id.to_owned(),
                url: url.to_owned(),
                ca_file: partner.ca_file.clone(),
                secret: secret.clone(),
                timeout: Duration::from_millis(config.money.payout_timeout_ms),
            };
            let bank = bank::Bank::new(settings, clock.clone()).context(key)?;
            Some(Arc::new(bank))
        }
        _ => None,
    };
    Ok(PayoutChannel {
        secrets,
        connection,
    })
}

/// The file formats of acquirers.
///
/// # Errors
/// A format of a partner that is not configured, a delimiter that is not one ASCII character.
pub(super) fn file_formats(config: &Config) -> anyhow::Result<HashMap<String, Format>> {
    config
        .reconciliation
        .formats
        .iter()
        .map(|(id, format)| {
            if !config.qris_partners.contains_key(id) {
                bail!("configuration: reconciliation.formats.{id}: there is no [qris_partners.{id}]");
            }
            let [delimiter @ 0..=127] = *format.delimiter.as_bytes() else {
                bail!("configuration: reconciliation.formats.{id}.delimiter must be one ASCII character");
            };
            let format = Format {
                reference_column: format.reference_column.clone(),
                amount_column: format.amount_column.clone(),
                delimiter,
                decimal_comma: format.decimal_comma,
            };
            Ok((id.clone(), format))
        })
        .collect()
}

/// The partner that carries out payouts.
///
/// # Errors
/// None is named and there are several, or the named one is not configured.
pub(super) fn paying(config: &Config) -> anyhow::Result<Option<String>> {
    let named = &config.money.payout_partner;
    match (named.as_str(), config.payout_partners.len()) {
        ("", 0 | 1) => Ok(config.payout_partners.keys().next().cloned()),
        ("", _) => bail!("configuration: money.payout_partner must name one of [payout_partners]"),
        (named, _) if config.payout_partners.contains_key(named) => Ok(Some(named.to_owned())),
        (named, _) => {
            bail!("configuration: money.payout_partner: there is no [payout_partners.{named}]")
        }
    }
}

/// The partner that merchants are registered with.
///
/// # Errors
/// None is named and there are several, or the named one is not configured.
pub(super) fn issuing(config: &Config) -> anyhow::Result<String> {
    let named = &config.payments.qr_partner;
    match (named.as_str(), config.qris_partners.len()) {
        ("", 0) => Ok("local".to_owned()),
        ("", 1) => Ok(config
            .qris_partners
            .keys()
            .next()
            .cloned()
            .unwrap_or_default()),
        ("", _) => bail!("configuration: payments.qr_partner must name one of [qris_partners]"),
        (named, _) if config.qris_partners.contains_key(named) => Ok(named.to_owned()),
        (named, _) => {
            bail!("configuration: payments.qr_partner: there is no [qris_partners.{named}]")
        }
    }
}
