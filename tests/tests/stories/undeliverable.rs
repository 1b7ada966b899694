//! One item that is impossible stops no other: it ends with its reason and an alert, and the rest goes on.

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tests::credentials::register_with;
use tests::{Credentials, Shop, Soundbox, World, books, eventually, within};
use wire::{Channel, DeviceId, Encoding, Topic};

/// A name of which nothing but "Toko" is seen, and which no message can carry.
const UNSENDABLE_NAME: &str =
    "UPDATE merchants SET brand_name = 'Toko' || repeat(U&'\\200D', 90) WHERE id = $1";

async fn change(world: &World, statement: &str, id: uuid::Uuid) {
    let changed = sqlx::query(AssertSqlSafe(statement.to_owned()))
        .bind(id)
        .execute(&world.pool)
        .await
        .unwrap();
    assert!(changed.rows_affected() > 0, "{statement}");
}

async fn run(world: &World, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&world.pool)
        .await
        .unwrap();
}

/// Makes a statement on rows of `table` for which `holds` fail, whatever it changes.
async fn refuse(world: &World, table: &str, event: &str, holds: &str) {
    run(
        world,
        &format!(
            "CREATE FUNCTION refuse_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN RAISE EXCEPTION 'this row is impossible' USING ERRCODE = 'data_exception'; END $$;
             CREATE TRIGGER refuse_{table} BEFORE {event} ON {table} FOR EACH ROW WHEN ({holds})
             EXECUTE FUNCTION refuse_{table}();"
        ),
    )
    .await;
}

/// The open alert of a kind for a box.
async fn alert(world: &World, kind: &str, device: DeviceId) -> Value {
    let path = format!("/admin/alerts?kind={kind}&device_id={device}&state=open");
    eventually(&format!("the alert {kind}"), || async {
        let list = world.admin().get(&path).await.expect(200).data();
        let alerts = list.as_array().unwrap();
        assert!(alerts.len() <= 1, "{list}");
        alerts.first().cloned()
    })
    .await
}

async fn failed(world: &World, credentials: &Credentials) -> Value {
    eventually("a failed announcement", || async {
        let told = credentials.notifications(world).await;
        told.into_iter().find(|one| one["status"] == "failed")
    })
    .await
}

#[tokio::test]
async fn a_payment_that_no_message_can_carry_fails_alone() {
    let world = World::new().await;
    let bad = Shop::open(&world, "Toko Aneh", 1).await;
    let good = Shop::open(&world, "Warung Sari", 1).await;
    change(&world, UNSENDABLE_NAME, bad.merchant_id.as_uuid()).await;
    let silent = Soundbox::at(&world, bad.till().id).await;
    let mut heard = Soundbox::at(&world, good.till().id).await;
    let mut sold = Vec::new();
    for amount in 1..=12 {
        if amount % 4 == 1 {
            silent.credentials.sell(&world, amount).await;
        }
        sold.push(heard.credentials.sell(&world, amount).await);
    }
    for id in sold {
        assert_eq!(heard.play().await.transaction_id, id);
    }
    let row = failed(&world, &silent.credentials).await;
    assert_eq!(row["reason"], "unsendable");
    assert_eq!(row["sent_at"], Value::Null);
    let alert = alert(
        &world,
        "undeliverable_message",
        silent.credentials.device_id,
    )
    .await;
    assert_eq!(alert["details"]["reason"], "unsendable");
    assert!(alert["details"]["event_id"].is_string(), "{alert}");
    assert!(
        alert["details"]["problem"]
            .as_str()
            .unwrap()
            .contains("merchant_name"),
        "{alert}"
    );
}

#[tokio::test]
async fn what_is_sent_again_is_not_held_back_by_what_cannot_be_sent() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let silent = Soundbox::at(&world, shop.till().id)
        .await
        .switch_off()
        .await;
    let away = Soundbox::at(&world, shop.terminals[1].id)
        .await
        .switch_off()
        .await;
    silent.is_missed(&world).await;
    away.is_missed(&world).await;
    let unsaid = silent.credentials.sell(&world, 5_000).await;
    let said = away.credentials.sell(&world, 6_000).await;
    // There are no words for so much.
    let huge = "UPDATE notifications SET amount = 9000000000000000000 WHERE transaction_id = $1";
    change(&world, huge, unsaid.as_uuid()).await;
    let (silent, mut heard) = tokio::join!(silent.come_back(&world), away.come_back(&world));
    assert_eq!(heard.play().await.transaction_id, said);
    assert_eq!(
        failed(&world, &silent.credentials).await["reason"],
        "unsendable"
    );
    alert(
        &world,
        "undeliverable_message",
        silent.credentials.device_id,
    )
    .await;
}

