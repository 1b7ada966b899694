//! One item that cannot be processed stops no other: it ends with its reason and an alert.

use sqlx::AssertSqlSafe;
use tests::credentials::register_with;
use tests::prelude::*;
use tests::soundbox::{SwitchedOff, connect};
use wire::{Channel, DeviceId, Encoding, Topic};

use crate::view::{bulk_command, command, of_version_5};

/// A name that shows as "Toko", and which no message can carry.
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

/// Makes statements fail on the rows of `table` for which `holds` is true.
async fn refuse(world: &World, table: &str, event: &str, holds: &str) {
    world.execute(&format!(
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
        let list = world.admin().read(&path).await;
        let alerts = list.as_array().unwrap();
        assert!(alerts.len() <= 1, "{list}");
        alerts.first().cloned()
    })
    .await
}

async fn failed(world: &World, credentials: &Credentials) -> Value {
    eventually("a failed announcement", || async {
        let received = credentials.notifications(world).await;
        received.into_iter().find(|one| one["status"] == "failed")
    })
    .await
}

#[tokio::test]
async fn a_payment_that_no_message_can_carry_fails_alone() {
    let world = World::new().await;
    let bad = Shop::open(&world, "Toko Aneh", 1).await;
    let good = Shop::open(&world, "Warung Sari", 1).await;
    change(&world, UNSENDABLE_NAME, bad.merchant_id.as_uuid()).await;
    let silent = Soundbox::at(&world, bad.terminal().id).await;
    let mut heard = Soundbox::at(&world, good.terminal().id).await;
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
    assert_fields!(row, { "reason": "unsendable", "sent_at": null });
    let id = silent.credentials.device_id;
    let alert = alert(&world, "undeliverable_message", id).await;
    assert_eq!(alert["details"]["reason"], "unsendable");
    assert!(alert["details"]["event_id"].is_string(), "{alert}");
    let problem = text(&alert["details"], "problem");
    assert!(problem.contains("merchant_name"), "{alert}");
}

#[tokio::test]
async fn what_is_sent_again_is_not_held_back_by_what_cannot_be_sent() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let silent = SwitchedOff::at(&world, shop.terminals[0].id).await;
    let away = SwitchedOff::at(&world, shop.terminals[1].id).await;
    let unsaid = silent.credentials.sell(&world, 5_000).await;
    let sent = away.credentials.sell(&world, 6_000).await;
    // The speech has no words for this amount.
    let huge = "UPDATE notifications SET amount = 9000000000000000000 WHERE transaction_id = $1";
    change(&world, huge, unsaid.as_uuid()).await;
    let (silent, mut heard) = tokio::join!(silent.reconnect(&world), away.reconnect(&world));
    assert_eq!(heard.play().await.transaction_id, sent);
    let row = failed(&world, &silent.credentials).await;
    assert_eq!(row["reason"], "unsendable");
    let id = silent.credentials.device_id;
    alert(&world, "undeliverable_message", id).await;
}

#[tokio::test]
async fn a_box_on_http_receives_the_rest() {
    let (world, _, credentials) = fixture::device().await;
    let unsaid = credentials.sell(&world, 5_000).await;
    let sent = credentials.sell(&world, 6_000).await;
    let huge = "UPDATE notifications SET amount = 9000000000000000000 WHERE transaction_id = $1";
    change(&world, huge, unsaid.as_uuid()).await;
    let answer = credentials.heartbeat(&world, "1.0.3").await;
    let envelopes = answer["notifications"].as_array().unwrap();
    assert_eq!(envelopes.len(), 1, "{answer}");
    let message = credentials.keys.open(
        credentials.device_id,
        Channel::PaymentSuccess,
        envelopes[0].to_string().as_bytes(),
    );
    match message.unwrap() {
        wire::DownlinkMessage::PaymentSuccess(payment) => assert_eq!(payment.transaction_id, sent),
        other => panic!("{other:?}"),
    }
    assert_eq!(failed(&world, &credentials).await["reason"], "unsendable");
}

