//! How a box without credentials gets them, and how somebody else does not.

use certs::csr::{KeyAndCsr, KeyKind};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::credentials::{bind, new_key, register};
use tests::soundbox::dial;
use tests::{Credentials, Shop, Soundbox, World, books};
use wire::{Encoding, Topic};

#[tokio::test]
async fn a_box_gets_all_it_needs() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let registered = register(&world).await;
    let binding = bind(&world, registered.device_id, shop.till().id).await;
    for kind in [KeyKind::P256, KeyKind::Ed25519] {
        let renewed = world
            .admin()
            .post(
                &format!("/admin/devices/{}/activation-code", registered.device_id),
                &json!({}),
            )
            .await
            .data();
        let code = renewed["activation_code"].as_str().unwrap();
        let key = KeyAndCsr::generate(kind, "call me admin").unwrap();
        let data = registered
            .ask(&world, code, key.csr_pem(), json!({}))
            .await
            .expect(200)
            .data();

        let id = registered.device_id;
        assert_eq!(data["device_id"], json!(id));
        assert_eq!(data["binding_id"], json!(binding));
        assert_eq!(
            (&data["mqtt"]["client_id"], &data["mqtt"]["port"]),
            (&json!(id), &json!(world.mqtt().port()))
        );
        assert_eq!(data["mqtt"]["host"], "localhost");
        for field in ["certificate_expires_at", "token_expires_at", "server_time"] {
            assert!(data[field].is_string(), "{field}");
        }
        assert!(data["config"]["heartbeat_interval_s"].is_i64());
        assert_eq!(data["announcement_keys"].as_object().unwrap().len(), 1);
        for topic in data["mqtt"]["topics"]["subscribe"].as_array().unwrap() {
            let topic: Topic = topic.as_str().unwrap().parse().unwrap();
            assert_eq!(topic.device_id, id);
        }
        let credentials = registered.keep(&world, &key, &data);
        let line = dial(&world, &credentials, true).await.unwrap();
        line.leave().await;
    }
}

#[tokio::test]
async fn a_wrong_code_is_refused_and_five_of_them_close_the_door() {
    let world = World::new().await;
    let registered = register(&world).await;
    let key = new_key();
    for _ in 0..5 {
        let answer = registered
            .ask(&world, "WRONG-CODE", key.csr_pem(), json!({}))
            .await;
        answer.refused(401, "DEVICE_UNAUTHORIZED");
    }
    // Now not even the right one helps, and a box that does not exist is treated the same.
    let right = registered.activation_code.clone();
    let answer = registered
        .ask(&world, &right, key.csr_pem(), json!({}))
        .await;
    answer.refused(429, "RATE_LIMITED");
    assert!(answer.header("retry-after").is_some());
    let mut nobody = registered.clone();
    nobody.serial_number = "SN-NOBODY".to_owned();
    for _ in 0..5 {
        let answer = nobody.ask(&world, &right, key.csr_pem(), json!({})).await;
        answer.refused(401, "DEVICE_UNAUTHORIZED");
    }
    nobody
        .ask(&world, &right, key.csr_pem(), json!({}))
        .await
        .refused(429, "RATE_LIMITED");
    // Others are not affected, and an hour later the door is open again.
    register(&world)
        .await
        .activate(&world, Encoding::Json)
        .await;
    world.later(3601);
    let _ = registered
        .ask(&world, &right, key.csr_pem(), json!({}))
        .await
        .expect(200);
}

