//! A fleet CA in a temporary directory, for the tests of this crate.

use chrono::{DateTime, TimeDelta, Utc};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tempfile::TempDir;
use wire::ids::DeviceId;

use crate::authority::{FleetCa, InitOptions, IssuingCa};
use crate::csr::{Csr, KeyAndCsr, KeyKind, RsaKeys};
use crate::issue::IssuedCertificate;
use crate::serial::Serial;

pub(crate) struct Fleet {
    pub(crate) ca: IssuingCa,
    pub(crate) issuing_der: CertificateDer<'static>,
    pub(crate) dir: TempDir,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca");
        FleetCa::init(&path, now(), &options()).unwrap();
        let ca = IssuingCa::load(&path).unwrap();
        let issuing_der = CertificateDer::from_pem_slice(ca.issuing_pem().as_bytes()).unwrap();
        Self {
            ca,
            issuing_der,
            dir,
        }
    }

    /// A device's certificate, valid from now on.
    pub(crate) fn device(&self, csr: &Csr, valid_for: TimeDelta) -> IssuedCertificate {
        let serial = Serial::random().unwrap();
        self.ca
            .issue_device(csr, device_id(), now(), valid_for, serial)
            .unwrap()
    }
}

pub(crate) fn key_and_csr(kind: KeyKind) -> (KeyAndCsr, Csr) {
    let key = KeyAndCsr::generate(kind, "ignored").unwrap();
    let csr = Csr::parse_verified_accepting(key.csr_pem(), RsaKeys::Accepted).unwrap();
    (key, csr)
}

pub(crate) fn options() -> InitOptions {
    InitOptions {
        organisation: "Soundbox test".to_owned(),
        root_valid: TimeDelta::days(3650),
        issuing_valid: TimeDelta::days(1825),
    }
}

/// The time of all tests, in whole seconds.
pub(crate) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

pub(crate) fn device_id() -> DeviceId {
    "sbx_0199c0de0000700080000000000000a1".parse().unwrap()
}
