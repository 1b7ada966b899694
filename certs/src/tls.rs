//! rustls configurations that trust this CA and nothing else, with aws-lc-rs as the one provider.
//!
//! A verified chain is not yet a welcome: the caller reads [`crate::identity::PeerIdentity`] from
//! the peer's certificate on **every** connection, resumed ones too, and asks the registry.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::client_verifier::ClientVerifier;
use crate::csr::RsaKeys;

/// Sessions remembered for resumption.
const SESSIONS_MAX: usize = 4096;
/// The largest TLS record that a server sends, bytes, with its header of 5. Modems have buffers of 4 KiB and close the
/// connection on a larger record; few of them can ask for less (RFC 6066 section 4, RFC 8449).
pub const RECORD_BYTES_MAX: usize = 4096;
/// The most that encryption adds to a record beside its header: TLS 1.2 with AES-GCM sends 8 bytes of nonce and a tag
/// of 16 bytes; every other suite that is offered adds less.
const RECORD_CIPHER_BYTES_MAX: usize = 24;
/// The most certificates in one PEM file.
const CERTIFICATES_MAX: usize = 16;

/// What a server asks of its clients' certificates.
#[derive(Clone)]
pub enum ClientAuth {
    /// Only clients with a valid certificate get in: MQTT.
    Required(Arc<RootCertStore>),
    /// A client may come without a certificate; one that it shows must be valid, or have expired
    /// for no longer than `expired_grace`: HTTPS, where a box renews an expired certificate. The
    /// caller compares `PeerIdentity::not_after` with its clock and lets such a box do nothing
    /// else.
    Optional {
        /// Whom to trust.
        anchors: Arc<RootCertStore>,
        /// How long an expired certificate is still accepted; zero for not at all.
        expired_grace: Duration,
    },
}

/// The rest of a server's TLS settings.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// Protocols to offer, best first, e.g. `h2` and `http/1.1`; none for MQTT.
    pub alpn: Vec<Vec<u8>>,
    /// Whether sessions may be resumed. A resumed session repeats the certificate of its first
    /// handshake without verifying it again, so leave this off where a session is a privilege.
    pub resumption: bool,
    /// Whether a client's certificate may have an RSA key.
    pub rsa_keys: RsaKeys,
}

/// Why a configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The PEM text does not hold what was expected.
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

/// When a certificate is valid: from the first moment to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: DateTime<Utc>,
    /// The last moment.
    pub not_after: DateTime<Utc>,
}

impl Validity {
    /// Reads it from a certificate in DER.
    pub fn of(der: &[u8]) -> Result<Self, TlsError> {
        let malformed = || TlsError::Pem("an X.509 certificate");
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| malformed())?;
        let validity = certificate.validity();
        let moment = |timestamp| DateTime::from_timestamp(timestamp, 0).ok_or_else(malformed);
        Ok(Self {
            not_before: moment(validity.not_before.timestamp())?,
            not_after: moment(validity.not_after.timestamp())?,
        })
    }
}

/// Reads a private key.
pub fn key_from_pem(pem: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| TlsError::Pem("a private key"))
}

/// Makes trust anchors of CA certificates.
pub fn roots_from_pem(pem: &str) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain_from_pem(pem)? {
        roots.add(certificate)?;
    }
    Ok(Arc::new(roots))
}

/// Makes the configuration of a TLS 1.2 and 1.3 server; `chain` is leaf first.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    client_auth: ClientAuth,
    options: ServerOptions,
) -> Result<Arc<ServerConfig>, TlsError> {
    let clock = Arc::new(DefaultTimeProvider);
    server_config_with_clock(chain, key, client_auth, options, clock)
}

