//! What operators order boxes to do.

use domain::role::Role;
use serde_json::{Value, json};
use tests::credentials::register_with;
use tests::shop::text;
use tests::{Api, Credentials, Shop, Soundbox, World, eventually};
use wire::message::{Command, CommandAck, CommandAckStatus};
use wire::{Channel, DeviceId, DownlinkMessage, Encoding, UplinkMessage};

async fn order(api: &Api, device_id: DeviceId, body: &Value) -> tests::Answer {
    let path = format!("/admin/devices/{device_id}/commands");
    api.post_once(&path, body).await
}

async fn view(world: &World, command: &Value) -> Value {
    let (device, id) = (text(command, "device_id"), text(command, "id"));
    world
        .admin()
        .get(&format!("/admin/devices/{device}/commands/{id}"))
        .await
        .expect(200)
        .data()
}

/// Waits until the order stands there.
async fn stands(world: &World, command: &Value, status: &str) -> Value {
    eventually(&format!("{status} of a command"), || async {
        let now = view(world, command).await;
        (now["status"] == status).then_some(now)
    })
    .await
}

async fn next_order(soundbox: &mut Soundbox) -> Command {
    loop {
        if let DownlinkMessage::Command(command) = soundbox.next().await {
            return command;
        }
    }
}

fn ack(soundbox: &Soundbox, command: &Command, status: CommandAckStatus) -> UplinkMessage {
    UplinkMessage::CommandAck(CommandAck {
        device_id: soundbox.credentials.device_id,
        command_id: command.command_id,
        status,
        reason: Some("ok".to_owned()),
        result_payload: Some(json!({ "payment_result": "ok" })),
    })
}

#[tokio::test]
async fn an_order_is_carried_out_by_mqtt() {
    let world = World::new().await;
    let mut soundbox = Soundbox::switch_on(&world, Credentials::unbound(&world).await).await;
    let device_id = soundbox.credentials.device_id;
    let ops = world.staff(Role::Ops).await;
    let body = json!({ "type": "set_volume", "payload": { "volume": 3 } });
    let command = order(&ops, device_id, &body).await.expect(201).data();
    assert_eq!(command["status"], "queued");
    let heard = next_order(&mut soundbox).await;
    assert_eq!(json!(heard.command_id), command["id"]);
    assert_eq!(
        (heard.kind.as_str(), &heard.payload),
        ("set_volume", &json!({ "volume": 3 }))
    );
    stands(&world, &command, "sent").await;
    let done = ack(&soundbox, &heard, CommandAckStatus::Delivered);
    soundbox.say(done.clone()).await;
    soundbox.say(done).await;
    let ended = view(&world, &command).await;
    assert_eq!(ended["status"], "delivered");
    assert_eq!(ended["result_payload"], json!({ "payment_result": "ok" }));
    assert_eq!(ended["late_ack"], Value::Null);
    // Another word afterwards is kept, and changes nothing.
    let failed = ack(&soundbox, &heard, CommandAckStatus::Failed);
    soundbox.say(failed).await;
    let after = view(&world, &command).await;
    assert_eq!(after["status"], "delivered");
    assert_eq!(after["late_ack"]["status"], "failed");
}

#[tokio::test]
async fn an_order_waits_for_a_box_that_is_away() {
    let world = World::new().await;
    let registered = tests::credentials::register(&world).await;
    let credentials = registered.activate(&world, Encoding::Msgpack).await;
    let soundbox = Soundbox::switch_on(&world, credentials).await;
    let device_id = soundbox.credentials.device_id;
    let away = soundbox.switch_off().await;
    let body = json!({ "type": "reboot" });
    let command = order(&world.admin(), device_id, &body)
        .await
        .expect(201)
        .data();
    let mut soundbox = away.come_back(&world).await;
    let heard = next_order(&mut soundbox).await;
    assert_eq!(json!(heard.command_id), command["id"]);
    // Not acknowledged: it is sent again, also after a restart of the box.
    let mut soundbox = soundbox.switch_off().await.come_back(&world).await;
    let again = next_order(&mut soundbox).await;
    assert_eq!(again.command_id, heard.command_id);
    let failed = ack(&soundbox, &again, CommandAckStatus::Failed);
    soundbox.say(failed).await;
    assert_eq!(view(&world, &command).await["status"], "failed");
}

