//! Tests of the configurations: handshakes in memory.

use std::io::{Read as _, Write as _};

use chrono::{DateTime, TimeDelta, Utc};
use rustls::{CertificateError, ClientConnection, ServerConnection};
use rustls_pki_types::UnixTime;

use super::*;
use crate::csr::KeyKind;
use crate::fixtures::{Fleet, device_id, key_and_csr, now};
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
    let (key, csr) = key_and_csr(kind);
    let issued = fleet.device(&csr, DAY);
    let pem = match sends {
        Sends::LeafOnly => &issued.pem,
        Sends::LeafAndIssuing => &issued.chain_pem,
    };
    (
        chain_from_pem(pem).unwrap(),
        key_from_pem(&key.key_pem()).unwrap(),
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

/// A handshake in memory. Returns the server's side, or the error of the server or the client.
fn shake(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
) -> Result<ServerConnection, rustls::Error> {
    shake_recording(server, client, &mut Vec::new()).map(|(server, _)| server)
}

/// The same; appends all bytes of the server to `sent`.
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
    assert!(bytes.is_empty(), "an incomplete record");
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
fn a_device_connects_with_its_leaf_alone_and_with_the_chain() {
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
fn a_device_with_tls_1_2_alone_connects() {
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
fn no_record_of_a_server_is_larger_than_a_small_receivers_buffer() {
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
            let Ok(client) =
                ClientConfig::builder_with_details(Arc::new(provider), Arc::new(Stopped(now())))
                    .with_protocol_versions(&[version])
                    .unwrap()
                    .with_root_certificates(fleet.ca.roots())
                    .with_client_auth_cert(chain, key)
            else {
                panic!("{suite:?}")
            };
            let server = server(&fleet, required(&fleet), ServerOptions::default(), now());
            let mut sent = Vec::new();
            // The server's certificate has an ECDSA key, so suites of RSA fail.
            let Ok((mut server, mut client)) = shake_recording(server, Arc::new(client), &mut sent)
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
            // Not smaller than necessary: each record costs a header and a tag.
            assert!(largest > RECORD_BYTES_MAX - 32, "{suite:?}: {largest}");
        }
    }
}

#[test]
fn a_certificate_with_an_rsa_key_is_accepted_only_when_allowed() {
    let fleet = Fleet::new();
    let (key, csr) = key_and_csr(KeyKind::Rsa);
    let issued = fleet.device(&csr, DAY);
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
                key_from_pem(&key.key_pem()).unwrap(),
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
fn the_name_in_a_refused_certificate_is_available_once_after_the_error() {
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
fn a_client_without_a_certificate_is_refused_where_one_is_required() {
    let fleet = Fleet::new();
    let refused = shake_at(&fleet, required(&fleet), None, now()).unwrap_err();
    assert_eq!(refused, rustls::Error::NoCertificatesPresented);
    let connection = shake_at(&fleet, optional(&fleet, TimeDelta::zero()), None, now()).unwrap();
    assert!(connection.peer_certificates().is_none());
}

#[test]
fn another_cas_certificate_is_refused_also_with_the_same_names() {
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
fn a_self_signed_certificate_with_a_device_id_is_refused() {
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
fn a_server_certificate_is_refused_as_a_clients() {
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
    let refused = shake_at(&fleet, required(&fleet), Some(identity), now() + DAY * 2).unwrap_err();
    assert!(is_expired(&refused), "{refused}");
}

#[test]
fn an_expired_certificate_is_accepted_only_within_the_grace() {
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
fn a_session_is_resumed_only_when_allowed() {
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