/// [`server_config`] with a clock of the caller's, for tests of expiry.
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
    let (inner, grace): (Arc<dyn ClientCertVerifier>, _) = match client_auth {
        ClientAuth::Required(anchors) => (verifier(anchors).build()?, Duration::ZERO),
        ClientAuth::Optional {
            anchors,
            expired_grace,
        } => (
            verifier(anchors).allow_unauthenticated().build()?,
            expired_grace,
        ),
    };
    let verifier = Arc::new(ClientVerifier::new(inner, grace, options.rsa_keys));
    let mut config = ServerConfig::builder_with_details(provider, clock)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = options.alpn;
    // rustls counts the header, but not what encryption adds.
    config.max_fragment_size = Some(RECORD_BYTES_MAX - RECORD_CIPHER_BYTES_MAX);
    if options.resumption {
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
    } else {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

/// Makes the configuration of a client that trusts `roots` alone and shows `identity` (chain,
/// leaf first, and key) when it has one.
pub fn client_config(
    roots: Arc<RootCertStore>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    alpn: Vec<Vec<u8>>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let clock = Arc::new(DefaultTimeProvider);
    client_config_with_clock(roots, identity, alpn, clock)
}

/// [`client_config`] with a clock of the caller's, for tests of expiry.
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
mod tests {
    use std::io::{Read as _, Write as _};

    use chrono::{DateTime, TimeDelta, Utc};
    use rustls::{CertificateError, ClientConnection, ServerConnection};
    use rustls_pki_types::UnixTime;

    use super::*;
    use crate::csr::{Csr, KeyAndCsr, KeyKind};
    use crate::fixtures::{Fleet, device_id, now};
    use crate::identity::PeerIdentity;
    use crate::serial::Serial;

    const DAY: TimeDelta = TimeDelta::days(1);

    #[derive(Debug)]
    struct Stopped(DateTime<Utc>);

    impl TimeProvider for Stopped {
        fn current_time(&self) -> Option<UnixTime> {
            let seconds = u64::try_from(self.0.timestamp()).ok()?;
            Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
        }
    }

    type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

    enum Sends {
        LeafOnly,
        LeafAndIssuing,
    }

    /// A device's certificate, valid from now for a day.
    fn device(fleet: &Fleet, kind: KeyKind, sends: &Sends) -> Identity {
        let made = KeyAndCsr::generate(kind, "x").unwrap();
        let csr = Csr::parse_verified(made.csr_pem()).unwrap();
        let serial = Serial::random().unwrap();
        let issued = fleet
            .ca
            .issue_device(&csr, device_id(), now(), DAY, serial)
            .unwrap();
        let pem = match sends {
            Sends::LeafOnly => &issued.pem,
            Sends::LeafAndIssuing => &issued.chain_pem,
        };
        (
            chain_from_pem(pem).unwrap(),
            key_from_pem(&made.key_pem()).unwrap(),
        )
    }

    fn server(
        fleet: &Fleet,
        auth: ClientAuth,
        options: ServerOptions,
        at: DateTime<Utc>,
    ) -> Arc<ServerConfig> {
        let names = ["localhost".to_owned()];
        let serial = Serial::random().unwrap();
        let issued = fleet
            .ca
            .issue_server(&names, &[], now(), DAY * 1000, serial)
            .unwrap();
        server_config_with_clock(
            chain_from_pem(&issued.certificate.chain_pem).unwrap(),
            key_from_pem(&issued.key_pem).unwrap(),
            auth,
            options,
            Arc::new(Stopped(at)),
        )
        .unwrap()
    }

    fn required(fleet: &Fleet) -> ClientAuth {
        ClientAuth::Required(fleet.ca.roots())
    }

    fn optional(fleet: &Fleet, grace: TimeDelta) -> ClientAuth {
        ClientAuth::Optional {
            anchors: fleet.ca.roots(),
            expired_grace: grace.to_std().unwrap(),
        }
    }

    /// A client that trusts only the root, as a box does.
    fn client(fleet: &Fleet, identity: Option<Identity>, at: DateTime<Utc>) -> Arc<ClientConfig> {
        let roots = roots_from_pem(fleet.ca.root_pem()).unwrap();
        client_config_with_clock(roots, identity, Vec::new(), Arc::new(Stopped(at))).unwrap()
    }

    /// Shakes hands in memory. Gives the server's side, or what it (or else the client) minded.
    fn shake(
        server: Arc<ServerConfig>,
        client: Arc<ClientConfig>,
    ) -> Result<ServerConnection, rustls::Error> {
        shake_recording(server, client, &mut Vec::new()).map(|(server, _)| server)
    }

    /// The same; keeps all bytes of the server.
    fn shake_recording(
        server: Arc<ServerConfig>,
        client: Arc<ClientConfig>,
        sent: &mut Vec<u8>,
    ) -> Result<(ServerConnection, ClientConnection), rustls::Error> {
        let mut server = ServerConnection::new(server).unwrap();
        let mut client = ClientConnection::new(client, "localhost".try_into().unwrap()).unwrap();
        // Four flights are the most that TLS 1.2 or 1.3 needs; one more for the last to arrive.
        for _ in 0..5 {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            let mut unread = bytes.as_slice();
            while !unread.is_empty() {
                server.read_tls(&mut unread).unwrap();
                server.process_new_packets()?;
            }
            let mut bytes = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut bytes).unwrap();
            }
            sent.extend_from_slice(&bytes);
            let mut unread = bytes.as_slice();
            while !unread.is_empty() {
                client.read_tls(&mut unread).unwrap();
                client.process_new_packets()?;
            }
        }
        assert!(!server.is_handshaking() && !client.is_handshaking());
        Ok((server, client))
    }

    /// The lengths of the records in `bytes`, with their headers.
    fn records(mut bytes: &[u8]) -> Vec<usize> {
        let mut lengths = Vec::new();
        while let [_, _, _, high, low, ..] = bytes {
            let length = 5 + usize::from(u16::from_be_bytes([*high, *low]));
            lengths.push(length);
            bytes = &bytes[length..];
        }
        assert!(bytes.is_empty(), "half a record");
        lengths
    }

    fn shake_at(
        fleet: &Fleet,
        auth: ClientAuth,
        identity: Option<Identity>,
        at: DateTime<Utc>,
    ) -> Result<ServerConnection, rustls::Error> {
        shake(
            server(fleet, auth, ServerOptions::default(), at),
            client(fleet, identity, at),
        )
    }

    #[test]
    fn a_device_gets_in_with_its_leaf_alone_and_with_the_chain() {
        let fleet = Fleet::new();
        for kind in [KeyKind::P256, KeyKind::Ed25519] {
            for sends in [Sends::LeafOnly, Sends::LeafAndIssuing] {
                let identity = device(&fleet, kind, &sends);
                let connection = shake_at(&fleet, required(&fleet), Some(identity), now()).unwrap();
                let peer = connection.peer_certificates().unwrap();
                let identity = PeerIdentity::from_der(&peer[0]).unwrap();
                assert_eq!(identity.device(), Some(device_id()));
            }
        }
    }

    #[test]
    fn a_device_that_speaks_only_tls_1_2_gets_in() {
        let fleet = Fleet::new();
        let (chain, key) = device(&fleet, KeyKind::P256, &Sends::LeafAndIssuing);
        let client = ClientConfig::builder_with_details(
            Arc::new(aws_lc_rs::default_provider()),
            Arc::new(Stopped(now())),
        )
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(fleet.ca.roots())
        .with_client_auth_cert(chain, key)
        .unwrap();
        let server = server(&fleet, required(&fleet), ServerOptions::default(), now());
        shake(server, Arc::new(client)).unwrap();
    }

    #[test]
    fn no_record_of_a_server_is_larger_than_a_small_receiver_takes() {
        let fleet = Fleet::new();
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            for suite in aws_lc_rs::ALL_CIPHER_SUITES {
                if suite.version() != version {
                    continue;
                }
                let (chain, key) = device(&fleet, KeyKind::P256, &Sends::LeafAndIssuing);
                let provider = rustls::crypto::CryptoProvider {
                    cipher_suites: vec![*suite],
                    ..aws_lc_rs::default_provider()
                };
                let Ok(client) = ClientConfig::builder_with_details(
                    Arc::new(provider),
                    Arc::new(Stopped(now())),
                )
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(fleet.ca.roots())
                .with_client_auth_cert(chain, key) else {
                    panic!("{suite:?}")
                };
                let server = server(&fleet, required(&fleet), ServerOptions::default(), now());
                let mut sent = Vec::new();
                // The server's certificate has an ECDSA key, so suites of RSA do not come together.
                let Ok((mut server, mut client)) =
                    shake_recording(server, Arc::new(client), &mut sent)
                else {
                    assert!(format!("{suite:?}").contains("RSA"), "{suite:?}");
                    continue;
                };
                let data = vec![7; 100_000];
                let mut received = Vec::new();
                for part in data.chunks(10_000) {
                    server.writer().write_all(part).unwrap();
                    let mut bytes = Vec::new();
                    while server.wants_write() {
                        server.write_tls(&mut bytes).unwrap();
                    }
                    sent.extend_from_slice(&bytes);
                    let mut unread = bytes.as_slice();
                    while !unread.is_empty() {
                        client.read_tls(&mut unread).unwrap();
                        client.process_new_packets().unwrap();
                    }
                    let mut buffer = vec![0; part.len()];
                    client.reader().read_exact(&mut buffer).unwrap();
                    received.extend(buffer);
                }
                assert_eq!(received, data);
                let lengths = records(&sent);
                let largest = *lengths.iter().max().unwrap();
                assert!(largest <= RECORD_BYTES_MAX, "{suite:?}: {largest}");
                // Not smaller than need be: a record costs a header and a tag.
                assert!(largest > RECORD_BYTES_MAX - 32, "{suite:?}: {largest}");
            }
        }
    }

    #[test]
    fn a_certificate_with_an_rsa_key_gets_in_only_where_that_is_allowed() {
        let fleet = Fleet::new();
        let made = KeyAndCsr::generate(KeyKind::Rsa, "x").unwrap();
        let csr = Csr::parse_verified_accepting(made.csr_pem(), RsaKeys::Accepted).unwrap();
        let serial = Serial::random().unwrap();
        let issued = fleet
            .ca
            .issue_device(&csr, device_id(), now(), DAY, serial)
            .unwrap();
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            for rsa_keys in [RsaKeys::Refused, RsaKeys::Accepted] {
                let client = ClientConfig::builder_with_details(
                    Arc::new(aws_lc_rs::default_provider()),
                    Arc::new(Stopped(now())),
                )
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(fleet.ca.roots())
                .with_client_auth_cert(
                    chain_from_pem(&issued.chain_pem).unwrap(),
                    key_from_pem(&made.key_pem()).unwrap(),
                )
                .unwrap();
                let options = ServerOptions {
                    rsa_keys,
                    ..ServerOptions::default()
                };
                let server = server(&fleet, required(&fleet), options, now());
                match (rsa_keys, shake(server, Arc::new(client))) {
                    (RsaKeys::Accepted, Ok(_)) => {}
                    (RsaKeys::Refused, Err(refused)) => {
                        assert!(refused.to_string().contains("RSA"), "{refused}");
                    }
                    (_, other) => panic!("{rsa_keys:?}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn the_name_in_a_refused_certificate_is_known_to_who_asks_at_once() {
        let (fleet, other) = (Fleet::new(), Fleet::new());
        let identity = device(&other, KeyKind::P256, &Sends::LeafAndIssuing);
        shake_at(&fleet, required(&fleet), Some(identity), now()).unwrap_err();
        let name = crate::client_verifier::take_refused_name();
        assert_eq!(name, Some(device_id().to_string()));
        assert_eq!(crate::client_verifier::take_refused_name(), None);
        let identity = device(&fleet, KeyKind::P256, &Sends::LeafAndIssuing);
        shake_at(&fleet, required(&fleet), Some(identity), now()).unwrap();
        assert_eq!(crate::client_verifier::take_refused_name(), None);
    }

    #[test]
    fn without_a_certificate_nobody_gets_in_where_one_is_required() {
        let fleet = Fleet::new();
        let refused = shake_at(&fleet, required(&fleet), None, now()).unwrap_err();
        assert_eq!(refused, rustls::Error::NoCertificatesPresented);
        let connection =
            shake_at(&fleet, optional(&fleet, TimeDelta::zero()), None, now()).unwrap();
        assert!(connection.peer_certificates().is_none());
    }

    #[test]
    fn another_cas_certificate_is_refused_even_under_the_same_names() {
        let (fleet, other) = (Fleet::new(), Fleet::new());
        for auth in [required(&fleet), optional(&fleet, DAY)] {
            let identity = device(&other, KeyKind::P256, &Sends::LeafAndIssuing);
            let refused = shake_at(&fleet, auth, Some(identity), now()).unwrap_err();
            assert!(
                matches!(refused, rustls::Error::InvalidCertificate(_)),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_self_signed_certificate_in_a_devices_name_is_refused() {
        let fleet = Fleet::new();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, device_id().to_string());
        let certificate = params.self_signed(&key).unwrap();
        let identity = (
            vec![certificate.der().clone()],
            key_from_pem(&key.serialize_pem()).unwrap(),
        );
        let refused = shake_at(&fleet, required(&fleet), Some(identity), now()).unwrap_err();
        assert!(matches!(refused, rustls::Error::InvalidCertificate(_)));
    }

    #[test]
    fn a_server_certificate_is_no_way_in() {
        let fleet = Fleet::new();
        let names = ["localhost".to_owned()];
        let serial = Serial::random().unwrap();
        let issued = fleet
            .ca
            .issue_server(&names, &[], now(), DAY, serial)
            .unwrap();
        let identity = (
            chain_from_pem(&issued.certificate.chain_pem).unwrap(),
            key_from_pem(&issued.key_pem).unwrap(),
        );
        let refused = shake_at(&fleet, required(&fleet), Some(identity), now()).unwrap_err();
        assert!(
            matches!(refused, rustls::Error::InvalidCertificate(_)),
            "{refused}"
        );
    }

    fn is_expired(error: &rustls::Error) -> bool {
        matches!(
            error,
            rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. }
            )
        )
    }

    #[test]
    fn an_expired_certificate_is_refused_where_one_is_required() {
        let fleet = Fleet::new();
        let identity = device(&fleet, KeyKind::P256, &Sends::LeafAndIssuing);
        let refused =
            shake_at(&fleet, required(&fleet), Some(identity), now() + DAY * 2).unwrap_err();
        assert!(is_expired(&refused), "{refused}");
    }

    #[test]
    fn a_lately_expired_certificate_gets_in_only_within_the_grace() {
        let fleet = Fleet::new();
        let grace = DAY * 30;
        let expires = now() + DAY;
        let attempt = |at| {
            let identity = device(&fleet, KeyKind::P256, &Sends::LeafOnly);
            shake_at(&fleet, optional(&fleet, grace), Some(identity), at)
        };
        let connection = attempt(expires + grace).unwrap();
        let peer = connection.peer_certificates().unwrap();
        assert_eq!(PeerIdentity::from_der(&peer[0]).unwrap().not_after, expires);
        let refused = attempt(expires + grace + TimeDelta::seconds(1)).unwrap_err();
        assert!(is_expired(&refused), "{refused}");
    }

    #[test]
    fn an_expired_certificate_of_another_ca_is_refused_within_the_grace_too() {
        let (fleet, other) = (Fleet::new(), Fleet::new());
        let identity = device(&other, KeyKind::P256, &Sends::LeafAndIssuing);
        let auth = optional(&fleet, DAY * 30);
        assert!(shake_at(&fleet, auth, Some(identity), now() + DAY * 2).is_err());
    }

    #[test]
    fn a_session_is_resumed_only_where_that_is_allowed() {
        let fleet = Fleet::new();
        for resumption in [false, true] {
            let options = ServerOptions {
                resumption,
                ..ServerOptions::default()
            };
            let server = server(&fleet, required(&fleet), options, now());
            let identity = device(&fleet, KeyKind::P256, &Sends::LeafAndIssuing);
            let client = client(&fleet, Some(identity), now());
            let kind = |server, client| shake(server, client).unwrap().handshake_kind().unwrap();
            let first = kind(Arc::clone(&server), Arc::clone(&client));
            assert_eq!(first, rustls::HandshakeKind::Full);
            let second = kind(server, client);
            assert_eq!(second == rustls::HandshakeKind::Resumed, resumption);
        }
    }

    #[test]
    fn the_callers_protocols_are_negotiated() {
        let fleet = Fleet::new();
        let options = ServerOptions {
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            ..ServerOptions::default()
        };
        let server = server(&fleet, optional(&fleet, DAY), options, now());
        let client = client_config_with_clock(
            roots_from_pem(fleet.ca.root_pem()).unwrap(),
            None,
            vec![b"http/1.1".to_vec()],
            Arc::new(Stopped(now())),
        )
        .unwrap();
        let connection = shake(server, client).unwrap();
        assert_eq!(connection.alpn_protocol(), Some(b"http/1.1".as_slice()));
    }

    #[test]
    fn what_is_not_pem_is_refused() {
        assert!(chain_from_pem("").is_err());
        assert!(chain_from_pem("-----BEGIN CERTIFICATE-----\n!!\n").is_err());
        assert!(key_from_pem("hello").is_err());
        assert!(roots_from_pem("hello").is_err());
    }
}
