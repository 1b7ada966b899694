//! The commands, their arguments and what they print.

pub(crate) mod clock;
mod issue;
mod show;

use std::path::PathBuf;

use anyhow::Context as _;
use certs::authority::{self, FleetCa, InitOptions};
use chrono::{DateTime, TimeDelta, Utc};

/// Makes the fleet's certificate authority and issues certificates.
#[derive(clap::Parser)]
#[command(name = "certs", version, propagate_version = true)]
pub(crate) enum Command {
    /// Make a root and an issuing CA in a new directory.
    Init(Init),
    /// Issue a certificate for a device, a service or a server.
    Issue(issue::Issue),
    /// Print what is in a file of certificates or a signing request.
    Show(show::Show),
}

/// The CA's directory.
#[derive(clap::Args)]
struct CaDir {
    /// The CA's directory.
    #[arg(long, value_name = "DIR", default_value = "ca")]
    ca: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct Init {
    #[command(flatten)]
    dir: CaDir,
    /// The organisation in the CA certificates' names.
    #[arg(long, default_value = "QRIS Soundbox")]
    organisation: String,
    /// Days for which the root is valid.
    #[arg(long, default_value_t = 20 * 365, value_parser = clap::value_parser!(u32).range(1..))]
    root_days: u32,
    /// Days for which the issuing CA is valid.
    #[arg(long, default_value_t = 5 * 365, value_parser = clap::value_parser!(u32).range(1..))]
    issuing_days: u32,
}

impl Command {
    /// Runs the command at the time `now`.
    pub(crate) fn run(self, now: DateTime<Utc>) -> anyhow::Result<()> {
        match self {
            Self::Init(init) => init.run(now),
            Self::Issue(issue) => issue.run(now),
            Self::Show(show) => show.run(),
        }
    }
}

impl Init {
    fn run(self, now: DateTime<Utc>) -> anyhow::Result<()> {
        let dir = self.dir.ca;
        let options = InitOptions {
            organisation: self.organisation,
            root_valid: days(self.root_days),
            issuing_valid: days(self.issuing_days),
        };
        FleetCa::init(&dir, now, &options).context("no certificate authority was made")?;
        println!("Certificate authority made in {}", dir.display());
        println!(
            "Move {} to a safe storage outside this machine; it is not needed here.",
            dir.join(authority::OFFLINE_DIR).display()
        );
        Ok(())
    }
}

fn days(count: u32) -> TimeDelta {
    TimeDelta::days(i64::from(count))
}