#[tokio::test]
async fn a_box_on_http_is_told_the_rest() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.till().id).await;
    let unsaid = credentials.sell(&world, 5_000).await;
    let said = credentials.sell(&world, 6_000).await;
    let huge = "UPDATE notifications SET amount = 9000000000000000000 WHERE transaction_id = $1";
    change(&world, huge, unsaid.as_uuid()).await;
    let beat = json!({
        "device_id": credentials.device_id, "firmware_version": "1.0.3", "state": "idle",
    });
    let answer = credentials
        .api(&world)
        .post("/device/heartbeat", &beat)
        .await
        .expect(200)
        .data();
    let envelopes = answer["notifications"].as_array().unwrap();
    assert_eq!(envelopes.len(), 1, "{answer}");
    let message = credentials.keys.open(
        credentials.device_id,
        Channel::PaymentSuccess,
        envelopes[0].to_string().as_bytes(),
    );
    match message.unwrap() {
        wire::DownlinkMessage::PaymentSuccess(payment) => assert_eq!(payment.transaction_id, said),
        other => panic!("{other:?}"),
    }
    assert_eq!(failed(&world, &credentials).await["reason"], "unsendable");
}

#[tokio::test]
async fn a_command_and_a_configuration_that_cannot_be_sent_fail_alone() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let bad = Soundbox::at(&world, shop.till().id)
        .await
        .switch_off()
        .await;
    let good = Soundbox::at(&world, shop.terminals[1].id)
        .await
        .switch_off()
        .await;
    let (bad_id, good_id) = (bad.credentials.device_id, good.credentials.device_id);
    bad.is_missed(&world).await;
    good.is_missed(&world).await;
    for id in [bad_id, good_id] {
        let order = json!({ "type": "announce_text", "payload": { "text": "Selamat pagi" } });
        let path = format!("/admin/devices/{id}/commands");
        assert!(world.admin().post_once(&path, &order).await.status < 300);
    }
    let long = "UPDATE commands SET payload = jsonb_build_object('text', repeat('x', 20000)) WHERE device_id = $1";
    change(&world, long, bad_id.as_uuid()).await;
    let config = "UPDATE device_configs SET version = version + 1, config = jsonb_build_object('language', repeat('x', 20000))
                  WHERE device_id = $1";
    change(&world, config, bad_id.as_uuid()).await;
    let (mut bad, mut good) = tokio::join!(bad.come_back(&world), good.come_back(&world));
    loop {
        if let wire::DownlinkMessage::Command(command) = good.next().await {
            assert_eq!(command.kind, "announce_text");
            break;
        }
    }
    let admin = world.admin();
    let ended = eventually("the end of the command", || async {
        let list = admin
            .get(&format!("/admin/devices/{bad_id}/commands"))
            .await
            .expect(200)
            .data();
        let command = list[0].clone();
        (command["status"] != "queued").then_some(command)
    })
    .await;
    assert_eq!(
        (&ended["status"], &ended["reason"]),
        (&json!("failed"), &json!("unsendable"))
    );
    let path = format!("/admin/devices/{bad_id}/config");
    let shown = eventually("the end of the configuration", || async {
        let view = admin.get(&path).await.expect(200).data();
        (view["status"] == "failed").then_some(view)
    })
    .await;
    assert_eq!(shown["failed_reason"], "unsendable");
    alert(&world, "undeliverable_message", bad_id).await;
    // The next version can be sent, and is.
    let _ = admin
        .patch(&path, &json!({ "language": "id" }))
        .await
        .expect(200);
    let applied = books::count(
        &world.pool,
        "SELECT count(*) FROM device_configs WHERE failed_version = version",
    );
    assert_eq!(applied.await, 0);
    loop {
        if let wire::DownlinkMessage::ConfigPush(push) = bad.next().await {
            assert_eq!(push.config["language"], "id");
            break;
        }
    }
}

