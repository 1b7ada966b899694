//! Clients that others wrote, with a certificate issued by activation: mosquitto's and Eclipse Paho's.
//!
//! Where one is not installed its stories say so and pass; `.ci/run` installs both.

use std::path::Path;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tests::{Credentials, Shop, World, eventually, within};
use tokio::process::Command;
use wire::{Channel, DeviceId, DownlinkMessage, Topic};

const PAHO_BOX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/paho_box.py");

/// What a program that ended had to say.
struct Ended {
    code: Option<i32>,
    said: String,
}

/// A box's credentials as files.
struct Files {
    dir: tempfile::TempDir,
    host: String,
    port: u16,
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
            host: "localhost".to_owned(),
            port: world.mqtt().port(),
        }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// mosquitto_sub for one message, or until it is refused.
    fn mosquitto(&self, version: &str, own: bool, id: DeviceId, topic: &str) -> Command {
        let mut command = Command::new("mosquitto_sub");
        command.args([
            "-h",
            &self.host,
            "-p",
            &self.port.to_string(),
            "-V",
            version,
        ]);
        command.args(["--cafile", &self.path("ca.pem")]);
        if own {
            command.args([
                "--cert",
                &self.path("cert.pem"),
                "--key",
                &self.path("key.pem"),
            ]);
        }
        command.args([
            "-i",
            &id.to_string(),
            "-t",
            topic,
            "-q",
            "1",
            "-C",
            "1",
            "-W",
            "15",
            "-F",
            "%t %p",
        ]);
        command
    }

    fn paho(&self, python: &str, own: bool, id: DeviceId, topic: &str) -> Command {
        let mut command = Command::new(python);
        let (cert, key) = if own {
            (self.path("cert.pem"), self.path("key.pem"))
        } else {
            ("-".to_owned(), "-".to_owned())
        };
        command.args([
            PAHO_BOX,
            &self.host,
            &self.port.to_string(),
            &self.path("ca.pem"),
            &cert,
            &key,
        ]);
        command.args([&id.to_string(), topic]);
        command
    }
}

async fn run(mut command: Command) -> Ended {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = within("the end of the client", command.output())
        .await
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    Ended {
        code: output.status.code(),
        said: String::from_utf8_lossy(&said).into_owned(),
    }
}

/// The first of these that runs with these arguments.
fn installed(programs: &[&str], arguments: &[&str]) -> Option<String> {
    let runs = |program: &&&str| {
        let mut command = std::process::Command::new(program);
        command
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    programs
        .iter()
        .find(runs)
        .map(|program| (*program).to_owned())
}

fn mosquitto_is_installed() -> bool {
    let found = Path::new("/usr/bin/mosquitto_sub").exists()
        || installed(&["mosquitto_sub"], &["--help"]).is_some();
    if !found {
        println!("skipped: mosquitto_sub is not installed (apt-get install mosquitto-clients)");
    }
    found
}

fn python_with_paho() -> Option<String> {
    let found = installed(
        &["python3", "/usr/bin/python3"],
        &["-c", "import paho.mqtt.client"],
    );
    if found.is_none() {
        println!("skipped: no paho-mqtt for Python (apt-get install python3-paho-mqtt)");
    }
    found
}

/// Runs the client, makes a payment while it is connected, and returns what it ended with.
async fn while_it_listens(
    world: &World,
    credentials: &Credentials,
    client: Command,
) -> (Ended, wire::TransactionId) {
    let client = tokio::spawn(run(client));
    eventually("the client being connected", || async {
        (credentials.view(world).await["online"] == true).then_some(())
    })
    .await;
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

#[tokio::test]
async fn mosquitto_hears_a_payment_and_nothing_of_others() {
    if !mosquitto_is_installed() {
        return;
    }
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    for version in ["mqttv311", "mqttv5"] {
        let credentials = Credentials::at(&world, shop.till().id).await;
        let id = credentials.device_id;
        let files = Files::of(&world, &credentials);
        let topic = Topic::new(id, Channel::PaymentSuccess).to_string();
        let other = Topic::new(
            DeviceId::from_uuid(world.clock.uuid()),
            Channel::PaymentSuccess,
        )
        .to_string();

        let (heard, sold) = while_it_listens(
            &world,
            &credentials,
            files.mosquitto(version, true, id, &topic),
        )
        .await;
        assert_eq!(heard.code, Some(0), "{version}: {}", heard.said);
        let (heard_on, payload) = heard.said.trim().split_once(' ').unwrap();
        assert_eq!(heard_on, topic);
        assert_eq!(opened(&credentials, payload.as_bytes()), sold);

        // mosquitto_sub says so and ends with 0.
        let refused = run(files.mosquitto(version, true, id, &other)).await;
        assert!(
            refused
                .said
                .contains("All subscription requests were denied"),
            "{version}: {}",
            refused.said
        );
        assert!(!refused.said.contains("message_type"), "{}", refused.said);
        let anonymous = run(files.mosquitto(version, false, id, &topic)).await;
        assert_ne!(anonymous.code, Some(0), "{version}: {}", anonymous.said);
        assert!(
            !anonymous.said.contains("message_type"),
            "{version}: {}",
            anonymous.said
        );
    }
}

#[tokio::test]
async fn paho_hears_a_payment_and_nothing_of_others() {
    let Some(python) = python_with_paho() else {
        return;
    };
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.till().id).await;
    let id = credentials.device_id;
    let files = Files::of(&world, &credentials);
    let topic = Topic::new(id, Channel::PaymentSuccess).to_string();
    let other = Topic::new(
        DeviceId::from_uuid(world.clock.uuid()),
        Channel::PaymentSuccess,
    )
    .to_string();

    let (heard, sold) =
        while_it_listens(&world, &credentials, files.paho(&python, true, id, &topic)).await;
    assert_eq!(heard.code, Some(0), "{}", heard.said);
    let mut lines = heard.said.lines();
    assert_eq!(lines.next(), Some("granted 1"));
    let payload = lines
        .next()
        .and_then(|line| line.strip_prefix(&format!("message {topic} ")))
        .unwrap();
    assert_eq!(
        opened(&credentials, &STANDARD.decode(payload).unwrap()),
        sold
    );

    let refused = run(files.paho(&python, true, id, &other)).await;
    assert_eq!(
        (refused.code, refused.said.trim()),
        (Some(3), "granted 128")
    );
    let anonymous = run(files.paho(&python, false, id, &topic)).await;
    assert_eq!(anonymous.code, Some(4), "{}", anonymous.said);
}
