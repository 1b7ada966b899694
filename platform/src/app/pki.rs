//! The server's certificate, and the trust in the fleet's.

use std::sync::Arc;

use anyhow::Context as _;
use certs::authority::{FleetCa, InitOptions, IssuingCa};
use certs::tls::{self, ClientAuth, ServerOptions};
use domain::credential::RENEWAL_GRACE;
use rustls::ServerConfig;
use service::clock::Clock;

use super::server_certificate::{self, CA, ServerCertificate};
use crate::config::Config;

/// TLS for both protocols.
pub(super) struct Pki {
    pub(super) https: Arc<ServerConfig>,
    pub(super) mqtt: Arc<ServerConfig>,
    /// For boxes without a certificate.
    pub(super) mqtt_by_password: Arc<ServerConfig>,
    pub(super) root_pem: String,
    pub(super) certificate: Arc<ServerCertificate>,
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
    let ca = IssuingCa::load(&dir).context(CA)?;
    let pem = server_certificate::pem(config, clock)?;
    let certificate = Arc::new(ServerCertificate::of(&pem, clock.now())?);
    let server_config = |client_auth: ClientAuth, alpn: &[&str], resumption: bool| {
        let alpn = alpn
            .iter()
            .map(|protocol| protocol.as_bytes().to_vec())
            .collect();
        let options = ServerOptions {
            alpn,
            resumption,
            rsa_keys: config.pki.rsa_keys(),
        };
        let fixed = tls::server_config(pem.chain()?, pem.key()?, client_auth, options)?;
        let mut config = ServerConfig::clone(&fixed);
        config.cert_resolver = Arc::<ServerCertificate>::clone(&certificate);
        anyhow::Ok(Arc::new(config))
    };
    Ok(Pki {
        https: server_config(
            ClientAuth::Optional {
                anchors: ca.roots(),
                expired_grace: RENEWAL_GRACE.to_std().unwrap_or_default(),
            },
            &["h2", "http/1.1"],
            true,
        )?,
        mqtt: server_config(ClientAuth::Required(ca.roots()), &[], false)?,
        mqtt_by_password: server_config(ClientAuth::NotAsked, &[], false)?,
        root_pem: ca.root_pem().to_owned(),
        certificate,
    })
}