#[tokio::test]
async fn nobody_uses_up_the_tries_of_somebody_elses_box() {
    let world = World::with(|config| {
        config.devices.activation_failures_per_address_per_hour_max = 12;
    })
    .await;
    let registered = register(&world).await;
    let key = new_key();
    let stranger = world.anonymous_from([127, 0, 0, 2]);
    // At once, so that none of them was counted before all were asked.
    let tries = join_all((0..20).map(|_| {
        let (registered, stranger, csr) = (registered.clone(), stranger.clone(), key.csr_pem());
        async move {
            registered
                .ask_from(&stranger, "WRONG-CODE", csr, json!({}))
                .await
                .status
        }
    }))
    .await;
    assert!(
        tries.iter().all(|status| [401, 429].contains(status)),
        "{tries:?}"
    );
    let kept = "SELECT count(*) FROM activation_failures";
    assert_eq!(books::count(&world.pool, kept).await, 5);
    let refused = registered
        .ask_from(&stranger, "WRONG-CODE", key.csr_pem(), json!({}))
        .await;
    refused.refused(429, "RATE_LIMITED");
    let wait: i64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3601).contains(&wait), "{wait}");
    // Of one address no more is kept than its budget, whatever serial numbers it invents.
    for number in 0..20 {
        let mut invented = registered.clone();
        invented.serial_number = format!("SN-INVENTED-{number}");
        let _ = invented
            .ask_from(&stranger, "WRONG-CODE", key.csr_pem(), json!({}))
            .await;
    }
    assert_eq!(books::count(&world.pool, kept).await, 12);
    // The box itself is somewhere else.
    let code = registered.activation_code.clone();
    let box_itself = world.anonymous_from([127, 0, 0, 3]);
    let _ = registered
        .ask_from(&box_itself, &code, key.csr_pem(), json!({}))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_lost_answer_may_be_asked_for_again_with_the_same_key() {
    let world = World::new().await;
    let registered = register(&world).await;
    let code = registered.activation_code.clone();
    let key = new_key();
    let lost = registered
        .ask(&world, &code, key.csr_pem(), json!({}))
        .await
        .expect(200)
        .data();
    let lost = registered.keep(&world, &key, &lost);

    let thief = new_key();
    let answer = registered
        .ask(&world, &code, thief.csr_pem(), json!({}))
        .await;
    answer.refused(401, "DEVICE_UNAUTHORIZED");

    // A new request for the same key, as a box makes after a restart.
    let again = KeyAndCsr::from_key_pem(&key.key_pem(), "box").unwrap();
    let data = registered
        .ask(&world, &code, again.csr_pem(), json!({}))
        .await
        .expect(200)
        .data();
    let kept = registered.keep(&world, &key, &data);
    assert_ne!(kept.token, lost.token);
    let beat = json!({ "device_id": kept.device_id, "firmware_version": "1", "state": "idle" });
    let answer = lost.api(&world).post("/device/heartbeat", &beat).await;
    answer.refused(401, "DEVICE_UNAUTHORIZED");
    Soundbox::switch_on(&world, kept).await;

    // Used: the code is worth nothing any more, not even to its owner.
    let answer = registered
        .ask(&world, &code, again.csr_pem(), json!({}))
        .await;
    answer.refused(401, "DEVICE_UNAUTHORIZED");
}

#[tokio::test]
async fn the_first_use_of_the_token_uses_up_the_code_too() {
    let world = World::new().await;
    let registered = register(&world).await;
    let key = new_key();
    let code = registered.activation_code.clone();
    let data = registered
        .ask(&world, &code, key.csr_pem(), json!({}))
        .await
        .expect(200)
        .data();
    let credentials = registered.keep(&world, &key, &data);
    let beat =
        json!({ "device_id": credentials.device_id, "firmware_version": "1", "state": "idle" });
    let _ = credentials
        .api(&world)
        .post("/device/heartbeat", &beat)
        .await
        .expect(200);
    let answer = registered
        .ask(&world, &code, key.csr_pem(), json!({}))
        .await;
    answer.refused(401, "DEVICE_UNAUTHORIZED");
}

