//! The firmware catalogue, and boxes that are updated step by step.

use tests::prelude::*;
use wire::UplinkMessage;
use wire::message::{AckStatus, Command, CommandAck, CommandAckStatus};

use crate::view::{bulk_command as view, bulk_command_becomes as becomes};

fn firmware(model: &str, version: &str) -> Value {
    json!({
        "version": version, "model": model, "url": format!("https://firmware.example/{model}/{version}.bin"),
        "sha256": "AB".repeat(32), "notes": "Louder",
    })
}

async fn publish(world: &World, model: &str, version: &str) -> String {
    let body = firmware(model, version);
    let made = world.admin().post("/admin/firmware", &body).await;
    text(&made.expect(201).data(), "id")
}

async fn roll_out(world: &World, firmware: &str, body: &Value) -> tests::Answer {
    let path = format!("/admin/firmware/{firmware}/rollouts");
    world.admin().post_once(&path, body).await
}

/// Takes the update, and acknowledges it.
async fn take_update(soundbox: &mut Soundbox) -> Command {
    let command = soundbox.next_command().await;
    let taken = UplinkMessage::CommandAck(CommandAck {
        device_id: soundbox.credentials.device_id,
        command_id: command.command_id,
        status: CommandAckStatus::Delivered,
        reason: None,
        result_payload: None,
    });
    soundbox.send(taken).await;
    command
}

#[tokio::test]
async fn a_catalogue_has_each_version_of_a_model_once_and_never_changes_it() {
    let world = World::new().await;
    let admin = world.admin();
    let id = publish(&world, "SB-1", "1.1.0").await;
    let path = format!("/admin/firmware/{id}");
    let found = world.staff(Role::Support).await.read(&path).await;
    assert_eq!(found["sha256"], "ab".repeat(32));
    admin
        .post("/admin/firmware", &firmware("SB-1", "1.1.0"))
        .await
        .refused(DUPLICATE_REQUEST);
    let _ = publish(&world, "SB-2", "1.1.0").await;
    for (field, wrong) in [
        ("url", json!("http://firmware.example/1.bin")),
        ("sha256", json!("ab")),
        ("version", json!("")),
        ("model", json!(" ")),
        ("colour", json!("red")),
    ] {
        let mut body = firmware("SB-1", "1.2.0");
        body[field] = wrong;
        let answer = admin.post("/admin/firmware", &body).await;
        answer.refused(VALIDATION_FAILED);
        let details = answer.json()["details"].to_string();
        assert!(details.contains(field), "{answer}");
    }
    let list = admin.list("/admin/firmware?model=SB-1").await;
    assert_eq!(list.len(), 1);
    assert_refused!(admin.patch(&path, &json!({})), METHOD_NOT_ALLOWED);
    let unknown = "/admin/firmware/fw_0190f3a1c0de7abc8def0123456789ab";
    admin.get(unknown).await.refused(FIRMWARE_NOT_FOUND);
    let finance = world.staff(Role::Finance).await;
    finance.get(&path).await.refused(FORBIDDEN);
}

#[tokio::test]
async fn a_rollout_updates_boxes_of_its_model_that_do_not_run_it_yet() {
    let world = World::new().await;
    let admin = world.admin();
    let mut soundbox = Soundbox::unbound(&world).await;
    let device_id = soundbox.credentials.device_id;
    let updated = Credentials::unbound(&world).await;
    updated.heartbeat(&world, "1.1.0").await;
    let other = Credentials::unbound(&world).await;
    other.change(&world, json!({ "model": "SB-2" })).await;

    let id = publish(&world, "SB-1", "1.1.0").await;
    let rollout =
        json!({ "rate_per_minute": 60_000, "abort_threshold_percent": 10, "min_sample": 1 });
    for wrong in [
        json!({ "query": { "model": "SB-2" }, "rollout": rollout }),
        json!({ "rollout": rollout, "guard": { "unheard_rise_percent": 0 } }),
    ] {
        assert_refused!(roll_out(&world, &id, &wrong), VALIDATION_FAILED);
    }

    let made = roll_out(&world, &id, &json!({ "rollout": rollout })).await;
    let made = made.expect(201).data();
    assert_fields!(made, { "type": "update_firmware", "firmware_id": id });
    assert_eq!(made["progress"]["total"], 1, "{made}");
    let order = take_update(&mut soundbox).await;
    let payload = json!({ "url": "https://firmware.example/SB-1/1.1.0.bin", "sha256": "ab".repeat(32), "version": "1.1.0" });
    assert_eq!(order.kind, "update_firmware");
    assert_eq!(order.payload, payload);
    let done = becomes(&world, &text(&made, "id"), "completed").await;
    assert_eq!(done["progress"]["delivered"], 1);
    let path = format!("/admin/firmware/{id}/rollouts");
    let list = admin.read(&path).await;
    assert_eq!(list[0]["id"], made["id"]);
    let targets = format!("/admin/bulk-commands/{}/devices", text(&made, "id"));
    let targets = admin.list(&targets).await;
    assert_eq!(targets[0]["device_id"], json!(device_id));
}

