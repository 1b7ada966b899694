//! The files of `config/deploy`: what reads them accepts them, and they name metrics that there are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tests::installed;
use tests::prelude::*;

/// What the names of metrics end with.
const ENDINGS: [&str; 6] = [
    "_total", "_live", "_waiting", "_streams", "_seconds", "_size",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The metrics that a file names.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words
        .map(|word| word.strip_suffix("_bucket").unwrap_or(word))
        .map(|word| word.strip_suffix("_count").unwrap_or(word))
        .filter(|word| ENDINGS.iter().any(|ending| word.ends_with(ending)))
        .collect()
}

/// The source of what records metrics.
fn sources(dir: &Path, text: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_metric_of_the_rules_and_the_dashboard_is_recorded() {
    let mut source = String::new();
    for dir in ["broker/src", "platform"] {
        sources(&root().join(dir), &mut source);
    }
    let rules = read("config/deploy/prometheus/rules.yaml");
    let dashboard = read("config/deploy/grafana/dashboard.json");
    let mut named = metrics_in(&rules);
    named.append(&mut metrics_in(&dashboard));
    assert!(named.len() > 20, "{named:?}");
    let unknown: Vec<_> = named
        .iter()
        .filter(|name| !source.contains(&format!("\"{name}\"")))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// Runs a program that checks a file of `config/deploy`.
async fn accepts(program: &str, arguments: &[&str]) {
    let output = installed::program(program)
        .args(arguments)
        .current_dir(root().join("config/deploy"))
        .stdin(Stdio::null())
        .output();
    let output = within(program, output).await.unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
}

#[tokio::test]
async fn prometheus_accepts_the_rules_and_their_tests_pass() {
    let advice = "apt-get install prometheus";
    if installed::first(&["promtool"], &["--version"], advice).is_some() {
        accepts(
            "promtool",
            &["check", "config", "prometheus/prometheus.yaml"],
        )
        .await;
        accepts("promtool", &["test", "rules", "prometheus/rules_test.yaml"]).await;
    }
}

#[tokio::test]
async fn haproxy_accepts_its_configuration() {
    if installed::first(&["/usr/sbin/haproxy"], &["-v"], "apt-get install haproxy").is_some() {
        accepts("/usr/sbin/haproxy", &["-c", "-f", "haproxy/haproxy.cfg"]).await;
    }
}

#[tokio::test]
async fn systemd_accepts_the_service() {
    let found = installed::first(
        &["systemd-analyze"],
        &["--version"],
        "apt-get install systemd",
    );
    if found.is_none() {
        return;
    }
    // The program need not be installed.
    let dir = tempfile::tempdir().unwrap();
    let unit = read("config/deploy/systemd/qris-soundbox.service");
    let unit = unit.replace("/usr/local/bin/platform", "/bin/true");
    let path = dir.path().join("qris-soundbox.service");
    std::fs::write(&path, unit).unwrap();
    let path = path.to_str().unwrap();
    accepts("systemd-analyze", &["verify", "--man=no", path]).await;
    // 0 is locked up, 10 is free to do anything.
    accepts(
        "systemd-analyze",
        &["security", "--offline=true", "--threshold=20", path],
    )
    .await;
}
