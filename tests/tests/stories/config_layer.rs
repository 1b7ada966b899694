//! What boxes are set to: layers, versions, and where a box differs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use domain::role::Role;
use serde_json::{Value, json};
use tests::{Credentials, Shop, Soundbox, World, books, eventually};
use wire::message::ConfigPush;
use wire::{DeviceId, DownlinkMessage};

async fn patch(world: &World, path: &str, change: Value) -> Value {
    world.admin().patch(path, &change).await.expect(200).data()
}

async fn config(world: &World, device: DeviceId) -> Value {
    let path = format!("/admin/devices/{device}/config");
    world.admin().get(&path).await.expect(200).data()
}

/// Waits for what a box should be set to.
async fn volume(world: &World, device: DeviceId, volume: i64) -> Value {
    eventually(&format!("volume {volume}"), || async {
        let now = config(world, device).await;
        (now["config"]["volume"] == volume).then_some(now)
    })
    .await
}

async fn next_push(soundbox: &mut Soundbox) -> ConfigPush {
    loop {
        if let DownlinkMessage::ConfigPush(push) = soundbox.next().await {
            return push;
        }
    }
}

/// Applies pushes until one says this.
async fn told(soundbox: &mut Soundbox, volume: i64) -> ConfigPush {
    loop {
        let push = next_push(soundbox).await;
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
    let mut own = Soundbox::at(&world, sari.till().id).await;
    let mut other = Soundbox::at(&world, fajar.till().id).await;
    let (own_id, other_id) = (own.credentials.device_id, other.credentials.device_id);
    let device = format!("/admin/devices/{own_id}/config");
    let merchant = format!("/admin/merchants/{}/config", sari.merchant_id);
    let outlet = format!("/admin/outlets/{}/config", sari.outlet_id);

    let fleet = patch(
        &world,
        "/admin/config/fleet",
        json!({ "volume": 5, "reconnect_jitter_s": 30 }),
    )
    .await;
    assert_eq!(
        (&fleet["version"], &fleet["config"]["volume"]),
        (&json!(1), &json!(5))
    );
    told(&mut own, 5).await;
    let push = told(&mut other, 5).await;
    assert_eq!(push.config["reconnect_jitter_s"], 30);
    assert_eq!(push.config["language"], "id", "the defaults are below");

    patch(&world, &merchant, json!({ "volume": 3 })).await;
    told(&mut own, 3).await;
    patch(&world, &outlet, json!({ "volume": 2 })).await;
    told(&mut own, 2).await;
    patch(
        &world,
        &device,
        json!({ "volume": 9, "quiet_hours": { "start": "22:00", "end": "06:00" } }),
    )
    .await;
    let push = told(&mut own, 9).await;
    assert_eq!(push.config["quiet_hours"]["end"], "06:00");
    // What a higher layer says now is covered.
    patch(&world, &merchant, json!({ "volume": 1 })).await;
    patch(&world, &device, json!({ "volume": null })).await;
    told(&mut own, 2).await;
    patch(&world, &outlet, json!({ "volume": null })).await;
    told(&mut own, 1).await;

    let seen = eventually("the box's word", || async {
        let now = config(&world, own_id).await;
        (now["status"] == "applied").then_some(now)
    })
    .await;
    assert_eq!(
        seen["layers"]["fleet"],
        json!({ "volume": 5, "reconnect_jitter_s": 30 })
    );
    assert_eq!(seen["layers"]["merchant"], json!({ "volume": 1 }));
    assert_eq!(seen["layers"]["outlet"], json!({}));
    assert_eq!(
        seen["layers"]["device"],
        json!({ "quiet_hours": { "start": "22:00", "end": "06:00" } })
    );
    assert_eq!(
        seen["reported"],
        json!({ "version": seen["version"], "config": seen["config"] })
    );
    assert_eq!(seen["diff"], json!([]));
    // The other shop's box has had the fleet's change and nothing else.
    assert_eq!(config(&world, other_id).await["config"]["volume"], 5);

    // At another merchant's till other layers hold.
    let _ = tests::credentials::bind(&world, own_id, fajar.till().id).await;
    let moved = volume(&world, own_id, 5).await;
    assert_eq!(moved["layers"]["merchant"], json!({}));
    let push = told(&mut own, 5).await;
    assert_eq!(json!(push.binding_id), moved["binding_id"]);
    // A new box begins with what the fleet has.
    let new = Credentials::unbound(&world).await;
    assert_eq!(config(&world, new.device_id).await["config"]["volume"], 5);
}

#[tokio::test]
async fn a_box_that_rejects_a_configuration_is_found_and_can_be_told_again() {
    let world = World::new().await;
    let admin = world.admin();
    let mut soundbox = Soundbox::switch_on(&world, Credentials::unbound(&world).await).await;
    let device_id = soundbox.credentials.device_id;
    let path = format!("/admin/devices/{device_id}/config");
    next_push(&mut soundbox).await;
    let before = eventually("the first word", || async {
        let now = config(&world, device_id).await;
        (now["status"] == "applied").then_some(now)
    })
    .await;
    let away = soundbox.switch_off().await;
    let changed = patch(&world, &path, json!({ "display_brightness": 40 })).await;
    assert_eq!(changed["status"], "pending");
    let difference = json!([{ "key": "display_brightness", "desired": 40, "reported": null }]);
    assert_eq!(changed["diff"], difference);
    let drift = admin.get("/admin/config/drift").await.expect(200).data();
    assert_eq!(
        (&drift[0]["device_id"], &drift[0]["status"]),
        (&json!(device_id), &json!("pending"))
    );

    // It has no display, and says so over HTTP.
    let api = away.credentials.api(&world);
    let version = changed["version"].as_i64().unwrap();
    let no = json!({ "version": version, "status": "rejected", "reason": "no display" });
    let _ = api.post("/device/config/ack", &no).await.expect(200);
    let rejected = config(&world, device_id).await;
    assert_eq!(
        (&rejected["status"], &rejected["rejected_reason"]),
        (&json!("rejected"), &json!("no display"))
    );
    assert_eq!(rejected["reported"], before["reported"]);
    assert_eq!(rejected["diff"], difference);
    let drift = admin
        .get("/admin/config/drift?status=rejected")
        .await
        .data();
    assert_eq!(drift[0]["rejected_reason"], "no display");
    let pending = admin.get("/admin/config/drift?status=pending").await.data();
    assert_eq!(pending, json!([]));
    admin
        .get("/admin/config/drift?status=perhaps")
        .await
        .refused(422, "VALIDATION_FAILED");

    // Back again it is not told by itself, and is told when somebody wants it.
    let mut soundbox = away.come_back(&world).await;
    let retry = format!("{path}/retry-push");
    let again = admin.post(&retry, &json!({})).await.expect(202).data();
    assert_eq!(
        (&again["version"], &again["rejected_version"]),
        (&json!(version), &json!(version))
    );
    let push = next_push(&mut soundbox).await;
    assert_eq!(push.version, version);
    let applied = eventually("its other word", || async {
        let now = config(&world, device_id).await;
        (now["status"] == "applied").then_some(now)
    })
    .await;
    assert_eq!(
        (&applied["diff"], &applied["rejected_version"]),
        (&json!([]), &Value::Null)
    );
    assert_eq!(admin.get("/admin/config/drift").await.data(), json!([]));
    // Also one that it applied.
    let _ = admin.post(&retry, &json!({})).await.expect(202);
    assert_eq!(next_push(&mut soundbox).await.version, version);
    let path = format!("{path}/status");
    let status = admin.get(&path).await.expect(200).data();
    assert_eq!(
        (&status["version"], &status["applied_version"]),
        (&json!(version), &json!(version))
    );
}

#[tokio::test]
async fn what_a_box_applied_is_known_though_the_next_version_was_made_meanwhile() {
    let world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    let path = format!("/admin/devices/{}/config", credentials.device_id);
    let api = credentials.api(&world);
    let first = patch(&world, &path, json!({ "volume": 4 })).await["version"].clone();
    let second = patch(&world, &path, json!({ "volume": 6 })).await["version"].clone();
    let said = json!({ "version": first, "status": "applied" });
    let _ = api.post("/device/config/ack", &said).await.expect(200);
    let no = json!({ "version": second, "status": "rejected", "reason": "too loud" });
    let _ = api.post("/device/config/ack", &no).await.expect(200);
    let now = config(&world, credentials.device_id).await;
    assert_eq!(
        (&now["status"], &now["reported"]["config"]["volume"]),
        (&json!("rejected"), &json!(4))
    );
    // A word that was overtaken changes nothing.
    let third = patch(&world, &path, json!({ "volume": 7 })).await["version"].clone();
    for (version, volume) in [(&third, 7), (&first, 7)] {
        let said = json!({ "version": version, "status": "applied" });
        let _ = api.post("/device/config/ack", &said).await.expect(200);
        let now = config(&world, credentials.device_id).await;
        assert_eq!(now["reported"]["config"]["volume"], volume);
    }
}

#[tokio::test]
async fn what_cannot_be_set_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.till().id).await;
    let paths = [
        "/admin/config/fleet".to_owned(),
        format!("/admin/merchants/{}/config", shop.merchant_id),
        format!("/admin/outlets/{}/config", shop.outlet_id),
        format!("/admin/devices/{}/config", credentials.device_id),
    ];
    let admin = world.admin();
    let before = books::Books::open(&world.pool).await;
    for path in &paths {
        for wrong in [
            json!({ "volume": 11 }),
            json!({ "colour": "red" }),
            json!({ "quiet_hours": "always" }),
        ] {
            admin
                .patch(path, &wrong)
                .await
                .refused(422, "VALIDATION_FAILED");
        }
        // Nothing is no new version.
        let same = admin
            .patch(path, &json!({ "volume": null }))
            .await
            .expect(200)
            .data();
        assert_eq!(same, admin.get(path).await.expect(200).data());
        for role in [Role::Support, Role::Finance] {
            world
                .staff(role)
                .await
                .patch(path, &json!({}))
                .await
                .refused(403, "FORBIDDEN");
        }
    }
    let changed = before.changes(&world.pool).await;
    assert!(
        !changed.contains_key("config_layers") && !changed.contains_key("device_configs"),
        "{changed:?}"
    );
    for (path, code) in [
        (
            "/admin/merchants/m_0190f3a1c0de7abc8def0123456789ab/config",
            "MERCHANT_NOT_FOUND",
        ),
        (
            "/admin/outlets/out_0190f3a1c0de7abc8def0123456789ab/config",
            "OUTLET_NOT_FOUND",
        ),
        (
            "/admin/devices/sbx_0190f3a1c0de7abc8def0123456789ab/config",
            "DEVICE_NOT_FOUND",
        ),
    ] {
        admin.get(path).await.refused(404, code);
        admin
            .patch(path, &json!({ "volume": 1 }))
            .await
            .refused(404, code);
    }
}

