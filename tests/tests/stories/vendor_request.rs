//! Buttons of another maker's box, and a box that takes messages without confirming them. The maker is made up: of those
//! with a built-in profile none is known to have these buttons.

use chrono::TimeDelta;
use rumqttc::{MqttOptions, QoS};
use tests::prelude::*;
use tests::vendor_box::{VendorBox, hear, listeners};
use wire::Rupiah;
use wire::speech::{Kind, sentence};

/// It plays clips by the maker's names, and has a button for the last payment and one for the total.
const LOUD: &str = r#"
title = "Kotak Keras"
speaks = "own_protocol"
sources = ["nobody"]
confirmation = "puback"
deduplicates = false
capabilities = ["speaker"]

[transport]
bootstrap = "typed_in"
client_id = "keras-{serial}"
username = "keras-{serial}"
password = { rule = "random", chars = 24 }
keep_alive_s = 60
clean_session = false

[topics.subscribe]
play = "keras/{serial}/play"

[topics.publish]
button = "keras/{serial}/button"

[ids]
form = "hex"

[messages]
bytes_max = 1024

[messages.clips.names.id]
rupiah = "rp"

[messages.payment]
topic = "play"
json = { pay = "{amount}", play = "{clips}" }

[messages.command.announce_total]
topic = "play"
json = { total = "{amount}", play = [{ file = "{clip}" }] }

[[uplinks]]
topic = "button"
text = "again"
means = "replay_request"

[[uplinks]]
topic = "button"
when = { "/button" = "total" }
means = "total_request"
id = "/press"
"#;

const BUTTON: &str = "keras/K-1/button";

/// A shop with such a box. It is ten o'clock in Jakarta, so that no midnight is near.
async fn shop() -> (World, Shop, VendorBox) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keras.toml");
    std::fs::write(&file, LOUD).unwrap();
    let world = World::with(|config| {
        listeners(config);
        config.box_profiles.insert("keras".to_owned(), file);
    })
    .await;
    let into_the_day = world.clock.now().timestamp().rem_euclid(86_400);
    world.later((3 * 3_600 - into_the_day).rem_euclid(86_400));
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let own = VendorBox::at(&world, "keras", "K-1", shop.terminal().id).await;
    (world, shop, own)
}

async fn pay(world: &World, shop: &Shop, amount: i64) {
    let paid = shop.printed_payment(world, amount);
    world.acquirer().verdict(&paid).await;
}

/// The clips of a sentence in Indonesian, as this maker names them.
fn clips(kind: Kind) -> Vec<String> {
    let clips = sentence(wire::Language::Id, kind, None).unwrap().clips();
    let named = |clip: &str| match clip {
        "rupiah" => "rp".to_owned(),
        other => other.to_owned(),
    };
    clips.into_iter().map(named).collect()
}

/// The clips that a message plays, in either form.
fn played(message: &Value) -> Vec<String> {
    let items = message["play"].as_array().unwrap();
    let name = |item: &Value| item["file"].as_str().or(item.as_str()).unwrap().to_owned();
    items.iter().map(name).collect()
}

