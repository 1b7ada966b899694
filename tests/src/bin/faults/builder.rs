//! The merchants and boxes of a world.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use device_sim::fleet::fleet_box::FleetBox;
use device_sim::fleet::registrar::{Registrar, VendorKind, prepare};
use device_sim::link::Transport;
use device_sim::link::address::MqttAddress;
use device_sim::output::Output;
use device_sim::report::Listener;
use device_sim::run::run_box;
use device_sim::scenario::merchant::{Admin, Merchant};
use device_sim::session::{CONTROLS_MAX, Options};
use device_sim::vendor::firmware::Model;
use serde_json::json;
use tests::api::Api;
use tests::server::Server;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::{DeviceId, Encoding};

use crate::shared::{ListeningBox, Place, Shared};
use crate::suspended_box::SuspendedBox;
use crate::world::Node;

/// Boxes of a merchant that speak the contract, the first of them by HTTPS. Two of them share the first terminal.
const NATIVE_BOXES: usize = 6;
/// Terminals of a merchant; the last is that of a box of another maker.
const TERMINALS: usize = NATIVE_BOXES;
/// Keep-alive of boxes: a dead connection is noticed soon.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Between two heartbeats of a box.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(2);
/// What the first start made.
pub(crate) struct Made {
    /// Its acquirer.
    pub(crate) acquirer: tests::acquirer::Acquirer,
    /// An administrator.
    pub(crate) admin: Api,
    /// A client without a token.
    pub(crate) anonymous: Api,
    token: String,
    root_pem: String,
}

impl Made {
    /// Of this platform.
    pub(crate) fn of(server: &Server) -> anyhow::Result<Self> {
        let token = server.demo.tokens.get("admin").context("no token")?;
        Ok(Self {
            acquirer: server.acquirer(),
            admin: server.api("admin")?,
            anonymous: server.anonymous(),
            token: token.clone(),
            root_pem: server.root_pem.clone(),
        })
    }
}

/// The boxes of a world.
pub(crate) struct AllBoxes {
    /// Boxes that stay where they are.
    pub(crate) listening: Vec<ListeningBox>,
    /// The box that moves, and where it moves between.
    pub(crate) moving: (ListeningBox, [Place; 2]),
    /// The box that is suspended and activated again.
    pub(crate) suspended_box: SuspendedBox,
}

/// Makes merchants and boxes.
pub(crate) struct Builder<'a> {
    dir: PathBuf,
    made: &'a Made,
    nodes: &'a [Node],
    shared: &'a Arc<Shared>,
    stop: CancellationToken,
    boxes: Vec<JoinHandle<()>>,
}

impl<'a> Builder<'a> {
    /// Makes them in this directory.
    pub(crate) fn new(
        dir: PathBuf,
        made: &'a Made,
        nodes: &'a [Node],
        shared: &'a Arc<Shared>,
    ) -> Self {
        Self {
            dir,
            made,
            nodes,
            shared,
            stop: CancellationToken::new(),
            boxes: Vec::new(),
        }
    }

    /// Two merchants with their boxes, one of each encoding, each box running.
    pub(crate) async fn all_boxes(&mut self) -> anyhow::Result<AllBoxes> {
        let (first, mut listening) = self.merchant("a", Encoding::Json).await?;
        let (second, others) = self.merchant("b", Encoding::Msgpack).await?;
        listening.extend(others);
        let place = |places: &[Place], number: usize| {
            let place = places.get(number).cloned();
            place.context("no terminal")
        };
        let between = [place(&first, 1)?, place(&second, 1)?];
        let moving = self.one("moving", &between[0]).await?;
        let moving = self.run(moving, &between[0])?;
        let at = place(&first, 2)?;
        let suspended_box = self.one("suspended_box", &at).await?;
        Ok(AllBoxes {
            listening,
            moving: (moving, between),
            suspended_box: self.suspended_box(suspended_box, &at).await?,
        })
    }

    /// What stops the boxes, and their tasks.
    pub(crate) fn running(self) -> (CancellationToken, Vec<JoinHandle<()>>) {
        (self.stop, self.boxes)
    }

    /// A merchant with its boxes, each running.
    async fn merchant(
        &mut self,
        name: &str,
        encoding: Encoding,
    ) -> anyhow::Result<(Vec<Place>, Vec<ListeningBox>)> {
        let dir = self.dir.join(name);
        device_sim::credentials::make_dir(&dir)?;
        let admin = self.admin()?;
        let merchant = admin.merchant(&dir, name, TERMINALS).await?;
        let path = format!("/admin/merchants/{}", merchant.id());
        let paid_out = json!({ "payout_mode": "merchant_direct" });
        let token = self.made.admin.at(admin.api.base());
        token.change(&path, &paid_out).await;
        let places = places_of(&merchant);
        let (last, native) = places.split_last().context("no terminals")?;
        let mut listening = Vec::new();
        let kinds = [
            (native, NATIVE_BOXES, 1, None),
            (std::slice::from_ref(last), 1, 0, Some(vendor_kind())),
        ];
        for (at, count, http, vendor) in kinds {
            let part = if vendor.is_some() { "vendor" } else { "native" };
            let registrar = Registrar {
                terminals: at.iter().map(|place| place.id).collect(),
                http,
                encoding,
                vendor,
                ..self.registrar()?
            };
            let own = self.boxes_of(&dir.join(part), count, &registrar).await?;
            for (number, one) in own.into_iter().enumerate() {
                let place = at.get(number % at.len()).context("no terminal")?;
                listening.push(self.run(one, place)?);
            }
        }
        Ok((places, listening))
    }

