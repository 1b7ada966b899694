//! A platform that has its codes from an acquirer, called in the acquirer's dialect; the simulator is the acquirer.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use device_sim::api_faults::{ApiFaultRates, ApiFaults};
use device_sim::callback_faults::CallbackFaults;
use device_sim::issuer_orders::Orders;
use device_sim::output::Output;
use device_sim::partner::Partner;
use device_sim::partner::dialect::Acquirer;
use device_sim::partner::issuer_api::IssuerApi;
use device_sim::partner::snap::{PublicKey, Snap, key};
use device_sim::qr_issuer::{self, QrIssuer};
use platform::config::{Config, QrisPartnerApi};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::dialects::{self, PARTNER, SECRET};
use crate::simulator;
use crate::snap::{new_key, private_pem};
use crate::world::World;

/// What the acquirer calls us where a merchant has no name of its own.
pub const OUR_MERCHANT: &str = "OURS";
/// And a terminal.
pub const OUR_TERMINAL: &str = "OURS-T";

/// How its customers behave, and what becomes of the callbacks.
#[derive(Debug, Clone, Copy)]
pub struct Customers {
    /// They pay this long after the code was issued; none: never.
    pub pay_after: Option<Duration>,
    /// The faults of the callbacks.
    pub faults: CallbackFaults,
    /// Seeds the faults.
    pub seed: u64,
}

/// The acquirer, until it is dropped.
pub struct IssuingAcquirer {
    stop: CancellationToken,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it knows of its orders.
    pub orders: Orders,
    /// The faults of its API: none, until their rates are set.
    pub api_faults: ApiFaults,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Drop for IssuingAcquirer {
    fn drop(&mut self) {
        self.stop.cancel();
        self.running.abort();
    }
}

/// An address of this machine that is free.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Configures the API of the partner, with four different names for us.
pub fn configure_api(config: &mut Config, url: String, private_pem: &str) {
    let write = |name: &str, text: &str| {
        let file = config.data_dir.join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let api = QrisPartnerApi {
        url,
        client_id: "our-client-key".to_owned(),
        partner_id: "our-partner-id".to_owned(),
        merchant_id: OUR_MERCHANT.to_owned(),
        terminal_id: OUR_TERMINAL.to_owned(),
        ip_address: "192.0.2.7".to_owned(),
        private_key_file: write("our.pem", private_pem),
        secret_files: vec![write("our.secret", SECRET)],
        channel_id: "95221".to_owned(),
        ..QrisPartnerApi::default()
    };
    config.payments.partner_timeout_ms = 20_000;
    config.qris_partners.get_mut(PARTNER).unwrap().api = Some(api);
}

/// A platform that has its codes from an acquirer of this dialect.
pub async fn world(name: &str, customers: Customers) -> (World, IssuingAcquirer) {
    let (world, acquirer, _) = world_with_key(name, customers).await;
    (world, acquirer)
}

/// The same with the acquirer's RSA key, PEM.
pub async fn world_with_key(name: &str, customers: Customers) -> (World, IssuingAcquirer, String) {
    world_with(name, customers, |_| {}).await
}

/// The same with another configuration.
pub async fn world_with(
    name: &str,
    customers: Customers,
    change: impl FnOnce(&mut Config),
) -> (World, IssuingAcquirer, String) {
    let address = free_address();
    let (their_key, their_pem) = new_key();
    let (our_key, our_pem) = new_key();
    let world = World::with(|config| {
        dialects::configure(config, name, &their_pem);
        configure_api(config, format!("http://{address}"), &private_pem(&our_key));
        change(config);
    })
    .await;
    let their_key = private_pem(&their_key);
    let api = simulator::api(&world);
    let partner = match name {
        "snap" => Partner::snap(
            api,
            PARTNER.to_owned(),
            Snap::new(SECRET, &their_key).unwrap(),
        ),
        name => {
            let acquirer = Acquirer::new(name, SECRET, Some(&their_key)).unwrap();
            Partner::speaking(api, PARTNER.to_owned(), acquirer)
        }
    };
    let (orders, api_faults) = (
        Orders::default(),
        ApiFaults::new(customers.seed, ApiFaultRates::default()),
    );
    let issuer = QrIssuer {
        partner,
        api: IssuerApi::of(name).unwrap(),
        secret: key(SECRET),
        platform_key: PublicKey::from_pem(&our_pem).unwrap(),
        pay_after: customers.pay_after,
        faults: customers.faults,
        api_faults: api_faults.clone(),
        orders: orders.clone(),
        seed: customers.seed,
        output: Output::new(true),
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(qr_issuer::run(issuer, address, stop.clone()));
    let acquirer = IssuingAcquirer {
        stop,
        address,
        orders,
        api_faults,
        running,
    };
    (world, acquirer, their_key)
}
