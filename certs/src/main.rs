//! `certs`: makes the fleet's certificate authority and issues certificates by hand.
//!
//! The platform issues device certificates by itself; this command is for the first `init`, for
//! the certificates of services and of servers elsewhere, and for looking into a file.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::Command::parse().run(cli::clock::now()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line for people; a backtrace would say nothing about a wrong argument.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
