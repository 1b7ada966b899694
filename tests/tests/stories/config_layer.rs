//! Configuration of boxes: layers, versions, and where a box differs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use tests::prelude::*;

use wire::message::ConfigPush;
use wire::{DeviceId, DownlinkMessage};

async fn patch(world: &World, path: &str, change: Value) -> Value {
    world.admin().change(path, &change).await
}

async fn config(world: &World, device: DeviceId) -> Value {
    let path = format!("/admin/devices/{device}/config");
    world.admin().read(&path).await
}

/// Waits for a volume in a box's desired configuration.
async fn volume(world: &World, device: DeviceId, volume: i64) -> Value {
    eventually(&format!("volume {volume}"), || async {
        let now = config(world, device).await;
        (now["config"]["volume"] == volume).then_some(now)
    })
    .await
}

/// Waits until a box has applied its configuration.
async fn applied(world: &World, device: DeviceId) -> Value {
    eventually("the acknowledgement", || async {
        let now = config(world, device).await;
        (now["status"] == "applied").then_some(now)
    })
    .await
}

/// Applies pushes until one has this volume.
async fn received(soundbox: &mut Soundbox, volume: i64) -> ConfigPush {
    loop {
        let push = soundbox.next_config().await;
        if push.config["volume"] == volume {
            return push;
        }
    }
}

#[tokio::test]
async fn each_layer_covers_the_ones_before_it() {
    let world = World::new().await;
    let sari = Shop::open(&world, "Warung Sari", 1).await;
    let fajar = Shop::open(&world, "Kopi Fajar", 1).await;
    let mut own = Soundbox::at(&world, sari.terminal().id).await;
    let mut other = Soundbox::at(&world, fajar.terminal().id).await;
    let (own_id, other_id) = (own.credentials.device_id, other.credentials.device_id);
    let device = format!("/admin/devices/{own_id}/config");
    let merchant = format!("/admin/merchants/{}/config", sari.merchant_id);
    let outlet = format!("/admin/outlets/{}/config", sari.outlet_id);

    let of_fleet = json!({ "volume": 5, "reconnect_jitter_s": 30 });
    let fleet = patch(&world, "/admin/config/fleet", of_fleet.clone()).await;
    assert_fields!(fleet, { "version": 1, "config/volume": 5 });
    received(&mut own, 5).await;
    let push = received(&mut other, 5).await;
    assert_eq!(push.config["reconnect_jitter_s"], 30);
    assert_eq!(push.config["language"], "id", "the defaults are below");

    patch(&world, &merchant, json!({ "volume": 3 })).await;
    received(&mut own, 3).await;
    patch(&world, &outlet, json!({ "volume": 2 })).await;
    received(&mut own, 2).await;
    let quiet_hours = json!({ "start": "22:00", "end": "06:00" });
    let own_change = json!({ "volume": 9, "quiet_hours": quiet_hours });
    patch(&world, &device, own_change).await;
    let push = received(&mut own, 9).await;
    assert_eq!(push.config["quiet_hours"]["end"], "06:00");
    // A change in a higher layer is covered by the lower ones.
    patch(&world, &merchant, json!({ "volume": 1 })).await;
    patch(&world, &device, json!({ "volume": null })).await;
    received(&mut own, 2).await;
    patch(&world, &outlet, json!({ "volume": null })).await;
    received(&mut own, 1).await;

    let seen = applied(&world, own_id).await;
    assert_fields!(seen["layers"], { "fleet": of_fleet, "merchant": { "volume": 1 } });
    assert_fields!(seen["layers"], { "outlet": {}, "device": { "quiet_hours": quiet_hours } });
    let reported = json!({ "version": seen["version"], "config": seen["config"] });
    assert_fields!(seen, { "reported": reported, "diff": [] });
    // The other shop's box has received the fleet's change and nothing else.
    assert_eq!(config(&world, other_id).await["config"]["volume"], 5);

    // At another merchant's terminal other layers apply.
    bind(&world, own_id, fajar.terminal().id).await;
    let moved = volume(&world, own_id, 5).await;
    assert_eq!(moved["layers"]["merchant"], json!({}));
    let push = received(&mut own, 5).await;
    assert_eq!(json!(push.binding_id), moved["binding_id"]);
    // A new box begins with the fleet's layer.
    let new = Credentials::unbound(&world).await;
    assert_eq!(config(&world, new.device_id).await["config"]["volume"], 5);
}