#[tokio::test]
async fn an_order_reaches_a_box_on_http() {
    let world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    let device_id = credentials.device_id;
    let body = json!({ "type": "announce_text", "payload": { "text": "Selamat pagi" } });
    let command = order(&world.admin(), device_id, &body)
        .await
        .expect(201)
        .data();
    let api = credentials.api(&world);
    let beat = json!({ "device_id": device_id, "firmware_version": "1.0.3", "state": "idle" });
    let poll = || async {
        let answer = api.post("/device/heartbeat", &beat).await.expect(200);
        answer.data()["commands"].clone()
    };
    let commands = poll().await;
    let envelope = commands[0].to_string();
    let opened = credentials
        .keys
        .open(device_id, Channel::Command, envelope.as_bytes());
    assert!(
        matches!(opened, Ok(DownlinkMessage::Command(heard)) if json!(heard.command_id) == command["id"])
    );
    assert_eq!(poll().await, json!([]), "told twice at once");
    let said = json!({
        "device_id": device_id, "command_id": command["id"], "status": "delivered", "reason": "ok",
        "result_payload": { "payment_result": "ok" },
    });
    let ended = api
        .post("/device/commands/ack", &said)
        .await
        .expect(200)
        .data();
    assert_eq!(ended["status"], "delivered");

    let other = Credentials::unbound(&world).await;
    other
        .api(&world)
        .post("/device/commands/ack", &said)
        .await
        .refused(403, "FORBIDDEN");
    let mut stolen = said.clone();
    stolen["device_id"] = json!(other.device_id);
    other
        .api(&world)
        .post("/device/commands/ack", &stolen)
        .await
        .refused(404, "COMMAND_NOT_FOUND");
}

