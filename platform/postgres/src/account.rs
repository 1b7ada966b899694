//! The account that runs Postgres.
//!
//! Postgres refuses to run as root. An ordinary user runs it as itself; root runs it as the owner of
//! the existing cluster, else as `postgres`, else as `nobody`.

use std::io;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

use nix::unistd::{Gid, Uid, User, getegid, geteuid};

use super::error::PostgresError;

/// The accounts that root changes to, the first that exists.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

/// The account that runs Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    /// Whether we are root and have to change the account.
    pub(super) steps_down: bool,
}

impl Account {
    /// Chooses the account for a cluster that may not exist yet.
    pub(super) fn choose(cluster: &Path) -> Result<Self, PostgresError> {
        let owner = match std::fs::metadata(cluster) {
            Ok(metadata) => Some((metadata.uid(), metadata.gid())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(PostgresError::io(cluster)(error)),
        };
        let own = geteuid();
        if !own.is_root() {
            return match owner {
                Some((owner, _)) if owner != own.as_raw() => Err(PostgresError::ForeignCluster {
                    cluster: cluster.to_owned(),
                    owner,
                    own: own.as_raw(),
                }),
                _ => Ok(Self {
                    uid: own,
                    gid: getegid(),
                    steps_down: false,
                }),
            };
        }
        let (uid, gid) = match owner {
            Some((uid, gid)) if uid != 0 => (Uid::from_raw(uid), Gid::from_raw(gid)),
            _ => ACCOUNTS
                .iter()
                .find_map(|name| User::from_name(name).ok().flatten())
                .map(|user| (user.uid, user.gid))
                .ok_or(PostgresError::NoAccount)?,
        };
        Ok(Self {
            uid,
            gid,
            steps_down: true,
        })
    }

    /// Gives a file or directory of ours to the account.
    pub(super) fn give(self, path: &Path) -> Result<(), PostgresError> {
        if !self.steps_down {
            return Ok(());
        }
        chown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw()))
            .map_err(PostgresError::io(path))
    }

    /// Whether the account may pass through every directory above `path`.
    pub(super) fn can_reach(self, path: &Path) -> bool {
        !self.steps_down
            || path.ancestors().skip(1).all(|dir| {
                std::fs::metadata(dir).is_ok_and(|metadata| {
                    let search = if metadata.uid() == self.uid.as_raw() {
                        0o100
                    } else if metadata.gid() == self.gid.as_raw() {
                        0o010
                    } else {
                        0o001
                    };
                    metadata.mode() & search != 0
                })
            })
    }
}
