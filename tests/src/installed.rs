//! Programs and libraries of other makers, where they are installed.
//!
//! A test that needs one that is missing prints that and passes. In CI, which installs them all, that is a failure.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where `.ci/run` puts libraries for stories: `node_modules` of npm, `python` of PyPI.
pub fn libraries() -> PathBuf {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../target").into();
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(beside);
    Path::new(&target).join("clients")
}

/// This program, which finds the libraries.
pub fn program(program: &str) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(program);
    command
        .env("NODE_PATH", libraries().join("node_modules"))
        .env("PYTHONPATH", libraries().join("python"));
    command
}

/// The first of these programs that runs with these arguments.
pub fn first(programs: &[&str], arguments: &[&str], advice: &str) -> Option<String> {
    let runs = |name: &&&str| {
        let mut command: Command = program(name).into_std();
        command
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let found = programs.iter().find(runs);
    if found.is_none() {
        missing(advice);
    }
    found.map(|program| (*program).to_owned())
}

/// Says how to install what is not there.
///
/// # Panics
/// In CI.
pub fn missing(advice: &str) {
    assert!(std::env::var_os("CI").is_none(), "not installed: {advice}");
    println!("skipped: {advice}");
}
