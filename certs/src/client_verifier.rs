//! The verification of client certificates.
//!
//! Two rules are added to webpki's: a certificate that expired a short while ago may still be accepted, and one with an
//! RSA key is accepted only if the configuration allows it.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::oid_registry::OID_PKCS1_RSAENCRYPTION;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::csr::RsaKeys;

/// The longest common name that is kept, characters.
const NAME_CHARS_MAX: usize = 64;

thread_local! {
    /// The common name in the last certificate that was refused on this thread.
    static REFUSED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The common name in the client certificate that a handshake on this thread has just refused, for a log line: rustls
/// drops the certificate with the connection. The verification and the error of its handshake happen in one call (one
/// poll of an asynchronous accept), so directly after that error this is the name of that handshake. It is not verified.
pub fn take_refused_name() -> Option<String> {
    REFUSED.take()
}

/// The error for an RSA key where none is accepted.
struct RsaRefused;

impl fmt::Display for RsaRefused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("certificates with RSA keys are not accepted (pki.rsa_device_keys)")
    }
}

/// rustls prints it inside its own error.
impl fmt::Debug for RsaRefused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::error::Error for RsaRefused {}

/// webpki's verifier with the added rules.
pub(crate) struct ClientVerifier {
    inner: Arc<dyn ClientCertVerifier>,
    /// How long an expired certificate is accepted; zero for not at all.
    expired_grace: Duration,
    rsa_keys: RsaKeys,
}

impl ClientVerifier {
    pub(crate) fn new(
        inner: Arc<dyn ClientCertVerifier>,
        expired_grace: Duration,
        rsa_keys: RsaKeys,
    ) -> Self {
        Self {
            inner,
            expired_grace,
            rsa_keys,
        }
    }

    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.verify_chain(end_entity, intermediates, now)?;
        if self.rsa_keys == RsaKeys::Refused && has_rsa_key(end_entity) {
            let refused = OtherError(Arc::new(RsaRefused));
            return Err(CertificateError::Other(refused).into());
        }
        Ok(verified)
    }

    /// Accepts a certificate that expired a short while ago, if it was valid in its last second.
    fn verify_chain(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let result = self
            .inner
            .verify_client_cert(end_entity, intermediates, now);
        let Err(rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) = &result
        else {
            return result;
        };
        let grace = self.expired_grace.as_secs();
        match not_after(end_entity) {
            Some(end) if grace > 0 && now.as_secs().saturating_sub(end) <= grace => {
                let end = UnixTime::since_unix_epoch(Duration::from_secs(end));
                self.inner
                    .verify_client_cert(end_entity, intermediates, end)
            }
            _ => result,
        }
    }
}

impl fmt::Debug for ClientVerifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientVerifier")
            .field("expired_grace", &self.expired_grace)
            .field("rsa_keys", &self.rsa_keys)
            .finish_non_exhaustive()
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let result = self.verify(end_entity, intermediates, now);
        REFUSED.set(result.is_err().then(|| common_name(end_entity)).flatten());
        result
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }

    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }
}

/// The certificate's `notAfter` in seconds since 1970.
fn not_after(certificate: &CertificateDer<'_>) -> Option<u64> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    u64::try_from(parsed.validity().not_after.timestamp()).ok()
}

fn has_rsa_key(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, parsed)| parsed.public_key().algorithm.algorithm == OID_PKCS1_RSAENCRYPTION)
}

/// The common name in a certificate, truncated for a log line. Not trustworthy unless the certificate was verified.
pub fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next()?.as_str().ok()?;
    Some(name.chars().take(NAME_CHARS_MAX).collect())
}
