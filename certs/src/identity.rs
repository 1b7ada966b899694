//! The identity in a peer's certificate.
//!
//! It is read only from certificates that a TLS handshake has verified against the fleet's CA. An ambiguous subject is
//! refused all the same. The platform then checks by serial number that the certificate is not revoked.

use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use wire::ids::DeviceId;
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Name};
use x509_parser::x509::AttributeTypeAndValue;

/// Organisational unit of a device's certificate.
pub(crate) const OU_DEVICE: &str = "device";
/// Organisational unit of a service's certificate.
pub(crate) const OU_SERVICE: &str = "service";
/// Longest name of a service.
const SERVICE_NAME_LEN_MAX: usize = 63;

/// The subject of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A soundbox.
    Device(DeviceId),
    /// A service that observes the fleet: 1–63 of `a-z 0-9 -`, beginning with a letter.
    Service(String),
}

/// The identity in a verified client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The subject.
    pub subject: Subject,
    /// The certificate's serial number in lower-case hex, as the platform records it.
    pub serial: String,
    /// Last moment of the certificate's validity.
    pub not_after: DateTime<Utc>,
    /// Lower-case hex SHA-256 of the whole certificate.
    pub fingerprint_sha256: String,
}

/// Why a certificate has no identity.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not exactly one X.509 certificate.
    #[error("not an X.509 certificate")]
    Malformed,
    /// No common name, several, or one that is not text.
    #[error("the subject must have exactly one common name")]
    CommonName,
    /// No organisational unit, several, or another one than `device` or `service`.
    #[error("the subject must have exactly one organisational unit, `device` or `service`")]
    OrganisationalUnit,
    /// The common name of a device is not a device id.
    #[error("the common name is not a device id")]
    DeviceId,
    /// The common name of a service is not a service name.
    #[error("the common name is not a service name")]
    ServiceName,
}

impl PeerIdentity {
    /// Reads the identity in a DER certificate that has already been verified.
    pub fn from_der(der: &[u8]) -> Result<Self, IdentityError> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| IdentityError::Malformed)?;
        if !rest.is_empty() {
            return Err(IdentityError::Malformed);
        }
        let name = certificate.subject();
        let common_name =
            only(name, X509Name::iter_common_name).ok_or(IdentityError::CommonName)?;
        let unit = only(name, X509Name::iter_organizational_unit)
            .ok_or(IdentityError::OrganisationalUnit)?;
        let subject = match unit {
            OU_DEVICE => {
                let id: DeviceId = common_name.parse().map_err(|_| IdentityError::DeviceId)?;
                // The common name is compared with MQTT client ids and topics as text, so only the canonical
                // spelling of the id is accepted.
                if id.to_string() != common_name {
                    return Err(IdentityError::DeviceId);
                }
                Subject::Device(id)
            }
            OU_SERVICE if is_service_name(common_name) => Subject::Service(common_name.to_owned()),
            OU_SERVICE => return Err(IdentityError::ServiceName),
            _ => return Err(IdentityError::OrganisationalUnit),
        };
        let not_after = DateTime::from_timestamp(certificate.validity().not_after.timestamp(), 0)
            .ok_or(IdentityError::Malformed)?;
        Ok(Self {
            subject,
            serial: hex::encode(certificate.raw_serial()),
            not_after,
            fingerprint_sha256: hex::encode(digest::digest(&digest::SHA256, der)),
        })
    }

    /// The device id, if the subject is a device.
    pub fn device(&self) -> Option<DeviceId> {
        match &self.subject {
            Subject::Device(id) => Some(*id),
            Subject::Service(_) => None,
        }
    }
}

