//! Unmodified clients of other makers, with a certificate issued by activation: Mosquitto's, Eclipse Paho's,
//! MQTT.js and rumqttc, each in both versions of the protocol.
//!
//! Where one is not installed its test passes: see `tests::installed`.

use std::path::Path;
use std::process::Stdio;
use tests::installed;
use tests::prelude::*;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::process::Command;
use wire::{Channel, DeviceId, DownlinkMessage, Topic};

use crate::view::of_version_5;

const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients");
pub(crate) const VERSIONS: [&str; 2] = ["311", "5"];

/// How a program ended, and its output.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
}

/// A box's credentials as files, and the port of the platform.
struct Files {
    dir: tempfile::TempDir,
    port: String,
    device_id: DeviceId,
}

impl Files {
    fn of(world: &World, credentials: &Credentials) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("ca.pem", &credentials.root_pem),
            ("cert.pem", &credentials.chain_pem),
            ("key.pem", &credentials.key_pem),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Self {
            dir,
            port: world.mqtt().port().to_string(),
            device_id: credentials.device_id,
        }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// `mosquitto_sub` or `mosquitto_pub` as this box; without a certificate when it is not its `own`.
    fn mosquitto(&self, program: &str, version: &str, own: bool, topic: &str) -> Command {
        let mut command = Command::new(program);
        let version = if version == "5" { "mqttv5" } else { "mqttv311" };
        command.args(["-h", "localhost", "-p", &self.port, "-V", version]);
        command.args(["--cafile", &self.path("ca.pem")]);
        if own {
            let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
            command.args(["--cert", &cert, "--key", &key]);
        }
        command.args(["-i", &self.device_id.to_string(), "-q", "1", "-t", topic]);
        command
    }

    /// `mosquitto_sub` for one message, or until it is refused.
    fn mosquitto_sub(&self, version: &str, own: bool, topic: &str) -> Command {
        let mut command = self.mosquitto("mosquitto_sub", version, own, topic);
        command.args(["-C", "1", "-W", "15", "-F", "%t %p"]);
        command
    }

    /// `mosquitto_pub` of a heartbeat.
    fn mosquitto_pub(&self, version: &str, topic: &str) -> Command {
        let mut command = self.mosquitto("mosquitto_pub", version, true, topic);
        command.args(["-m", &self.heartbeat()]);
        command
    }

    /// One of the boxes in `tests/clients`.
    fn scripted(&self, script: &Scripted, version: &str, own: bool, topic: &str) -> Command {
        let mut command = installed::program(&script.interpreter);
        let (cert, key) = if own {
            (self.path("cert.pem"), self.path("key.pem"))
        } else {
            ("-".to_owned(), "-".to_owned())
        };
        command.arg(format!("{CLIENTS}/{}", script.file));
        command.args(["localhost", &self.port, &self.path("ca.pem"), &cert, &key]);
        command.args([&self.device_id.to_string(), version, topic]);
        let heartbeats = Topic::new(self.device_id, Channel::Heartbeat).to_string();
        command.args([heartbeats, self.heartbeat()]);
        command
    }

    fn heartbeat(&self) -> String {
        json!({
            "message_type": "heartbeat", "device_id": self.device_id, "timestamp": "2026-05-23T10:00:00Z",
            "firmware_version": "1.0.3", "state": "idle", "network_strength": 78, "battery_level": 92,
        })
        .to_string()
    }
}

pub(crate) async fn run(mut command: Command) -> Ended {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = within("the end of the client", command.output())
        .await
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    Ended {
        code: output.status.code(),
        output: String::from_utf8_lossy(&text).into_owned(),
    }
}

pub(crate) fn mosquitto_is_installed() -> bool {
    let advice = "apt-get install mosquitto-clients";
    Path::new("/usr/bin/mosquitto_sub").exists()
        || installed::first(&["mosquitto_sub"], &["--help"], advice).is_some()
}

/// A box in `tests/clients`, and what runs it.
struct Scripted {
    interpreter: String,
    file: &'static str,
}

