//! Certificate revocation lists (RFC 5280 §5), for brokers that are not ours.
//!
//! Our own edge asks the registry at every CONNECT and needs no list. An external broker cannot:
//! it is given this one, signed by the same CA as the certificates, and reads it again before
//! `nextUpdate`.

use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};

use crate::authority::{self, IssuingCa};
use crate::issue::{Validity, whole_seconds};
use crate::serial::SERIAL_LEN;

/// Why a certificate is no longer good, as RFC 5280 §5.3.1 numbers the reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing is known; the list then gives no reason at all, as §5.3.1 asks.
    Unspecified,
    /// Somebody else has the private key, or may have it.
    KeyCompromise,
    /// Another certificate took its place.
    Superseded,
    /// The device is gone for good.
    CessationOfOperation,
    /// The device may not be used any longer.
    PrivilegeWithdrawn,
}

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The certificate's serial number, hex.
    pub serial_hex: String,
    /// When it was revoked.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: Reason,
}

/// Why a list could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    /// A serial number that is not 1 to 20 octets in hex.
    #[error("`{0}` is not a serial number")]
    BadSerial(String),
    /// The list would be good for no time, or beyond what a date can hold.
    #[error("a revocation list must be valid for a positive, representable time")]
    BadValidity,
    /// Signing failed.
    #[error("cannot sign the revocation list")]
    Signing(#[from] rcgen::Error),
}

