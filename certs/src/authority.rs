//! The certificate authority: its two levels, its files, and the issuing CA that signs at run time.
//!
//! ```text
//! DIR/root.pem             the root's certificate, which every client trusts
//! DIR/issuing.pem          the issuing CA's certificate, signed by the root
//! DIR/issuing-key.pem      its key (0600): the only key needed at run time
//! DIR/offline/root-key.pem the root's key (0700/0600): never read again; move it to another place
//! ```
//!
//! `init` makes a new CA; [`IssuingCa::load`] reads one.

mod init;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rcgen::{Issuer, KeyPair, PublicKeyData as _};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::pem;
use crate::serial::NoRandomness;
use crate::validity::Validity;

pub use init::{FleetCa, InitOptions};

/// The root's certificate.
pub const ROOT_FILE: &str = "root.pem";
/// The issuing CA's certificate.
pub const ISSUING_FILE: &str = "issuing.pem";
/// The issuing CA's private key.
pub const ISSUING_KEY_FILE: &str = "issuing-key.pem";
/// Where the root's private key is kept until it is moved offline.
pub const OFFLINE_DIR: &str = "offline";
/// The root's private key, in [`OFFLINE_DIR`].
pub const ROOT_KEY_FILE: &str = "root-key.pem";

/// The files that are needed at run time. A directory with some but not all of them is incomplete.
const RUN_TIME_FILES: [&str; 3] = [ROOT_FILE, ISSUING_FILE, ISSUING_KEY_FILE];
/// The longest CA file that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why a CA could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The directory has a complete CA.
    #[error("{} already contains a certificate authority, which is never overwritten", .0.display())]
    AlreadyExists(PathBuf),
    /// The directory has other contents.
    #[error("{} is not empty; a certificate authority needs a directory of its own", .0.display())]
    NotEmpty(PathBuf),
    /// The directory has no CA.
    #[error("{dir} contains no certificate authority; make one: certs init --ca {dir}", dir = .0.display())]
    Missing(PathBuf),
    /// Some of a CA's files are missing.
    #[error(
        "{} lacks {missing} of the certificate authority; restore it from a backup, because boxes trust no other authority",
        dir.display()
    )]
    Incomplete {
        /// The CA's directory.
        dir: PathBuf,
        /// The first missing file.
        missing: &'static str,
    },
    /// A file does not contain what its name says.
    #[error("{}: {reason}", file.display())]
    Invalid {
        /// The file.
        file: PathBuf,
        /// The reason.
        reason: &'static str,
    },
    /// The organisation's name is empty or too long, or a validity is not positive.
    #[error("{0}")]
    BadOptions(&'static str),
    /// A file could not be read or written.
    #[error("{}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A key or certificate could not be generated.
    #[error("cannot generate a key or certificate")]
    Crypto(#[from] rcgen::Error),
    /// No serial number could be generated.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

impl CaError {
    fn io(file: &Path) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        move |source| Self::Io { file, source }
    }
}

/// The issuing CA, which signs certificates at run time.
pub struct IssuingCa {
    issuer: Issuer<'static, KeyPair>,
    validity: Validity,
    root_pem: String,
    issuing_pem: String,
    roots: Arc<RootCertStore>,
}

impl std::fmt::Debug for IssuingCa {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("IssuingCa")
            .field("not_after", &self.validity.not_after)
            .finish_non_exhaustive()
    }
}