#[tokio::test]
async fn a_command_and_a_configuration_that_cannot_be_sent_fail_alone() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let bad = SwitchedOff::at(&world, shop.terminals[0].id).await;
    let good = SwitchedOff::at(&world, shop.terminals[1].id).await;
    let (bad_id, good_id) = (bad.credentials.device_id, good.credentials.device_id);
    for id in [bad_id, good_id] {
        let body = json!({ "type": "announce_text", "payload": { "text": "Selamat pagi" } });
        let _ = command(&world.admin(), id, &body).await.expect(201);
    }
    let long = "UPDATE commands SET payload = jsonb_build_object('text', repeat('x', 20000)) WHERE device_id = $1";
    change(&world, long, bad_id.as_uuid()).await;
    let config = "UPDATE device_configs SET version = version + 1, config = jsonb_build_object('language', repeat('x', 20000))
                  WHERE device_id = $1";
    change(&world, config, bad_id.as_uuid()).await;
    let (mut bad, mut good) = tokio::join!(bad.reconnect(&world), good.reconnect(&world));
    assert_eq!(good.next_command().await.kind, "announce_text");
    let admin = world.admin();
    let path = format!("/admin/devices/{bad_id}/commands");
    let ended = eventually("the end of the command", || async {
        let command = admin.read(&path).await[0].take();
        (command["status"] != "queued").then_some(command)
    })
    .await;
    assert_fields!(ended, { "status": "failed", "reason": "unsendable" });
    let path = format!("/admin/devices/{bad_id}/config");
    let shown = eventually("the end of the configuration", || async {
        let view = admin.read(&path).await;
        (view["status"] == "failed").then_some(view)
    })
    .await;
    assert_eq!(shown["failed_reason"], "unsendable");
    alert(&world, "undeliverable_message", bad_id).await;
    // The next version can be sent, and is.
    admin.change(&path, &json!({ "language": "id" })).await;
    let applied = world.rows("device_configs WHERE failed_version = version");
    assert_eq!(applied.await, 0);
    assert_eq!(bad.next_config().await.config["language"], "id");
}

#[tokio::test]
async fn an_uplink_that_cannot_be_stored_is_kept_and_its_batch_is_stored() {
    let (world, shop) = fixture::shop().await;
    refuse(&world, "heartbeats", "INSERT", "NEW.state = 'impossible'").await;
    let refused = "NEW.reason = 'impossible'";
    refuse(&world, "notifications", "UPDATE", refused).await;
    let mut boxes = Vec::new();
    for _ in 0..6 {
        boxes.push(Soundbox::at(&world, shop.terminal().id).await);
    }
    // All at once, so that they meet in a batch.
    let heartbeats = boxes.iter_mut().enumerate().map(|(number, soundbox)| async move {
        let state = if number == 2 { "impossible" } else { "idle" };
        let id = soundbox.credentials.device_id;
        for _ in 0..5 {
            let heartbeat = json!({ "message_type": "heartbeat", "device_id": id, "firmware_version": "1", "state": state });
            assert!(soundbox.send_raw(Channel::Heartbeat, heartbeat.to_string().into_bytes()).await);
        }
    });
    futures_util::future::join_all(heartbeats).await;
    let stored = "SELECT count(*) FROM heartbeats WHERE state = 'idle'";
    assert_eq!(world.number(stored).await, 25);
    let kept =
        "rejected_uplinks WHERE channel LIKE '%heartbeat' AND reason LIKE 'it cannot be stored%'";
    assert_eq!(world.rows(kept).await, 5);

    boxes[0].credentials.sell(&world, 1_000).await;
    let acks = boxes.iter_mut().enumerate().map(|(number, soundbox)| async move {
        let heard = soundbox.hear().await;
        let reason = if number == 3 { "impossible" } else { "broken" };
        let ack = json!({ "message_type": "payment_ack", "event_id": heard.event_id, "status": "failed", "reason": reason });
        assert!(soundbox.send_raw(Channel::PaymentAck, ack.to_string().into_bytes()).await);
    });
    futures_util::future::join_all(acks).await;
    let taken = "notifications WHERE status = 'failed' AND reason = 'broken'";
    assert_eq!(world.rows(taken).await, 5);
    let kept = "rejected_uplinks WHERE channel LIKE '%payment/ack'";
    assert_eq!(world.rows(kept).await, 1);
}