/// More boxes than one batch has, and the platform dies on the way.
#[tokio::test]
async fn a_change_of_the_fleet_reaches_every_box_through_a_crash() {
    const BOXES: usize = 600;
    let mut world = World::new().await;
    let mut file = "serial_number,model,capabilities\n".to_owned();
    for number in 0..BOXES {
        writeln!(file, "SN-{number:04},SB-1,speaker").unwrap();
    }
    let import = world
        .admin()
        .post_csv("/admin/devices/import", &[], &file)
        .await
        .expect(201)
        .data();
    assert_eq!(import["imported"], BOXES);
    patch(&world, "/admin/config/fleet", json!({ "volume": 1 })).await;
    world.crash();
    world.start().await;
    let spread = "SELECT count(*) FROM device_configs WHERE config->'volume' = '1' AND version = 2";
    eventually("the change everywhere", || async {
        let done = books::count(&world.pool, spread).await;
        (done == i64::try_from(BOXES).unwrap()).then_some(())
    })
    .await;
    eventually("the end of it", || async {
        let fleet = world.admin().get("/admin/config/fleet").await.data();
        (fleet["spreading"] == false).then_some(())
    })
    .await;
    let versions: Vec<i64> = sqlx::query_scalar("SELECT DISTINCT version FROM device_configs")
        .fetch_all(&world.pool)
        .await
        .unwrap();
    assert_eq!(versions, [2], "a box was changed twice");
}

#[tokio::test]
async fn an_order_to_sync_brings_the_configuration_again() {
    let world = World::new().await;
    let mut soundbox = Soundbox::switch_on(&world, Credentials::unbound(&world).await).await;
    let device_id = soundbox.credentials.device_id;
    let first = next_push(&mut soundbox).await;
    eventually("its word", || async {
        (config(&world, device_id).await["status"] == "applied").then_some(())
    })
    .await;
    let path = format!("/admin/devices/{device_id}/commands");
    let keyed = [("idempotency-key", "sync")];
    let body = json!({ "type": "sync_config" });
    let _ = world
        .admin()
        .post_with(&path, &keyed, &body)
        .await
        .expect(201);
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