#[tokio::test]
async fn an_order_ends_by_itself_or_is_taken_back_and_stays_ended() {
    let world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    let device_id = credentials.device_id;
    let admin = world.admin();
    let short = json!({ "type": "reboot", "expires_in": 30 });
    let expiring = order(&admin, device_id, &short).await.expect(201).data();
    let cancelled = order(
        &admin,
        device_id,
        &json!({ "type": "play_test", "expires_in": 600 }),
    )
    .await
    .expect(201)
    .data();
    let cancel = format!(
        "/admin/devices/{device_id}/commands/{}/cancel",
        text(&cancelled, "id")
    );
    let taken_back = admin.post(&cancel, &json!({})).await.expect(200).data();
    assert_eq!(taken_back["status"], "cancelled");
    admin
        .post(&cancel, &json!({}))
        .await
        .refused(409, "INVALID_STATE");
    world.later(60);
    stands(&world, &expiring, "timeout").await;
    let api = credentials.api(&world);
    for (command, status) in [(&expiring, "timeout"), (&cancelled, "cancelled")] {
        let late =
            json!({ "device_id": device_id, "command_id": command["id"], "status": "delivered" });
        let known = api
            .post("/device/commands/ack", &late)
            .await
            .expect(200)
            .data();
        assert_eq!(known["status"], status);
        assert_eq!(known["late_ack"]["status"], "delivered");
    }
    let beat = json!({ "device_id": device_id, "firmware_version": "1.0.3", "state": "idle" });
    let poll = api
        .post("/device/heartbeat", &beat)
        .await
        .expect(200)
        .data();
    assert_eq!(poll["commands"], json!([]));

    let list = format!("/admin/devices/{device_id}/commands");
    let all = admin.get(&list).await.expect(200).data();
    assert_eq!(
        (all[0]["id"].clone(), all[1]["id"].clone()),
        (cancelled["id"].clone(), expiring["id"].clone())
    );
    let some = admin.get(&format!("{list}?status=timeout")).await.data();
    assert_eq!(some.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_box_cannot_do_is_not_ordered() {
    let world = World::new().await;
    let speaker = register_with(&world, &["speaker"]).await.device_id;
    let admin = world.admin();
    // The capability comes before the parameters.
    let body = json!({ "type": "display_qr", "payload": { "nonsense": 1 } });
    order(&admin, speaker, &body)
        .await
        .refused(422, "DEVICE_CAPABILITY_NOT_SUPPORTED");
    for wrong in [
        json!({ "type": "set_volume", "payload": { "volume": 11 } }),
        json!({ "type": "set_volume" }),
        json!({ "type": "self_destruct" }),
        json!({ "type": "reboot", "payload": { "hard": true } }),
        json!({ "type": "reboot", "expires_in": 0 }),
        json!({ "type": "reboot", "colour": "red" }),
        json!({}),
    ] {
        order(&admin, speaker, &wrong)
            .await
            .refused(422, "VALIDATION_FAILED");
    }
    let nobody = "sbx_0190f3a1c0de7abc8def0123456789ab".parse().unwrap();
    order(&admin, nobody, &json!({ "type": "reboot" }))
        .await
        .refused(404, "DEVICE_NOT_FOUND");
    admin
        .post(
            &format!("/admin/devices/{speaker}/commands"),
            &json!({ "type": "reboot" }),
        )
        .await
        .refused(400, "IDEMPOTENCY_KEY_REQUIRED");
    for role in [Role::Finance, Role::Support] {
        order(
            &world.staff(role).await,
            speaker,
            &json!({ "type": "reboot" }),
        )
        .await
        .refused(403, "FORBIDDEN");
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM commands")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(count, 0);

    // The same key is the same order.
    let path = format!("/admin/devices/{speaker}/commands");
    let keyed = [("idempotency-key", "once")];
    let body = json!({ "type": "reboot" });
    let first = admin.post_with(&path, &keyed, &body).await.expect(201);
    let again = admin.post_with(&path, &keyed, &body).await.expect(201);
    assert_eq!(first.body, again.body);
    let retired = json!({ "status": "retired" });
    let _ = admin
        .patch(&format!("/admin/devices/{speaker}"), &retired)
        .await
        .expect(200);
    order(&admin, speaker, &body)
        .await
        .refused(409, "INVALID_STATE");
}

#[tokio::test]
async fn what_a_box_was_to_say_or_show_for_its_old_merchant_is_taken_back() {
    let world = World::new().await;
    let old = Shop::open(&world, "Warung Sari", 1).await;
    let new = Shop::open(&world, "Kopi Fajar", 1).await;
    let credentials = Credentials::at(&world, old.till().id).await;
    let device_id = credentials.device_id;
    let admin = world.admin();
    let mut orders = Vec::new();
    for body in [
        json!({ "type": "announce_text", "payload": { "text": "Selamat pagi" } }),
        json!({ "type": "display_qr", "payload": { "qr_payload": old.till().static_qr_payload } }),
        json!({ "type": "reboot" }),
    ] {
        orders.push(order(&admin, device_id, &body).await.expect(201).data());
    }
    let _ = tests::credentials::bind(&world, device_id, new.till().id).await;
    for (command, status) in orders.iter().zip(["cancelled", "cancelled", "queued"]) {
        assert_eq!(view(&world, command).await["status"], status, "{command}");
    }
    // What the new one says is heard.
    let body = json!({ "type": "announce_text", "payload": { "text": "Selamat datang" } });
    let _ = order(&admin, device_id, &body).await.expect(201);
    let mut soundbox = Soundbox::switch_on(&world, credentials).await;
    assert_eq!(next_order(&mut soundbox).await.kind, "reboot");
    let heard = next_order(&mut soundbox).await;
    assert_eq!(heard.payload["text"], "Selamat datang");
}
