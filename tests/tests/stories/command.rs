//! Commands to single boxes.

use tests::credentials::register_with;
use tests::prelude::*;
use wire::message::{Command, CommandAck, CommandAckStatus};
use wire::{Channel, DownlinkMessage, Encoding, UplinkMessage};

use crate::view::{command as order, command_now as view};

/// Waits for a status of a command.
async fn stands(world: &World, command: &Value, status: &str) -> Value {
    eventually(&format!("{status} of a command"), || async {
        let now = view(world, command).await;
        (now["status"] == status).then_some(now)
    })
    .await
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
async fn a_command_is_executed_by_mqtt() {
    let world = World::new().await;
    let mut soundbox = Soundbox::unbound(&world).await;
    let device_id = soundbox.credentials.device_id;
    let ops = world.staff(Role::Ops).await;
    let body = json!({ "type": "set_volume", "payload": { "volume": 3 } });
    let command = order(&ops, device_id, &body).await.expect(201).data();
    assert_eq!(command["status"], "queued");
    let heard = soundbox.next_command().await;
    assert_eq!(json!(heard.command_id), command["id"]);
    assert_eq!(heard.kind, "set_volume");
    assert_eq!(heard.payload, json!({ "volume": 3 }));
    stands(&world, &command, "sent").await;
    let done = ack(&soundbox, &heard, CommandAckStatus::Delivered);
    soundbox.send(done.clone()).await;
    soundbox.send(done).await;
    let ended = view(&world, &command).await;
    assert_eq!(ended["status"], "delivered");
    assert_fields!(ended, { "result_payload": { "payment_result": "ok" }, "late_ack": null });
    // Another acknowledgement afterwards is stored, and changes nothing.
    let failed = ack(&soundbox, &heard, CommandAckStatus::Failed);
    soundbox.send(failed).await;
    let after = view(&world, &command).await;
    assert_eq!(after["status"], "delivered");
    assert_eq!(after["late_ack"]["status"], "failed");
}

#[tokio::test]
async fn a_command_waits_for_a_box_that_is_offline() {
    let world = World::new().await;
    let registered = register(&world).await;
    let credentials = registered.activate(&world, Encoding::Msgpack).await;
    let soundbox = Soundbox::switch_on(&world, credentials).await;
    let device_id = soundbox.credentials.device_id;
    let away = soundbox.switch_off().await;
    let body = json!({ "type": "reboot" });
    let command = order(&world.admin(), device_id, &body).await;
    let command = command.expect(201).data();
    let mut soundbox = away.reconnect(&world).await;
    let heard = soundbox.next_command().await;
    assert_eq!(json!(heard.command_id), command["id"]);
    // Not acknowledged: it is sent again, also after a restart of the box.
    let mut soundbox = soundbox.switch_off().await.reconnect(&world).await;
    let again = soundbox.next_command().await;
    assert_eq!(again.command_id, heard.command_id);
    let failed = ack(&soundbox, &again, CommandAckStatus::Failed);
    soundbox.send(failed).await;
    assert_eq!(view(&world, &command).await["status"], "failed");
}

#[tokio::test]
async fn a_command_reaches_a_box_on_http() {
    let world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    let device_id = credentials.device_id;
    let body = json!({ "type": "announce_text", "payload": { "text": "Selamat pagi" } });
    let command = order(&world.admin(), device_id, &body).await;
    let command = command.expect(201).data();
    let api = credentials.api(&world);
    let heartbeat = credentials.heartbeat_body();
    let poll = || async {
        let answer = api.post("/device/heartbeat", &heartbeat).await.expect(200);
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
    assert_eq!(poll().await, json!([]), "returned twice at once");
    let acknowledgement = json!({
        "device_id": device_id, "command_id": command["id"], "status": "delivered", "reason": "ok",
        "result_payload": { "payment_result": "ok" },
    });
    let ended = api.act("/device/commands/ack", &acknowledgement).await;
    assert_eq!(ended["status"], "delivered");

    let other = Credentials::unbound(&world).await;
    let (path, thief) = ("/device/commands/ack", other.api(&world));
    assert_refused!(thief.post(path, &acknowledgement), FORBIDDEN);
    let mut stolen = acknowledgement.clone();
    stolen["device_id"] = json!(other.device_id);
    assert_refused!(thief.post(path, &stolen), COMMAND_NOT_FOUND);
}

#[tokio::test]
async fn a_command_that_timed_out_or_was_cancelled_stays_ended() {
    let world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    let device_id = credentials.device_id;
    let admin = world.admin();
    let short = json!({ "type": "reboot", "expires_in": 30 });
    let expiring = order(&admin, device_id, &short).await.expect(201).data();
    let long = json!({ "type": "play_test", "expires_in": 600 });
    let cancelled = order(&admin, device_id, &long).await.expect(201).data();
    let list = format!("/admin/devices/{device_id}/commands");
    let cancel = format!("{list}/{}/cancel", text(&cancelled, "id"));
    let taken_back = admin.act(&cancel, &json!({})).await;
    assert_eq!(taken_back["status"], "cancelled");
    admin.post(&cancel, &json!({})).await.refused(INVALID_STATE);
    world.later(60);
    stands(&world, &expiring, "timeout").await;
    let api = credentials.api(&world);
    for (command, status) in [(&expiring, "timeout"), (&cancelled, "cancelled")] {
        let late =
            json!({ "device_id": device_id, "command_id": command["id"], "status": "delivered" });
        let known = api.act("/device/commands/ack", &late).await;
        assert_eq!(known["status"], status);
        assert_eq!(known["late_ack"]["status"], "delivered");
    }
    let poll = credentials.heartbeat(&world, "1.0.3").await;
    assert_eq!(poll["commands"], json!([]));

    let all = admin.read(&list).await;
    for (row, command) in [(&all[0], &cancelled), (&all[1], &expiring)] {
        assert_eq!(row["id"], command["id"]);
    }
    let some = admin.list(&format!("{list}?status=timeout")).await;
    assert_eq!(some.len(), 1);
}

#[tokio::test]
async fn a_command_beyond_the_capabilities_of_a_box_is_refused() {
    let world = World::new().await;
    let speaker = register_with(&world, &["speaker"]).await.device_id;
    let admin = world.admin();
    // The capability is checked before the parameters.
    let body = json!({ "type": "display_qr", "payload": { "nonsense": 1 } });
    let refused = order(&admin, speaker, &body).await;
    refused.refused(DEVICE_CAPABILITY_NOT_SUPPORTED);
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
            .refused(VALIDATION_FAILED);
    }
    let unknown = "sbx_0190f3a1c0de7abc8def0123456789ab".parse().unwrap();
    let path = format!("/admin/devices/{speaker}/commands");
    let body = json!({ "type": "reboot" });
    assert_refused!(order(&admin, unknown, &body), DEVICE_NOT_FOUND);
    assert_refused!(admin.post(&path, &body), IDEMPOTENCY_KEY_REQUIRED);
    for role in [Role::Finance, Role::Support] {
        let api = world.staff(role).await;
        assert_refused!(order(&api, speaker, &body), FORBIDDEN);
    }
    assert_eq!(world.rows("commands").await, 0);

    // The same key is the same command.
    let keyed = [("idempotency-key", "once")];
    let first = admin.post_with(&path, &keyed, &body).await.expect(201);
    let again = admin.post_with(&path, &keyed, &body).await.expect(201);
    assert_eq!(first.body, again.body);
    let (path, retired) = (
        format!("/admin/devices/{speaker}"),
        json!({ "status": "retired" }),
    );
    admin.change(&path, &retired).await;
    order(&admin, speaker, &body).await.refused(INVALID_STATE);
}

#[tokio::test]
async fn commands_of_the_old_merchant_are_cancelled_by_a_rebind() {
    let world = World::new().await;
    let old = Shop::open(&world, "Warung Sari", 1).await;
    let new = Shop::open(&world, "Kopi Fajar", 1).await;
    let credentials = Credentials::at(&world, old.terminal().id).await;
    let device_id = credentials.device_id;
    let admin = world.admin();
    let mut orders = Vec::new();
    for body in [
        json!({ "type": "announce_text", "payload": { "text": "Selamat pagi" } }),
        json!({ "type": "display_qr", "payload": { "qr_payload": old.terminal().static_qr_payload } }),
        json!({ "type": "reboot" }),
    ] {
        orders.push(order(&admin, device_id, &body).await.expect(201).data());
    }
    bind(&world, device_id, new.terminal().id).await;
    for (command, status) in orders.iter().zip(["cancelled", "cancelled", "queued"]) {
        assert_eq!(view(&world, command).await["status"], status, "{command}");
    }
    // Commands of the new merchant arrive.
    let body = json!({ "type": "announce_text", "payload": { "text": "Selamat datang" } });
    let _ = order(&admin, device_id, &body).await.expect(201);
    let mut soundbox = Soundbox::switch_on(&world, credentials).await;
    assert_eq!(soundbox.next_command().await.kind, "reboot");
    let heard = soundbox.next_command().await;
    assert_eq!(heard.payload["text"], "Selamat datang");
}