    /// A box of the contract, alone in a directory.
    async fn one(&self, name: &str, place: &Place) -> anyhow::Result<FleetBox> {
        let registrar = Registrar {
            terminals: vec![place.id],
            ..self.registrar()?
        };
        let mut own = self.boxes_of(&self.dir.join(name), 1, &registrar).await?;
        own.pop().context("no box")
    }

    async fn suspended_box(&self, one: FleetBox, place: &Place) -> anyhow::Result<SuspendedBox> {
        let FleetBox::Native(credentials, _) = one else {
            bail!("a box of the contract is expected");
        };
        self.stands(credentials.device.device_id, place);
        let suspended_box = SuspendedBox::new(
            credentials.device.device_id,
            self.api()?,
            self.made.root_pem.clone(),
            self.options(self.boxes.len()),
            Arc::clone(self.shared),
        );
        suspended_box.begin(credentials).await;
        Ok(suspended_box)
    }

    /// Where a box stands from the beginning.
    fn stands(&self, device_id: DeviceId, place: &Place) {
        let mut evidence = self.shared.evidence();
        evidence.binding_asked(device_id, place.id);
        evidence.bound(device_id);
    }

    fn options(&self, number: usize) -> Options {
        let mqtt = self.nodes.iter().map(|node| MqttAddress {
            host: node.mqtt.address().ip().to_string(),
            port: node.mqtt.address().port(),
        });
        Options {
            number,
            mqtt: mqtt.collect(),
            heartbeat: Some(HEARTBEAT_EVERY),
            keep_alive: KEEP_ALIVE,
            ..Options::default()
        }
    }

    async fn boxes_of(
        &self,
        dir: &Path,
        count: usize,
        registrar: &Registrar,
    ) -> anyhow::Result<Vec<FleetBox>> {
        device_sim::credentials::make_dir(dir)?;
        prepare(dir, count, Some(registrar), Output::new(true)).await
    }

    fn run(&mut self, mut one: FleetBox, place: &Place) -> anyhow::Result<ListeningBox> {
        let number = self.boxes.len();
        let node = self
            .nodes
            .get(number % self.nodes.len())
            .context("no nodes")?;
        let (token, is_mqtt) = match &mut one {
            FleetBox::Native(credentials, transport) => {
                let token = credentials.device.device_token.clone();
                (Some(token), *transport == Transport::Mqtt)
            }
            FleetBox::Vendor(credentials) => {
                let address = node.vendor.address();
                credentials.device.mqtt_host = address.ip().to_string();
                credentials.device.mqtt_port = address.port();
                (None, true)
            }
        };
        let options = self.options(number);
        let device_id = one.device_id();
        self.stands(device_id, place);
        let shared = Arc::clone(self.shared);
        let listener: Listener = Arc::new(move |report| shared.report(report));
        let (controls, taken) = mpsc::channel(CONTROLS_MAX);
        let (shared, stop) = (Arc::clone(self.shared), self.stop.clone());
        self.boxes.push(tokio::spawn(async move {
            if let Err(error) = run_box(one, options, listener, taken, stop).await {
                shared.problem(format!("{device_id} has ended: {error:#}"));
            }
        }));
        Ok(ListeningBox {
            device_id,
            place: place.clone(),
            controls,
            token,
            is_mqtt,
        })
    }

    fn admin(&self) -> anyhow::Result<Admin> {
        Ok(Admin {
            api: self.api()?,
            token: self.made.token.clone(),
        })
    }

    fn api(&self) -> anyhow::Result<device_sim::api::Api> {
        let node = self.nodes.first().context("no nodes")?;
        let url = format!("https://{}", node.shop.address());
        device_sim::api::Api::new(&url, &self.made.root_pem)
    }

    fn registrar(&self) -> anyhow::Result<Registrar> {
        Ok(Registrar {
            api: self.api()?,
            ca_pem: self.made.root_pem.clone(),
            admin_token: self.made.token.clone(),
            terminals: Vec::new(),
            http: 0,
            encoding: Encoding::Json,
            firmware_version: "1.0.0".to_owned(),
            vendor: None,
        })
    }
}

fn vendor_kind() -> VendorKind {
    // It remembers the last ids, so that it says nothing twice.
    VendorKind {
        profile: Model::Eg800ak,
        plain: false,
        asks: false,
    }
}

fn places_of(merchant: &Merchant) -> Vec<Place> {
    let terminals = merchant.terminals.iter();
    let place = |terminal: &device_sim::scenario::merchant::Terminal| Place {
        id: terminal.id,
        nmid: merchant.nmid.clone(),
        label: terminal.label.clone(),
    };
    terminals.map(place).collect()
}
