//! Which client certificates a server of ours accepts, beyond a valid chain.
//!
//! Two things are added to webpki's verdict: a certificate that expired a short while ago may still be accepted, and a
//! certificate with an RSA key only where the configuration says so.

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

/// The longest part of a refused certificate's name that is kept, characters.
const NAME_CHARS_MAX: usize = 64;

thread_local! {
    /// The common name in the certificate that was refused last on this thread.
    static REFUSED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The common name in the client certificate that a handshake on this thread has just refused, for a log line: rustls
/// drops the certificate with the connection. A verdict and the error of its handshake come from one call (one poll of
/// an asynchronous accept), so whoever asks right after that error gets the name of that handshake. It is a claim, not
/// an identity.
pub fn take_refused_name() -> Option<String> {
    REFUSED.take()
}

/// An RSA key where none is accepted.
struct RsaRefused;

impl fmt::Display for RsaRefused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("certificates with RSA keys are not accepted (pki.rsa_device_keys)")
    }
}

/// rustls shows it inside of its own error.
impl fmt::Debug for RsaRefused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::error::Error for RsaRefused {}

/// webpki's verifier with the additions.
pub(crate) struct ClientVerifier {
    inner: Arc<dyn ClientCertVerifier>,
    /// How long a certificate is accepted after its end; zero for not at all.
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
        let verdict = self.verify_chain(end_entity, intermediates, now)?;
        if self.rsa_keys == RsaKeys::Refused && has_rsa_key(end_entity) {
            let refused = OtherError(Arc::new(RsaRefused));
            return Err(CertificateError::Other(refused).into());
        }
        Ok(verdict)
    }

    /// Accepts a certificate that expired a short while ago, if it was good in its last moment.
    fn verify_chain(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verdict = self
            .inner
            .verify_client_cert(end_entity, intermediates, now);
        let Err(rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) = &verdict
        else {
            return verdict;
        };
        let grace = self.expired_grace.as_secs();
        match last_moment(end_entity) {
            Some(end) if grace > 0 && now.as_secs().saturating_sub(end) <= grace => {
                let end = UnixTime::since_unix_epoch(Duration::from_secs(end));
                self.inner
                    .verify_client_cert(end_entity, intermediates, end)
            }
            _ => verdict,
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
        let verdict = self.verify(end_entity, intermediates, now);
        REFUSED.set(verdict.is_err().then(|| common_name(end_entity)).flatten());
        verdict
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
fn last_moment(certificate: &CertificateDer<'_>) -> Option<u64> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    u64::try_from(parsed.validity().not_after.timestamp()).ok()
}

fn has_rsa_key(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, parsed)| parsed.public_key().algorithm.algorithm == OID_PKCS1_RSAENCRYPTION)
}

/// The common name in a certificate, cut to a length that a log line bears. A claim, unless the certificate was verified.
pub fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next()?.as_str().ok()?;
    Some(name.chars().take(NAME_CHARS_MAX).collect())
}
