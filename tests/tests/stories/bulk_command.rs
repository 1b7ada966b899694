//! One command to many boxes.

use std::collections::BTreeSet;

use tests::credentials::register_with;
use tests::prelude::*;
use wire::Encoding;

use crate::view::{bulk_command as view, bulk_command_becomes as becomes};

async fn order(api: &Api, body: &Value) -> Answer {
    api.post_once("/admin/bulk-commands", body).await
}

fn quick() -> Value {
    json!({ "rate_per_minute": 60_000, "abort_threshold_percent": 100, "min_sample": 1 })
}

/// The id of a new one.
async fn made(api: &Api, body: &Value) -> String {
    text(&order(api, body).await.expect(201).data(), "id")
}

/// Waits until so many targets are in this status.
async fn count_becomes(world: &World, id: &str, status: &str, count: i64) {
    eventually(&format!("{count} {status}"), || async {
        (view(world, id).await["progress"][status] == count).then_some(())
    })
    .await;
}

async fn step(world: &World, id: &str, action: &str) -> Answer {
    let path = format!("/admin/bulk-commands/{id}/{action}");
    world.admin().post(&path, &json!({})).await
}

/// The targets of a bulk command, page by page.
async fn targets(world: &World, id: &str, filter: &str) -> Vec<Value> {
    let path = format!("/admin/bulk-commands/{id}/devices?limit=25{filter}");
    world.admin().pages(&path).await
}

fn ids(rows: &[Value]) -> BTreeSet<String> {
    rows.iter().map(|row| text(row, "device_id")).collect()
}

/// Of sixty boxes, a canary of twenty; one of four commands fails, which is above the threshold. After that is repaired it
/// is resumed, also through a crash of the platform, and in the end every box has received the command once.
#[tokio::test]
async fn a_rollout_aborts_at_its_threshold_and_goes_on_through_a_crash() {
    const BOXES: usize = 60;
    let mut world = World::new().await;
    let mut credentials = Vec::new();
    for _ in 0..BOXES {
        credentials.push(Credentials::unbound(&world).await);
    }
    let fleet = Fleet::connect(world.mqtt(), credentials).await;
    fleet.fail_one_of(4);
    let body = json!({
        "type": "set_volume", "payload": { "volume": 7 }, "query": { "online": true },
        "rollout": { "rate_per_minute": 1200, "canary": 20, "phases": [50, 75], "abort_threshold_percent": 20, "min_sample": 10 },
    });
    let ops = world.staff(Role::Ops).await;
    let made = order(&ops, &body).await.expect(201).data();
    assert_fields!(made, { "status": "running", "progress/total": BOXES });
    let id = text(&made, "id");

    let aborted = becomes(&world, &id, "aborted").await;
    let reason = text(&aborted, "reason");
    assert!(reason.contains("the threshold is 20 %"), "{reason}");
    let pending = aborted["progress"]["pending"].as_u64().unwrap();
    assert!(pending >= 40, "beyond the canary: {aborted}");

    fleet.fail_one_of(0);
    let resumed = step(&world, &id, "resume").await.expect(200).data();
    assert_fields!(resumed, { "status": "running", "reason": null });
    eventually("commands beyond the canary", || async {
        let delivered = &view(&world, &id).await["progress"]["delivered"];
        (delivered.as_u64().unwrap() > 25).then_some(())
    })
    .await;
    world.crash();
    world.start().await;
    fleet.moved(world.mqtt());

    let done = becomes(&world, &id, "completed").await;
    let progress = &done["progress"];
    let count = |status: &str| progress[status].as_u64().unwrap();
    assert_eq!(count("delivered") + count("failed"), 60, "{done}");
    assert!((2..=5).contains(&count("failed")), "{done}");
    assert!(!done["ended_at"].is_null());
    // Once each, in the database and at the boxes.
    let orders = "SELECT count(*) FROM commands WHERE bulk_command_id IS NOT NULL";
    assert_eq!(world.number(orders).await, 60);
    let executed = fleet.executed();
    assert_eq!(executed.len(), BOXES);
    assert!(
        executed.values().all(|orders| orders.len() == 1),
        "{executed:?}"
    );
    let rows = targets(&world, &id, "").await;
    assert_eq!((rows.len(), ids(&rows).len()), (BOXES, BOXES));
    fleet.disconnect().await;
    // Every step is in the audit log.
    let audited = format!("SELECT action FROM audit_logs WHERE entity = '{id}' ORDER BY id");
    let actions: Vec<String> = world.values(&audited).await;
    let expected =
        ["create", "abort", "resume", "complete"].map(|step| format!("bulk_command.{step}"));
    assert_eq!(actions, expected);
}

