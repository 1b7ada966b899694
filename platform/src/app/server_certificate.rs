//! The server's certificate of the moment, for HTTPS and MQTT alike.
//!
//! Both TLS configurations ask here at every handshake, so a new certificate holds from the next connection on, and
//! the connections there are go on undisturbed.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use certs::authority::IssuingCa;
use certs::serial::Serial;
use certs::tls;
use chrono::TimeDelta;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::pki::no_ca;
use crate::clock::Clock;
use crate::config::Config;

/// A certificate of our own CA is issued anew at every start and every reload.
const LIFETIME: TimeDelta = TimeDelta::days(398);

/// A certificate that can be replaced while it is in use.
#[derive(Debug)]
pub(super) struct ServerCertificate(ArcSwap<CertifiedKey>);

impl ServerCertificate {
    /// This one, for a start.
    ///
    /// # Errors
    /// A key that is another certificate's.
    pub(super) fn of(pem: &Pem) -> anyhow::Result<Self> {
        Ok(Self(ArcSwap::from_pointee(certified(pem)?)))
    }

    /// Reads it again. When that fails, the present one stays.
    ///
    /// # Errors
    /// A file that does not read; a key that is another certificate's.
    pub(super) fn reload(&self, config: &Config, clock: &Clock) -> anyhow::Result<()> {
        self.0.store(Arc::new(certified(&pem(config, clock)?)?));
        Ok(())
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// A certificate with its chain, and its key, as text.
pub(super) struct Pem {
    chain: String,
    key: String,
}

impl Pem {
    /// The certificate, then its issuers.
    ///
    /// # Errors
    /// Text that is none.
    pub(super) fn chain(&self) -> anyhow::Result<Vec<CertificateDer<'static>>> {
        tls::chain_from_pem(&self.chain).context("the server certificate")
    }

    /// Its key.
    ///
    /// # Errors
    /// Text that is none.
    pub(super) fn key(&self) -> anyhow::Result<PrivateKeyDer<'static>> {
        tls::key_from_pem(&self.key).context("the server certificate's key")
    }
}

/// The certificate that the configuration names, or a new one of our own CA.
///
/// # Errors
/// A file that does not read; a CA that is missing.
pub(super) fn pem(config: &Config, clock: &Clock) -> anyhow::Result<Pem> {
    let pki = &config.pki;
    if pki.server_certificate_file.as_os_str().is_empty() {
        let dir = config.pki_dir();
        let ca = IssuingCa::load(&dir).with_context(|| no_ca(&dir))?;
        let (names, addresses) = config.server_names();
        let issued = ca
            .issue_server(&names, &addresses, clock.now(), LIFETIME, Serial::random()?)
            .context("cannot issue the server certificate (pki.server_names)")?;
        return Ok(Pem {
            chain: issued.certificate.chain_pem,
            key: issued.key_pem,
        });
    }
    let read = |file: &Path| {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
    };
    Ok(Pem {
        chain: read(&pki.server_certificate_file)?,
        key: read(&pki.server_key_file)?,
    })
}

fn certified(pem: &Pem) -> anyhow::Result<CertifiedKey> {
    CertifiedKey::from_der(pem.chain()?, pem.key()?, &aws_lc_rs::default_provider())
        .context("the server certificate and its key do not go together")
}