#[tokio::test]
async fn a_row_that_no_job_can_change_holds_up_no_other() {
    let (world, _, device) = fixture::device().await;
    let stuck = device.qr(&world, 1_000).await.transaction_id;
    let holds = format!("OLD.id = '{}'", stuck.as_uuid());
    refuse(&world, "transactions", "UPDATE", &holds).await;
    for amount in 1..=5 {
        device.qr(&world, amount).await;
    }
    world.later(3_600);
    let expired = "transactions WHERE status = 'expired'";
    world.wait_for_rows(expired, 5).await;
    let alert = format!("alerts WHERE kind = 'failed_item' AND subject = '{stuck}'");
    world.wait_for_rows(&alert, 1).await;
}

#[tokio::test]
async fn a_layer_reaches_every_box_but_the_one_that_fails() {
    let (world, shop) = fixture::shop().await;
    let mut boxes = Vec::new();
    for _ in 0..5 {
        boxes.push(Credentials::at(&world, shop.terminal().id).await.device_id);
    }
    let stuck = boxes[2].as_uuid();
    let holds = format!("OLD.device_id = '{stuck}' AND OLD.config <> NEW.config");
    refuse(&world, "device_configs", "UPDATE", &holds).await;
    let admin = world.admin();
    let path = format!("{}/config", shop.path());
    admin.change(&path, &json!({ "volume": 3 })).await;
    // The next change of a layer is spread too.
    let path = format!("/admin/outlets/{}/config", shop.outlet_id);
    let dim = json!({ "display_brightness": 7 });
    admin.change(&path, &dim).await;
    let have =
        "device_configs WHERE config ->> 'volume' = '3' AND config ->> 'display_brightness' = '7'";
    world.wait_for_rows(have, 4).await;
    let alert = alert(&world, "failed_item", boxes[2]).await;
    assert_eq!(alert["details"]["job"], "spread_config_layers");
    let left = "config_layers WHERE spread_after IS NOT NULL";
    world.wait_for_rows(left, 0).await;
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
        ids.push(text(&made.data(), "id"));
    }
    let broken: wire::ids::BulkCommandId = ids[0].parse().unwrap();
    let unreadable = "UPDATE bulk_commands SET rollout = '{}' WHERE id = $1";
    change(&world, unreadable, broken.as_uuid()).await;
    let progress = eventually("three orders and one that failed", || async {
        let progress = bulk_command(&world, &ids[1]).await["progress"].take();
        (progress["queued"] == 3 && progress["skipped"] == 1).then_some(progress)
    })
    .await;
    assert_eq!(progress["total"], 4);
    alert(&world, "failed_item", boxes[1]).await;
}

#[tokio::test]
async fn a_payment_larger_than_the_box_takes_is_failed_at_once_and_never_sent() {
    let (world, shop, small) = fixture::device().await;
    let (_client, mut events) = of_version_5(&world, &small, 512).await;
    let reader = tokio::spawn(async move { while events.poll().await.is_ok() {} });
    let mut heard = Soundbox::at(&world, shop.terminal().id).await;
    let sold = heard.credentials.sell(&world, 50_000).await;
    assert_eq!(heard.play().await.transaction_id, sold);
    let row = failed(&world, &small).await;
    assert_eq!(row["reason"], "packet_too_large");
    assert_fields!(row, { "sent_at": null, "attempts": 0 });
    let alert = alert(&world, "undeliverable_message", small.device_id).await;
    assert_fields!(alert["details"], { "reason": "packet_too_large", "event_id": row["event_id"] });
    reader.abort();
}

#[tokio::test]
async fn nothing_is_sent_to_a_box_that_has_not_subscribed_until_it_does() {
    let (world, _, credentials) = fixture::device().await;
    let connected = connect(&world, &credentials, false).await;
    let mut connection = connected.unwrap();
    let sold = credentials.sell(&world, 50_000).await;
    // The outbox has read it, and postponed it.
    let put_off = format!(
        "notifications WHERE transaction_id = '{}' AND next_attempt_at > created_at",
        sold.as_uuid()
    );
    world.wait_for_rows(&put_off, 1).await;
    let row = credentials.notifications(&world).await.remove(0);
    assert_fields!(row, { "status": "pending", "sent_at": null, "attempts": 0 });
    let topic = Topic::new(credentials.device_id, Channel::PaymentSuccess).to_string();
    connection.subscribe(&topic).await;
    let publish = connection.receive().await;
    assert_eq!(publish.topic, topic);
    eventually("sent", || async {
        let row = credentials.notifications(&world).await.remove(0);
        (row["status"] == "sent" && row["attempts"] == json!(1)).then_some(())
    })
    .await;
}
