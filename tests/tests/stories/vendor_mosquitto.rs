//! `mosquitto_sub` and `mosquitto_pub` with what the registration of another maker's box shows once: user name, password
//! and topics, and nothing of ours.
//!
//! Where they are not installed the tests print that and pass. In CI, which installs them, that is a failure.

use tests::prelude::*;
use tests::vendor_box::{VendorBox, listeners, order};
use tokio::process::Command;

use crate::clients::{VERSIONS, mosquitto_is_installed, run};

/// What `mosquitto_sub` ends with when the time is over in which it waits for its messages.
const TIMED_OUT: i32 = 27;

/// The platform as Mosquitto's programs see it.
struct Edge {
    dir: tempfile::TempDir,
    /// The ports with TLS and without.
    ports: [u16; 2],
}

impl Edge {
    fn of(world: &World) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), world.app().root_pem()).unwrap();
        let edge = world.app().edge();
        let ports = [edge.password_addr(), edge.plain_addr()].map(|at| at.unwrap().port());
        Self { dir, ports }
    }

    /// One of the programs as this box.
    fn program(&self, name: &str, version: &str, tls: bool, own: &VendorBox) -> Command {
        let mut command = Command::new(name);
        let version = if version == "5" { "mqttv5" } else { "mqttv311" };
        let [with_tls, without] = self.ports;
        let port = if tls { with_tls } else { without }.to_string();
        command.args(["-h", "localhost", "-p", &port, "-V", version, "-q", "1"]);
        if tls {
            let ca = self.dir.path().join("ca.pem");
            command.arg("--cafile").arg(ca);
        }
        for (flag, field) in [("-i", "client_id"), ("-u", "username"), ("-P", "password")] {
            command.args([flag, &text(&own.mqtt, field)]);
        }
        command
    }

    /// `mosquitto_sub` for so many messages, or until it is refused.
    fn sub(&self, program: Command, topics: &[String], messages: usize) -> Command {
        let mut command = program;
        for topic in topics {
            command.args(["-t", topic]);
        }
        command.args(["-C", &messages.to_string(), "-W", "15", "-F", "%t %p"]);
        command
    }
}

fn topics(own: &VendorBox) -> Vec<String> {
    let topics = own.mqtt["subscribe_topics"].as_array().unwrap();
    let topics = topics.iter().map(|one| one.as_str().unwrap().to_owned());
    topics.collect()
}