impl Scripted {
    fn paho() -> Option<Self> {
        // Debian's own python3: another one in PATH does not find Debian's packages.
        let interpreter = installed::first(
            &["/usr/bin/python3", "python3"],
            &["-c", "import paho.mqtt.client"],
            "apt-get install python3-paho-mqtt",
        )?;
        let file = "paho_box.py";
        Some(Self { interpreter, file })
    }

    fn mqttjs() -> Option<Self> {
        let interpreter = installed::first(
            &["node", "/usr/bin/node"],
            &["-e", "require('mqtt')"],
            "apt-get install nodejs npm; npm install --prefix target/clients mqtt",
        )?;
        let file = "mqttjs_box.js";
        Some(Self { interpreter, file })
    }
}

/// Runs the client, makes a payment while it is connected, and returns what it ended with.
async fn while_it_listens(
    world: &World,
    credentials: &Credentials,
    client: Command,
) -> (Ended, wire::TransactionId) {
    let client = tokio::spawn(run(client));
    credentials.wait_for_online(world, true).await;
    let id = credentials.sell(world, 50_000).await;
    (client.await.unwrap(), id)
}

fn opened(credentials: &Credentials, payload: &[u8]) -> wire::TransactionId {
    match credentials
        .keys
        .open(credentials.device_id, Channel::PaymentSuccess, payload)
        .unwrap()
    {
        DownlinkMessage::PaymentSuccess(payment) => {
            assert_eq!(payment.amount.to_i64(), 50_000);
            payment.transaction_id
        }
        other => panic!("{other:?}"),
    }
}

/// How many heartbeats of this box are stored.
async fn heartbeats(world: &World, device_id: DeviceId) -> usize {
    let path = format!("/admin/devices/{device_id}/heartbeats");
    let heartbeats = world.admin().list(&path).await;
    heartbeats.len()
}

/// Topics of another box: its payments and its heartbeats.
fn others(world: &World) -> [String; 2] {
    let other = DeviceId::from_uuid(world.clock.uuid());
    [Channel::PaymentSuccess, Channel::Heartbeat]
        .map(|channel| Topic::new(other, channel).to_string())
}

#[tokio::test]
async fn mosquitto_sends_heartbeats_and_receives_its_own_payments_only() {
    if !mosquitto_is_installed() {
        return;
    }
    let (world, shop) = fixture::shop().await;
    for version in VERSIONS {
        let credentials = Credentials::at(&world, shop.terminal().id).await;
        let id = credentials.device_id;
        let files = Files::of(&world, &credentials);
        let topic = Topic::new(id, Channel::PaymentSuccess).to_string();
        let heartbeat = Topic::new(id, Channel::Heartbeat).to_string();
        let [heard_by_other, beaten_by_other] = others(&world);

        let output = run(files.mosquitto_pub(version, &heartbeat)).await;
        assert_eq!(output.code, Some(0), "{version}: {}", output.output);
        assert_eq!(heartbeats(&world, id).await, 1, "{version}");
        // Not acknowledged: 3.1.1 loses its connection, 5 gets a reason code.
        let forged = run(files.mosquitto_pub(version, &beaten_by_other)).await;
        let refused = forged.code != Some(0) || forged.output.contains("Not authorized");
        assert!(refused, "{version}: {}", forged.output);

        let client = files.mosquitto_sub(version, true, &topic);
        let (heard, sold) = while_it_listens(&world, &credentials, client).await;
        assert_eq!(heard.code, Some(0), "{version}: {}", heard.output);
        let (heard_on, payload) = heard.output.trim().split_once(' ').unwrap();
        assert_eq!(heard_on, topic);
        assert_eq!(opened(&credentials, payload.as_bytes()), sold);

        // mosquitto_sub prints the refusal and exits with 0.
        let refused = run(files.mosquitto_sub(version, true, &heard_by_other)).await;
        let output = refused.output;
        let denied = output.contains("All subscription requests were denied");
        assert!(denied, "{version}: {output}");
        assert!(!output.contains("message_type"), "{version}: {output}");
        let anonymous = run(files.mosquitto_sub(version, false, &topic)).await;
        assert_ne!(anonymous.code, Some(0), "{version}: {}", anonymous.output);
        let heard = anonymous.output.contains("message_type");
        assert!(!heard, "{version}: {}", anonymous.output);
    }
}

