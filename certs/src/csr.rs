//! Certificate signing requests (PKCS #10, RFC 2986).
//!
//! A request proves one thing: its maker holds the private key to the public key in it. Its names and requested
//! extensions are ignored; the issuer sets those.
//!
//! The PEM is read leniently: [`crate::pem`].

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData as _};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::der_parser::Oid;
use x509_parser::oid_registry::{
    OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
    OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512,
    OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;

/// The PEM labels of a request: that of RFC 7468 section 7, and the older one of `openssl req -newhdr`, keytool and
/// modems.
const LABELS: [&str; 2] = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];

/// The longest PEM text that is read. A P-256 request is about 500 bytes.
pub const CSR_PEM_BYTES_MAX: usize = 16 * 1024;

/// Octets of an uncompressed P-256 point (SEC 1 §2.3.3).
const P256_POINT_LEN: usize = 65;
/// First octet of an uncompressed point.
const P256_POINT_UNCOMPRESSED: u8 = 0x04;
/// Octets of an Ed25519 public key (RFC 8032 §5.1.5).
const ED25519_KEY_LEN: usize = 32;

/// The lengths of an RSA modulus that are accepted, bits.
const RSA_BITS_MIN: usize = 2048;
const RSA_BITS_MAX: usize = 4096;

/// The kinds of key that a box may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on NIST P-256.
    P256,
    /// Ed25519.
    Ed25519,
    /// RSA of 2048 to 4096 bits, with [`RsaKeys::Accepted`].
    Rsa,
}

/// Whether boxes may have RSA keys. Many modems support no other, but a signature takes them a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RsaKeys {
    /// P-256 and Ed25519 only.
    #[default]
    Refused,
    /// RSA of 2048 to 4096 bits too.
    Accepted,
}

/// Why a certificate signing request was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Longer than [`CSR_PEM_BYTES_MAX`].
    #[error("the certificate signing request is longer than {CSR_PEM_BYTES_MAX} bytes")]
    TooLarge,
    /// Not exactly one `CERTIFICATE REQUEST` (or `NEW CERTIFICATE REQUEST`) block of PEM.
    #[error("expected exactly one PEM block `CERTIFICATE REQUEST`")]
    NotPem,
    /// The DER inside is not a PKCS #10 request, or something follows it.
    #[error("the certificate signing request is not valid PKCS #10")]
    Malformed,
    /// Neither P-256 (as an uncompressed point) nor Ed25519.
    #[error("the key of the certificate signing request must be P-256 (uncompressed) or Ed25519")]
    UnsupportedKey,
    /// An RSA key, and [`RsaKeys::Refused`].
    #[error(
        "RSA keys are not accepted (pki.rsa_device_keys is off): the key must be P-256 or Ed25519"
    )]
    RsaRefused,
    /// An RSA key that is too short or too long.
    #[error("an RSA key must have {RSA_BITS_MIN} to {RSA_BITS_MAX} bits, and this one has {0}")]
    RsaBits(usize),
    /// The signature algorithm does not belong to the kind of key, or uses SHA-1 or MD5.
    #[error(
        "the certificate signing request must be signed with SHA-256, SHA-384 or SHA-512 (RSA: PKCS #1 v1.5), or by Ed25519"
    )]
    UnsupportedSignature,
    /// The request is not signed by the key in it.
    #[error("the certificate signing request is not signed by its own key")]
    BadSignature,
}

/// A request whose signature has been verified, which proves that its maker holds the private key.
#[derive(Clone, Debug)]
pub struct Csr {
    kind: KeyKind,
    public_key: rcgen::SubjectPublicKeyInfo,
}

impl Csr {
    /// Reads a PEM request, checks its key and verifies its signature; RSA keys are refused.
    ///
    /// # Errors
    /// See [`CsrError`].
    pub fn parse_verified(pem: &str) -> Result<Self, CsrError> {
        Self::parse_verified_accepting(pem, RsaKeys::Refused)
    }

    /// [`Csr::parse_verified`] where RSA keys may be accepted.
    ///
    /// # Errors
    /// See [`CsrError`].
    pub fn parse_verified_accepting(pem: &str, rsa_keys: RsaKeys) -> Result<Self, CsrError> {
        if pem.len() > CSR_PEM_BYTES_MAX {
            return Err(CsrError::TooLarge);
        }
        let der = crate::pem::single(pem, &LABELS).ok_or(CsrError::NotPem)?;
        Self::from_der_accepting(&der, rsa_keys)
    }

    /// [`Csr::parse_verified`] of DER.
    ///
    /// # Errors
    /// See [`CsrError`].
    pub fn from_der_verified(der: &[u8]) -> Result<Self, CsrError> {
        Self::from_der_accepting(der, RsaKeys::Refused)
    }

