//! Boxes of the simulator, run in this process as `device-sim` runs them.

use std::path::Path;
use std::sync::Arc;

use device_sim::fleet::fleet_box::FleetBox;
use device_sim::partner::Partner;
use device_sim::provision::{self, Activation};
use device_sim::report::{Event, Listener, Report};
use device_sim::run::run_box;
use device_sim::scenario::Environment;
use device_sim::scenario::merchant::Admin;
use device_sim::session::{CONTROLS_MAX, Control, Options};
use device_sim::vendor::firmware::Model;
use device_sim::vendor::provision::{NewVendorBox, register as register_vendor};
use domain::role::Role;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::{DeviceId, Encoding, TerminalId};

use crate::acquirer;
use crate::credentials::{bind, register};
use crate::world::World;

/// The server as the simulator sees it.
pub fn api(world: &World) -> device_sim::api::Api {
    device_sim::api::Api::new(&world.url(), world.app().root_pem()).unwrap()
}

/// This platform as a scenario's environment, with the acquirer of our merchants.
pub async fn environment(world: &World) -> Environment {
    let secret = acquirer::secret_of(acquirer::OURS);
    Environment {
        admin: Admin {
            api: api(world),
            token: world.token(Role::Admin).await,
        },
        ca_pem: world.app().root_pem().to_owned(),
        partner: Some(Partner::new(api(world), acquirer::OURS.to_owned(), &secret)),
        dir: None,
    }
}

/// A box of the simulator bound to a terminal, provisioned in `dir` and not started.
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

/// A box of another maker bound to a terminal, in `dir` and not started. It speaks MQTT by TLS, or `plain`.
pub async fn provision_vendor(
    world: &World,
    dir: &Path,
    profile: Model,
    terminal_id: TerminalId,
    plain: bool,
) -> DeviceId {
    let new = NewVendorBox::invented(profile, Some(terminal_id), plain);
    let token = world.token(Role::Admin).await;
    let root_pem = world.app().root_pem();
    let made = register_vendor(&api(world), &token, root_pem, dir, &new).await;
    made.unwrap().device.device_id
}

/// A running box.
pub struct Running {
    /// Its controls.
    pub controls: mpsc::Sender<Control>,
    reports: mpsc::UnboundedReceiver<Report>,
    stop: CancellationToken,
    session: JoinHandle<anyhow::Result<device_sim::soundbox::counters::Counters>>,
}

/// Starts the box in `dir`.
pub fn switch_on(dir: &Path, options: Options) -> Running {
    let (sender, reports) = mpsc::unbounded_channel();
    let listener: Listener = Arc::new(move |report: &Report| {
        // A story that has ended has dropped the receiver.
        let _gone = sender.send(report.clone());
    });
    let (controls, taken) = mpsc::channel(CONTROLS_MAX);
    let stop = CancellationToken::new();
    let one = FleetBox::load(dir, options.transport).unwrap();
    let session = run_box(one, options, listener, taken, stop.clone());
    Running {
        controls,
        reports,
        stop,
        session: tokio::spawn(session),
    }
}

impl Running {
    /// The first event for which `wanted` returns a value; earlier events are skipped.
    pub async fn until<T>(&mut self, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        crate::within("the expected event of the box", async {
            loop {
                let report = self.reports.recv().await.unwrap();
                if let Some(found) = wanted(&report.event) {
                    return found;
                }
            }
        })
        .await
    }

    /// Stops it properly, and returns the events that were not read.
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
