//! `certs`: makes the fleet's certificate authority and issues certificates by hand.
//!
//! The platform issues device certificates by itself; this command is for the first `init`, for
//! the certificates of services and of servers elsewhere, and for looking into a file.

mod cli;

use clap::Parser as _;

fn main() -> anyhow::Result<()> {
    cli::Command::parse().run(cli::clock::now())
}
