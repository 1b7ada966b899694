//! A box that is suspended while it runs, and activated again with a new key.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use device_sim::api::Api;
use device_sim::credentials::Credentials;
use device_sim::fleet::fleet_box::FleetBox;
use device_sim::link::Transport;
use device_sim::provision::{Activation, activate};
use device_sim::report::Listener;
use device_sim::run::run_box;
use device_sim::session::{CONTROLS_MAX, Options};
use tokio::sync::{Mutex, MutexGuard, mpsc};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use wire::DeviceId;

use crate::shared::Shared;

/// What a box has said, which it keeps over an activation.
const JOURNAL: &str = "journal.jsonl";
/// Between two attempts to activate.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How many attempts.
const ATTEMPTS_MAX: usize = 120;

/// The box.
pub(crate) struct SuspendedBox {
    /// Which box.
    pub(crate) device_id: DeviceId,
    api: Api,
    ca_pem: String,
    options: Options,
    shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
}

/// One activation of it.
pub(crate) struct Running {
    credentials: Credentials,
    stop: CancellationToken,
    // Keeps the box's controls open.
    _controls: mpsc::Sender<device_sim::session::Control>,
    task: JoinHandle<()>,
}

impl SuspendedBox {
    /// A box that does not run yet.
    pub(crate) fn new(
        device_id: DeviceId,
        api: Api,
        ca_pem: String,
        options: Options,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            device_id,
            api,
            ca_pem,
            options,
            shared,
            running: Mutex::default(),
        }
    }

    /// Runs it with these credentials.
    pub(crate) async fn begin(&self, credentials: Credentials) {
        *self.running.lock().await = Some(self.run(credentials));
    }

    /// What runs, unless somebody else is at it.
    pub(crate) fn running(&self) -> Option<MutexGuard<'_, Option<Running>>> {
        self.running.try_lock().ok()
    }

    fn run(&self, credentials: Credentials) -> Running {
        let shared = Arc::clone(&self.shared);
        let listener: Listener = Arc::new(move |report| shared.report(report));
        let (controls, taken) = mpsc::channel(CONTROLS_MAX);
        let stop = CancellationToken::new();
        let one = FleetBox::Native(credentials.clone(), Transport::Mqtt);
        let (shared, options, id) = (
            Arc::clone(&self.shared),
            self.options.clone(),
            self.device_id,
        );
        let until = stop.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = run_box(one, options, listener, taken, until).await {
                shared.problem(format!("{id} has ended: {error:#}"));
            }
        });
        Running {
            credentials,
            stop,
            _controls: controls,
            task,
        }
    }

    /// Activates it with a code, and runs it with what it got.
    pub(crate) async fn again(
        &self,
        running: &mut Option<Running>,
        activation_code: String,
    ) -> anyhow::Result<()> {
        let before = stopped(running).await.context("it did not run")?;
        let dir = next_to(before.dir())?;
        device_sim::credentials::make_dir(&dir)?;
        if before.dir().join(JOURNAL).exists() {
            std::fs::copy(before.dir().join(JOURNAL), dir.join(JOURNAL))?;
        }
        let activation = Activation {
            serial_number: before.device.serial_number.clone(),
            activation_code,
            payload_encoding: before.device.payload_encoding,
            firmware_version: before.device.firmware_version.clone(),
            terminal_id: before.device.terminal_id,
        };
        for _ in 0..ATTEMPTS_MAX {
            // The same code and key again: a lost answer costs nothing.
            if let Ok((credentials, _)) = activate(&self.api, &self.ca_pem, &dir, &activation).await
            {
                self.shared.evidence().lifting(self.device_id);
                *running = Some(self.run(credentials));
                return Ok(());
            }
            sleep(AGAIN_AFTER).await;
        }
        bail!("{} could not be activated again", self.device_id)
    }

    /// Stops it.
    pub(crate) async fn end(&self) {
        stopped(&mut *self.running.lock().await).await;
    }
}

/// Stops what runs; what it ran with.
async fn stopped(running: &mut Option<Running>) -> Option<Credentials> {
    let one = running.take()?;
    one.stop.cancel();
    let _ = one.task.await;
    Some(one.credentials)
}

/// A directory of the same box that is not there yet.
fn next_to(dir: &Path) -> anyhow::Result<PathBuf> {
    let parent = dir.parent().context("no parent")?;
    let number = std::fs::read_dir(parent)?.count();
    Ok(parent.join(format!("again-{number:05}")))
}
