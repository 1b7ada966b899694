//! Certificate revocation lists (RFC 5280 §5), for external brokers.
//!
//! The platform's own edge checks revocations at every CONNECT and needs no list. An external broker gets this list,
//! signed by the same CA as the certificates, and reads it again before `nextUpdate`.

use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};

use crate::authority::IssuingCa;
use crate::pem;
use crate::serial::SERIAL_LEN;
use crate::validity::{Validity, whole_seconds};

/// Why a certificate is revoked (RFC 5280 §5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No reason is known; the list then has no reason code, as §5.3.1 requires.
    Unspecified,
    /// The private key is known to others, or may be.
    KeyCompromise,
    /// Another certificate replaces it.
    Superseded,
    /// The device is retired.
    CessationOfOperation,
    /// The device may not be used any longer.
    PrivilegeWithdrawn,
}

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The certificate's serial number, hex.
    pub serial_hex: String,
    /// When it was revoked.
    pub at: DateTime<Utc>,
    /// The reason.
    pub reason: Reason,
}

/// Why a list could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    /// A serial number that is not 1 to 20 octets in hex.
    #[error("`{0}` is not a serial number")]
    BadSerial(String),
    /// The validity is zero, negative or beyond what a date can hold.
    #[error("a revocation list must be valid for a positive, representable time")]
    BadValidity,
    /// Signing failed.
    #[error("cannot sign the revocation list")]
    Signing(#[from] rcgen::Error),
}

impl IssuingCa {
    /// Signs the list of revoked certificates, as DER.
    ///
    /// `number` must rise with every list of this CA (§5.2.3). The list is valid from `now` for `valid_for`; readers must
    /// fetch the next one within that time.
    ///
    /// # Errors
    /// An invalid serial number; a `valid_for` that is not positive.
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

/// A list as PEM, as brokers read it from a file. HTTP carries the DER (`application/pkix-crl`).
pub fn to_pem(der: &[u8]) -> String {
    pem::encode("X509 CRL", der)
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
    use crate::csr::KeyKind;
    use crate::fixtures::{Fleet, key_and_csr, now};
    use crate::issue::IssuedCertificate;

    const HOUR: TimeDelta = TimeDelta::hours(1);

    fn device(fleet: &Fleet) -> IssuedCertificate {
        fleet.device(&key_and_csr(KeyKind::P256).1, TimeDelta::days(1))
    }

    fn revoked(certificate: &IssuedCertificate, reason: Reason) -> Revoked {
        Revoked {
            serial_hex: certificate.serial_hex.clone(),
            at: now(),
            reason,
        }
    }

    #[test]
    fn a_list_states_serial_numbers_times_and_reasons() {
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
        let expected: Vec<_> = entries
            .iter()
            .zip(reasons)
            .map(|(entry, (_, code))| (entry.serial_hex.clone(), now().timestamp(), code))
            .collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn a_list_without_entries_is_a_list() {
        let fleet = Fleet::new();
        let signed = fleet.ca.sign_crl(1, &[], now(), HOUR).unwrap();
        let (_, list) = CertificateRevocationList::from_der(&signed).unwrap();
        assert_eq!(list.iter_revoked_certificates().count(), 0);
    }

    #[test]
    fn invalid_entries_and_validities_are_refused() {
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

    /// Checked by the library that most brokers use.
    #[test]
    fn openssl_accepts_the_list_and_refuses_what_is_in_it() {
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
            let printed = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.status.success() && printed.contains("verify OK"),
                "{printed}"
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
        let printed = [output.stdout, output.stderr].concat();
        assert!(String::from_utf8_lossy(&printed).contains("certificate revoked"));
    }
}