#[tokio::test]
async fn a_press_is_answered_aloud_also_when_nothing_was_paid() {
    let (world, shop, own) = shop().await;
    let mut connection = own.listen(&world).await;
    let press = async |connection: &mut Connection, text: &str| {
        assert!(connection.publish(BUTTON, text.as_bytes().to_vec()).await);
    };
    press(&mut connection, "again").await;
    let nothing = hear(&mut connection).await;
    assert_eq!(played(&nothing), clips(Kind::NothingToRepeat));
    press(&mut connection, r#"{"button":"total","press":1}"#).await;
    let total = hear(&mut connection).await;
    assert_eq!(total["total"], 0);
    assert_eq!(played(&total), clips(Kind::Total(Rupiah::ZERO)));

    let amount = Rupiah::from_i64(12_000);
    pay(&world, &shop, 12_000).await;
    let paid = hear(&mut connection).await;
    assert_eq!(paid["pay"], 12_000);
    assert_eq!(played(&paid), clips(Kind::Paid(amount)));
    world.later(6);
    press(&mut connection, "again").await;
    let again = hear(&mut connection).await;
    assert_eq!(again["pay"], 12_000);
    assert_eq!(played(&again), clips(Kind::Repeated(amount)));
    // At once it is not answered again, and a numbered press that comes again never is.
    press(&mut connection, "again").await;
    press(&mut connection, r#"{"button":"total","press":1}"#).await;
    press(&mut connection, r#"{"button":"total","press":2}"#).await;
    let total = hear(&mut connection).await;
    assert_eq!(total["total"], 12_000);
    assert_eq!(played(&total), clips(Kind::Total(amount)));
    assert_eq!(world.rows("notifications WHERE replay").await, 1);
    assert_eq!(world.rows("commands").await, 3);

    // In the language that the box has, whose clips have our names.
    let path = format!("{}/config", own.path());
    let change = json!({ "language": "jv" });
    world.admin().change(&path, &change).await;
    pay(&world, &shop, 2_000).await;
    let paid = hear(&mut connection).await;
    let javanese = ["pambayaran", "qris", "ditampa", "2ng", "ewu", "rupiah"];
    assert_eq!(played(&paid), javanese);
    let rejected = format!(
        "rejected_uplinks WHERE device_id = '{}'",
        own.device_id.as_uuid()
    );
    assert_eq!(world.rows(&rejected).await, 0);
}

#[tokio::test]
async fn a_native_box_is_told_that_there_is_nothing_to_repeat() {
    let (world, _, mut soundbox) = fixture::soundbox().await;
    let device_id = soundbox.credentials.device_id;
    let press = wire::UplinkMessage::ReplayRequest(wire::message::ReplayRequest {
        request_id: "press-1".to_owned(),
        device_id,
        created_at: None,
    });
    for _ in 0..2 {
        soundbox.send(press.clone()).await;
    }
    let command = soundbox.next_command().await;
    assert_eq!(command.kind, "announce_total");
    let speech = json!({ "language": "id", "text": "Belum ada pembayaran untuk diulang" });
    assert_eq!(command.payload["speech"], speech);
    assert_eq!(world.rows("commands").await, 1);
    assert_eq!(world.rows("notifications WHERE replay").await, 0);
}

#[tokio::test]
async fn what_a_box_takes_without_puback_is_never_called_received() {
    let (world, shop, own) = shop().await;
    let address = world.app().edge().plain_addr().unwrap();
    let connect = async |quality: QoS| {
        let mut options = MqttOptions::new("keras", address.ip().to_string(), address.port());
        options
            .set_credentials(text(&own.mqtt, "username"), text(&own.mqtt, "password"))
            .set_clean_session(true);
        let mut connection = Connection::open_with(options).await.unwrap();
        let granted = connection.subscribe_at(&own.down(), quality).await;
        assert_eq!(granted, rumqttc::SubscribeReasonCode::Success(quality));
        connection
    };
    let confirmation = async || {
        let device = world.admin().read(&own.path()).await;
        text(&device, "confirmation")
    };
    assert_eq!(confirmation().await, "puback");
    let mut connection = connect(QoS::AtMostOnce).await;
    assert_eq!(confirmation().await, "none");
    pay(&world, &shop, 1_000).await;
    let heard = connection.receive().await;
    assert_eq!(heard.qos, QoS::AtMostOnce);
    // It is not sent again on this connection, however long that stands.
    world.later(30);
    pay(&world, &shop, 2_000).await;
    let next: Value = serde_json::from_slice(&connection.receive().await.payload).unwrap();
    assert_eq!(next["pay"], 2_000);
    let known = own.notifications(&world).await;
    for one in &known {
        assert_fields!(one, { "status": "sent", "confirmation": "none", "received_at": null });
    }
    assert!(
        world
            .metrics()
            .await
            .contains("vendor_subscriptions_without_puback_total 1")
    );
    // A restart of the platform knows it as well.
    let context = world.app().context();
    service::fleet::box_profile::check_devices(context)
        .await
        .unwrap();
    assert_eq!(confirmation().await, "none");
    // It counts as unheard, which a person is told once.
    world.clock.advance(TimeDelta::minutes(6));
    service::payment::notification::end_stale(context, 100)
        .await
        .unwrap();
    service::alert::check(context, 100).await.unwrap();
    let unheard = "alerts WHERE kind = 'unheard_payment' AND closed_at IS NULL";
    assert_eq!(world.rows(unheard).await, 1);
    assert_eq!(own.notifications(&world).await[0]["status"], "stale");
    connection.disconnect().await;

    // With quality 1 it is as its profile says.
    let mut connection = connect(QoS::AtLeastOnce).await;
    assert_eq!(confirmation().await, "puback");
    pay(&world, &shop, 3_000).await;
    assert_eq!(hear(&mut connection).await["pay"], 3_000);
    eventually("its PUBACK is stored", async || {
        let known = own.notifications(&world).await;
        (known[0]["status"] == "received" && known[0]["reason"] == "puback").then_some(())
    })
    .await;
}
