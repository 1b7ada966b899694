//! The certificates that the issuing CA signs.
//!
//! There are three kinds: devices and services get a client certificate for a key that they generated, the platform's
//! listeners a server certificate with a key that is generated here. Names come from the caller's records, never from
//! the request.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use wire::ids::DeviceId;

use crate::authority::IssuingCa;
use crate::csr::Csr;
use crate::identity::{OU_DEVICE, OU_SERVICE, is_service_name};
use crate::serial::Serial;
use crate::validity::Validity;

/// Organisational unit of server certificates: neither a device nor a service, so that a stolen server key is no client
/// identity.
const OU_SERVER: &str = "server";
/// RFC 5280 appendix A: ub-common-name.
const COMMON_NAME_LEN_MAX: usize = 64;
/// The most names in one server certificate.
const SERVER_NAMES_MAX: usize = 100;

/// A new certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// The certificate alone, PEM.
    pub pem: String,
    /// The certificate followed by the issuing CA's: what the holder sends in a TLS handshake.
    pub chain_pem: String,
    /// The certificate alone, DER.
    pub der: Vec<u8>,
    /// Serial number, 40 lower-case hex digits.
    pub serial_hex: String,
    /// First moment of validity.
    pub not_before: DateTime<Utc>,
    /// Last moment of validity. Earlier than asked for when the issuing CA itself ends sooner.
    pub not_after: DateTime<Utc>,
}

/// A server certificate and its private key.
pub struct ServerCertificate {
    /// The certificate.
    pub certificate: IssuedCertificate,
    /// The private key, PKCS #8 PEM.
    pub key_pem: String,
}

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The issuing CA's own certificate is not valid now.
    #[error("the issuing CA's certificate is valid from {not_before} to {not_after}, not now")]
    IssuerNotValid {
        /// First moment of the issuing CA's validity.
        not_before: DateTime<Utc>,
        /// Last moment of the issuing CA's validity.
        not_after: DateTime<Utc>,
    },
    /// `valid_for` is zero, negative or beyond what a date can hold.
    #[error("a certificate must be valid for a positive, representable time")]
    BadValidity,
    /// A service's name is 1–63 characters of `a-z 0-9 -`, beginning with a letter.
    #[error("`{0}` is not a service name (1-63 of a-z, 0-9 and -, beginning with a letter)")]
    BadServiceName(String),
    /// A server certificate needs 1–100 names.
    #[error("a server certificate needs 1 to {SERVER_NAMES_MAX} names or addresses")]
    BadNameCount,
    /// Not a DNS name.
    #[error("`{0}` is not a DNS name")]
    BadDnsName(String),
    /// Signing failed.
    #[error("cannot sign the certificate")]
    Signing(#[from] rcgen::Error),
}

impl IssuingCa {
    /// Issues a device's client certificate: CN = device id, OU = `device`.
    pub fn issue_device(
        &self,
        csr: &Csr,
        device: DeviceId,
        now: DateTime<Utc>,
        valid_for: TimeDelta,
        serial: Serial,
    ) -> Result<IssuedCertificate, IssueError> {
        let subject = subject(&device.to_string(), OU_DEVICE);
        self.sign_client(subject, csr, now, valid_for, serial)
    }

    /// Issues the client certificate of a service that may observe the fleet over MQTT: CN = its
    /// name, OU = `service`.
    pub fn issue_service(
        &self,
        csr: &Csr,
        name: &str,
        now: DateTime<Utc>,
        valid_for: TimeDelta,
        serial: Serial,
    ) -> Result<IssuedCertificate, IssueError> {
        if !is_service_name(name) {
            return Err(IssueError::BadServiceName(name.to_owned()));
        }
        self.sign_client(subject(name, OU_SERVICE), csr, now, valid_for, serial)
    }

    /// Generates a key and issues the certificate of the platform's HTTPS and MQTT listeners, for the names and addresses
    /// at which clients reach them.
    pub fn issue_server(
        &self,
        dns_names: &[String],
        addresses: &[IpAddr],
        now: DateTime<Utc>,
        valid_for: TimeDelta,
        serial: Serial,
    ) -> Result<ServerCertificate, IssueError> {
        let count = dns_names.len() + addresses.len();
        if !(1..=SERVER_NAMES_MAX).contains(&count) {
            return Err(IssueError::BadNameCount);
        }
        let mut alternative_names = Vec::with_capacity(count);
        for name in dns_names {
            if !is_dns_name(name) {
                return Err(IssueError::BadDnsName(name.clone()));
            }
            alternative_names.push(SanType::DnsName(name.as_str().try_into()?));
        }
        alternative_names.extend(addresses.iter().copied().map(SanType::IpAddress));

        // Clients check only the alternative names; the common name is informative.
        let common_name = dns_names
            .iter()
            .find(|name| name.len() <= COMMON_NAME_LEN_MAX)
            .cloned()
            .or_else(|| addresses.first().map(IpAddr::to_string))
            .unwrap_or_else(|| "soundbox server".to_owned());
        let mut params = leaf(
            subject(&common_name, OU_SERVER),
            ExtendedKeyUsagePurpose::ServerAuth,
        );
        params.subject_alt_names = alternative_names;

        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        Ok(ServerCertificate {
            certificate: self.sign(params, &key, now, valid_for, serial)?,
            key_pem: key.serialize_pem(),
        })
    }

