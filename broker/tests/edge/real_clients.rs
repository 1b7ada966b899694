//! Unmodified MQTT clients.

use std::time::Duration;

use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS, TlsConfiguration, Transport,
};
use wire::{Channel, Topic};

use crate::common::{World, device, within};

fn options(world: &World, number: u128, client_id: &str) -> MqttOptions {
    let mut options = MqttOptions::new(client_id, "localhost", world.edge.local_addr().port());
    options.set_keep_alive(Duration::from_secs(30));
    let tls = world.device(number).tls;
    options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls)));
    options
}

async fn until<T>(events: &mut EventLoop, pick: impl Fn(Packet) -> Option<T>) -> T {
    within("a packet", async {
        loop {
            if let Event::Incoming(packet) = events.poll().await.unwrap()
                && let Some(found) = pick(packet)
            {
                return found;
            }
        }
    })
    .await
}

#[tokio::test]
async fn rumqttc_sends_a_heartbeat_and_receives_a_payment() {
    let world = World::new().await;
    let (client, mut events) = AsyncClient::new(options(&world, 1, &device(1).to_string()), 10);
    let all = format!("devices/{}/downlink/#", device(1));
    client.subscribe(all, QoS::AtLeastOnce).await.unwrap();
    until(&mut events, |packet| {
        matches!(packet, Packet::SubAck(_)).then_some(())
    })
    .await;
    let heartbeat = Topic::new(device(1), Channel::Heartbeat).to_string();
    client
        .publish(heartbeat, QoS::AtLeastOnce, false, "heartbeat")
        .await
        .unwrap();
    until(&mut events, |packet| {
        matches!(packet, Packet::PubAck(_)).then_some(())
    })
    .await;
    world.publish(1, 50_000);
    let received = until(&mut events, |packet| match packet {
        Packet::Publish(publish) => Some(publish),
        _ => None,
    })
    .await;
    assert_eq!(received.payload, "50000");
    assert_eq!(
        received.topic,
        Topic::new(device(1), Channel::PaymentSuccess).to_string()
    );
    client.disconnect().await.unwrap();
    while events.poll().await.is_ok() {}
    world.host.ended(device(1)).await;
}

#[tokio::test]
async fn rumqttc_with_another_boxs_client_id_is_refused() {
    let world = World::new().await;
    let (_client, mut events) = AsyncClient::new(options(&world, 1, &device(2).to_string()), 10);
    let refused = within("an answer", events.poll()).await.unwrap_err();
    assert!(
        matches!(
            refused,
            rumqttc::ConnectionError::ConnectionRefused(rumqttc::ConnectReturnCode::NotAuthorized)
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn rumqttc_of_version_5_receives_a_payment_too() {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::Packet;
    use rumqttc::v5::{AsyncClient, Event, MqttOptions};

    let world = World::new().await;
    let mut options = MqttOptions::new(
        device(1).to_string(),
        "localhost",
        world.edge.local_addr().port(),
    );
    let tls = world.device(1).tls;
    options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls)));
    let (client, mut events) = AsyncClient::new(options, 10);
    let all = format!("devices/{}/downlink/#", device(1));
    client.subscribe(all, QoS::AtLeastOnce).await.unwrap();
    let heartbeat = Topic::new(device(1), Channel::Heartbeat).to_string();
    client
        .publish(heartbeat, QoS::AtLeastOnce, false, "heartbeat")
        .await
        .unwrap();
    let (mut acknowledged, mut received) = (false, None);
    within("a payment and a PUBACK, in any order", async {
        while !acknowledged || received.is_none() {
            match events.poll().await.unwrap() {
                Event::Incoming(Packet::SubAck(_)) => world.publish(1, 7),
                Event::Incoming(Packet::PubAck(_)) => acknowledged = true,
                Event::Incoming(Packet::Publish(publish)) => received = Some(publish.payload),
                _ => {}
            }
        }
    })
    .await;
    assert_eq!(received.unwrap(), "7");
}

/// Observes until it has received one message, and returns what it printed. `None`: it is not installed.
fn mosquitto_sub(world: &World, version: &str) -> Option<tokio::task::JoinHandle<String>> {
    let credentials = world.fleet.service("analytics");
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let mut command = std::process::Command::new("mosquitto_sub");
    command
        .args(["-h", "localhost", "-V", version, "-C", "1", "-F", "%t %p"])
        .args(["-p", &world.edge.local_addr().port().to_string()])
        .args(["-i", "analytics", "-q", "1", "-t", "devices/+/uplink/#"])
        .arg("--cafile")
        .arg(file("ca.pem", world.fleet.root_pem()))
        .arg("--cert")
        .arg(file("cert.pem", &credentials.chain_pem))
        .arg("--key")
        .arg(file("key.pem", &credentials.key_pem))
        .stdout(std::process::Stdio::piped());
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: mosquitto_sub is not installed");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    Some(tokio::task::spawn_blocking(move || {
        let output = child.wait_with_output().unwrap();
        drop(dir);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }))
}

#[tokio::test]
async fn mosquitto_sub_observes_the_fleet_in_both_versions() {
    let world = World::new().await;
    let mut client = world.connected_box(1).await;
    let topic = Topic::new(device(1), Channel::Heartbeat).to_string();
    for version in ["311", "5"] {
        let Some(printed) = mosquitto_sub(&world, version) else {
            return;
        };
        let mut id = 0;
        let sending = async {
            // Until it has subscribed and received one.
            while !printed.is_finished() {
                id += 1;
                client.publish(2, &topic, id, b"heartbeat").await;
                client.expect(0x40, &id.to_be_bytes()).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within("a copy", sending).await;
        assert_eq!(printed.await.unwrap(), format!("{topic} heartbeat\n"));
    }
}