#[tokio::test]
async fn a_rejected_configuration_is_listed_and_can_be_pushed_again() {
    let world = World::new().await;
    let admin = world.admin();
    let mut soundbox = Soundbox::unbound(&world).await;
    let device_id = soundbox.credentials.device_id;
    let path = format!("/admin/devices/{device_id}/config");
    soundbox.next_config().await;
    let before = applied(&world, device_id).await;
    let away = soundbox.switch_off().await;
    let changed = patch(&world, &path, json!({ "display_brightness": 40 })).await;
    assert_eq!(changed["status"], "pending");
    let difference = json!([{ "key": "display_brightness", "desired": 40, "reported": null }]);
    assert_eq!(changed["diff"], difference);
    let drift = admin.read("/admin/config/drift").await;
    assert_fields!(drift[0], { "device_id": device_id, "status": "pending" });

    // It has no display, and rejects the configuration over HTTP.
    let api = away.credentials.api(&world);
    let version = changed["version"].as_i64().unwrap();
    let no = json!({ "version": version, "status": "rejected", "reason": "no display" });
    api.act("/device/config/ack", &no).await;
    let rejected = config(&world, device_id).await;
    assert_fields!(rejected, { "status": "rejected", "rejected_reason": "no display" });
    assert_fields!(rejected, { "reported": before["reported"], "diff": difference });
    let drift = admin.read("/admin/config/drift?status=rejected").await;
    assert_eq!(drift[0]["rejected_reason"], "no display");
    let pending = admin.get("/admin/config/drift?status=pending").await.data();
    assert_eq!(pending, json!([]));
    admin
        .get("/admin/config/drift?status=perhaps")
        .await
        .refused(VALIDATION_FAILED);

    // After a reconnect it is not pushed again until an operator requests it.
    let mut soundbox = away.reconnect(&world).await;
    let retry = format!("{path}/retry-push");
    let again = admin.post(&retry, &json!({})).await.expect(202).data();
    assert_fields!(again, { "version": version, "rejected_version": version });
    let push = soundbox.next_config().await;
    assert_eq!(push.version, version);
    let again = applied(&world, device_id).await;
    assert_fields!(again, { "diff": [], "rejected_version": null });
    assert_eq!(admin.get("/admin/config/drift").await.data(), json!([]));
    // Also one that was applied.
    let _ = admin.post(&retry, &json!({})).await.expect(202);
    assert_eq!(soundbox.next_config().await.version, version);
    let path = format!("{path}/status");
    let status = admin.read(&path).await;
    assert_fields!(status, { "version": version, "applied_version": version });
}

#[tokio::test]
async fn what_a_box_applied_is_known_though_the_next_version_was_made_meanwhile() {
    let world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    let path = format!("/admin/devices/{}/config", credentials.device_id);
    let api = credentials.api(&world);
    let first = patch(&world, &path, json!({ "volume": 4 })).await["version"].clone();
    let second = patch(&world, &path, json!({ "volume": 6 })).await["version"].clone();
    let ack = json!({ "version": first, "status": "applied" });
    api.act("/device/config/ack", &ack).await;
    let no = json!({ "version": second, "status": "rejected", "reason": "too loud" });
    api.act("/device/config/ack", &no).await;
    let now = config(&world, credentials.device_id).await;
    assert_fields!(now, { "status": "rejected", "reported/config/volume": 4 });
    // An acknowledgement of an old version changes nothing.
    let third = patch(&world, &path, json!({ "volume": 7 })).await["version"].clone();
    for (version, volume) in [(&third, 7), (&first, 7)] {
        let ack = json!({ "version": version, "status": "applied" });
        api.act("/device/config/ack", &ack).await;
        let now = config(&world, credentials.device_id).await;
        assert_eq!(now["reported"]["config"]["volume"], volume);
    }
}