#[tokio::test]
async fn an_uplink_that_cannot_be_stored_is_kept_and_its_batch_is_stored() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    refuse(&world, "heartbeats", "INSERT", "NEW.state = 'impossible'").await;
    let refused = "NEW.reason = 'impossible'";
    refuse(&world, "notifications", "UPDATE", refused).await;
    let mut boxes = Vec::new();
    for _ in 0..6 {
        boxes.push(Soundbox::at(&world, shop.till().id).await);
    }
    // All at once, so that they meet in a batch.
    let beats = boxes.iter_mut().enumerate().map(|(number, soundbox)| async move {
        let state = if number == 2 { "impossible" } else { "idle" };
        let id = soundbox.credentials.device_id;
        for _ in 0..5 {
            let beat = json!({ "message_type": "heartbeat", "device_id": id, "firmware_version": "1", "state": state });
            assert!(soundbox.say_raw(Channel::Heartbeat, beat.to_string().into_bytes()).await);
        }
    });
    futures_util::future::join_all(beats).await;
    let stored = "SELECT count(*) FROM heartbeats WHERE state = 'idle'";
    assert_eq!(books::count(&world.pool, stored).await, 25);
    let kept = "SELECT count(*) FROM rejected_uplinks WHERE channel LIKE '%heartbeat' AND reason LIKE 'it cannot be stored%'";
    assert_eq!(books::count(&world.pool, kept).await, 5);

    boxes[0].credentials.sell(&world, 1_000).await;
    let acks = boxes.iter_mut().enumerate().map(|(number, soundbox)| async move {
        let heard = soundbox.hear().await;
        let reason = if number == 3 { "impossible" } else { "broken" };
        let ack = json!({ "message_type": "payment_ack", "event_id": heard.event_id, "status": "failed", "reason": reason });
        assert!(soundbox.say_raw(Channel::PaymentAck, ack.to_string().into_bytes()).await);
    });
    futures_util::future::join_all(acks).await;
    let taken = "SELECT count(*) FROM notifications WHERE status = 'failed' AND reason = 'broken'";
    assert_eq!(books::count(&world.pool, taken).await, 5);
    let kept = "SELECT count(*) FROM rejected_uplinks WHERE channel LIKE '%payment/ack'";
    assert_eq!(books::count(&world.pool, kept).await, 1);
}

#[tokio::test]
async fn a_row_that_no_job_can_change_holds_up_no_other() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let till = Credentials::at(&world, shop.till().id).await;
    let stuck = till.qr(&world, 1_000).await.transaction_id;
    let holds = format!("OLD.id = '{}'", stuck.as_uuid());
    refuse(&world, "transactions", "UPDATE", &holds).await;
    for amount in 1..=5 {
        till.qr(&world, amount).await;
    }
    world.later(3_600);
    eventually("five expired transactions", || async {
        let expired = "SELECT count(*) FROM transactions WHERE status = 'expired'";
        (books::count(&world.pool, expired).await == 5).then_some(())
    })
    .await;
    let named = "SELECT count(*) FROM alerts WHERE kind = 'failed_item' AND subject = $1";
    let alerts = || async {
        sqlx::query_scalar::<_, i64>(named)
            .bind(stuck.to_string())
            .fetch_one(&world.pool)
            .await
            .unwrap()
    };
    eventually("an alert", || async { (alerts().await == 1).then_some(()) }).await;
}

