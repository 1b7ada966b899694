//! Certificate signing requests (PKCS #10, RFC 2986).
//!
//! A request is believed for one thing only: that whoever made it holds the private key to the
//! public key in it. Its names and requested extensions are ignored; the issuer decides those.

use aws_lc_rs::digest;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData as _};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

/// The longest PEM text that is looked at. A P-256 request is about 500 bytes.
pub const CSR_PEM_BYTES_MAX: usize = 16 * 1024;

/// Octets of an uncompressed P-256 point (SEC 1 §2.3.3).
const P256_POINT_LEN: usize = 65;
/// First octet of an uncompressed point.
const P256_POINT_UNCOMPRESSED: u8 = 0x04;
/// Octets of an Ed25519 public key (RFC 8032 §5.1.5).
const ED25519_KEY_LEN: usize = 32;

/// The two kinds of key that a box may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on NIST P-256.
    P256,
    /// Ed25519.
    Ed25519,
}

/// Why a certificate signing request was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Longer than [`CSR_PEM_BYTES_MAX`].
    #[error("the certificate signing request is longer than {CSR_PEM_BYTES_MAX} bytes")]
    TooLarge,
    /// Not exactly one `CERTIFICATE REQUEST` block of PEM.
    #[error("expected exactly one PEM block `CERTIFICATE REQUEST`")]
    NotPem,
    /// The DER inside is not a PKCS #10 request, or something follows it.
    #[error("the certificate signing request is not valid PKCS #10")]
    Malformed,
    /// Neither P-256 (as an uncompressed point) nor Ed25519.
    #[error("the key of the certificate signing request must be P-256 (uncompressed) or Ed25519")]
    UnsupportedKey,
    /// The request is not signed by the key in it.
    #[error("the certificate signing request is not signed by its own key")]
    BadSignature,
}

/// A request whose signature has been verified: proof that its sender holds the private key.
#[derive(Clone, Debug)]
pub struct Csr {
    kind: KeyKind,
    public_key: rcgen::SubjectPublicKeyInfo,
}

impl Csr {
    /// Reads a PEM request, checks its key and verifies its signature.
    pub fn parse_verified(pem: &str) -> Result<Self, CsrError> {
        if pem.len() > CSR_PEM_BYTES_MAX {
            return Err(CsrError::TooLarge);
        }
        let mut blocks = CertificateSigningRequestDer::pem_slice_iter(pem.as_bytes());
        let der = match (blocks.next(), blocks.next()) {
            (Some(Ok(der)), None) => der,
            _ => return Err(CsrError::NotPem),
        };
        Self::from_der_verified(&der)
    }

    /// [`Csr::parse_verified`] of what stands inside the PEM.
    pub fn from_der_verified(der: &[u8]) -> Result<Self, CsrError> {
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|_| CsrError::Malformed)?;
        if !rest.is_empty() {
            return Err(CsrError::Malformed);
        }

        let public_key = rcgen::SubjectPublicKeyInfo::from_der(
            request.certification_request_info.subject_pki.raw,
        )
        .map_err(|_| CsrError::UnsupportedKey)?;
        let kind = key_kind(&public_key).ok_or(CsrError::UnsupportedKey)?;
        request
            .verify_signature()
            .map_err(|_| CsrError::BadSignature)?;
        Ok(Self { kind, public_key })
    }

    /// What kind of key the box has.
    pub fn key_kind(&self) -> KeyKind {
        self.kind
    }

    /// Lower-case hex SHA-256 of the DER SubjectPublicKeyInfo: the key's identity, the same in
    /// every request and certificate made for it.
    pub fn public_key_sha256(&self) -> String {
        let spki = self.public_key.subject_public_key_info();
        hex::encode(digest::digest(&digest::SHA256, &spki))
    }

    /// The public key, in the form in which rcgen signs it.
    pub(crate) fn public_key(&self) -> &rcgen::SubjectPublicKeyInfo {
        &self.public_key
    }
}

/// Tells the two accepted kinds of key; one key has only one accepted encoding, so that its hash
/// identifies it.
fn key_kind(key: &rcgen::SubjectPublicKeyInfo) -> Option<KeyKind> {
    let octets = key.der_bytes();
    let algorithm = key.algorithm();
    if algorithm == &rcgen::PKCS_ECDSA_P256_SHA256 {
        (octets.len() == P256_POINT_LEN && octets[0] == P256_POINT_UNCOMPRESSED)
            .then_some(KeyKind::P256)
    } else if algorithm == &rcgen::PKCS_ED25519 {
        (octets.len() == ED25519_KEY_LEN).then_some(KeyKind::Ed25519)
    } else {
        None
    }
}

/// A fresh private key and the request that asks for its certificate: the box's side of
/// provisioning. The key is made on the box and stays there.
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
    /// Makes a key and a request for it, with `common_name` as its (ignored) subject.
    pub fn generate(kind: KeyKind, common_name: &str) -> Result<Self, KeyGenerationError> {
        let algorithm = match kind {
            KeyKind::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyKind::Ed25519 => &rcgen::PKCS_ED25519,
        };
        let key = KeyPair::generate_for(algorithm).map_err(KeyGenerationError)?;
        Self::for_key(key, common_name)
    }

    /// Makes a new request for a key that exists already (PKCS #8 PEM), as a box does whose first
    /// activation got no answer.
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

    /// The private key as PKCS #8 PEM. Whoever writes it to a disk gives the file mode 0600.
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
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn to_pem(der: &[u8]) -> String {
        format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
            STANDARD.encode(der)
        )
    }

    fn der_of(pem: &str) -> Vec<u8> {
        CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
            .unwrap()
            .to_vec()
    }

    #[test]
    fn both_kinds_of_key_are_accepted_and_told_apart() {
        for kind in [KeyKind::P256, KeyKind::Ed25519] {
            let made = KeyAndCsr::generate(kind, "whatever").unwrap();
            assert_eq!(
                Csr::parse_verified(made.csr_pem()).unwrap().key_kind(),
                kind
            );
        }
    }

    #[test]
    fn a_key_has_one_hash_whatever_the_request_says() {
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
        let der = der_of(made.csr_pem());
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
                Csr::parse_verified(&to_pem(&changed)).is_err(),
                "byte {position} changed and the request still passed"
            );
        }
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
    fn requested_names_and_extensions_do_not_matter() {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(vec!["evil.example".to_owned(), "10.0.0.1".to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let request = params.serialize_request(&key).unwrap().pem().unwrap();
        assert!(Csr::parse_verified(&request).is_ok());
    }
}