#[tokio::test]
async fn what_cannot_be_set_is_refused_and_changes_nothing() {
    let (world, shop, credentials) = fixture::device().await;
    let paths = [
        "/admin/config/fleet".to_owned(),
        format!("/admin/merchants/{}/config", shop.merchant_id),
        format!("/admin/outlets/{}/config", shop.outlet_id),
        format!("/admin/devices/{}/config", credentials.device_id),
    ];
    let admin = world.admin();
    let before = tests::Snapshot::take(&world.pool).await;
    for path in &paths {
        for wrong in [
            json!({ "volume": 11 }),
            json!({ "colour": "red" }),
            json!({ "quiet_hours": "always" }),
        ] {
            admin.patch(path, &wrong).await.refused(VALIDATION_FAILED);
        }
        // A change of nothing makes no new version.
        let same = admin.change(path, &json!({ "volume": null })).await;
        assert_eq!(same, admin.read(path).await);
        for role in [Role::Support, Role::Finance] {
            let api = world.staff(role).await;
            assert_refused!(api.patch(path, &json!({})), FORBIDDEN);
        }
    }
    let changed = before.changes(&world.pool).await;
    assert!(
        !changed.contains_key("config_layers") && !changed.contains_key("device_configs"),
        "{changed:?}"
    );
    for (owner, refusal) in [
        ("merchants/m", MERCHANT_NOT_FOUND),
        ("outlets/out", OUTLET_NOT_FOUND),
        ("devices/sbx", DEVICE_NOT_FOUND),
    ] {
        let path = format!("/admin/{owner}_0190f3a1c0de7abc8def0123456789ab/config");
        assert_refused!(admin.get(&path), refusal);
        assert_refused!(admin.patch(&path, &json!({ "volume": 1 })), refusal);
    }
}

/// More boxes than one batch has, and a crash on the way.
#[tokio::test]
async fn a_change_of_the_fleet_reaches_every_box_through_a_crash() {
    const BOXES: usize = 600;
    let mut world = World::new().await;
    let mut file = "serial_number,model,capabilities\n".to_owned();
    for number in 0..BOXES {
        writeln!(file, "SN-{number:04},SB-1,speaker").unwrap();
    }
    let admin = world.admin();
    let import = admin.post_csv("/admin/devices/import", &[], &file).await;
    assert_eq!(import.expect(201).data()["imported"], BOXES);
    patch(&world, "/admin/config/fleet", json!({ "volume": 1 })).await;
    world.crash();
    world.start().await;
    let spread = "device_configs WHERE config->'volume' = '1' AND version = 2";
    let all = i64::try_from(BOXES).unwrap();
    world.wait_for_rows(spread, all).await;
    eventually("the end of it", || async {
        let fleet = world.admin().get("/admin/config/fleet").await.data();
        (fleet["spreading"] == false).then_some(())
    })
    .await;
    let versions: Vec<i64> = world
        .values("SELECT DISTINCT version FROM device_configs")
        .await;
    assert_eq!(versions, [2], "a box was changed twice");
}

#[tokio::test]
async fn a_sync_command_pushes_the_configuration_again() {
    let world = World::new().await;
    let mut soundbox = Soundbox::unbound(&world).await;
    let device_id = soundbox.credentials.device_id;
    let first = soundbox.next_config().await;
    applied(&world, device_id).await;
    let body = json!({ "type": "sync_config" });
    let ordered = soundbox.credentials.command(&world.admin(), &body).await;
    let _ = ordered.expect(201);
    let mut seen = BTreeSet::new();
    while seen.len() < 2 {
        match soundbox.next().await {
            DownlinkMessage::ConfigPush(push) => {
                assert_eq!(push.version, first.version);
                seen.insert("configuration");
            }
            DownlinkMessage::Command(command) => {
                assert_eq!(command.kind, "sync_config");
                seen.insert("order");
            }
            _ => {}
        }
    }
}