/// The same for a box in `tests/clients`, whose output and exit codes are defined there.
async fn sends_heartbeats_and_receives_its_own_payments_only(
    script: &Scripted,
    refused: [&str; 2],
) {
    let (world, shop) = fixture::shop().await;
    for (version, refused) in VERSIONS.into_iter().zip(refused) {
        let credentials = Credentials::at(&world, shop.terminal().id).await;
        let id = credentials.device_id;
        let files = Files::of(&world, &credentials);
        let topic = Topic::new(id, Channel::PaymentSuccess).to_string();
        let [heard_by_other, _] = others(&world);

        let client = files.scripted(script, version, true, &topic);
        let (heard, sold) = while_it_listens(&world, &credentials, client).await;
        assert_eq!(heard.code, Some(0), "{version}: {}", heard.output);
        let mut lines: Vec<&str> = heard.output.lines().collect();
        assert_eq!(lines.remove(0), "granted 1");
        let message = format!("message {topic} ");
        let payload = lines
            .iter()
            .find_map(|line| line.strip_prefix(&message))
            .unwrap();
        let payload = STANDARD.decode(payload).unwrap();
        assert_eq!(opened(&credentials, &payload), sold);
        assert!(lines.contains(&"acknowledged"), "{version}: {lines:?}");
        assert_eq!(heartbeats(&world, id).await, 1, "{version}");

        let denied = run(files.scripted(script, version, true, &heard_by_other)).await;
        let output = (denied.code, denied.output.trim());
        assert_eq!(output, (Some(3), refused), "{version}");
        let anonymous = run(files.scripted(script, version, false, &topic)).await;
        assert_eq!(anonymous.code, Some(4), "{version}: {}", anonymous.output);
    }
}

#[tokio::test]
async fn paho_sends_heartbeats_and_receives_its_own_payments_only() {
    if let Some(paho) = Scripted::paho() {
        let refused = ["granted 128", "granted 135"];
        sends_heartbeats_and_receives_its_own_payments_only(&paho, refused).await;
    }
}

#[tokio::test]
async fn mqttjs_sends_heartbeats_and_receives_its_own_payments_only() {
    if let Some(mqttjs) = Scripted::mqttjs() {
        let refused = ["refused"; 2];
        sends_heartbeats_and_receives_its_own_payments_only(&mqttjs, refused).await;
    }
}

/// rumqttc of version 3.1.1 is the client of all other tests.
#[tokio::test]
async fn rumqttc_of_version_5_sends_heartbeats_and_receives_a_payment() {
    use rumqttc::v5::Event;
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::Packet;

    let (world, _, credentials) = fixture::device().await;
    let id = credentials.device_id;
    let (client, mut events) = of_version_5(&world, &credentials, 64 * 1024).await;
    let heartbeat = Topic::new(id, Channel::Heartbeat).to_string();
    let text = Files::of(&world, &credentials).heartbeat();
    client
        .publish(heartbeat, QoS::AtLeastOnce, false, text)
        .await
        .unwrap();
    within("PUBACK", async {
        while !matches!(
            events.poll().await.unwrap(),
            Event::Incoming(Packet::PubAck(_))
        ) {}
    })
    .await;
    assert_eq!(heartbeats(&world, id).await, 1);
    let sold = credentials.sell(&world, 50_000).await;
    let payload = within("a payment", async {
        loop {
            if let Event::Incoming(Packet::Publish(publish)) = events.poll().await.unwrap() {
                return publish.payload;
            }
        }
    })
    .await;
    assert_eq!(opened(&credentials, &payload), sold);
}