#[tokio::test]
async fn a_layer_reaches_every_box_but_the_one_that_fails() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut boxes = Vec::new();
    for _ in 0..5 {
        boxes.push(Credentials::at(&world, shop.till().id).await.device_id);
    }
    let holds = format!(
        "OLD.device_id = '{}' AND OLD.config <> NEW.config",
        boxes[2].as_uuid()
    );
    refuse(&world, "device_configs", "UPDATE", &holds).await;
    let admin = world.admin();
    let path = format!("/admin/merchants/{}/config", shop.merchant_id);
    let _ = admin
        .patch(&path, &json!({ "volume": 3 }))
        .await
        .expect(200);
    // A layer that comes after it is carried on too.
    let path = format!("/admin/outlets/{}/config", shop.outlet_id);
    let _ = admin
        .patch(&path, &json!({ "display_brightness": 7 }))
        .await
        .expect(200);
    eventually("the layer at four boxes", || async {
        let has = "SELECT count(*) FROM device_configs WHERE config ->> 'volume' = '3' AND config ->> 'display_brightness' = '7'";
        (books::count(&world.pool, has).await == 4).then_some(())
    })
    .await;
    let alert = alert(&world, "failed_item", boxes[2]).await;
    assert_eq!(alert["details"]["job"], "spread_config_layers");
    eventually("the end of the job", || async {
        let left = "SELECT count(*) FROM config_layers WHERE spread_after IS NOT NULL";
        (books::count(&world.pool, left).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_roll_out_goes_on_beside_a_box_and_beside_another_roll_out_that_fails() {
    let world = World::new().await;
    let mut boxes = Vec::new();
    for _ in 0..4 {
        let registered = register_with(&world, &["speaker"]).await;
        boxes.push(registered.activate(&world, Encoding::Json).await.device_id);
    }
    let holds = format!("NEW.device_id = '{}'", boxes[1].as_uuid());
    refuse(&world, "commands", "INSERT", &holds).await;
    let order = json!({
        "type": "play_test", "payload": {}, "query": {},
        "rollout": { "rate_per_minute": 60_000, "abort_threshold_percent": 100, "min_sample": 1 },
    });
    let admin = world.admin();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let made = admin.post_once("/admin/bulk-commands", &order).await;
        ids.push(made.data()["id"].as_str().unwrap().to_owned());
    }
    let broken: wire::ids::BulkCommandId = ids[0].parse().unwrap();
    let unreadable = "UPDATE bulk_commands SET rollout = '{}' WHERE id = $1";
    change(&world, unreadable, broken.as_uuid()).await;
    let progress = eventually("three orders and one that failed", || async {
        let view = admin
            .get(&format!("/admin/bulk-commands/{}", ids[1]))
            .await
            .expect(200)
            .data();
        let progress = view["progress"].clone();
        (progress["queued"] == 3 && progress["skipped"] == 1).then_some(progress)
    })
    .await;
    assert_eq!(progress["total"], 4);
    alert(&world, "failed_item", boxes[1]).await;
}

/// A connection of MQTT 5 as this box, which takes packets of `packet_bytes_max` and has subscribed to its payments.
async fn of_version_5(
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

#[tokio::test]
async fn a_payment_larger_than_the_box_takes_is_failed_at_once_and_never_sent() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let small = Credentials::at(&world, shop.till().id).await;
    let (_client, mut events) = of_version_5(&world, &small, 512).await;
    let reader = tokio::spawn(async move { while events.poll().await.is_ok() {} });
    let mut heard = Soundbox::at(&world, shop.till().id).await;
    let sold = heard.credentials.sell(&world, 50_000).await;
    assert_eq!(heard.play().await.transaction_id, sold);
    let row = failed(&world, &small).await;
    assert_eq!(row["reason"], "packet_too_large");
    assert_eq!(
        (&row["sent_at"], &row["attempts"]),
        (&Value::Null, &json!(0))
    );
    let alert = alert(&world, "undeliverable_message", small.device_id).await;
    assert_eq!(alert["details"]["reason"], "packet_too_large");
    assert_eq!(alert["details"]["event_id"], row["event_id"]);
    reader.abort();
}

#[tokio::test]
async fn nothing_is_sent_to_a_box_that_has_not_subscribed_until_it_does() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.till().id).await;
    let mut line = tests::soundbox::dial(&world, &credentials, false)
        .await
        .unwrap();
    let sold = credentials.sell(&world, 50_000).await;
    // The outbox has seen it, and put it off.
    eventually("an announcement that is put off", || async {
        let put_off: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM notifications WHERE transaction_id = $1 AND next_attempt_at > created_at)",
        )
        .bind(sold.as_uuid())
        .fetch_one(&world.pool)
        .await
        .unwrap();
        put_off.then_some(())
    })
    .await;
    let row = credentials.notifications(&world).await.remove(0);
    assert_eq!(
        (&row["status"], &row["sent_at"], &row["attempts"]),
        (&json!("pending"), &Value::Null, &json!(0))
    );
    let topic = Topic::new(credentials.device_id, Channel::PaymentSuccess).to_string();
    line.subscribe(&topic).await;
    let publish = line.hear().await;
    assert_eq!(publish.topic, topic);
    eventually("sent", || async {
        let row = credentials.notifications(&world).await.remove(0);
        (row["status"] == "sent" && row["attempts"] == json!(1)).then_some(())
    })
    .await;
}
