//! Boxes of the simulator, run in this process as `device-sim` runs them.

use std::path::Path;
use std::sync::Arc;

use device_sim::credentials::Credentials;
use device_sim::partner::Partner;
use device_sim::provision::{self, Activation};
use device_sim::report::{Event, Listener, Report};
use device_sim::scenario::Place;
use device_sim::scenario::shop::Admin;
use device_sim::session::{self, CONTROLS_MAX, Control, Options};
use domain::role::Role;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::{DeviceId, Encoding, TerminalId};

use crate::acquirer;
use crate::credentials::{bind, register};
use crate::world::World;

/// The server as the simulator sees it.
fn api(world: &World) -> device_sim::api::Api {
    device_sim::api::Api::new(&world.url(), world.app().root_pem()).unwrap()
}

/// Where a scenario is played: this platform, with the acquirer of our merchants.
pub async fn place(world: &World) -> Place {
    let secret = acquirer::secret_of(acquirer::OURS);
    Place {
        admin: Admin {
            api: api(world),
            token: world.token(Role::Admin).await,
        },
        ca_pem: world.app().root_pem().to_owned(),
        partner: Some(Partner::new(api(world), acquirer::OURS.to_owned(), &secret)),
        dir: None,
    }
}

/// A box of the simulator at a till, provisioned in `dir` and switched off.
pub async fn provision(world: &World, dir: &Path, terminal_id: TerminalId) -> DeviceId {
    let registered = register(world).await;
    bind(world, registered.device_id, terminal_id).await;
    let activation = Activation {
        serial_number: registered.serial_number,
        activation_code: registered.activation_code,
        payload_encoding: Encoding::Json,
        firmware_version: "1.0.3".to_owned(),
        terminal_id: Some(terminal_id),
    };
    let root_pem = world.app().root_pem();
    let made = provision::activate(&api(world), root_pem, dir, &activation).await;
    made.unwrap().0.device.device_id
}

/// A box that runs.
pub struct Running {
    /// What can be done to it.
    pub controls: mpsc::Sender<Control>,
    reports: mpsc::UnboundedReceiver<Report>,
    stop: CancellationToken,
    session: JoinHandle<anyhow::Result<device_sim::soundbox::counters::Counters>>,
}

/// Switches on the box in `dir`.
pub fn switch_on(dir: &Path, options: Options) -> Running {
    let (sender, reports) = mpsc::unbounded_channel();
    let listener: Listener = Arc::new(move |report: &Report| {
        // A story that has ended listens no more.
        let _gone = sender.send(report.clone());
    });
    let (controls, taken) = mpsc::channel(CONTROLS_MAX);
    let stop = CancellationToken::new();
    let credentials = Credentials::load(dir).unwrap();
    let session = session::run(credentials, options, listener, taken, stop.clone());
    Running {
        controls,
        reports,
        stop,
        session: tokio::spawn(session),
    }
}

impl Running {
    /// The next thing that `wanted` makes something of; what came before is passed over.
    pub async fn until<T>(&mut self, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        crate::within("the box to do what it is waited for", async {
            loop {
                let report = self.reports.recv().await.unwrap();
                if let Some(found) = wanted(&report.event) {
                    return found;
                }
            }
        })
        .await
    }

    /// Switches it off in order, and gives what it did that nobody has looked at.
    pub async fn switch_off(mut self) -> Vec<Event> {
        self.stop.cancel();
        self.session.await.unwrap().unwrap();
        let mut rest = Vec::new();
        while let Ok(report) = self.reports.try_recv() {
            rest.push(report.event);
        }
        rest
    }
}
