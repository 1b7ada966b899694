//! The certificate authority's two levels and their files.
//!
//! ```text
//! DIR/root.pem             the root's certificate: what every client trusts
//! DIR/issuing.pem          the issuing CA's certificate, signed by the root
//! DIR/issuing-key.pem      its key (0600): the only key needed at run time
//! DIR/offline/root-key.pem the root's key (0700/0600): nothing here reads it again; move it away
//! ```
//!
//! [`FleetCa::init`] makes the whole directory beside its final place and renames it there, so a
//! crash leaves either a complete CA or none, and an existing one is never written over.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, SerialNumber,
};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::issue::Validity;
use crate::serial::{NoRandomness, Serial};

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

/// What is needed at run time; a directory with some of these but not all is half made.
const RUN_TIME_FILES: [&str; 3] = [ROOT_FILE, ISSUING_FILE, ISSUING_KEY_FILE];
/// The longest CA file that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Longest organisation name; RFC 5280 appendix A allows 64 characters, ours is also a part of
/// the common names.
const ORGANISATION_LEN_MAX: usize = 40;

/// How a new CA is made.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// The organisation in both CA certificates' names.
    pub organisation: String,
    /// Validity of the root.
    pub root_valid: TimeDelta,
    /// Validity of the issuing CA; cut at the root's end.
    pub issuing_valid: TimeDelta,
}

impl Default for InitOptions {
    /// A root for 20 years and an issuing CA for 5.
    fn default() -> Self {
        Self {
            organisation: "QRIS Soundbox".to_owned(),
            root_valid: TimeDelta::days(20 * 365),
            issuing_valid: TimeDelta::days(5 * 365),
        }
    }
}

/// Why a CA could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A complete CA is there already.
    #[error("{} holds a certificate authority already; it is never written over", .0.display())]
    AlreadyExists(PathBuf),
    /// The directory has other things in it.
    #[error("{} is not empty; a certificate authority needs a directory of its own", .0.display())]
    NotEmpty(PathBuf),
    /// There is no CA.
    #[error("{dir} holds no certificate authority; make one: certs init --ca {dir}", dir = .0.display())]
    Missing(PathBuf),
    /// Some of a CA's files are there, others are not.
    #[error(
        "{} lacks {missing} of the certificate authority; put it back from where it is kept, because boxes trust no \
         other authority",
        dir.display()
    )]
    Incomplete {
        /// The CA's directory.
        dir: PathBuf,
        /// The first file that is not there.
        missing: &'static str,
    },
    /// A file is not what its name says.
    #[error("{}: {reason}", file.display())]
    Invalid {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
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
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A key or certificate could not be made.
    #[error("cannot make a key or certificate")]
    Crypto(#[from] rcgen::Error),
    /// No serial number could be drawn.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

impl CaError {
    fn io(file: &Path) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        move |source| Self::Io { file, source }
    }
}

/// The making of a CA: the one moment at which the root's key is in use.
pub struct FleetCa;

impl FleetCa {
    /// Makes a root and an issuing CA in `dir`, which must be empty or not yet there.
    pub fn init(dir: &Path, now: DateTime<Utc>, options: &InitOptions) -> Result<(), CaError> {
        refuse_occupied(dir)?;
        let files = Files::generate(now, options)?;

        let parent = match dir.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return Err(CaError::NotEmpty(dir.to_owned())),
        };
        fs::create_dir_all(parent).map_err(CaError::io(parent))?;
        let draft = Draft::create(parent, dir)?;
        files.write(&draft.path)?;
        // An empty directory is replaced; one that has come to hold something is not.
        fs::rename(&draft.path, dir).map_err(|error| match error.kind() {
            io::ErrorKind::DirectoryNotEmpty => CaError::AlreadyExists(dir.to_owned()),
            _ => CaError::io(dir)(error),
        })?;
        draft.keep();
        sync_dir(parent)
    }
}

/// The issuing CA: what signs certificates at run time.
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
    /// Reads the CA in `dir` and checks that its parts belong together.
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
        let moment = |time: x509_parser::time::ASN1Time| {
            DateTime::from_timestamp(time.timestamp(), 0)
                .ok_or_else(|| invalid(&issuing_file, "has a date out of range"))
        };
        let validity = Validity {
            not_before: moment(issuing_x509.validity().not_before)?,
            not_after: moment(issuing_x509.validity().not_after)?,
        };
        let encode = |der: &CertificateDer<'_>| to_pem("CERTIFICATE", der);
        Ok(Self {
            validity,
            root_pem: encode(&root),
            issuing_pem: encode(&issuing),
            roots: Arc::new(roots),
            issuer: Issuer::from_ca_cert_der(&issuing, key)?,
        })
    }

    /// The issuing CA's and the root's certificates, PEM: what a box is given as its `ca_chain`.
    pub fn ca_chain_pem(&self) -> String {
        format!("{}{}", self.issuing_pem, self.root_pem)
    }

    /// The root's certificate, PEM: all that a client needs to trust our servers.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The issuing CA's certificate, PEM.
    pub fn issuing_pem(&self) -> &str {
        &self.issuing_pem
    }

    /// The trust anchors for client certificates: root and issuing CA, so that a client which
    /// sends its leaf alone is verified as well as one that sends the chain.
    pub fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.roots)
    }

    /// Last moment at which the issuing CA's own certificate is valid.
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