    fn sign_client(
        &self,
        subject: DistinguishedName,
        csr: &Csr,
        now: DateTime<Utc>,
        valid_for: TimeDelta,
        serial: Serial,
    ) -> Result<IssuedCertificate, IssueError> {
        let params = leaf(subject, ExtendedKeyUsagePurpose::ClientAuth);
        self.sign(params, csr.public_key(), now, valid_for, serial)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        public_key: &impl PublicKeyData,
        now: DateTime<Utc>,
        valid_for: TimeDelta,
        serial: Serial,
    ) -> Result<IssuedCertificate, IssueError> {
        let issuer = self.validity();
        if now < issuer.not_before || now >= issuer.not_after {
            return Err(IssueError::IssuerNotValid {
                not_before: issuer.not_before,
                not_after: issuer.not_after,
            });
        }
        // A leaf is never valid when its issuer is not.
        let validity = Validity::new(now, valid_for)
            .ok_or(IssueError::BadValidity)?
            .within(issuer);
        validity.apply(&mut params);
        params.serial_number = Some(SerialNumber::from_slice(serial.as_octets()));

        let certificate = params.signed_by(public_key, self.issuer())?;
        let pem = certificate.pem();
        Ok(IssuedCertificate {
            chain_pem: format!("{pem}{}", self.issuing_pem()),
            pem,
            der: certificate.der().to_vec(),
            serial_hex: serial.to_hex(),
            not_before: validity.not_before,
            not_after: validity.not_after,
        })
    }
}

fn leaf(subject: DistinguishedName, purpose: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    params
}

fn subject(common_name: &str, unit: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(
        DnType::OrganizationalUnitName,
        DnValue::Utf8String(unit.to_owned()),
    );
    subject.push(
        DnType::CommonName,
        DnValue::Utf8String(common_name.to_owned()),
    );
    subject
}