/// A service's name: 1–63 of `a-z 0-9 -`, beginning with a letter, so that it is never a device id (those contain `_`)
/// and is safe in a topic.
pub(crate) fn is_service_name(name: &str) -> bool {
    name.len() <= SERVICE_NAME_LEN_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// The value of an attribute that occurs exactly once, as text.
fn only<'a, I>(
    name: &'a X509Name<'a>,
    attributes: impl Fn(&'a X509Name<'a>) -> I,
) -> Option<&'a str>
where
    I: Iterator<Item = &'a AttributeTypeAndValue<'a>>,
{
    let mut found = attributes(name);
    let value = found.next()?;
    if found.next().is_some() {
        return None;
    }
    value.as_str().ok()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;
    use crate::csr::KeyKind;
    use crate::fixtures::{Fleet, device_id, key_and_csr, now};
    use crate::serial::Serial;

    fn certificate(names: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in names {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn read(names: &[(DnType, &str)]) -> Result<Subject, IdentityError> {
        PeerIdentity::from_der(&certificate(names)).map(|identity| identity.subject)
    }

    #[test]
    fn an_issued_identity_is_read_back() {
        let fleet = Fleet::new();
        let (_, csr) = key_and_csr(KeyKind::Ed25519);
        let serial = Serial::random().unwrap();
        let day = TimeDelta::days(1);
        let issued = fleet
            .ca
            .issue_device(&csr, device_id(), now(), day, serial)
            .unwrap();
        let identity = PeerIdentity::from_der(&issued.der).unwrap();
        assert_eq!(identity.subject, Subject::Device(device_id()));
        assert_eq!(identity.device(), Some(device_id()));
        assert_eq!(identity.serial, serial.to_hex());
        assert_eq!(identity.not_after, issued.not_after);
        assert_eq!(identity.fingerprint_sha256.len(), 64);

        let issued = fleet
            .ca
            .issue_service(&csr, "analytics", now(), day, serial)
            .unwrap();
        let identity = PeerIdentity::from_der(&issued.der).unwrap();
        assert_eq!(identity.subject, Subject::Service("analytics".to_owned()));
        assert_eq!(identity.device(), None);
    }

    #[test]
    fn a_server_certificate_has_no_identity() {
        let fleet = Fleet::new();
        let names = ["localhost".to_owned()];
        let serial = Serial::random().unwrap();
        let issued = fleet
            .ca
            .issue_server(&names, &[], now(), TimeDelta::days(1), serial)
            .unwrap();
        assert_eq!(
            PeerIdentity::from_der(&issued.certificate.der).unwrap_err(),
            IdentityError::OrganisationalUnit
        );
    }

    #[test]
    fn ambiguous_and_invalid_subjects_have_no_identity() {
        let id = device_id().to_string();
        let id = id.as_str();
        let (cn, ou) = (DnType::CommonName, DnType::OrganizationalUnitName);
        let upper_case = id.to_uppercase();
        assert_eq!(
            read(&[(ou.clone(), "device"), (cn.clone(), id)]),
            Ok(Subject::Device(device_id()))
        );
        let cases: [(&[(DnType, &str)], IdentityError); 9] = [
            (&[(cn.clone(), id)], IdentityError::OrganisationalUnit),
            (&[(ou.clone(), "device")], IdentityError::CommonName),
            (
                &[(ou.clone(), "Device"), (cn.clone(), id)],
                IdentityError::OrganisationalUnit,
            ),
            (
                &[(ou.clone(), "admin"), (cn.clone(), id)],
                IdentityError::OrganisationalUnit,
            ),
            (
                &[(ou.clone(), "device"), (cn.clone(), "box-1")],
                IdentityError::DeviceId,
            ),
            (
                &[(ou.clone(), "device"), (cn.clone(), &upper_case)],
                IdentityError::DeviceId,
            ),
            (
                &[(ou.clone(), "device"), (cn.clone(), "m_0199")],
                IdentityError::DeviceId,
            ),
            (
                &[(ou.clone(), "service"), (cn.clone(), id)],
                IdentityError::ServiceName,
            ),
            (
                &[(ou.clone(), "service"), (cn.clone(), "a/#")],
                IdentityError::ServiceName,
            ),
        ];
        for (names, expected) in cases {
            assert_eq!(read(names), Err(expected), "{names:?}");
        }
    }

    #[test]
    fn a_second_common_name_or_unit_is_refused() {
        // rcgen cannot write an attribute twice, so the last byte of another attribute's object identifier is changed
        // (2.5.4.10 is O, .11 OU, .3 CN).
        let id = device_id().to_string();
        let twice = |turned: u8| {
            let der = certificate(&[
                (DnType::OrganizationName, "device"),
                (DnType::OrganizationalUnitName, "device"),
                (DnType::CommonName, &id),
            ]);
            let organisation = [0x06, 0x03, 0x55, 0x04, 0x0a];
            let mut changed = der;
            let mut position = 0;
            while let Some(found) = changed[position..]
                .windows(organisation.len())
                .position(|window| window == organisation)
            {
                position += found + organisation.len();
                changed[position - 1] = turned;
            }
            PeerIdentity::from_der(&changed).unwrap_err()
        };
        assert_eq!(twice(0x0b), IdentityError::OrganisationalUnit);
        assert_eq!(twice(0x03), IdentityError::CommonName);
    }

    #[test]
    fn what_is_no_certificate_has_no_identity() {
        let der = certificate(&[(DnType::CommonName, "x")]);
        let mut longer = der.clone();
        longer.push(0);
        for bytes in [&der[..der.len() - 1], &longer, &[], b"hello"] {
            assert_eq!(
                PeerIdentity::from_der(bytes).unwrap_err(),
                IdentityError::Malformed
            );
        }
    }
}