/// A new CA's keys and certificates, in memory.
struct Files {
    root: String,
    root_key: String,
    issuing: String,
    issuing_key: String,
}

impl Files {
    fn generate(now: DateTime<Utc>, options: &InitOptions) -> Result<Self, CaError> {
        let organisation = options.organisation.trim();
        if organisation.is_empty() || organisation.chars().count() > ORGANISATION_LEN_MAX {
            return Err(CaError::BadOptions(
                "the organisation's name must have 1 to 40 characters",
            ));
        }
        let validity = |valid_for| {
            Validity::new(now, valid_for).ok_or(CaError::BadOptions(
                "a CA must be valid for a positive, representable time",
            ))
        };
        let issuing_valid = options.issuing_valid.min(options.root_valid);

        let root_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let root_params = authority(
            organisation,
            "Fleet Root CA",
            1,
            validity(options.root_valid)?,
        )?;
        let root = root_params.self_signed(&root_key)?;
        let issuing_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let issuing = authority(
            organisation,
            "Fleet Issuing CA",
            0,
            validity(issuing_valid)?,
        )?
        .signed_by(&issuing_key, &Issuer::from_params(&root_params, &root_key))?;
        Ok(Self {
            root: root.pem(),
            root_key: root_key.serialize_pem(),
            issuing: issuing.pem(),
            issuing_key: issuing_key.serialize_pem(),
        })
    }

    fn write(&self, dir: &Path) -> Result<(), CaError> {
        let offline = dir.join(OFFLINE_DIR);
        make_private_dir(&offline)?;
        write_new(&offline.join(ROOT_KEY_FILE), &self.root_key, 0o600)?;
        sync_dir(&offline)?;
        write_new(&dir.join(ISSUING_KEY_FILE), &self.issuing_key, 0o600)?;
        write_new(&dir.join(ISSUING_FILE), &self.issuing, 0o644)?;
        write_new(&dir.join(ROOT_FILE), &self.root, 0o644)?;
        sync_dir(dir)
    }
}

/// The directory under construction; removed when the making fails.
struct Draft {
    path: PathBuf,
    kept: bool,
}

impl Draft {
    fn create(parent: &Path, target: &Path) -> Result<Self, CaError> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let unique = &Serial::random()?.to_hex()[..16];
        let path = parent.join(format!(".{name}.new-{unique}"));
        make_private_dir(&path)?;
        Ok(Self { path, kept: false })
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            // What failed is being reported already; a left-over draft hurts nobody.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn authority(
    organisation: &str,
    role: &str,
    path_len: u8,
    validity: Validity,
) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    let text = |value: String| DnValue::Utf8String(value);
    name.push(DnType::OrganizationName, text(organisation.to_owned()));
    name.push(DnType::CommonName, text(format!("{organisation} {role}")));
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_len));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(SerialNumber::from_slice(Serial::random()?.as_octets()));
    validity.apply(&mut params);
    Ok(params)
}

/// Refuses a directory in which anything is, and says what it looks like.
fn refuse_occupied(dir: &Path) -> Result<(), CaError> {
    let mut entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(CaError::io(dir)(error)),
    };
    if entries.next().is_none() {
        return Ok(());
    }
    match missing_files(dir).as_slice() {
        [] => Err(CaError::AlreadyExists(dir.to_owned())),
        missing if missing.len() == RUN_TIME_FILES.len() => Err(CaError::NotEmpty(dir.to_owned())),
        [missing, ..] => Err(CaError::Incomplete {
            dir: dir.to_owned(),
            missing,
        }),
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
    use std::io::Read as _;
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

/// DER as PEM text (RFC 7468) under this label.
pub(crate) fn to_pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    // RFC 7468 §2: lines of 64 characters.
    for line in encoded.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

fn make_private_dir(dir: &Path) -> Result<(), CaError> {
    DirBuilder::new()
        .mode(0o700)
        .create(dir)
        .map_err(CaError::io(dir))
}

fn write_new(file: &Path, text: &str, mode: u32) -> Result<(), CaError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(file)
        .and_then(|mut opened| {
            opened.write_all(text.as_bytes())?;
            opened.sync_all()
        })
        .map_err(CaError::io(file))
}

