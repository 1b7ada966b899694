//! rustls configurations that trust this CA alone, with aws-lc-rs as the only provider.
//!
//! A verified chain does not authorise a client: on **every** connection, resumed ones too, the caller reads
//! [`crate::identity::PeerIdentity`] from the peer's certificate and checks that it is not revoked.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::client_verifier::ClientVerifier;
use crate::csr::RsaKeys;

/// Sessions that are kept for resumption.
const SESSIONS_MAX: usize = 4096;
/// The largest TLS record that a server sends, bytes, with its header of 5. Modems have buffers of 4 KiB and close the
/// connection on a larger record; few of them can negotiate a smaller size (RFC 6066 section 4, RFC 8449).
pub const RECORD_BYTES_MAX: usize = 4096;
/// The most that encryption adds to a record beside its header: TLS 1.2 with AES-GCM sends 8 bytes of nonce and a tag
/// of 16 bytes; every other suite that is offered adds less.
const RECORD_CIPHER_BYTES_MAX: usize = 24;
/// The most certificates in one PEM file.
const CERTIFICATES_MAX: usize = 16;

/// Whether a server requires client certificates.
#[derive(Clone)]
pub enum ClientAuth {
    /// Every client must have a valid certificate: MQTT.
    Required(Arc<RootCertStore>),
    /// A client may have no certificate. A certificate must be valid, or expired for no longer than `expired_grace`:
    /// HTTPS, where a box renews an expired certificate. The caller compares `PeerIdentity::not_after` with its clock
    /// and allows such a box only the renewal.
    Optional {
        /// The trusted CAs.
        anchors: Arc<RootCertStore>,
        /// How long an expired certificate is still accepted; zero for not at all.
        expired_grace: Duration,
    },
    /// No client is asked for a certificate: MQTT for boxes that have none.
    NotAsked,
}

/// The other TLS settings of a server.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// Protocols to offer, best first, e.g. `h2` and `http/1.1`; none for MQTT.
    pub alpn: Vec<Vec<u8>>,
    /// Whether sessions may be resumed. A resumed session keeps the certificate of its first handshake without
    /// verifying it again, so this must be off where a certificate authorises the client.
    pub resumption: bool,
    /// Whether a client's certificate may have an RSA key.
    pub rsa_keys: RsaKeys,
}

/// Why a configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The PEM text does not contain what was expected.
    #[error("expected {0} in PEM")]
    Pem(&'static str),
    /// rustls refused the key or certificates.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    /// The trust anchors cannot verify anything.
    #[error(transparent)]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// Reads a chain of certificates, leaf first.
pub fn chain_from_pem(pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .take(CERTIFICATES_MAX + 1)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::Pem("certificates"))?;
    if (1..=CERTIFICATES_MAX).contains(&chain.len()) {
        Ok(chain)
    } else {
        Err(TlsError::Pem("1 to 16 certificates"))
    }
}

/// Reads a private key.
pub fn key_from_pem(pem: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| TlsError::Pem("a private key"))
}

/// Trust anchors from CA certificates.
pub fn roots_from_pem(pem: &str) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain_from_pem(pem)? {
        roots.add(certificate)?;
    }
    Ok(Arc::new(roots))
}

/// The configuration of a TLS 1.2 and 1.3 server; `chain` is leaf first.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    client_auth: ClientAuth,
    options: ServerOptions,
) -> Result<Arc<ServerConfig>, TlsError> {
    let clock = Arc::new(DefaultTimeProvider);
    server_config_with_clock(chain, key, client_auth, options, clock)
}

/// [`server_config`] with the caller's clock, for tests of expiry.
pub fn server_config_with_clock(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    client_auth: ClientAuth,
    options: ServerOptions,
    clock: Arc<dyn TimeProvider>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        |anchors| WebPkiClientVerifier::builder_with_provider(anchors, Arc::clone(&provider));
    let checked = |inner, grace| -> Arc<dyn ClientCertVerifier> {
        Arc::new(ClientVerifier::new(inner, grace, options.rsa_keys))
    };
    let verifier: Arc<dyn ClientCertVerifier> = match client_auth {
        ClientAuth::Required(anchors) => checked(verifier(anchors).build()?, Duration::ZERO),
        ClientAuth::Optional {
            anchors,
            expired_grace,
        } => checked(
            verifier(anchors).allow_unauthenticated().build()?,
            expired_grace,
        ),
        ClientAuth::NotAsked => WebPkiClientVerifier::no_client_auth(),
    };
    let mut config = ServerConfig::builder_with_details(provider, clock)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = options.alpn;
    // rustls counts the header, but not the bytes that encryption adds.
    config.max_fragment_size = Some(RECORD_BYTES_MAX - RECORD_CIPHER_BYTES_MAX);
    if options.resumption {
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
    } else {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

/// The configuration of a client that trusts `roots` alone and authenticates with `identity` (chain, leaf first, and
/// key), if it has one.
pub fn client_config(
    roots: Arc<RootCertStore>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    alpn: Vec<Vec<u8>>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let clock = Arc::new(DefaultTimeProvider);
    client_config_with_clock(roots, identity, alpn, clock)
}

/// [`client_config`] with the caller's clock, for tests of expiry.
pub fn client_config_with_clock(
    roots: Arc<RootCertStore>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    alpn: Vec<Vec<u8>>,
    clock: Arc<dyn TimeProvider>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_details(provider, clock)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots);
    let mut config = match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
