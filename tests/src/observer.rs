//! A service that watches the fleet, with a certificate of its own kind.

use std::sync::Arc;

use certs::csr::{Csr, KeyAndCsr, KeyKind};
use certs::serial::Serial;
use certs::tls::{chain_from_pem, client_config, key_from_pem, roots_from_pem};
use chrono::TimeDelta;
use rumqttc::{ConnectionError, QoS, SubscribeReasonCode};
use rustls::ClientConfig;

use crate::connection::{ConnectOptions, Connection};
use crate::world::World;

/// A service with a certificate as `certs issue --service` makes it.
#[derive(Debug, Clone)]
pub struct Observer {
    /// Its name.
    pub name: String,
    /// The serial number of its certificate.
    pub certificate_serial: String,
    tls: Arc<ClientConfig>,
}

impl Observer {
    /// A service with a fresh certificate.
    pub fn new(world: &World, name: &str) -> Self {
        let context = world.app().context();
        let key = KeyAndCsr::generate(KeyKind::P256, "a service").unwrap();
        let issued = context
            .ca()
            .unwrap()
            .issue_service(
                &Csr::parse_verified(key.csr_pem()).unwrap(),
                name,
                context.clock().now(),
                TimeDelta::days(1),
                Serial::random().unwrap(),
            )
            .unwrap();
        let identity = (
            chain_from_pem(&issued.chain_pem).unwrap(),
            key_from_pem(&key.key_pem()).unwrap(),
        );
        let roots = roots_from_pem(world.app().root_pem()).unwrap();
        Self {
            name: name.to_owned(),
            certificate_serial: issued.serial_hex,
            tls: client_config(roots, Some(identity), Vec::new()).unwrap(),
        }
    }

    /// Connects.
    pub async fn connect(&self, world: &World) -> Result<Connection, ConnectionError> {
        Connection::open(ConnectOptions {
            address: world.mqtt(),
            client_id: &self.name,
            clean: true,
            tls: Arc::clone(&self.tls),
        })
        .await
    }

    /// Connects and subscribes to all topics of the fleet.
    pub async fn watch(&self, world: &World) -> Connection {
        let mut connection = self.connect(world).await.unwrap();
        let granted = SubscribeReasonCode::Success(QoS::AtMostOnce);
        for filter in ["devices/+/uplink/#", "devices/+/downlink/#"] {
            assert_eq!(connection.subscribe(filter).await, granted);
        }
        connection
    }
}
