//! Making a new CA: the only time at which the root's key is used.
//!
//! [`FleetCa::init`] writes the files into a temporary directory beside the final one and renames it, so a crash leaves
//! either a complete CA or none, and an existing one is never overwritten.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber,
};

use super::{
    CaError, ISSUING_FILE, ISSUING_KEY_FILE, OFFLINE_DIR, ROOT_FILE, ROOT_KEY_FILE, RUN_TIME_FILES,
    missing_files,
};
use crate::serial::Serial;
use crate::validity::Validity;

/// The longest organisation name. RFC 5280 appendix A allows 64 characters; it is also a part of the common names.
const ORGANISATION_LEN_MAX: usize = 40;

/// The options of a new CA.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// The organisation in both CA certificates' names.
    pub organisation: String,
    /// Validity of the root.
    pub root_valid: TimeDelta,
    /// Validity of the issuing CA, which ends no later than the root's.
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

/// The fleet's CA, of which only the making is here.
pub struct FleetCa;

impl FleetCa {
    /// Makes a root and an issuing CA in `dir`, which must be empty or not exist.
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
        // `rename` replaces an empty directory, but not one with contents.
        fs::rename(&draft.path, dir).map_err(|error| match error.kind() {
            io::ErrorKind::DirectoryNotEmpty => CaError::AlreadyExists(dir.to_owned()),
            _ => CaError::io(dir)(error),
        })?;
        draft.keep();
        sync_dir(parent)
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

/// The temporary directory, removed when a step fails.
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
            // The cause is reported already, and a left-over directory does no harm.
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

/// Refuses a directory with contents.
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

    use x509_parser::prelude::{FromDer as _, X509Certificate};

    use super::super::{IssuingCa, only_certificate};
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
    fn an_existing_ca_is_never_overwritten() {
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
    fn of_several_concurrent_inits_one_succeeds_and_its_ca_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca");
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| FleetCa::init(&path, now(), &options()).is_ok()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(results.iter().filter(|made| **made).count(), 1);
        IssuingCa::load(&path).unwrap();
    }

    #[test]
    fn an_empty_directory_is_accepted_and_one_with_other_contents_is_refused() {
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