    fn from_der_accepting(der: &[u8], rsa_keys: RsaKeys) -> Result<Self, CsrError> {
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|_| CsrError::Malformed)?;
        if !rest.is_empty() {
            return Err(CsrError::Malformed);
        }

        let key = &request.certification_request_info.subject_pki;
        let public_key =
            rcgen::SubjectPublicKeyInfo::from_der(key.raw).map_err(|_| CsrError::UnsupportedKey)?;
        let kind = key_kind(&public_key).ok_or(CsrError::UnsupportedKey)?;
        if kind == KeyKind::Rsa {
            if rsa_keys == RsaKeys::Refused {
                return Err(CsrError::RsaRefused);
            }
            let Ok(PublicKey::RSA(rsa)) = key.parsed() else {
                return Err(CsrError::UnsupportedKey);
            };
            let bits = modulus_bits(rsa.modulus);
            if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
                return Err(CsrError::RsaBits(bits));
            }
        }
        let algorithm = verification(kind, &request.signature_algorithm.algorithm)
            .ok_or(CsrError::UnsupportedSignature)?;
        UnparsedPublicKey::new(algorithm, public_key.der_bytes())
            .verify(
                request.certification_request_info.raw,
                &request.signature_value.data,
            )
            .map_err(|_| CsrError::BadSignature)?;
        Ok(Self { kind, public_key })
    }

    /// The kind of the key.
    pub fn key_kind(&self) -> KeyKind {
        self.kind
    }

    /// Lower-case hex SHA-256 of the DER SubjectPublicKeyInfo: the key's identity, the same in
    /// every request and certificate made for it.
    pub fn public_key_sha256(&self) -> String {
        let spki = self.public_key.subject_public_key_info();
        hex::encode(digest::digest(&digest::SHA256, &spki))
    }

    /// The public key, as rcgen needs it to sign a certificate.
    pub(crate) fn public_key(&self) -> &rcgen::SubjectPublicKeyInfo {
        &self.public_key
    }
}

/// The kind of a key, if it is supported. A key has only one accepted encoding, so that its hash identifies it.
fn key_kind(key: &rcgen::SubjectPublicKeyInfo) -> Option<KeyKind> {
    let octets = key.der_bytes();
    let algorithm = key.algorithm();
    if algorithm == &rcgen::PKCS_ECDSA_P256_SHA256 {
        (octets.len() == P256_POINT_LEN && octets[0] == P256_POINT_UNCOMPRESSED)
            .then_some(KeyKind::P256)
    } else if algorithm == &rcgen::PKCS_ED25519 {
        (octets.len() == ED25519_KEY_LEN).then_some(KeyKind::Ed25519)
    } else if algorithm == &rcgen::PKCS_RSA_SHA256 {
        Some(KeyKind::Rsa)
    } else {
        None
    }
}

fn modulus_bits(modulus: &[u8]) -> usize {
    let zeros = modulus.iter().take_while(|octet| **octet == 0).count();
    let significant = &modulus[zeros..];
    let unused = significant.first().map_or(0, |octet| octet.leading_zeros());
    (significant.len() * 8).saturating_sub(unused as usize)
}