#[tokio::test]
async fn a_step_waits_for_its_last_command_and_one_that_times_out_counts_as_failed() {
    let world = World::new().await;
    for _ in 0..3 {
        let _ = Credentials::unbound(&world).await;
    }
    let body = json!({
        "type": "reboot", "query": {}, "expires_in": 30,
        "rollout": { "rate_per_minute": 60_000, "canary": 1, "abort_threshold_percent": 50, "min_sample": 20 },
    });
    let id = made(&world.admin(), &body).await;
    count_becomes(&world, &id, "queued", 1).await;
    // Time passes, and nothing more is sent: the canary has not answered. Another bulk command, which is processed after
    // this one, shows that a round was made.
    world.later(20);
    let witness = json!({ "type": "play_test", "query": {}, "rollout": quick() });
    let witness = made(&world.admin(), &witness).await;
    count_becomes(&world, &witness, "pending", 0).await;
    assert_eq!(view(&world, &id).await["progress"]["pending"], 2);
    world.later(60);
    let aborted = becomes(&world, &id, "aborted").await;
    assert_fields!(aborted["progress"], { "timeout": 1, "pending": 2 });
    let canary = targets(&world, &id, "&status=timeout").await;
    assert_eq!((canary.len(), &canary[0]["position"]), (1, &json!(0)));
}

#[tokio::test]
async fn a_bulk_command_is_paused_and_cancelled_by_an_operator() {
    let world = World::new().await;
    let first = Credentials::unbound(&world).await;
    for _ in 0..4 {
        let _ = Credentials::unbound(&world).await;
    }
    let body = json!({
        "type": "play_test", "query": {},
        "rollout": { "rate_per_minute": 1, "abort_threshold_percent": 50, "min_sample": 20 },
    });
    let id = made(&world.admin(), &body).await;
    count_becomes(&world, &id, "queued", 1).await;
    let paused = step(&world, &id, "pause").await.expect(200).data();
    assert_eq!(paused["status"], "paused");
    step(&world, &id, "pause").await.refused(INVALID_STATE);
    world.later(600);
    let resumed = step(&world, &id, "resume").await.expect(200).data();
    // The ten minutes of the pause are not made up for.
    assert_eq!(resumed["progress"]["pending"], 4);
    step(&world, &id, "resume").await.refused(INVALID_STATE);
    count_becomes(&world, &id, "pending", 3).await;
    let _ = step(&world, &id, "cancel").await.expect(200);
    let ended = eventually("the end", || async {
        let now = view(&world, &id).await;
        (!now["ended_at"].is_null()).then_some(now)
    })
    .await;
    assert_eq!(ended["status"], "cancelled");
    let progress = &ended["progress"];
    // The first timed out in those ten minutes or was cancelled.
    let over = progress["cancelled"].as_u64().unwrap() + progress["timeout"].as_u64().unwrap();
    assert_eq!(over, 5, "{ended}");
    assert!(targets(&world, &id, "&status=pending").await.is_empty());
    for action in ["pause", "resume", "cancel"] {
        step(&world, &id, action).await.refused(INVALID_STATE);
    }
    // A late acknowledgement is stored and changes nothing.
    let path = format!("{}/commands", first.path());
    if let Some(command) = world.admin().list(&path).await.first() {
        assert_eq!(command["created_by"], json!(id));
        let late = json!({ "device_id": first.device_id, "command_id": command["id"], "status": "delivered" });
        let known = first.api(&world).post("/device/commands/ack", &late).await;
        assert_eq!(known.expect(200).data()["status"], command["status"]);
    }
}

