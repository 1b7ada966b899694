//! How a box gets its credentials, and that no other gets them.

use certs::csr::{KeyAndCsr, KeyKind};
use futures_util::future::join_all;
use tests::credentials::new_key;
use tests::prelude::*;
use tests::soundbox::visit;
use wire::{Encoding, Topic};

#[tokio::test]
async fn a_box_gets_all_it_needs() {
    let (world, shop) = fixture::shop().await;
    let registered = register(&world).await;
    let binding = bind(&world, registered.device_id, shop.terminal().id).await;
    for kind in [KeyKind::P256, KeyKind::Ed25519] {
        let code = registered.new_code(&world).await;
        let key = KeyAndCsr::generate(kind, "call me admin").unwrap();
        let answer = registered.try_code(&world, &code, &key).await;
        let data = answer.expect(200).data();

        let id = registered.device_id;
        assert_fields!(data, { "device_id": id, "binding_id": binding });
        assert_fields!(data["mqtt"], { "client_id": id, "port": world.mqtt().port() });
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
        visit(&world, &credentials).await;
    }
}

#[tokio::test]
async fn a_wrong_code_is_refused_and_five_block_the_activation_for_an_hour() {
    let world = World::new().await;
    let registered = register(&world).await;
    let key = new_key();
    for _ in 0..5 {
        let answer = registered.try_code(&world, "WRONG-CODE", &key).await;
        answer.refused(DEVICE_UNAUTHORIZED);
    }
    // Now the right code is refused too, and an unknown box is treated the same.
    let right = registered.activation_code.clone();
    let answer = registered.try_code(&world, &right, &key).await;
    answer.refused(RATE_LIMITED);
    assert!(answer.header("retry-after").is_some());
    let mut unknown = registered.clone();
    unknown.serial_number = "SN-NOBODY".to_owned();
    for _ in 0..5 {
        assert_refused!(unknown.try_code(&world, &right, &key), DEVICE_UNAUTHORIZED);
    }
    assert_refused!(unknown.try_code(&world, &right, &key), RATE_LIMITED);
    // Other boxes are not affected, and after an hour the right code works again.
    Credentials::unbound(&world).await;
    world.later(3601);
    let _ = registered.try_code(&world, &right, &key).await.expect(200);
}

#[tokio::test]
async fn another_address_cannot_use_up_the_attempts_of_a_box() {
    let world = World::with(|config| {
        config.devices.activation_failures_per_address_per_hour_max = 12;
    })
    .await;
    let registered = register(&world).await;
    let key = new_key();
    let anonymous = world.anonymous_from([127, 0, 0, 2]);
    // All at once, so that none is counted before the others are sent.
    let tries = join_all((0..20).map(|_| {
        let (registered, anonymous, csr) = (registered.clone(), anonymous.clone(), key.csr_pem());
        async move {
            let asked = registered.ask_from(&anonymous, "WRONG-CODE", csr, json!({}));
            asked.await.status
        }
    }))
    .await;
    assert!(
        tries.iter().all(|status| [401, 429].contains(status)),
        "{tries:?}"
    );
    let kept = "SELECT count(*) FROM activation_failures";
    assert_eq!(world.number(kept).await, 5);
    let refused = registered
        .ask_from(&anonymous, "WRONG-CODE", key.csr_pem(), json!({}))
        .await;
    refused.refused(RATE_LIMITED);
    let wait: i64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3601).contains(&wait), "{wait}");
    // No more failures are kept of an address than its budget, whatever serial numbers it sends.
    for number in 0..20 {
        let mut invented = registered.clone();
        invented.serial_number = format!("SN-INVENTED-{number}");
        let _ = invented
            .ask_from(&anonymous, "WRONG-CODE", key.csr_pem(), json!({}))
            .await;
    }
    assert_eq!(world.number(kept).await, 12);
    // The box itself has another address.
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
    let lost = registered.activate_with(&world, &code, &key).await;

    let thief = new_key();
    let answer = registered.try_code(&world, &code, &thief).await;
    answer.refused(DEVICE_UNAUTHORIZED);

    // A new request for the same key, as a box makes after a restart.
    let again = KeyAndCsr::from_key_pem(&key.key_pem(), "box").unwrap();
    let kept = registered.activate_with(&world, &code, &again).await;
    assert_ne!(kept.token, lost.token);
    let by_lost = lost.api(&world);
    let answer = by_lost
        .post("/device/heartbeat", &lost.heartbeat_body())
        .await;
    answer.refused(DEVICE_UNAUTHORIZED);
    Soundbox::switch_on(&world, kept).await;

    // Used: the code is invalid now, also for its owner.
    let answer = registered.try_code(&world, &code, &again).await;
    answer.refused(DEVICE_UNAUTHORIZED);
}

