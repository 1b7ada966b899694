//! A certificate authority in a temporary directory, and credentials of it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::SystemTime;

use certs::authority::{FleetCa, InitOptions, IssuingCa};
use certs::csr::{Csr, KeyAndCsr, KeyKind};
use certs::serial::Serial;
use certs::tls::{chain_from_pem, client_config, key_from_pem, roots_from_pem};
use chrono::{DateTime, TimeDelta, Utc};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use wire::DeviceId;

pub(crate) struct Fleet {
    ca: IssuingCa,
    _dir: tempfile::TempDir,
}

/// The certificate and key of a client.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) serial: String,
    /// The same as PEM; empty without a certificate.
    pub(crate) chain_pem: String,
    pub(crate) key_pem: String,
}

fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca");
        FleetCa::init(&path, now(), &InitOptions::default()).unwrap();
        Self {
            ca: IssuingCa::load(&path).unwrap(),
            _dir: dir,
        }
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        self.ca.roots()
    }

    pub(crate) fn root_pem(&self) -> &str {
        self.ca.root_pem()
    }

    pub(crate) fn server(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let server = self
            .ca
            .issue_server(
                &["localhost".to_owned()],
                &[localhost],
                now(),
                TimeDelta::days(1),
                Serial::random().unwrap(),
            )
            .unwrap();
        (
            chain_from_pem(&server.certificate.chain_pem).unwrap(),
            key_from_pem(&server.key_pem).unwrap(),
        )
    }

    pub(crate) fn device(&self, device: DeviceId) -> Credentials {
        self.issued_by(self, device)
    }

    pub(crate) fn service(&self, name: &str) -> Credentials {
        let (key, csr) = key_and_csr();
        let serial = Serial::random().unwrap();
        let issued = self
            .ca
            .issue_service(&csr, name, now(), TimeDelta::days(1), serial)
            .unwrap();
        self.credentials(&issued.chain_pem, &key, issued.serial_hex)
    }

    pub(crate) fn without_certificate(&self) -> Credentials {
        Credentials {
            tls: client_config(self.trusted(), None, Vec::new()).unwrap(),
            serial: String::new(),
            chain_pem: String::new(),
            key_pem: String::new(),
        }
    }

    /// Credentials that trust this fleet's server, with a certificate of another fleet's CA.
    pub(crate) fn issued_by(&self, other: &Self, device: DeviceId) -> Credentials {
        let (key, csr) = key_and_csr();
        let serial = Serial::random().unwrap();
        let issued = other
            .ca
            .issue_device(&csr, device, now(), TimeDelta::days(1), serial)
            .unwrap();
        self.credentials(&issued.chain_pem, &key, issued.serial_hex)
    }

    fn trusted(&self) -> Arc<RootCertStore> {
        roots_from_pem(self.ca.root_pem()).unwrap()
    }

    fn credentials(&self, chain_pem: &str, key: &KeyAndCsr, serial: String) -> Credentials {
        let identity = (
            chain_from_pem(chain_pem).unwrap(),
            key_from_pem(&key.key_pem()).unwrap(),
        );
        Credentials {
            tls: client_config(self.trusted(), Some(identity), Vec::new()).unwrap(),
            serial,
            chain_pem: chain_pem.to_owned(),
            key_pem: key.key_pem(),
        }
    }
}

fn key_and_csr() -> (KeyAndCsr, Csr) {
    let key = KeyAndCsr::generate(KeyKind::P256, "whatever").unwrap();
    let csr = Csr::parse_verified(key.csr_pem()).unwrap();
    (key, csr)
}