/// The verification algorithm for a signature by this kind of key. The signer chooses the hash: some tools sign with
/// P-256 keys and SHA-384 or SHA-512.
fn verification(kind: KeyKind, algorithm: &Oid<'_>) -> Option<&'static dyn VerificationAlgorithm> {
    let known: [(KeyKind, Oid<'_>, &'static dyn VerificationAlgorithm); 7] = [
        (
            KeyKind::P256,
            OID_SIG_ECDSA_WITH_SHA256,
            &signature::ECDSA_P256_SHA256_ASN1,
        ),
        (
            KeyKind::P256,
            OID_SIG_ECDSA_WITH_SHA384,
            &signature::ECDSA_P256_SHA384_ASN1,
        ),
        (
            KeyKind::P256,
            OID_SIG_ECDSA_WITH_SHA512,
            &signature::ECDSA_P256_SHA512_ASN1,
        ),
        (KeyKind::Ed25519, OID_SIG_ED25519, &signature::ED25519),
        (
            KeyKind::Rsa,
            OID_PKCS1_SHA256WITHRSA,
            &signature::RSA_PKCS1_2048_8192_SHA256,
        ),
        (
            KeyKind::Rsa,
            OID_PKCS1_SHA384WITHRSA,
            &signature::RSA_PKCS1_2048_8192_SHA384,
        ),
        (
            KeyKind::Rsa,
            OID_PKCS1_SHA512WITHRSA,
            &signature::RSA_PKCS1_2048_8192_SHA512,
        ),
    ];
    known
        .into_iter()
        .find(|(of, oid, _)| *of == kind && oid == algorithm)
        .map(|(_, _, verification)| verification)
}

/// A new private key and a request for its certificate: the box's side of provisioning. The key is generated on the box
/// and never leaves it.
#[derive(Debug)]
pub struct KeyAndCsr {
    key: KeyPair,
    csr_pem: String,
}

/// A key or a request could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a key and its certificate signing request")]
pub struct KeyGenerationError(#[source] rcgen::Error);

impl KeyAndCsr {
    /// Generates a key and a request for it, with `common_name` as its subject, which the issuer ignores.
    pub fn generate(kind: KeyKind, common_name: &str) -> Result<Self, KeyGenerationError> {
        let algorithm = match kind {
            KeyKind::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyKind::Ed25519 => &rcgen::PKCS_ED25519,
            KeyKind::Rsa => &rcgen::PKCS_RSA_SHA256,
        };
        let key = KeyPair::generate_for(algorithm).map_err(KeyGenerationError)?;
        Self::for_key(key, common_name)
    }

    /// Makes a new request for an existing key (PKCS #8 PEM), as a box does when its first activation got no answer.
    pub fn from_key_pem(key_pem: &str, common_name: &str) -> Result<Self, KeyGenerationError> {
        let key = KeyPair::from_pem(key_pem).map_err(KeyGenerationError)?;
        Self::for_key(key, common_name)
    }

    fn for_key(key: KeyPair, common_name: &str) -> Result<Self, KeyGenerationError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let csr_pem = params
            .serialize_request(&key)
            .and_then(|request| request.pem())
            .map_err(KeyGenerationError)?;
        Ok(Self { key, csr_pem })
    }

    /// The private key as PKCS #8 PEM. A file with it must have mode 0600.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The request as PEM.
    pub fn csr_pem(&self) -> &str {
        &self.csr_pem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_pem(der: &[u8]) -> String {
        crate::pem::encode(LABELS[0], der)
    }

    fn der_of(pem: &str) -> Vec<u8> {
        crate::pem::single(pem, &LABELS).unwrap()
    }

    #[test]
    fn both_kinds_of_key_are_accepted_and_distinguished() {
        for kind in [KeyKind::P256, KeyKind::Ed25519] {
            let made = KeyAndCsr::generate(kind, "whatever").unwrap();
            assert_eq!(
                Csr::parse_verified(made.csr_pem()).unwrap().key_kind(),
                kind
            );
        }
    }

    fn accepted(pem: &str, rsa_keys: RsaKeys) -> Result<KeyKind, CsrError> {
        Csr::parse_verified_accepting(pem, rsa_keys).map(|csr| csr.key_kind())
    }

    #[test]
    fn requests_of_openssl_with_accepted_keys_are_accepted_with_any_hash_and_label() {
        for (name, pem) in [
            ("sha256", include_str!("../tests/csr/p256_sha256.pem")),
            ("sha384", include_str!("../tests/csr/p256_sha384.pem")),
            ("sha512", include_str!("../tests/csr/p256_sha512.pem")),
            ("newhdr", include_str!("../tests/csr/p256_newhdr.pem")),
            ("text", include_str!("../tests/csr/p256_text.pem")),
        ] {
            for pem in in_other_layouts(pem) {
                let kind = accepted(&pem, RsaKeys::Refused);
                assert_eq!(kind, Ok(KeyKind::P256), "{name}: {pem:?}");
            }
        }
        let ed25519 = include_str!("../tests/csr/ed25519.pem");
        assert_eq!(accepted(ed25519, RsaKeys::Refused), Ok(KeyKind::Ed25519));
    }

    /// The same request in the layouts of other tools and transports.
    fn in_other_layouts(pem: &str) -> Vec<String> {
        vec![
            pem.to_owned(),
            pem.replace('\n', "\r\n"),
            pem.replace('\n', "  \t\n"),
            pem.replace('\n', "\n\n"),
            pem.replace('\n', " "),
            pem.trim_end().to_owned(),
            format!("{pem}\0"),
            format!("\u{feff}a certificate request\r\n{pem}-- \n"),
            pem.replace("BEGIN CERTIFICATE", "BEGIN NEW CERTIFICATE")
                .replace("END CERTIFICATE", "END NEW CERTIFICATE"),
        ]
    }

    #[test]
    fn rsa_keys_are_accepted_only_when_allowed() {
        let accept = |pem| accepted(pem, RsaKeys::Accepted);
        for pem in [
            include_str!("../tests/csr/rsa2048_sha256.pem"),
            include_str!("../tests/csr/rsa2048_sha384.pem"),
            include_str!("../tests/csr/rsa2048_sha512.pem"),
            include_str!("../tests/csr/rsa3072.pem"),
            include_str!("../tests/csr/rsa4096.pem"),
        ] {
            assert_eq!(accept(pem), Ok(KeyKind::Rsa));
            assert_eq!(accepted(pem, RsaKeys::Refused), Err(CsrError::RsaRefused));
        }
        let short = include_str!("../tests/csr/rsa1024.pem");
        let long = include_str!("../tests/csr/rsa8192.pem");
        assert_eq!(accept(short), Err(CsrError::RsaBits(1024)));
        assert_eq!(accept(long), Err(CsrError::RsaBits(8192)));
        for pem in [
            include_str!("../tests/csr/rsa2048_sha1.pem"),
            include_str!("../tests/csr/rsa2048_pss.pem"),
            include_str!("../tests/csr/p256_sha1.pem"),
        ] {
            assert_eq!(accept(pem), Err(CsrError::UnsupportedSignature));
        }
        let p384 = include_str!("../tests/csr/p384.pem");
        assert_eq!(accept(p384), Err(CsrError::UnsupportedKey));
    }

    #[test]
    fn every_changed_byte_of_what_is_signed_by_an_rsa_key_is_refused() {
        every_changed_byte_is_refused(include_str!("../tests/csr/rsa2048_sha256.pem"));
    }

    /// Changes each byte that the signature covers.
    fn every_changed_byte_is_refused(pem: &str) {
        let der = der_of(pem);
        let (_, request) = X509CertificationRequest::from_der(&der).unwrap();
        let signed = request.certification_request_info.raw;
        let start = der
            .windows(signed.len())
            .position(|window| window == signed)
            .unwrap();
        for position in start..start + signed.len() {
            let mut changed = der.clone();
            changed[position] ^= 1;
            assert!(
                accepted(&to_pem(&changed), RsaKeys::Accepted).is_err(),
                "byte {position} changed and the request was accepted"
            );
        }
    }

    #[test]
    fn a_key_has_the_same_hash_in_every_request() {
        let first = KeyAndCsr::generate(KeyKind::P256, "one").unwrap();
        let again = KeyAndCsr::from_key_pem(&first.key_pem(), "two").unwrap();
        let other = KeyAndCsr::generate(KeyKind::P256, "one").unwrap();
        let hash = |made: &KeyAndCsr| {
            Csr::parse_verified(made.csr_pem())
                .unwrap()
                .public_key_sha256()
        };
        assert_eq!(hash(&first).len(), 64);
        assert_eq!(hash(&first), hash(&again));
        assert_ne!(hash(&first), hash(&other));
    }

    #[test]
    fn every_changed_byte_of_what_is_signed_is_refused() {
        let made = KeyAndCsr::generate(KeyKind::P256, "box").unwrap();
        every_changed_byte_is_refused(made.csr_pem());
    }

    #[test]
    fn a_request_signed_by_another_key_is_refused() {
        let victim = KeyAndCsr::generate(KeyKind::P256, "a").unwrap();
        let thief = KeyAndCsr::generate(KeyKind::P256, "a").unwrap();
        let (mut der, donor) = (der_of(victim.csr_pem()), der_of(thief.csr_pem()));
        let key_of = |pem: &KeyAndCsr| {
            let csr = Csr::parse_verified(pem.csr_pem()).unwrap();
            csr.public_key.der_bytes().to_vec()
        };
        let (public, stolen) = (key_of(&thief), key_of(&victim));
        let mut forged = donor;
        let at = forged
            .windows(public.len())
            .position(|window| window == public)
            .unwrap();
        forged[at..at + stolen.len()].copy_from_slice(&stolen);
        assert_eq!(
            Csr::parse_verified(&to_pem(&forged)).unwrap_err(),
            CsrError::BadSignature
        );
        der.push(0);
        assert_eq!(
            Csr::parse_verified(&to_pem(&der)).unwrap_err(),
            CsrError::Malformed
        );
    }

    #[test]
    fn other_keys_are_refused() {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let request = KeyAndCsr::for_key(key, "box").unwrap();
        assert_eq!(
            Csr::parse_verified(request.csr_pem()).unwrap_err(),
            CsrError::UnsupportedKey
        );
    }

    #[test]
    fn what_is_not_one_pem_request_is_refused() {
        let pem = KeyAndCsr::generate(KeyKind::P256, "a").unwrap();
        let pem = pem.csr_pem();
        for text in ["", "hello", &format!("{pem}{pem}"), &pem[..pem.len() / 2]] {
            assert_eq!(Csr::parse_verified(text).unwrap_err(), CsrError::NotPem);
        }
        let long = format!("{pem}{}", " ".repeat(CSR_PEM_BYTES_MAX));
        assert_eq!(Csr::parse_verified(&long).unwrap_err(), CsrError::TooLarge);
    }

    #[test]
    fn requested_names_and_extensions_are_ignored() {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(vec!["evil.example".to_owned(), "10.0.0.1".to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let request = params.serialize_request(&key).unwrap().pem().unwrap();
        assert!(Csr::parse_verified(&request).is_ok());
    }
}