impl IssuingCa {
    /// Signs the list of certificates that are not to be trusted any longer, as DER.
    ///
    /// `number` must rise with every list of this CA (§5.2.3). The list is good from `now` until
    /// `valid_for` later, by which time its readers have fetched the next.
    ///
    /// # Errors
    /// A serial number that is none; a `valid_for` that is not positive.
    pub fn sign_crl(
        &self,
        number: u64,
        revoked: &[Revoked],
        now: DateTime<Utc>,
        valid_for: TimeDelta,
    ) -> Result<Vec<u8>, CrlError> {
        let validity = Validity::new(now, valid_for).ok_or(CrlError::BadValidity)?;
        let revoked_certs = revoked.iter().map(entry).collect::<Result<_, _>>()?;
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let params = CertificateRevocationListParams {
            this_update: epoch + whole_seconds(now),
            next_update: epoch + whole_seconds(validity.not_after),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(params.signed_by(self.issuer())?.der().to_vec())
    }
}

/// A list as brokers read it from a file: PEM. HTTP carries the DER (`application/pkix-crl`).
pub fn to_pem(der: &[u8]) -> String {
    authority::to_pem("X509 CRL", der)
}

fn entry(revoked: &Revoked) -> Result<RevokedCertParams, CrlError> {
    let octets = hex::decode(&revoked.serial_hex)
        .ok()
        .filter(|octets| (1..=SERIAL_LEN).contains(&octets.len()))
        .ok_or_else(|| CrlError::BadSerial(revoked.serial_hex.clone()))?;
    let reason = match revoked.reason {
        Reason::Unspecified => rcgen::RevocationReason::Unspecified,
        Reason::KeyCompromise => rcgen::RevocationReason::KeyCompromise,
        Reason::Superseded => rcgen::RevocationReason::Superseded,
        Reason::CessationOfOperation => rcgen::RevocationReason::CessationOfOperation,
        Reason::PrivilegeWithdrawn => rcgen::RevocationReason::PrivilegeWithdrawn,
    };
    Ok(RevokedCertParams {
        serial_number: SerialNumber::from_slice(&octets),
        revocation_time: rcgen::date_time_ymd(1970, 1, 1) + whole_seconds(revoked.at),
        reason_code: Some(reason),
        invalidity_date: None,
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Output};

    use x509_parser::prelude::{FromDer as _, X509Certificate};
    use x509_parser::revocation_list::CertificateRevocationList;

    use super::*;
    use crate::csr::{Csr, KeyAndCsr, KeyKind};
    use crate::fixtures::{Fleet, device_id, now};
    use crate::issue::IssuedCertificate;
    use crate::serial::Serial;

    const HOUR: TimeDelta = TimeDelta::hours(1);

    fn device(fleet: &Fleet) -> IssuedCertificate {
        let made = KeyAndCsr::generate(KeyKind::P256, "x").unwrap();
        let csr = Csr::parse_verified(made.csr_pem()).unwrap();
        let serial = Serial::random().unwrap();
        fleet
            .ca
            .issue_device(&csr, device_id(), now(), TimeDelta::days(1), serial)
            .unwrap()
    }

    fn revoked(certificate: &IssuedCertificate, reason: Reason) -> Revoked {
        Revoked {
            serial_hex: certificate.serial_hex.clone(),
            at: now(),
            reason,
        }
    }

    #[test]
    fn a_list_says_which_certificates_when_and_why() {
        let fleet = Fleet::new();
        let reasons = [
            (Reason::Unspecified, None),
            (Reason::KeyCompromise, Some(1)),
            (Reason::Superseded, Some(4)),
            (Reason::CessationOfOperation, Some(5)),
            (Reason::PrivilegeWithdrawn, Some(9)),
        ];
        let entries: Vec<Revoked> = reasons
            .iter()
            .map(|(reason, _)| revoked(&device(&fleet), *reason))
            .collect();
        let signed = fleet.ca.sign_crl(7, &entries, now(), HOUR).unwrap();
        let (rest, list) = CertificateRevocationList::from_der(&signed).unwrap();
        assert!(rest.is_empty());
        let (_, issuing) = X509Certificate::from_der(&fleet.issuing_der).unwrap();
        list.verify_signature(issuing.public_key()).unwrap();
        assert_eq!(list.issuer(), issuing.subject());
        assert_eq!(list.last_update().timestamp(), now().timestamp());
        let next = list.next_update().unwrap().timestamp();
        assert_eq!(next, (now() + HOUR).timestamp());
        assert_eq!(list.crl_number().unwrap(), &7_u32.into());
        let read: Vec<(String, i64, Option<u8>)> = list
            .iter_revoked_certificates()
            .map(|entry| {
                (
                    hex::encode(entry.raw_serial()),
                    entry.revocation_date.timestamp(),
                    entry.reason_code().map(|(_, reason)| reason.0),
                )
            })
            .collect();
        let said: Vec<_> = entries
            .iter()
            .zip(reasons)
            .map(|(entry, (_, code))| (entry.serial_hex.clone(), now().timestamp(), code))
            .collect();
        assert_eq!(read, said);
    }

    #[test]
    fn a_list_without_entries_is_a_list() {
        let fleet = Fleet::new();
        let signed = fleet.ca.sign_crl(1, &[], now(), HOUR).unwrap();
        let (_, list) = CertificateRevocationList::from_der(&signed).unwrap();
        assert_eq!(list.iter_revoked_certificates().count(), 0);
    }

    #[test]
    fn what_cannot_be_in_a_list_is_refused() {
        let fleet = Fleet::new();
        for serial_hex in ["", "zz", "123", &"11".repeat(21)] {
            let entry = Revoked {
                serial_hex: serial_hex.to_owned(),
                at: now(),
                reason: Reason::Unspecified,
            };
            let refused = fleet.ca.sign_crl(1, &[entry], now(), HOUR);
            assert!(matches!(refused, Err(CrlError::BadSerial(_))));
        }
        for wrong in [TimeDelta::zero(), -HOUR, TimeDelta::MAX] {
            let refused = fleet.ca.sign_crl(1, &[], now(), wrong);
            assert!(matches!(refused, Err(CrlError::BadValidity)));
        }
    }

    /// A second opinion, by the library that most brokers use.
    #[test]
    fn openssl_believes_the_list_and_refuses_what_is_in_it() {
        if Command::new("openssl").arg("version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "no openssl executable");
            eprintln!("skipped: no openssl executable here");
            return;
        }
        let fleet = Fleet::new();
        let (bad, good) = (device(&fleet), device(&fleet));
        let entries = [revoked(&bad, Reason::KeyCompromise)];
        let signed = fleet.ca.sign_crl(1, &entries, now(), HOUR).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for (name, bytes) in [
            ("anchors.pem", fleet.ca.ca_chain_pem().as_bytes()),
            ("issuing.pem", fleet.ca.issuing_pem().as_bytes()),
            ("crl.pem", to_pem(&signed).as_bytes()),
            ("crl.der", &signed),
            ("bad.pem", bad.pem.as_bytes()),
            ("good.pem", good.pem.as_bytes()),
        ] {
            std::fs::write(path(name), bytes).unwrap();
        }
        let at = now().timestamp().to_string();
        let openssl = |arguments: &[&str]| -> Output {
            let mut command = Command::new("openssl");
            command.current_dir(dir.path()).args(arguments);
            command.output().unwrap()
        };
        for form in [
            ["-inform", "PEM", "-in", "crl.pem"],
            ["-inform", "DER", "-in", "crl.der"],
        ] {
            let verify = ["crl", "-noout", "-verify", "-CAfile", "issuing.pem"];
            let output = openssl(&[&verify[..], &form].concat());
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.status.success() && said.contains("verify OK"),
                "{said}"
            );
        }
        let verify = |leaf: &str| {
            openssl(&[
                "verify",
                "-attime",
                &at,
                "-crl_check",
                "-CRLfile",
                "crl.pem",
                "-CAfile",
                "anchors.pem",
                leaf,
            ])
        };
        let output = verify("good.pem");
        assert!(output.status.success(), "{output:?}");
        let output = verify("bad.pem");
        let said = [output.stdout, output.stderr].concat();
        assert!(String::from_utf8_lossy(&said).contains("certificate revoked"));
    }
}