#[tokio::test]
async fn a_bulk_command_is_for_the_boxes_that_its_query_matched_when_it_was_made() {
    let world = World::new().await;
    let admin = world.admin();
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let bound = Credentials::at(&world, shop.terminal().id).await;
    let tagged = Credentials::unbound(&world).await;
    let mute = register_with(&world, &["display"]).await;
    let mute = mute.activate(&world, Encoding::Json).await;
    let registered = register(&world).await;
    let other_model = json!({ "tags": ["pilot"], "model": "SB-2" });
    for (device, change) in [
        (tagged.device_id, other_model),
        (mute.device_id, json!({ "tags": ["pilot", "old"] })),
        (registered.device_id, json!({ "tags": ["pilot"] })),
    ] {
        let path = format!("/admin/devices/{device}");
        admin.change(&path, &change).await;
    }
    tagged.heartbeat(&world, "2.0.0").await;

    let all = [bound.device_id, tagged.device_id, mute.device_id].map(|id| id.to_string());
    let both = json!({ "device_ids": [bound.device_id, mute.device_id] });
    for (query, expected) in [
        (json!({}), vec![0, 1, 2]),
        (json!({ "tag": "pilot" }), vec![1, 2]),
        (json!({ "merchant_id": shop.merchant_id }), vec![0]),
        (json!({ "model": "SB-2" }), vec![1]),
        (json!({ "firmware_version": "2.0.0" }), vec![1]),
        (json!({ "tag": "pilot", "model": "SB-1" }), vec![2]),
        (both, vec![0, 2]),
    ] {
        let body = json!({ "type": "reboot", "query": query, "rollout": quick() });
        let id = made(&admin, &body).await;
        let expected: BTreeSet<String> = expected
            .into_iter()
            .map(|index: usize| all[index].clone())
            .collect();
        assert_eq!(ids(&targets(&world, &id, "").await), expected, "{query}");
    }

    // Boxes without the capability are skipped at once; one that is suspended before its turn is skipped then.
    let body = json!({
        "type": "set_volume", "payload": { "volume": 1 }, "query": {},
        "rollout": { "rate_per_minute": 1, "abort_threshold_percent": 100, "min_sample": 1 },
    });
    let made = order(&admin, &body).await.expect(201).data();
    assert_eq!(made["progress"]["skipped"], 1);
    let id = text(&made, "id");
    count_becomes(&world, &id, "queued", 1).await;
    let left = targets(&world, &id, "&status=pending").await;
    assert_eq!(left.len(), 1);
    let suspended = text(&left[0], "device_id");
    let path = format!("/admin/devices/{suspended}");
    admin.change(&path, &json!({ "status": "suspended" })).await;
    world.later(60);
    count_becomes(&world, &id, "pending", 0).await;
    let skipped = targets(&world, &id, "&status=skipped").await;
    let reasons: BTreeSet<(String, String)> = skipped
        .iter()
        .map(|row| (text(row, "device_id"), text(row, "reason")))
        .collect();
    let expected = [
        (mute.device_id.to_string(), "capability".to_owned()),
        (suspended, "out_of_service".to_owned()),
    ];
    assert_eq!(reasons, expected.into());
}

#[tokio::test]
async fn a_bulk_command_that_makes_no_sense_is_refused() {
    let world = World::new().await;
    let admin = world.admin();
    let speaker = register_with(&world, &["speaker"]).await;
    let speaker = speaker.activate(&world, Encoding::Json).await;
    let good = json!({ "type": "reboot", "query": {}, "rollout": quick() });
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let rollout = |field: &str, value: Value| {
        let mut body = good.clone();
        body["rollout"][field] = value;
        body
    };
    for wrong in [
        json!({}),
        with("type", json!("self_destruct")),
        with("payload", json!({ "hard": true })),
        with("query", json!({ "colour": "red" })),
        with("query", json!({ "tag": "no such tag" })),
        with("query", json!({ "tag": "nobody-has-this" })),
        with("query", json!({ "device_ids": [] })),
        with("expires_in", json!(0)),
        with("expires_in", json!(604_801)),
        with("colour", json!("red")),
        rollout("rate_per_minute", json!(0)),
        rollout("rate_per_minute", json!(60_001)),
        rollout("abort_threshold_percent", json!(0)),
        rollout("abort_threshold_percent", json!(101)),
        rollout("min_sample", json!(0)),
        rollout("phases", json!([50, 10])),
        rollout("phases", json!([0])),
        rollout("speed", json!("fast")),
    ] {
        order(&admin, &wrong).await.refused(VALIDATION_FAILED);
    }
    let cleared = order(&admin, &with("type", json!("clear_display"))).await;
    cleared.refused(DEVICE_CAPABILITY_NOT_SUPPORTED);
    let path = "/admin/bulk-commands";
    assert_refused!(admin.post(path, &good), IDEMPOTENCY_KEY_REQUIRED);
    for role in [Role::Finance, Role::Support] {
        let api = world.staff(role).await;
        assert_refused!(order(&api, &good), FORBIDDEN);
    }
    assert_eq!(world.rows("bulk_commands").await, 0);
    assert_eq!(world.rows("bulk_command_targets").await, 0);
    let unknown = "/admin/bulk-commands/bulk_0190f3a1c0de7abc8def0123456789ab";
    admin.get(unknown).await.refused(BULK_COMMAND_NOT_FOUND);
    admin
        .get("/admin/bulk-commands?status=perhaps")
        .await
        .refused(VALIDATION_FAILED);

    // The same key is the same bulk command; support may read it.
    let keyed = [("idempotency-key", "once")];
    let first = admin.post_with(path, &keyed, &good).await.expect(201);
    let again = admin.post_with(path, &keyed, &good).await.expect(201);
    assert_eq!(first.body, again.body);
    let support = world.staff(Role::Support).await;
    let list = support.list(path).await;
    assert_eq!(list.len(), 1);
    assert_eq!(list[0]["progress"]["total"], 1);
    let id = text(&list[0], "id");
    let targets = ids(&targets(&world, &id, "").await);
    assert_eq!(targets, [speaker.device_id.to_string()].into());
}
