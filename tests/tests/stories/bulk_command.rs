//! One order to many boxes.

use std::collections::BTreeSet;

use domain::role::Role;
use serde_json::{Value, json};
use tests::credentials::register_with;
use tests::shop::text;
use tests::{Answer, Api, Credentials, Crowd, Shop, World, books, eventually};
use wire::Encoding;

async fn order(api: &Api, body: &Value) -> Answer {
    api.post_once("/admin/bulk-commands", body).await
}

fn quick() -> Value {
    json!({ "rate_per_minute": 60_000, "abort_threshold_percent": 100, "min_sample": 1 })
}

async fn view(world: &World, id: &str) -> Value {
    world
        .admin()
        .get(&format!("/admin/bulk-commands/{id}"))
        .await
        .expect(200)
        .data()
}

async fn stands(world: &World, id: &str, status: &str) -> Value {
    eventually(&format!("{status} of a bulk command"), || async {
        let now = view(world, id).await;
        (now["status"] == status).then_some(now)
    })
    .await
}

async fn step(world: &World, id: &str, action: &str) -> Answer {
    let path = format!("/admin/bulk-commands/{id}/{action}");
    world.admin().post(&path, &json!({})).await
}

/// The targets of a bulk command, page by page.
async fn targets(world: &World, id: &str, filter: &str) -> Vec<Value> {
    let admin = world.admin();
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/admin/bulk-commands/{id}/devices?limit=25{filter}{cursor}");
        let page = admin.get(&path).await.expect(200).json();
        rows.extend(page["data"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

fn ids(rows: &[Value]) -> BTreeSet<String> {
    rows.iter().map(|row| text(row, "device_id")).collect()
}

/// Of sixty boxes, a canary of twenty; one of four orders fails, which is too many. When that is repaired it goes on,
/// also through the death of the platform, and in the end every box was ordered once.
#[tokio::test]
async fn a_rollout_aborts_at_its_threshold_and_goes_on_through_a_crash() {
    const BOXES: usize = 60;
    let mut world = World::new().await;
    let mut credentials = Vec::new();
    for _ in 0..BOXES {
        credentials.push(Credentials::unbound(&world).await);
    }
    let crowd = Crowd::gather(world.mqtt(), credentials).await;
    crowd.fail_one_of(4);
    let body = json!({
        "type": "set_volume", "payload": { "volume": 7 }, "query": { "online": true },
        "rollout": { "rate_per_minute": 1200, "canary": 20, "phases": [50, 75], "abort_threshold_percent": 20, "min_sample": 10 },
    });
    let made = order(&world.staff(Role::Ops).await, &body)
        .await
        .expect(201)
        .data();
    assert_eq!(
        (&made["status"], &made["progress"]["total"]),
        (&json!("running"), &json!(BOXES))
    );
    let id = text(&made, "id");

    let aborted = stands(&world, &id, "aborted").await;
    assert!(
        text(&aborted, "reason").contains("the threshold is 20 %"),
        "{aborted}"
    );
    let pending = aborted["progress"]["pending"].as_u64().unwrap();
    assert!(pending >= 40, "beyond the canary: {aborted}");

    crowd.fail_one_of(0);
    let resumed = step(&world, &id, "resume").await.expect(200).data();
    assert_eq!(
        (&resumed["status"], &resumed["reason"]),
        (&json!("running"), &Value::Null)
    );
    eventually("orders beyond the canary", || async {
        let delivered = &view(&world, &id).await["progress"]["delivered"];
        (delivered.as_u64().unwrap() > 25).then_some(())
    })
    .await;
    world.crash();
    world.start().await;
    crowd.moved(world.mqtt());

    let done = stands(&world, &id, "completed").await;
    let progress = &done["progress"];
    let count = |status: &str| progress[status].as_u64().unwrap();
    assert_eq!(count("delivered") + count("failed"), 60, "{done}");
    assert!((2..=5).contains(&count("failed")), "{done}");
    assert!(!done["ended_at"].is_null());
    // Once each, as the database and the boxes have it.
    let orders = "SELECT count(*) FROM commands WHERE bulk_command_id IS NOT NULL";
    assert_eq!(books::count(&world.pool, orders).await, 60);
    let carried_out = crowd.carried_out();
    assert_eq!(carried_out.len(), BOXES);
    assert!(
        carried_out.values().all(|orders| orders.len() == 1),
        "{carried_out:?}"
    );
    let rows = targets(&world, &id, "").await;
    assert_eq!((rows.len(), ids(&rows).len()), (BOXES, BOXES));
    crowd.disperse().await;
    // Every step of its life is in the audit log.
    let actions: Vec<String> =
        sqlx::query_scalar("SELECT action FROM audit_logs WHERE entity = $1 ORDER BY id")
            .bind(&id)
            .fetch_all(&world.pool)
            .await
            .unwrap();
    let expected =
        ["create", "abort", "resume", "complete"].map(|step| format!("bulk_command.{step}"));
    assert_eq!(actions, expected);
}

#[tokio::test]
async fn a_step_waits_for_its_last_order_and_one_that_times_out_counts_as_failed() {
    let world = World::new().await;
    for _ in 0..3 {
        let _ = Credentials::unbound(&world).await;
    }
    let body = json!({
        "type": "reboot", "query": {}, "expires_in": 30,
        "rollout": { "rate_per_minute": 60_000, "canary": 1, "abort_threshold_percent": 50, "min_sample": 20 },
    });
    let id = text(&order(&world.admin(), &body).await.expect(201).data(), "id");
    eventually("the order to the canary", || async {
        let progress = &view(&world, &id).await["progress"];
        (progress["queued"] == 1).then_some(())
    })
    .await;
    // Time passes, and nothing more goes out: the canary has not answered. Another bulk command, which is looked at
    // after this one, shows that somebody looked.
    world.later(20);
    let witness = json!({ "type": "play_test", "query": {}, "rollout": quick() });
    let witness = order(&world.admin(), &witness).await.expect(201).data();
    eventually("a look at the one behind it", || async {
        let progress = &view(&world, &text(&witness, "id")).await["progress"];
        (progress["pending"] == 0).then_some(())
    })
    .await;
    assert_eq!(view(&world, &id).await["progress"]["pending"], 2);
    world.later(60);
    let aborted = stands(&world, &id, "aborted").await;
    assert_eq!(aborted["progress"]["timeout"], 1, "{aborted}");
    assert_eq!(aborted["progress"]["pending"], 2, "{aborted}");
    let canary = targets(&world, &id, "&status=timeout").await;
    assert_eq!((canary.len(), &canary[0]["position"]), (1, &json!(0)));
}

#[tokio::test]
async fn a_bulk_command_is_held_and_ended_by_an_operator() {
    let world = World::new().await;
    let first = Credentials::unbound(&world).await;
    for _ in 0..4 {
        let _ = Credentials::unbound(&world).await;
    }
    let body = json!({
        "type": "play_test", "query": {},
        "rollout": { "rate_per_minute": 1, "abort_threshold_percent": 50, "min_sample": 20 },
    });
    let id = text(&order(&world.admin(), &body).await.expect(201).data(), "id");
    eventually("the first order", || async {
        (view(&world, &id).await["progress"]["queued"] == 1).then_some(())
    })
    .await;
    let paused = step(&world, &id, "pause").await.expect(200).data();
    assert_eq!(paused["status"], "paused");
    step(&world, &id, "pause")
        .await
        .refused(409, "INVALID_STATE");
    world.later(600);
    let resumed = step(&world, &id, "resume").await.expect(200).data();
    // Ten minutes of standing still are not made up for.
    assert_eq!(resumed["progress"]["pending"], 4);
    step(&world, &id, "resume")
        .await
        .refused(409, "INVALID_STATE");
    eventually("the second order", || async {
        (view(&world, &id).await["progress"]["pending"] == 3).then_some(())
    })
    .await;
    let _ = step(&world, &id, "cancel").await.expect(200);
    let ended = eventually("the end", || async {
        let now = view(&world, &id).await;
        (!now["ended_at"].is_null()).then_some(now)
    })
    .await;
    assert_eq!(ended["status"], "cancelled");
    let progress = &ended["progress"];
    // The first had timed out in those ten minutes, at the latest it was taken back.
    let over = progress["cancelled"].as_u64().unwrap() + progress["timeout"].as_u64().unwrap();
    assert_eq!(over, 5, "{ended}");
    assert!(targets(&world, &id, "&status=pending").await.is_empty());
    for action in ["pause", "resume", "cancel"] {
        step(&world, &id, action)
            .await
            .refused(409, "INVALID_STATE");
    }
    // A box that did it all the same is heard, and changes nothing.
    let path = format!("/admin/devices/{}/commands", first.device_id);
    let own = world.admin().get(&path).await.data();
    if let Some(command) = own.as_array().unwrap().first() {
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
    let bound = Credentials::at(&world, shop.till().id).await;
    let tagged = Credentials::unbound(&world).await;
    let mute = register_with(&world, &["display"]).await;
    let mute = mute.activate(&world, Encoding::Json).await;
    let registered = tests::credentials::register(&world).await;
    for (device, change) in [
        (
            tagged.device_id,
            json!({ "tags": ["pilot"], "model": "SB-2" }),
        ),
        (mute.device_id, json!({ "tags": ["pilot", "old"] })),
        (registered.device_id, json!({ "tags": ["pilot"] })),
    ] {
        let path = format!("/admin/devices/{device}");
        let _ = admin.patch(&path, &change).await.expect(200);
    }
    let beat =
        json!({ "device_id": tagged.device_id, "firmware_version": "2.0.0", "state": "idle" });
    let _ = tagged
        .api(&world)
        .post("/device/heartbeat", &beat)
        .await
        .expect(200);

    let all = [bound.device_id, tagged.device_id, mute.device_id].map(|id| id.to_string());
    for (query, expected) in [
        (json!({}), vec![0, 1, 2]),
        (json!({ "tag": "pilot" }), vec![1, 2]),
        (json!({ "merchant_id": shop.merchant_id }), vec![0]),
        (json!({ "model": "SB-2" }), vec![1]),
        (json!({ "firmware_version": "2.0.0" }), vec![1]),
        (json!({ "tag": "pilot", "model": "SB-1" }), vec![2]),
        (
            json!({ "device_ids": [bound.device_id, mute.device_id] }),
            vec![0, 2],
        ),
    ] {
        let body = json!({ "type": "reboot", "query": query, "rollout": quick() });
        let id = text(&order(&admin, &body).await.expect(201).data(), "id");
        let expected: BTreeSet<String> = expected
            .into_iter()
            .map(|index: usize| all[index].clone())
            .collect();
        assert_eq!(ids(&targets(&world, &id, "").await), expected, "{query}");
    }

    // Those that cannot do it are told apart; one that goes out of service before its turn gets nothing.
    let body = json!({
        "type": "set_volume", "payload": { "volume": 1 }, "query": {},
        "rollout": { "rate_per_minute": 1, "abort_threshold_percent": 100, "min_sample": 1 },
    });
    let made = order(&admin, &body).await.expect(201).data();
    assert_eq!(made["progress"]["skipped"], 1);
    let id = text(&made, "id");
    eventually("the first order", || async {
        (view(&world, &id).await["progress"]["queued"] == 1).then_some(())
    })
    .await;
    let left = targets(&world, &id, "&status=pending").await;
    assert_eq!(left.len(), 1);
    let suspended = text(&left[0], "device_id");
    let path = format!("/admin/devices/{suspended}");
    let _ = admin
        .patch(&path, &json!({ "status": "suspended" }))
        .await
        .expect(200);
    world.later(60);
    eventually("everybody's turn", || async {
        (view(&world, &id).await["progress"]["pending"] == 0).then_some(())
    })
    .await;
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
        order(&admin, &wrong)
            .await
            .refused(422, "VALIDATION_FAILED");
    }
    order(&admin, &with("type", json!("clear_display")))
        .await
        .refused(422, "DEVICE_CAPABILITY_NOT_SUPPORTED");
    admin
        .post("/admin/bulk-commands", &good)
        .await
        .refused(400, "IDEMPOTENCY_KEY_REQUIRED");
    for role in [Role::Finance, Role::Support] {
        order(&world.staff(role).await, &good)
            .await
            .refused(403, "FORBIDDEN");
    }
    assert_eq!(
        books::count(&world.pool, "SELECT count(*) FROM bulk_commands").await,
        0
    );
    assert_eq!(
        books::count(&world.pool, "SELECT count(*) FROM bulk_command_targets").await,
        0
    );
    let nobody = "/admin/bulk-commands/bulk_0190f3a1c0de7abc8def0123456789ab";
    admin
        .get(nobody)
        .await
        .refused(404, "BULK_COMMAND_NOT_FOUND");
    admin
        .get("/admin/bulk-commands?status=perhaps")
        .await
        .refused(422, "VALIDATION_FAILED");

    // The same key is the same bulk command; support may look.
    let keyed = [("idempotency-key", "once")];
    let first = admin
        .post_with("/admin/bulk-commands", &keyed, &good)
        .await
        .expect(201);
    let again = admin
        .post_with("/admin/bulk-commands", &keyed, &good)
        .await
        .expect(201);
    assert_eq!(first.body, again.body);
    let support = world.staff(Role::Support).await;
    let list = support.get("/admin/bulk-commands").await.expect(200).data();
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(list[0]["progress"]["total"], 1);
    let id = text(&list[0], "id");
    assert_eq!(
        ids(&targets(&world, &id, "").await),
        [speaker.device_id.to_string()].into()
    );
}
