//! Finding the distribution's server binaries.
//!
//! Searched in `PG_BIN_DIR` (alone, when it is set), then `/usr/lib/postgresql/*/bin` (Debian:
//! one directory for each major version, the highest first), then `PATH`. A cluster can only be
//! run by the major version that made it, so that version is searched when there is a cluster.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::PostgresError;

/// Where Debian keeps a directory for each major version.
const DEBIAN_ROOT: &str = "/usr/lib/postgresql";

/// Where to look.
#[derive(Clone, Debug)]
pub struct Search {
    /// `PG_BIN_DIR`: the only place, when it is set.
    pub bin_dir: Option<PathBuf>,
    /// A directory of `VERSION/bin` directories.
    pub version_root: PathBuf,
    /// A list of directories as in `PATH`.
    pub path: OsString,
}

impl Search {
    /// The places named by this process's environment.
    pub fn from_env() -> Self {
        Self {
            bin_dir: std::env::var_os("PG_BIN_DIR")
                .filter(|dir| !dir.is_empty())
                .map(PathBuf::from),
            version_root: PathBuf::from(DEBIAN_ROOT),
            path: std::env::var_os("PATH").unwrap_or_default(),
        }
    }

    /// The directory with the newest server.
    ///
    /// # Errors
    /// There is none.
    pub fn newest(&self) -> Result<PathBuf, PostgresError> {
        self.find(None)
    }

    /// The directory with the server for a cluster of major version `wanted` (`None`: a new one,
    /// for which the newest is used).
    pub(super) fn find(&self, cluster: Option<(&Path, u32)>) -> Result<PathBuf, PostgresError> {
        let missing = || match cluster {
            Some((cluster, wanted)) if self.candidates().any(|found| is_server(&found.dir)) => {
                PostgresError::VersionMissing {
                    cluster: cluster.to_owned(),
                    wanted,
                    searched: self.places(),
                }
            }
            _ => PostgresError::BinariesMissing {
                searched: self.places(),
            },
        };
        self.candidates()
            .filter(|candidate| is_server(&candidate.dir))
            // A directory without a known version is tried: Postgres itself refuses a cluster of
            // another version, with an error.
            .find(|candidate| match (cluster, candidate.major) {
                (Some((_, wanted)), Some(major)) => wanted == major,
                _ => true,
            })
            .map(|candidate| candidate.dir)
            .ok_or_else(missing)
    }

    fn candidates(&self) -> impl Iterator<Item = Candidate> {
        let unversioned = |dir| Candidate { dir, major: None };
        let chosen = self.bin_dir.clone().map(unversioned);
        let mut versions = Vec::new();
        let mut in_path = Vec::new();
        if chosen.is_none() {
            versions = self.versions();
            in_path = std::env::split_paths(&self.path)
                .filter(|dir| dir.is_absolute())
                .map(unversioned)
                .collect();
        }
        chosen.into_iter().chain(versions).chain(in_path)
    }

    fn versions(&self) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = std::fs::read_dir(&self.version_root)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let major = entry.file_name().to_str()?.parse().ok()?;
                Some(Candidate {
                    dir: entry.path().join("bin"),
                    major: Some(major),
                })
            })
            .collect();
        found.sort_by_key(|candidate| std::cmp::Reverse(candidate.major));
        found
    }

    fn places(&self) -> String {
        match &self.bin_dir {
            Some(dir) => format!("PG_BIN_DIR={}", dir.display()),
            None => format!("{}/*/bin and PATH", self.version_root.display()),
        }
    }
}

struct Candidate {
    dir: PathBuf,
    major: Option<u32>,
}

fn is_server(dir: &Path) -> bool {
    ["postgres", "initdb"]
        .iter()
        .all(|name| dir.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn put_server(dir: &Path) {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join("postgres"), "").unwrap();
        fs::write(dir.join("initdb"), "").unwrap();
    }

    fn search(root: &Path) -> Search {
        Search {
            bin_dir: None,
            version_root: root.join("versions"),
            path: root.join("path").into_os_string(),
        }
    }

    #[test]
    fn the_highest_version_is_a_number_not_a_word() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9", "15", "17", "notes"] {
            put_server(&root.path().join("versions").join(version).join("bin"));
        }
        put_server(&root.path().join("path"));
        let found = search(root.path()).find(None).unwrap();
        assert_eq!(found, root.path().join("versions/17/bin"));
    }

    #[test]
    fn a_cluster_gets_the_version_that_made_it() {
        let root = tempfile::tempdir().unwrap();
        for version in ["15", "17"] {
            put_server(&root.path().join("versions").join(version).join("bin"));
        }
        let search = search(root.path());
        let cluster = Path::new("/data");
        let found = search.find(Some((cluster, 15))).unwrap();
        assert_eq!(found, root.path().join("versions/15/bin"));
        let error = search.find(Some((cluster, 16))).unwrap_err().to_string();
        assert!(error.contains("postgresql-16"), "{error}");
    }

    #[test]
    fn path_is_the_last_resort_and_half_a_server_is_none() {
        let root = tempfile::tempdir().unwrap();
        let half = root.path().join("versions/17/bin");
        put_server(&half);
        fs::remove_file(half.join("initdb")).unwrap();
        put_server(&root.path().join("path"));
        let found = search(root.path())
            .find(Some((Path::new("/data"), 15)))
            .unwrap();
        assert_eq!(found, root.path().join("path"));
    }

    #[test]
    fn pg_bin_dir_is_taken_at_its_word() {
        let root = tempfile::tempdir().unwrap();
        put_server(&root.path().join("versions/17/bin"));
        let mut search = search(root.path());
        search.bin_dir = Some(root.path().join("mine"));
        assert!(search.find(None).is_err(), "it does not fall back");
        put_server(&root.path().join("mine"));
        assert_eq!(search.find(None).unwrap(), root.path().join("mine"));
    }

    #[test]
    fn without_binaries_the_error_names_every_way_out() {
        let root = tempfile::tempdir().unwrap();
        let error = search(root.path()).find(None).unwrap_err().to_string();
        for way in ["apt-get install postgresql", "PG_BIN_DIR", "DATABASE_URL"] {
            assert!(error.contains(way), "{error}");
        }
    }
}
