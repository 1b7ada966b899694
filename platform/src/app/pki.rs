//! The server's certificate, and the trust in the fleet's.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use certs::authority::{FleetCa, InitOptions, IssuingCa};
use certs::serial::Serial;
use certs::tls::{self, ClientAuth, ServerOptions};
use chrono::TimeDelta;
use rustls::ServerConfig;

use crate::clock::Clock;
use crate::config::Config;

/// How long an expired certificate may still be shown over HTTPS, to be renewed.
const EXPIRED_GRACE: Duration = Duration::from_secs(30 * 86_400);
/// The certificate is issued anew at every start.
const SERVER_CERTIFICATE_LIFETIME: TimeDelta = TimeDelta::days(398);

/// TLS for both protocols.
pub(super) struct Pki {
    pub(super) https: Arc<ServerConfig>,
    pub(super) mqtt: Arc<ServerConfig>,
    pub(super) root_pem: String,
}

/// Loads the CA, and issues the server certificate from it unless the configuration names another.
///
/// # Errors
/// A CA that is missing or broken; a certificate file that does not read.
pub(super) fn load(config: &Config, clock: &Clock, make_ca: bool) -> anyhow::Result<Pki> {
    let dir = config.pki_dir();
    if make_ca && !dir.join("issuing.pem").exists() {
        FleetCa::init(&dir, clock.now(), &InitOptions::default())
            .with_context(|| format!("cannot make a development CA in {}", dir.display()))?;
    }
    let ca = IssuingCa::load(&dir).with_context(|| no_ca(&dir))?;
    let (chain_pem, key_pem) = server_certificate(config, &ca, clock)?;
    let server_config = |client_auth: ClientAuth, alpn: &[&str], resumption: bool| {
        let chain = tls::chain_from_pem(&chain_pem)?;
        let key = tls::key_from_pem(&key_pem)?;
        let alpn = alpn
            .iter()
            .map(|protocol| protocol.as_bytes().to_vec())
            .collect();
        tls::server_config(chain, key, client_auth, ServerOptions { alpn, resumption })
    };
    Ok(Pki {
        https: server_config(
            ClientAuth::Optional {
                anchors: ca.roots(),
                expired_grace: EXPIRED_GRACE,
            },
            &["h2", "http/1.1"],
            true,
        )?,
        mqtt: server_config(ClientAuth::Required(ca.roots()), &[], false)?,
        root_pem: ca.root_pem().to_owned(),
    })
}

/// What to do about a CA that is missing.
pub(super) fn no_ca(dir: &Path) -> String {
    format!(
        "no usable fleet CA in {0} (pki.dir); `certs init --dir {0}` makes one",
        dir.display()
    )
}

fn server_certificate(
    config: &Config,
    ca: &IssuingCa,
    clock: &Clock,
) -> anyhow::Result<(String, String)> {
    let pki = &config.pki;
    if pki.server_certificate_file.as_os_str().is_empty() {
        let (names, addresses) = config.server_names();
        let issued = ca
            .issue_server(
                &names,
                &addresses,
                clock.now(),
                SERVER_CERTIFICATE_LIFETIME,
                Serial::random()?,
            )
            .context("cannot issue the server certificate (pki.server_names)")?;
        return Ok((issued.certificate.chain_pem, issued.key_pem));
    }
    let read = |file: &Path| {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
    };
    Ok((
        read(&pki.server_certificate_file)?,
        read(&pki.server_key_file)?,
    ))
}
