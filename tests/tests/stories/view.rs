//! Short reads of the API that several stories use.

use tests::prelude::*;
use wire::{Channel, DeviceId, Topic, TransactionId};

/// The open alerts of a kind, newest first.
pub(crate) async fn open_alerts(world: &World, kind: &str) -> Vec<Value> {
    let path = format!("/admin/alerts?state=open&kind={kind}");
    world.admin().list(&path).await
}

/// The only open alert of a kind.
pub(crate) async fn open_alert(world: &World, kind: &str) -> Value {
    let mut open = open_alerts(world, kind).await;
    assert_eq!(open.len(), 1, "{kind}: {open:?}");
    open.remove(0)
}

/// The open incidents, newest first, by their kinds.
pub(crate) async fn incidents(world: &World) -> Vec<String> {
    let path = "/admin/incidents?resolved=false";
    texts(&world.admin().list(path).await, "kind")
}

/// The unmatched money that is open, newest first.
pub(crate) async fn open_money(world: &World) -> Vec<Value> {
    let path = "/admin/unmatched-payments?status=open";
    world.admin().list(path).await
}

/// A transaction.
pub(crate) async fn transaction(world: &World, id: TransactionId) -> Value {
    let path = format!("/admin/transactions/{id}");
    world.admin().read(&path).await
}

/// A transaction's status, and whether it was late.
pub(crate) async fn state(world: &World, id: TransactionId) -> (String, bool) {
    let transaction = transaction(world, id).await;
    let late = transaction["late"].as_bool().unwrap();
    (text(&transaction, "status"), late)
}

/// Confirms a proposal as the second person.
pub(crate) async fn confirm(api: &Api, proposal: &Value) -> Answer {
    let path = format!("/admin/approvals/{}/approve", text(proposal, "id"));
    api.post(&path, &json!({})).await
}

/// Sends a command to a box.
pub(crate) async fn command(api: &Api, device_id: DeviceId, body: &Value) -> Answer {
    let path = format!("/admin/devices/{device_id}/commands");
    api.post_once(&path, body).await
}

/// A command of [`command`] in the API.
pub(crate) async fn command_now(world: &World, command: &Value) -> Value {
    let (device, id) = (text(command, "device_id"), text(command, "id"));
    let path = format!("/admin/devices/{device}/commands/{id}");
    world.admin().read(&path).await
}

/// A bulk command in the API.
pub(crate) async fn bulk_command(world: &World, id: &str) -> Value {
    let path = format!("/admin/bulk-commands/{id}");
    world.admin().read(&path).await
}

/// Waits for a status of a bulk command.
pub(crate) async fn bulk_command_becomes(world: &World, id: &str, status: &str) -> Value {
    eventually(&format!("{status} of a bulk command"), || async {
        let now = bulk_command(world, id).await;
        (now["status"] == status).then_some(now)
    })
    .await
}

/// A connection of MQTT 5 as this box, which takes packets of `packet_bytes_max` and has subscribed to its payments.
pub(crate) async fn of_version_5(
    world: &World,
    credentials: &Credentials,
    packet_bytes_max: u32,
) -> (rumqttc::v5::AsyncClient, rumqttc::v5::EventLoop) {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::Packet;
    use rumqttc::v5::{AsyncClient, Event, MqttOptions};
    use rumqttc::{TlsConfiguration, Transport};

    let id = credentials.device_id;
    let mut options = MqttOptions::new(id.to_string(), "localhost", world.mqtt().port());
    let tls = TlsConfiguration::Rustls(credentials.tls());
    options
        .set_transport(Transport::Tls(tls))
        .set_max_packet_size(Some(packet_bytes_max));
    let (client, mut events) = AsyncClient::new(options, 10);
    let topic = Topic::new(id, Channel::PaymentSuccess).to_string();
    client.subscribe(&topic, QoS::AtLeastOnce).await.unwrap();
    within("SUBACK", async {
        while !matches!(
            events.poll().await.unwrap(),
            Event::Incoming(Packet::SubAck(_))
        ) {}
    })
    .await;
    (client, events)
}