/// A host name of RFC 1123 letters, digits and hyphens; no wildcards, no trailing dot.
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label) && name.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use x509_parser::prelude::{FromDer as _, X509Certificate};

    use super::*;
    use crate::csr::KeyKind;
    use crate::fixtures::{Fleet, device_id, key_and_csr, now};

    fn csr() -> Csr {
        key_and_csr(KeyKind::P256).1
    }

    #[test]
    fn a_device_certificate_has_the_specified_contents_and_no_more() {
        let fleet = Fleet::new();
        let csr = csr();
        let serial = Serial::from_octets([7; 20]);
        let issued = fleet
            .ca
            .issue_device(&csr, device_id(), now(), TimeDelta::days(365), serial)
            .unwrap();

        let (rest, leaf) = X509Certificate::from_der(&issued.der).unwrap();
        assert!(rest.is_empty());
        assert_eq!(
            leaf.subject().to_string(),
            format!("OU=device, CN={}", device_id())
        );
        assert_eq!(hex::encode(leaf.raw_serial()), issued.serial_hex);
        assert_eq!(issued.serial_hex, serial.to_hex());
        assert_eq!(
            leaf.validity().not_before.timestamp(),
            (now() - TimeDelta::minutes(5)).timestamp()
        );
        assert_eq!(
            leaf.validity().not_after.timestamp(),
            (now() + TimeDelta::days(365)).timestamp()
        );
        assert_eq!(issued.not_after, now() + TimeDelta::days(365));
        assert!(!leaf.is_ca());
        let purposes = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(purposes.client_auth && !purposes.server_auth && !purposes.any);
        let usage = leaf.key_usage().unwrap().unwrap().value;
        assert_eq!(usage.flags, 1, "digitalSignature only");
        assert!(leaf.subject_alternative_name().unwrap().is_none());

        let (_, issuing) = X509Certificate::from_der(&fleet.issuing_der).unwrap();
        assert_eq!(leaf.issuer(), issuing.subject());
        leaf.verify_signature(Some(issuing.public_key())).unwrap();
    }

    #[test]
    fn a_certificate_never_outlives_its_issuer() {
        let fleet = Fleet::new();
        let far = TimeDelta::days(100 * 365);
        let issued = fleet
            .ca
            .issue_device(&csr(), device_id(), now(), far, Serial::random().unwrap())
            .unwrap();
        assert_eq!(issued.not_after, fleet.ca.not_after());
        let late = fleet.ca.not_after() + TimeDelta::seconds(1);
        let refused = fleet.ca.issue_device(
            &csr(),
            device_id(),
            late,
            TimeDelta::days(1),
            Serial::random().unwrap(),
        );
        assert!(matches!(refused, Err(IssueError::IssuerNotValid { .. })));
    }

    #[test]
    fn an_empty_validity_is_refused() {
        let fleet = Fleet::new();
        for valid_for in [TimeDelta::zero(), TimeDelta::days(-1), TimeDelta::MAX] {
            let refused = fleet.ca.issue_device(
                &csr(),
                device_id(),
                now(),
                valid_for,
                Serial::random().unwrap(),
            );
            assert!(matches!(refused, Err(IssueError::BadValidity)));
        }
    }

    #[test]
    fn a_server_certificate_names_its_hosts() {
        let fleet = Fleet::new();
        let issued = fleet
            .ca
            .issue_server(
                &["localhost".to_owned(), "soundbox.example".to_owned()],
                &["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
                now(),
                TimeDelta::days(90),
                Serial::random().unwrap(),
            )
            .unwrap();
        let (_, leaf) = X509Certificate::from_der(&issued.certificate.der).unwrap();
        let purposes = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(purposes.server_auth && !purposes.client_auth);
        let names = leaf.subject_alternative_name().unwrap().unwrap().value;
        let names: Vec<String> = names
            .general_names
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(names.len(), 4, "{names:?}");
        assert!(names[1].contains("soundbox.example"), "{names:?}");
        assert!(issued.key_pem.contains("PRIVATE KEY"));
    }

    #[test]
    fn invalid_names_are_refused() {
        let fleet = Fleet::new();
        let server = |names: &[String]| {
            let serial = Serial::random().unwrap();
            fleet
                .ca
                .issue_server(names, &[], now(), TimeDelta::days(1), serial)
        };
        assert!(matches!(server(&[]), Err(IssueError::BadNameCount)));
        for name in [
            "",
            "a b",
            "*.example",
            "-a",
            "a..b",
            "127.0.0.1",
            "é.example",
        ] {
            assert!(
                matches!(server(&[name.to_owned()]), Err(IssueError::BadDnsName(_))),
                "{name}"
            );
        }
        for name in ["", "Analytics", "1st", "a_b", "a/b", &"a".repeat(64)] {
            let serial = Serial::random().unwrap();
            let refused = fleet
                .ca
                .issue_service(&csr(), name, now(), TimeDelta::days(1), serial);
            assert!(
                matches!(refused, Err(IssueError::BadServiceName(_))),
                "{name}"
            );
        }
    }

    /// Checked by a library that shares no code with this crate.
    #[test]
    fn openssl_verifies_an_issued_chain() {
        if Command::new("openssl").arg("version").output().is_err() {
            eprintln!("skipped: no openssl executable here");
            return;
        }
        let fleet = Fleet::new();
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
        write("root.pem", fleet.ca.root_pem());
        write("issuing.pem", fleet.ca.issuing_pem());
        let day = TimeDelta::days(1);
        let serial = || Serial::random().unwrap();
        let device = fleet
            .ca
            .issue_device(&csr(), device_id(), now(), day, serial())
            .unwrap();
        let server = fleet
            .ca
            .issue_server(&["localhost".to_owned()], &[], now(), day, serial())
            .unwrap();
        write("device.pem", &device.pem);
        write("server.pem", &server.certificate.pem);

        let verify = |purpose: &str, leaf: &str, with_issuing: bool| {
            let mut command = Command::new("openssl");
            command
                .args(["verify", "-x509_strict", "-purpose", purpose])
                .args(["-attime", &now().timestamp().to_string(), "-CAfile"])
                .arg(path("root.pem"));
            if with_issuing {
                command.arg("-untrusted").arg(path("issuing.pem"));
            }
            command.arg(path(leaf)).output().unwrap()
        };
        for (purpose, leaf) in [("sslclient", "device.pem"), ("sslserver", "server.pem")] {
            let output = verify(purpose, leaf, true);
            assert!(output.status.success(), "{leaf}: {output:?}");
        }
        assert!(!verify("sslserver", "device.pem", true).status.success());
        assert!(!verify("sslclient", "server.pem", true).status.success());
        assert!(!verify("sslclient", "device.pem", false).status.success());
    }
}
