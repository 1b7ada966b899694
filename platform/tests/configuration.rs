//! A wrong configuration, as the executable reports it.
//!
//! Cargo builds a package's executable for the package's own integration tests. The stories run it too.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

use std::path::Path;
use std::process::{Command, Stdio};

/// What the platform reports on stderr with this configuration.
fn audit_verify(config: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_platform"))
        .args(["audit", "verify", "--config"])
        .arg(config)
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_wrong_configuration_is_named_with_its_file_and_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("production.toml");
    for (content, key) in [
        ("[http]\nlisten = \"nowhere\"\n", "http.listen"),
        ("[http]\nlisten_on = \"127.0.0.1:1\"\n", "http.listen_on"),
        ("[mqtt]\npackets_per_s_max = 1\n", "mqtt.packets_per_s_max"),
        (
            "[health]\ntrading_hours = \"morning\"\n",
            "health.trading_hours",
        ),
        (
            "[payments]\nqr_partner = \"nobody\"\n",
            "payments.qr_partner",
        ),
    ] {
        let content = format!("data_dir = {:?}\n{content}", dir.path());
        std::fs::write(&config, content).unwrap();
        let output = audit_verify(&config);
        assert!(output.contains(key), "{key}: {output}");
        assert!(
            output.contains(&config.display().to_string()),
            "{key}: {output}"
        );
    }
}
