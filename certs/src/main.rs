//! `certs`: makes the fleet's certificate authority and issues certificates by hand.
//!
//! The platform issues device certificates itself. This command is for the first `init`, for the certificates of
//! services and of servers elsewhere, and for printing the contents of a file.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::Command::parse().run(cli::clock::now()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line: a backtrace does not help with a wrong argument.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