#[tokio::test]
async fn the_first_use_of_the_token_uses_up_the_code_too() {
    let world = World::new().await;
    let registered = register(&world).await;
    let key = new_key();
    let code = registered.activation_code.clone();
    let credentials = registered.activate_with(&world, &code, &key).await;
    credentials.heartbeat(&world, "1").await;
    let answer = registered.try_code(&world, &code, &key).await;
    answer.refused(DEVICE_UNAUTHORIZED);
}

#[tokio::test]
async fn a_new_code_makes_the_old_one_worthless() {
    let world = World::new().await;
    let registered = register(&world).await;
    let code = registered.new_code(&world).await;
    let (old, key) = (&registered.activation_code, new_key());
    assert_refused!(registered.try_code(&world, old, &key), DEVICE_UNAUTHORIZED);
    registered.activate_with(&world, &code, &key).await;
}

#[tokio::test]
async fn an_old_code_is_worthless() {
    let world = World::new().await;
    let registered = register(&world).await;
    world.later(7 * 86_400 + 1);
    let code = &registered.activation_code;
    let answer = registered.try_code(&world, code, &new_key()).await;
    answer.refused(DEVICE_UNAUTHORIZED);
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
        answer.refused_field("csr");
    }
    let more: Value = json!({ "payload_encoding": "xml" });
    assert_refused!(registered.ask(&world, &code, &pem, more), VALIDATION_FAILED);
    // None of these used up the code or counted as a failure.
    let answer = registered.ask(&world, &code, &pem, json!({})).await;
    let _ = answer.expect(200);
}

#[tokio::test]
async fn a_box_that_chose_message_pack_is_spoken_to_in_it() {
    let (world, shop) = fixture::shop().await;
    let credentials = Credentials::at_in(&world, shop.terminal().id, Encoding::Msgpack).await;
    let mut soundbox = Soundbox::switch_on(&world, credentials).await;
    let sold = soundbox.credentials.sell(&world, 10_000).await;
    // The box refuses messages in another encoding, and sends MessagePack itself.
    assert_eq!(soundbox.play().await.transaction_id, sold);
    soundbox.heartbeat("2026-05-23T10:00:00Z").await;
    assert_eq!(world.rows("rejected_uplinks").await, 0);
    let received = soundbox.credentials.notifications(&world).await;
    assert_eq!(received[0]["status"], "played");
}

#[tokio::test]
async fn a_code_is_shown_once() {
    let world = World::new().await;
    let body = json!({ "serial_number": "SN-1", "model": "SB-1", "capabilities": ["speaker"], "communication_mode": "mqtt" });
    let key = [("idempotency-key", "one")];
    let admin = world.admin();
    let path = "/admin/devices";
    let first = admin.post_with(path, &key, &body).await.expect(201).data();
    let code = text(&first, "activation_code");
    assert!(code.len() >= 16);
    let again = admin.post_with(path, &key, &body).await.expect(201);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert!(again.data()["activation_code"].is_null());
    assert_eq!(again.data()["id"], first["id"]);
    admin.post(path, &body).await.refused(DUPLICATE_REQUEST);
    let stored = format!("activation_codes WHERE position('{code}'::bytea IN code_hash) > 0");
    assert_eq!(world.rows(&stored).await, 0, "kept in the clear");
}