/// What a box of this profile is sent for a payment of 50,000, and for each of these commands.
fn sent(profile: &str, code: &str) -> (&'static str, Vec<(&'static str, Value, String)>) {
    let qr = json!({ "qr_payload": code, "amount": 25_000, "expires_in": 60 });
    match profile {
        "qf100" => (
            r#""pay-amount":50000"#,
            vec![
                ("display_qr", qr, format!(r#""qr-url":"{code}""#)),
                ("reboot", json!({}), r#""command":"reboot""#.to_owned()),
            ],
        ),
        "morefun-et389" => (
            r#""money":"50000.00""#,
            vec![("display_qr", qr, format!(r#""order_sn":"{code}""#))],
        ),
        "quecpython" => (r#""money":"50000.00""#, Vec::new()),
        "eg800ak" => (
            r#""amount":"50000.00""#,
            vec![(
                "set_volume",
                json!({ "volume": 7 }),
                r#""volume":70"#.to_owned(),
            )],
        ),
        "q161" => (
            "pembayaran.mp3+qris.mp3+diterima.mp3+50.mp3+ribu.mp3+rupiah.mp3",
            vec![("display_qr", qr, format!("QR:{code}"))],
        ),
        other => panic!("{other}"),
    }
}

const PROFILES: [&str; 5] = ["qf100", "morefun-et389", "quecpython", "eg800ak", "q161"];

#[tokio::test]
async fn mosquitto_with_the_credentials_of_each_box_hears_a_payment_a_code_and_a_restart() {
    if !mosquitto_is_installed() {
        return;
    }
    let world = World::with(listeners).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let edge = Edge::of(&world);
    let code = &shop.terminal().static_qr_payload;
    for (number, profile) in PROFILES.into_iter().enumerate() {
        let (version, tls) = (VERSIONS[number % 2], number % 3 != 2);
        let own = VendorBox::at(&world, profile, &format!("SN-{number}"), shop.terminal().id).await;
        let (payment, commands) = sent(profile, code);
        let program = edge.program("mosquitto_sub", version, tls, &own);
        let listening = edge.sub(program, &topics(&own), 1 + commands.len());
        let listening = tokio::spawn(run(listening));
        eventually("it is online", async || {
            let device = world.admin().read(&own.path()).await;
            (device["online"] == true).then_some(())
        })
        .await;
        let paid = shop.printed_payment(&world, 50_000);
        world.acquirer().verdict(&paid).await;
        for (kind, payload, _) in &commands {
            order(&world, &own, kind, payload.clone()).await;
        }
        let heard = listening.await.unwrap();
        assert_eq!(heard.code, Some(0), "{profile}: {}", heard.output);
        let expected = commands.iter().map(|(.., expected)| expected.as_str());
        for expected in expected.chain([payment]) {
            let count = heard.output.matches(expected).count();
            assert_eq!(count, 1, "{profile}: {expected} in {}", heard.output);
        }
        let confirmation = text(&own.notifications(&world).await[0], "confirmation");
        if confirmation == "puback" {
            eventually("its PUBACK is stored", async || {
                let known = own.notifications(&world).await;
                (known[0]["status"] == "received" && known[0]["reason"] == "puback").then_some(())
            })
            .await;
        }
        // The terminal's next box is another.
        own.unbind(&world).await;
    }
}

#[tokio::test]
async fn mosquitto_is_refused_another_boxs_topics_and_a_wrong_password() {
    if !mosquitto_is_installed() {
        return;
    }
    let world = World::with(listeners).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let edge = Edge::of(&world);
    for (number, profile) in PROFILES.into_iter().enumerate() {
        let (version, tls) = (VERSIONS[(number + 1) % 2], number % 2 == 0);
        let (serial, imei) = (format!("A-{number}"), "860000000000017");
        let own = VendorBox::register_as(&world, profile, &serial, imei).await;
        own.bind(&world, shop.terminal().id).await;
        let (serial, imei) = (format!("B-{number}"), "860000000000025");
        let other = VendorBox::register_as(&world, profile, &serial, imei).await;
        let sub = || edge.program("mosquitto_sub", version, tls, &other);

        let refused = run(edge.sub(sub(), &topics(&own), 1)).await;
        let denied = refused
            .output
            .contains("All subscription requests were denied");
        assert!(denied, "{profile} {version}: {}", refused.output);
        let refused = run(edge.sub(sub(), &["#".to_owned()], 1)).await;
        assert!(refused.output.contains("denied"), "{}", refused.output);
        // It publishes on its own topic, and on no other box's. All Q161 publish on one, and name themselves.
        let publish = |topic: &str, message: &str| {
            let mut command = edge.program("mosquitto_pub", version, tls, &other);
            command.args(["-t", topic, "-m", message]);
            command
        };
        let done = run(publish(&other.up(), "{}")).await;
        assert_eq!(done.code, Some(0), "{profile}: {}", done.output);
        if profile == "q161" {
            let asked = run(publish(&other.up(), &format!("A-{number}|2500000"))).await;
            assert_eq!(asked.code, Some(0), "{}", asked.output);
            let codes = world.rows("transactions WHERE qr_type = 'dynamic'").await;
            assert_eq!(codes, 0);
        } else {
            let forged = run(publish(&own.up(), "{}")).await;
            let refused = forged.code != Some(0) || forged.output.contains("Not authorized");
            assert!(refused, "{profile} {version}: {}", forged.output);
        }

        // A changed password, and that of another box.
        for password in [
            format!("{}x", text(&other.mqtt, "password")),
            text(&own.mqtt, "password"),
        ] {
            let mut mqtt = other.mqtt.clone();
            mqtt["password"] = password.into();
            let wrong = VendorBox {
                mqtt,
                ..other.clone()
            };
            let program = edge.program("mosquitto_sub", version, tls, &wrong);
            let refused = run(edge.sub(program, &topics(&other), 1)).await;
            let code = refused.code;
            assert!(
                code != Some(0) && code != Some(TIMED_OUT),
                "{profile} {version}: {}",
                refused.output
            );
        }
        own.unbind(&world).await;
    }
    let metrics = world.metrics().await;
    assert!(
        metrics.contains("mqtt_connects_total{outcome=\"bad_credentials\"} 10"),
        "{metrics}"
    );
}