impl IssuingCa {
    /// Reads the CA in `dir` and checks that its files belong together.
    pub fn load(dir: &Path) -> Result<Self, CaError> {
        match missing_files(dir).as_slice() {
            [] => {}
            missing if missing.len() == RUN_TIME_FILES.len() => {
                return Err(CaError::Missing(dir.to_owned()));
            }
            [missing, ..] => {
                return Err(CaError::Incomplete {
                    dir: dir.to_owned(),
                    missing,
                });
            }
        }
        let (root_file, issuing_file) = (dir.join(ROOT_FILE), dir.join(ISSUING_FILE));
        let key_file = dir.join(ISSUING_KEY_FILE);
        let root = only_certificate(&root_file)?;
        let issuing = only_certificate(&issuing_file)?;
        let key = KeyPair::from_pem(&read_bounded(&key_file)?)
            .map_err(|_| invalid(&key_file, "not a PKCS #8 private key in PEM"))?;

        let (_, root_x509) = X509Certificate::from_der(&root)
            .map_err(|_| invalid(&root_file, "not an X.509 certificate"))?;
        let (_, issuing_x509) = X509Certificate::from_der(&issuing)
            .map_err(|_| invalid(&issuing_file, "not an X.509 certificate"))?;
        if !root_x509.is_ca() || root_x509.verify_signature(None).is_err() {
            return Err(invalid(&root_file, "not a self-signed CA certificate"));
        }
        if !issuing_x509.is_ca()
            || issuing_x509.issuer() != root_x509.subject()
            || issuing_x509
                .verify_signature(Some(root_x509.public_key()))
                .is_err()
        {
            return Err(invalid(
                &issuing_file,
                "not a CA certificate signed by the root beside it",
            ));
        }
        if issuing_x509.public_key().raw != key.subject_public_key_info() {
            return Err(invalid(
                &key_file,
                "not the private key of the issuing certificate beside it",
            ));
        }

        let mut roots = RootCertStore::empty();
        for (anchor, file) in [(&root, &root_file), (&issuing, &issuing_file)] {
            roots
                .add(anchor.clone())
                .map_err(|_| invalid(file, "cannot be a trust anchor"))?;
        }
        let validity = Validity::of(&issuing)
            .ok_or_else(|| invalid(&issuing_file, "has a date out of range"))?;
        let encode = |der: &CertificateDer<'_>| pem::encode("CERTIFICATE", der);
        Ok(Self {
            validity,
            root_pem: encode(&root),
            issuing_pem: encode(&issuing),
            roots: Arc::new(roots),
            issuer: Issuer::from_ca_cert_der(&issuing, key)?,
        })
    }

    /// The issuing CA's and the root's certificates, PEM: the `ca_chain` of a box.
    pub fn ca_chain_pem(&self) -> String {
        format!("{}{}", self.issuing_pem, self.root_pem)
    }

    /// The root's certificate, PEM: all that a client needs to trust the platform's servers.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The issuing CA's certificate, PEM.
    pub fn issuing_pem(&self) -> &str {
        &self.issuing_pem
    }

    /// The trust anchors for client certificates: root and issuing CA, so that a client may send its leaf alone or the
    /// whole chain.
    pub fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.roots)
    }

    /// The last moment at which the issuing CA's own certificate is valid.
    pub fn not_after(&self) -> DateTime<Utc> {
        self.validity.not_after
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    pub(crate) fn validity(&self) -> Validity {
        self.validity
    }
}

fn missing_files(dir: &Path) -> Vec<&'static str> {
    RUN_TIME_FILES
        .into_iter()
        .filter(|name| !dir.join(name).exists())
        .collect()
}

fn only_certificate(file: &Path) -> Result<CertificateDer<'static>, CaError> {
    let text = read_bounded(file)?;
    let mut found = CertificateDer::pem_slice_iter(text.as_bytes());
    match (found.next(), found.next()) {
        (Some(Ok(certificate)), None) => Ok(certificate),
        _ => Err(invalid(file, "must hold exactly one certificate in PEM")),
    }
}

fn read_bounded(file: &Path) -> Result<String, CaError> {
    let mut text = String::new();
    File::open(file)
        .and_then(|opened| opened.take(FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(CaError::io(file))?;
    Ok(text)
}

fn invalid(file: &Path, reason: &'static str) -> CaError {
    CaError::Invalid {
        file: file.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::fixtures::{Fleet, now, options};

    #[test]
    fn the_root_key_can_be_moved_away() {
        let fleet = Fleet::new();
        let dir = fleet.dir.path().join("ca");
        fs::remove_dir_all(dir.join(OFFLINE_DIR)).unwrap();
        IssuingCa::load(&dir).unwrap();
        assert!(matches!(
            FleetCa::init(&dir, now(), &options()),
            Err(CaError::AlreadyExists(_))
        ));
    }

    #[test]
    fn an_incomplete_ca_is_recognised() {
        for missing in RUN_TIME_FILES {
            let fleet = Fleet::new();
            let dir = fleet.dir.path().join("ca");
            fs::remove_file(dir.join(missing)).unwrap();
            let load = IssuingCa::load(&dir).unwrap_err();
            assert!(load.to_string().contains(missing), "{load}");
            let init = FleetCa::init(&dir, now(), &options()).unwrap_err();
            assert!(matches!(init, CaError::Incomplete { .. }), "{init}");
        }
    }

    #[test]
    fn files_of_two_cas_are_refused() {
        for file in RUN_TIME_FILES {
            let (one, two) = (Fleet::new(), Fleet::new());
            let dir = one.dir.path().join("ca");
            fs::copy(two.dir.path().join("ca").join(file), dir.join(file)).unwrap();
            let error = IssuingCa::load(&dir).unwrap_err();
            assert!(matches!(error, CaError::Invalid { .. }), "{file}: {error}");
        }
    }
}