fn sync_dir(dir: &Path) -> Result<(), CaError> {
    File::open(dir)
        .and_then(|opened| opened.sync_all())
        .map_err(CaError::io(dir))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::fixtures::{Fleet, now, options};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_ca_has_two_levels_and_private_keys_only_its_owner_reads() {
        let fleet = Fleet::new();
        let dir = fleet.dir.path().join("ca");
        assert_eq!(mode(&dir), 0o700);
        assert_eq!(mode(&dir.join(ISSUING_KEY_FILE)), 0o600);
        assert_eq!(mode(&dir.join(OFFLINE_DIR)), 0o700);
        assert_eq!(mode(&dir.join(OFFLINE_DIR).join(ROOT_KEY_FILE)), 0o600);

        let root = only_certificate(&dir.join(ROOT_FILE)).unwrap();
        let (_, root) = X509Certificate::from_der(&root).unwrap();
        let (_, issuing) = X509Certificate::from_der(&fleet.issuing_der).unwrap();
        for (certificate, path_len) in [(&root, 1), (&issuing, 0)] {
            let constraints = certificate.basic_constraints().unwrap().unwrap();
            assert!(constraints.critical && constraints.value.ca);
            assert_eq!(constraints.value.path_len_constraint, Some(path_len));
            assert_eq!(certificate.raw_serial().len(), 20);
        }
        assert_ne!(root.public_key().raw, issuing.public_key().raw);
        assert!(fleet.ca.ca_chain_pem().starts_with(fleet.ca.issuing_pem()));
        assert!(fleet.ca.ca_chain_pem().ends_with(fleet.ca.root_pem()));
        assert_eq!(
            fleet.ca.root_pem(),
            fs::read_to_string(dir.join(ROOT_FILE)).unwrap()
        );
    }

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
    fn an_existing_ca_is_never_written_over() {
        let fleet = Fleet::new();
        let dir = fleet.dir.path().join("ca");
        let before = fs::read(dir.join(ISSUING_KEY_FILE)).unwrap();
        assert!(matches!(
            FleetCa::init(&dir, now(), &options()),
            Err(CaError::AlreadyExists(_))
        ));
        assert_eq!(fs::read(dir.join(ISSUING_KEY_FILE)).unwrap(), before);
        let beside: Vec<_> = fs::read_dir(fleet.dir.path()).unwrap().collect();
        assert_eq!(beside.len(), 1, "no draft is left beside it: {beside:?}");
    }

    #[test]
    fn of_two_makers_at_once_one_wins_and_its_ca_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca");
        let made: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| FleetCa::init(&path, now(), &options()).is_ok()))
                .collect();
            makers
                .into_iter()
                .map(|maker| maker.join().unwrap())
                .collect()
        });
        assert_eq!(made.iter().filter(|made| **made).count(), 1);
        IssuingCa::load(&path).unwrap();
    }

    #[test]
    fn a_half_made_ca_is_recognised() {
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
    fn an_empty_directory_will_do_and_a_strangers_will_not() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            IssuingCa::load(dir.path()),
            Err(CaError::Missing(_))
        ));
        let own = dir.path().join("own");
        fs::create_dir(&own).unwrap();
        FleetCa::init(&own, now(), &options()).unwrap();
        assert!(matches!(
            FleetCa::init(dir.path(), now(), &options()),
            Err(CaError::NotEmpty(_))
        ));
    }

    #[test]
    fn parts_of_two_cas_do_not_make_one() {
        for file in RUN_TIME_FILES {
            let (one, two) = (Fleet::new(), Fleet::new());
            let dir = one.dir.path().join("ca");
            fs::copy(two.dir.path().join("ca").join(file), dir.join(file)).unwrap();
            let error = IssuingCa::load(&dir).unwrap_err();
            assert!(matches!(error, CaError::Invalid { .. }), "{file}: {error}");
        }
    }

    #[test]
    fn the_issuing_ca_ends_no_later_than_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca");
        let options = InitOptions {
            root_valid: TimeDelta::days(10),
            issuing_valid: TimeDelta::days(20),
            ..options()
        };
        FleetCa::init(&path, now(), &options).unwrap();
        assert_eq!(
            IssuingCa::load(&path).unwrap().not_after(),
            now() + TimeDelta::days(10)
        );
    }

    #[test]
    fn unusable_options_are_refused_and_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca");
        let no_name = InitOptions {
            organisation: "  ".to_owned(),
            ..options()
        };
        let no_time = InitOptions {
            root_valid: TimeDelta::zero(),
            ..options()
        };
        for options in [no_name, no_time] {
            assert!(matches!(
                FleetCa::init(&path, now(), &options),
                Err(CaError::BadOptions(_))
            ));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
