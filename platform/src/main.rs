//! The QRIS soundbox platform service: HTTP API, MQTT bridge, payments, background jobs.
//!
//! [`cli`] reads the command line and runs one command. [`demo`] is a client of the public API that happens to start
//! the server it talks to; it lives in the executable so that nothing in the library can lean on it.

mod cli;
mod demo;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
