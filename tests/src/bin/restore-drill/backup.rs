//! The two ways to make a backup and to restore it to a point in time.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tests::postgres_server::{NAME, PostgresServer, Programs};

/// How long the archive may take for what is complete.
const ARCHIVED_WITHIN: Duration = Duration::from_secs(60);

/// How.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// `pg_basebackup`, and a folder to which the log is copied.
    BaseBackup,
    /// pgBackRest.
    PgBackRest,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BaseBackup => "pg_basebackup and a folder with the log",
            Self::PgBackRest => "pgBackRest",
        })
    }
}

/// Where backups are kept.
pub(crate) struct Backup {
    method: Method,
    programs: Programs,
    dir: PathBuf,
}

impl Backup {
    /// Makes the folders of the archive.
    pub(crate) fn prepare(method: Method, dir: &Path) -> anyhow::Result<Self> {
        let programs = Programs::find()?;
        let backup = Self {
            method,
            programs,
            dir: dir.join("backup"),
        };
        for name in ["", "archive", "base", "lock", "log", "socket"] {
            backup.programs.directory(&backup.dir.join(name))?;
        }
        let config = format!(
            "[global]\nrepo1-path={0}/base\nrepo1-retention-full=2\nstart-fast=y\nlock-path={0}/lock\nlog-path={0}/log\n\
             log-level-console=warn\n[drill]\npg1-path={1}\npg1-socket-path={0}/socket\npg1-user={NAME}\n",
            backup.dir.display(),
            dir.join("primary").display(),
        );
        fs::write(backup.config(), config)?;
        Ok(backup)
    }

    fn config(&self) -> PathBuf {
        self.dir.join("pgbackrest.conf")
    }

    fn pgbackrest(&self) -> String {
        format!(
            "pgbackrest --config={} --stanza=drill",
            self.config().display()
        )
    }

    /// What the server needs in its configuration.
    pub(crate) fn settings(&self) -> Vec<String> {
        let archive = self.dir.join("archive");
        let archive = archive.display();
        let command = match self.method {
            Method::BaseBackup => format!("test ! -f {archive}/%f && cp %p {archive}/%f"),
            Method::PgBackRest => format!("{} archive-push %p", self.pgbackrest()),
        };
        vec![
            "archive_mode=on".to_owned(),
            format!("archive_command={command}"),
            "archive_timeout=60".to_owned(),
            // pgBackRest knows no other way to the server.
            format!("unix_socket_directories={}/socket", self.dir.display()),
        ]
    }

    /// Makes a full backup.
    pub(crate) async fn make(&self, postgres: &PostgresServer) -> anyhow::Result<()> {
        match self.method {
            Method::BaseBackup => postgres.copy(&self.dir.join("base/cluster"), &[]).await,
            Method::PgBackRest => {
                let port = format!("--pg1-port={}", postgres.address.port());
                for command in [
                    &["stanza-create"][..],
                    &["check"],
                    &["--type=full", "backup"],
                ] {
                    let mut arguments = vec![port.as_str()];
                    arguments.extend(command);
                    self.run(&arguments).await?;
                }
                Ok(())
            }
        }
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let config = format!("--config={}", self.config().display());
        let mut all = vec![config.as_str(), "--stanza=drill"];
        all.extend(arguments);
        self.programs.run("pgbackrest", &all).await?;
        Ok(())
    }

    /// How large it is.
    pub(crate) fn size_mb(&self) -> anyhow::Result<u64> {
        Ok(bytes_in(&self.dir.join("base"))? >> 20)
    }

    /// Puts the cluster back, so that its next start recovers until this moment and then takes writes.
    pub(crate) async fn restore(
        &self,
        postgres: &PostgresServer,
        moment: &str,
    ) -> anyhow::Result<()> {
        let data = &postgres.data;
        self.programs.directory(data)?;
        let (target, place) = (format!("--target={moment}"), data.display().to_string());
        match self.method {
            Method::BaseBackup => {
                let from = format!("{}/base/cluster/.", self.dir.display());
                self.programs.run("cp", &["-a", &from, &place]).await?;
                let mut settings = fs::File::options()
                    .append(true)
                    .open(data.join("postgresql.auto.conf"))?;
                writeln!(
                    settings,
                    "restore_command = 'cp {}/archive/%f %p'\nrecovery_target_time = '{moment}'\n\
                     recovery_target_action = 'promote'",
                    self.dir.display()
                )?;
                let signal = data.join("recovery.signal").display().to_string();
                self.programs.run("touch", &[&signal]).await?;
                Ok(())
            }
            Method::PgBackRest => {
                let arguments = ["--type=time", &target, "--target-action=promote", "restore"];
                self.run(&arguments).await
            }
        }
    }
}

fn bytes_in(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            bytes_in(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(bytes)
}

/// A moment after everything that is committed, as an operator writes it, and before everything that will be.
pub(crate) async fn moment(postgres: &PostgresServer) -> anyhow::Result<String> {
    let mut conn = postgres.connect().await?;
    let moment = sqlx::query_scalar("SELECT clock_timestamp()::text")
        .fetch_one(&mut conn)
        .await?;
    Ok(moment)
}

/// Waits until the archive has the log up to now, as it has within `archive_timeout`.
pub(crate) async fn archive_everything(postgres: &PostgresServer) -> anyhow::Result<()> {
    let mut conn = postgres.connect().await?;
    let file: String = sqlx::query_scalar("SELECT pg_walfile_name(pg_switch_wal())")
        .fetch_one(&mut conn)
        .await?;
    let is_there = format!("SELECT last_archived_wal >= '{file}' FROM pg_stat_archiver");
    postgres.wait_for(&is_there, ARCHIVED_WITHIN).await
}
