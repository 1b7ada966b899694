//! Boxes of other makers as a plain MQTT client that knows nothing but its user name, its password and its topics.

use std::net::SocketAddr;
use std::time::Duration;

use platform::config::Config;
use rumqttc::{ConnectReturnCode, ConnectionError, MqttOptions, TlsConfiguration, Transport};
use serde_json::{Value, json};
use wire::{DeviceId, TerminalId};

use crate::connection::Connection;
use crate::fields::text;
use crate::world::World;

/// Turns both listeners on.
pub fn listeners(config: &mut Config) {
    let anywhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
    config.mqtt.vendor.listen = Some(anywhere);
    config.mqtt.vendor.plain_listen = Some(anywhere);
}

/// The IMEI of a box that is registered without another.
const IMEI: &str = "860000000000017";

/// A registered box.
#[derive(Debug, Clone)]
pub struct VendorBox {
    /// Its id.
    pub device_id: DeviceId,
    /// What the registration answered under `mqtt`.
    pub mqtt: Value,
}

impl VendorBox {
    /// Registers a box of this profile through the API, at no terminal.
    pub async fn register(world: &World, profile: &str, serial_number: &str) -> Self {
        Self::register_as(world, profile, serial_number, IMEI).await
    }

    /// The same with this IMEI, by which some boxes join.
    pub async fn register_as(
        world: &World,
        profile: &str,
        serial_number: &str,
        imei: &str,
    ) -> Self {
        let new = json!({
            "serial_number": serial_number,
            "model": profile,
            "capabilities": ["speaker", "display"],
            "profile": profile,
            "imei": imei,
            "product_key": "PK7",
        });
        let created = world.admin().create("/admin/devices", &new).await;
        Self {
            device_id: text(&created, "id").parse().unwrap(),
            mqtt: created["mqtt"].clone(),
        }
    }

    /// The same, bound to a terminal.
    pub async fn at(
        world: &World,
        profile: &str,
        serial_number: &str,
        terminal_id: TerminalId,
    ) -> Self {
        let own = Self::register(world, profile, serial_number).await;
        own.bind(world, terminal_id).await;
        own
    }

    /// Binds it to a terminal.
    pub async fn bind(&self, world: &World, terminal_id: TerminalId) {
        let bind = json!({ "terminal_id": terminal_id });
        let path = format!("{}/bind", self.path());
        world.admin().act(&path, &bind).await;
    }

    /// Takes it from its terminal.
    pub async fn unbind(&self, world: &World) {
        let path = format!("{}/unbind", self.path());
        world.admin().act(&path, &json!({})).await;
    }

    /// Its path in the API.
    pub fn path(&self) -> String {
        format!("/admin/devices/{}", self.device_id)
    }

    /// The topic that it subscribes to.
    pub fn down(&self) -> String {
        text(&self.mqtt, "subscribe_topic")
    }

    /// The first topic that it may publish.
    pub fn up(&self) -> String {
        self.mqtt["publish_topics"][0].as_str().unwrap().to_owned()
    }

    /// Connects without TLS, with a kept session, as a user name and a password.
    pub async fn connect_as(
        world: &World,
        user_name: &str,
        password: &str,
    ) -> Result<Connection, ConnectionError> {
        let address = world.app().edge().plain_addr().unwrap();
        let mut options = MqttOptions::new(
            format!("soundbox-{user_name}"),
            address.ip().to_string(),
            address.port(),
        );
        options
            .set_credentials(user_name, password)
            .set_clean_session(false)
            .set_keep_alive(Duration::from_secs(60));
        Connection::open_with(options).await
    }

    /// Connects by TLS and beginning without a session, as boxes do that keep none, and subscribes to all of its topics.
    pub async fn listen_anew(&self, world: &World) -> Connection {
        let mut connection = self.open_by_tls(world, true).await.unwrap();
        for topic in texts(self.mqtt["subscribe_topics"].as_array().unwrap()) {
            connection.subscribe(&topic).await;
        }
        connection
    }

    /// Connects without TLS.
    pub async fn connect(&self, world: &World) -> Result<Connection, ConnectionError> {
        let (user_name, password) = (text(&self.mqtt, "username"), text(&self.mqtt, "password"));
        Self::connect_as(world, &user_name, &password).await
    }

    /// Connects by TLS, trusting the fleet's root.
    pub async fn connect_by_tls(&self, world: &World) -> Result<Connection, ConnectionError> {
        self.open_by_tls(world, false).await
    }

    async fn open_by_tls(
        &self,
        world: &World,
        clean_session: bool,
    ) -> Result<Connection, ConnectionError> {
        let address = world.app().edge().password_addr().unwrap();
        let mut options = MqttOptions::new(
            text(&self.mqtt, "client_id"),
            address.ip().to_string(),
            address.port(),
        );
        let roots = certs::tls::roots_from_pem(world.app().root_pem()).unwrap();
        let tls = certs::tls::client_config(roots, None, Vec::new()).unwrap();
        options
            .set_credentials(text(&self.mqtt, "username"), text(&self.mqtt, "password"))
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)))
            .set_clean_session(clean_session)
            .set_keep_alive(Duration::from_secs(60));
        Connection::open_with(options).await
    }

    /// Connects, and subscribes to its topic.
    pub async fn listen(&self, world: &World) -> Connection {
        let mut connection = self.connect(world).await.unwrap();
        connection.subscribe(&self.down()).await;
        connection
    }

    /// What the API has of its notifications, newest first.
    pub async fn notifications(&self, world: &World) -> Vec<Value> {
        let path = format!("{}/notifications", self.path());
        world.admin().list(&path).await
    }

    /// Sets its status through the API.
    pub async fn set_status(&self, world: &World, status: &str) {
        world
            .admin()
            .change(&self.path(), &json!({ "status": status }))
            .await;
    }
}

fn texts(list: &[Value]) -> Vec<String> {
    let text = |one: &Value| one.as_str().unwrap().to_owned();
    list.iter().map(text).collect()
}

/// Puts a command into the outbox of a box; its id.
pub async fn order(world: &World, own: &VendorBox, kind: &str, payload: Value) -> String {
    let path = format!("{}/commands", own.path());
    let new = json!({ "type": kind, "payload": payload });
    let ordered = world.admin().post_once(&path, &new).await;
    text(&ordered.expect(201).data(), "id")
}

/// Receives a message, confirms it, and reads it as JSON.
pub async fn hear(connection: &mut Connection) -> Value {
    let message = connection.receive().await;
    connection.confirm(&message).await;
    serde_json::from_slice(&message.payload).unwrap()
}

/// Expects CONNACK 4: user name or password is wrong.
#[track_caller]
pub fn assert_wrong_password(refused: Result<Connection, ConnectionError>) {
    match refused {
        Err(ConnectionError::ConnectionRefused(ConnectReturnCode::BadUserNamePassword)) => {}
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it was admitted"),
    }
}