#[tokio::test]
async fn a_new_code_makes_the_old_one_worthless() {
    let world = World::new().await;
    let registered = register(&world).await;
    let path = format!("/admin/devices/{}/activation-code", registered.device_id);
    let renewed = world.admin().post(&path, &json!({})).await.data();
    let key = new_key();
    let old = registered
        .ask(
            &world,
            &registered.activation_code,
            key.csr_pem(),
            json!({}),
        )
        .await;
    old.refused(401, "DEVICE_UNAUTHORIZED");
    let code = renewed["activation_code"].as_str().unwrap();
    let _ = registered
        .ask(&world, code, key.csr_pem(), json!({}))
        .await
        .expect(200);
}

#[tokio::test]
async fn an_old_code_is_worthless() {
    let world = World::new().await;
    let registered = register(&world).await;
    world.later(7 * 86_400 + 1);
    let answer = registered
        .ask(
            &world,
            &registered.activation_code,
            new_key().csr_pem(),
            json!({}),
        )
        .await;
    answer.refused(401, "DEVICE_UNAUTHORIZED");
}

#[tokio::test]
async fn a_request_that_its_key_did_not_sign_is_refused() {
    let world = World::new().await;
    let registered = register(&world).await;
    let code = registered.activation_code.clone();
    let pem = new_key().csr_pem().to_owned();
    // The last full line of base64 is inside the signature.
    let lines: Vec<&str> = pem.lines().collect();
    let spoiled = lines.len() - 2;
    let forged: String = lines
        .iter()
        .enumerate()
        .map(|(number, line)| {
            if number == spoiled {
                let other = if line.starts_with('A') { 'B' } else { 'A' };
                format!("{other}{}\n", &line[1..])
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    assert_ne!(forged, pem);
    for csr in [forged.as_str(), "", "nonsense"] {
        let answer = registered.ask(&world, &code, csr, json!({})).await;
        answer.refused(422, "VALIDATION_FAILED");
        assert_eq!(answer.json()["details"]["fields"][0]["field"], "csr");
    }
    let more: Value = json!({ "payload_encoding": "xml" });
    let answer = registered.ask(&world, &code, &pem, more).await;
    answer.refused(422, "VALIDATION_FAILED");
    // None of that used up the code or the tries.
    let _ = registered
        .ask(&world, &code, &pem, json!({}))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_box_that_chose_message_pack_is_spoken_to_in_it() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at_in(&world, shop.till().id, Encoding::Msgpack).await;
    let mut soundbox = Soundbox::switch_on(&world, credentials).await;
    let sold = soundbox.credentials.sell(&world, 10_000).await;
    // The box refuses what is not in its encoding, and speaks MessagePack itself.
    assert_eq!(soundbox.play().await.transaction_id, sold);
    soundbox.beat("2026-05-23T10:00:00Z").await;
    let rejected = "SELECT count(*) FROM rejected_uplinks";
    assert_eq!(books::count(&world.pool, rejected).await, 0);
    let told = soundbox.credentials.notifications(&world).await;
    assert_eq!(told[0]["status"], "played");
}

#[tokio::test]
async fn a_code_is_shown_once() {
    let world = World::new().await;
    let body = json!({ "serial_number": "SN-1", "model": "SB-1", "capabilities": ["speaker"], "communication_mode": "mqtt" });
    let key = [("idempotency-key", "one")];
    let admin = world.admin();
    let first = admin
        .post_with("/admin/devices", &key, &body)
        .await
        .expect(201)
        .data();
    assert!(first["activation_code"].as_str().unwrap().len() >= 16);
    let again = admin
        .post_with("/admin/devices", &key, &body)
        .await
        .expect(201);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert!(again.data()["activation_code"].is_null());
    assert_eq!(again.data()["id"], first["id"]);
    admin
        .post("/admin/devices", &body)
        .await
        .refused(409, "DUPLICATE_REQUEST");
    let stored: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM activation_codes WHERE position($1::bytea IN code_hash) > 0",
    )
    .bind(first["activation_code"].as_str().unwrap().as_bytes())
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(stored, 0, "kept in the clear");
}
