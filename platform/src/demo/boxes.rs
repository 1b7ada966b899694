//! The boxes: provisioned through the public API with keys of their own, and kept from run to run.
//!
//! ```text
//! boxes/DEMO-0001/    a credentials directory: key.pem, cert.pem, ca.pem, device.json, and the box's journal
//! boxes-running/      links to the boxes of this run
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::api::{Api, SeededDevice};
use super::private_file;

/// Activations at a time.
const ACTIVATIONS_AT_ONCE: usize = 4;
/// How long the boxes of a killed run may take to end; each may take two seconds to disconnect.
const EARLIER_END_WITHIN: Duration = Duration::from_secs(15);
const LOCK_POLL: Duration = Duration::from_millis(10);

/// The server's addresses. Ports may change from run to run.
pub(super) struct Server<'a> {
    pub(super) api_url: &'a str,
    pub(super) mqtt_host: &'a str,
    pub(super) mqtt_port: u16,
    pub(super) ca_file: &'a Path,
    pub(super) ca_pem: &'a str,
}

/// Waits until no box of an earlier run is alive, and locks the directory: two processes must not share a journal.
///
/// # Errors
/// Boxes of an earlier run that do not end.
pub(super) async fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join("boxes.lock");
    let named = || path.display().to_string();
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(named)?;
    let deadline = Instant::now() + EARLIER_END_WITHIN;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(LOCK_POLL).await,
            Err(TryLockError::WouldBlock) => anyhow::bail!(
                "boxes of an earlier run are still running ({} is locked)",
                path.display()
            ),
            Err(TryLockError::Error(error)) => return Err(error).with_context(named),
        }
    }
}

/// Provisions the missing boxes, updates the server's addresses in all of them, and links them. Returns their
/// credentials directories in the order of `devices`.
///
/// # Errors
/// A box that cannot be provisioned.
pub(super) async fn prepare(
    data_dir: &Path,
    simulator: &Path,
    api: &Api,
    server: &Server<'_>,
    devices: &[SeededDevice],
) -> anyhow::Result<Vec<PathBuf>> {
    let all = dir(data_dir);
    private_file::make_dir(&all)?;
    let dirs: Vec<PathBuf> = stream::iter(devices)
        .map(|device| {
            let dir = all.join(&device.serial_number);
            async move {
                ensure(&dir, simulator, api, server, device)
                    .await
                    .with_context(|| {
                        format!("cannot provision the box {}", device.serial_number)
                    })?;
                anyhow::Ok(dir)
            }
        })
        .buffered(ACTIVATIONS_AT_ONCE)
        .try_collect()
        .await?;
    link(&running_dir(data_dir), &dirs)?;
    Ok(dirs)
}

fn dir(data_dir: &Path) -> PathBuf {
    data_dir.join("boxes")
}

/// The directory with links to the boxes of this run.
pub(super) fn running_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("boxes-running")
}

async fn ensure(
    dir: &Path,
    simulator: &Path,
    api: &Api,
    server: &Server<'_>,
    device: &SeededDevice,
) -> anyhow::Result<()> {
    match update(dir, server, device) {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(error) => tracing::warn!("{} is provisioned again: {error:#}", dir.display()),
    }
    if dir.join("device.json").exists() {
        // A box of another database or another CA: its credentials are not valid here.
        fs::remove_dir_all(dir).with_context(|| dir.display().to_string())?;
    }
    let code = match &device.activation_code {
        Some(code) => code.clone(),
        None => api.renew_activation_code(device.device_id).await?,
    };
    let output = Command::new(simulator)
        .arg("provision")
        .args(["--url", server.api_url])
        .arg("--ca")
        .arg(server.ca_file)
        .args(["--serial", &device.serial_number])
        .arg("--dir")
        .arg(dir)
        .args(["--terminal", &device.terminal_id.to_string()])
        // Not on the command line, where other users see it.
        .env("ACTIVATION_CODE", code)
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot start {}", simulator.display()))?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    anyhow::ensure!(
        update(dir, server, device)?,
        "the credentials in {} are not those of {}",
        dir.display(),
        device.device_id
    );
    Ok(())
}

/// Whether `dir` holds this box of this server. If so, the server's addresses in it are updated.
fn update(dir: &Path, server: &Server<'_>, device: &SeededDevice) -> anyhow::Result<bool> {
    let file = dir.join("device.json");
    let text = match fs::read(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let mut known: Value =
        serde_json::from_slice(&text).with_context(|| file.display().to_string())?;
    let ca = fs::read_to_string(dir.join("ca.pem"))?;
    if known["device_id"] != json!(device.device_id) || ca.trim() != server.ca_pem.trim() {
        return Ok(false);
    }
    let now = [
        ("api_url", json!(server.api_url)),
        ("mqtt_host", json!(server.mqtt_host)),
        ("mqtt_port", json!(server.mqtt_port)),
        ("terminal_id", json!(device.terminal_id)),
    ];
    if now.iter().any(|(key, value)| known[key] != *value) {
        for (key, value) in now {
            known[key] = value;
        }
        private_file::write(&file, &serde_json::to_vec_pretty(&known)?, 0o600)?;
    }
    Ok(true)
}

/// Replaces `running` by a directory of links to exactly these boxes.
fn link(running: &Path, dirs: &[PathBuf]) -> anyhow::Result<()> {
    let attempt = || -> io::Result<()> {
        match fs::remove_dir_all(running) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir(running)?;
        for dir in dirs {
            if let Some(name) = dir.file_name() {
                std::os::unix::fs::symlink(dir, running.join(name))?;
            }
        }
        Ok(())
    };
    attempt().with_context(|| running.display().to_string())
}