/// Two boxes, the first of which gets the update a minute before the other.
async fn updated_and_waiting(world: &World) -> (String, Soundbox, Soundbox) {
    let mut boxes = Vec::new();
    for name in ["Warung Sari", "Kopi Fajar"] {
        let shop = Shop::open(world, name, 1).await;
        boxes.push(Soundbox::at(world, shop.terminal().id).await);
    }
    let id = publish(world, "SB-1", "1.1.0").await;
    let body = json!({
        "rollout": { "rate_per_minute": 1, "abort_threshold_percent": 100, "min_sample": 20 },
        "guard": { "unheard_rise_percent": 50, "unheard_min_sample": 2, "confirm_within_s": 3600 },
    });
    let id = text(&roll_out(world, &id, &body).await.expect(201).data(), "id");
    let path = format!("/admin/bulk-commands/{id}/devices");
    let first = eventually("the first update", || async {
        let rows = world.admin().list(&path).await;
        rows.into_iter().find(|row| row["status"] != "pending")
    })
    .await;
    let index = boxes
        .iter()
        .position(|soundbox| json!(soundbox.credentials.device_id) == first["device_id"])
        .unwrap();
    let mut updated = boxes.remove(index);
    take_update(&mut updated).await;
    (id, updated, boxes.remove(0))
}

#[tokio::test]
async fn a_rollout_goes_on_while_updated_boxes_are_heard() {
    let world = World::new().await;
    let (id, mut updated, mut waiting) = updated_and_waiting(&world).await;
    for _ in 0..2 {
        updated.credentials.sell(&world, 10_000).await;
        let event_id = updated.hear().await.event_id;
        updated.acknowledge(event_id, AckStatus::Played).await;
    }
    // The other box plays nothing, which does not count against the update.
    waiting.credentials.sell(&world, 10_000).await;
    world.later(45);
    let seen = eventually("a check of the played payments", || async {
        let seen = view(&world, &id).await["guard_seen"].clone();
        (seen["updated"]["payments"] == 2).then_some(seen)
    })
    .await;
    assert_eq!(seen["updated"]["unheard"], 0, "{seen}");
    assert_eq!(seen["rest"], json!({ "payments": 1, "unheard": 1 }));
    world.later(60);
    take_update(&mut waiting).await;
    becomes(&world, &id, "completed").await;
}

#[tokio::test]
async fn a_rollout_aborts_when_updated_boxes_are_heard_less_than_the_rest() {
    let world = World::new().await;
    let (id, updated, waiting) = updated_and_waiting(&world).await;
    for _ in 0..2 {
        updated.credentials.sell(&world, 10_000).await;
    }
    world.later(45);
    let aborted = becomes(&world, &id, "aborted").await;
    let reason = "2 of 2 payments were not heard on updated boxes, 0 of 0 on the rest";
    assert_eq!(aborted["reason"], reason);
    assert_eq!(aborted["progress"]["pending"], 1, "{aborted}");
    drop(waiting);
}

#[tokio::test]
async fn a_box_that_acknowledges_an_update_and_never_runs_it_counts_as_failed() {
    let world = World::new().await;
    let mut boxes = Vec::new();
    for _ in 0..2 {
        boxes.push(Soundbox::unbound(&world).await);
    }
    let id = publish(&world, "SB-1", "1.1.0").await;
    let body = json!({
        "rollout": { "rate_per_minute": 60_000, "abort_threshold_percent": 50, "min_sample": 1 },
        "guard": { "confirm_within_s": 60 },
    });
    let id = text(&roll_out(&world, &id, &body).await.expect(201).data(), "id");
    // The other box never answers, so that the roll-out does not end.
    let mut silent = boxes.pop().unwrap();
    let mut brick = boxes.pop().unwrap();
    take_update(&mut brick).await;
    silent.next_command().await;
    brick.heartbeat("2026-05-23T10:00:00Z").await;
    world.later(90);
    let aborted = becomes(&world, &id, "aborted").await;
    assert_eq!(aborted["guard_seen"]["unconfirmed"], 1, "{aborted}");
    assert_eq!(aborted["progress"]["failed"], 0, "{aborted}");
}
