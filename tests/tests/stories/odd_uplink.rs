//! Odd fields of uplinks are taken as far as possible: a field that only describes never costs the message.

use tests::prelude::*;
use wire::lenient::CUT_MARK;
use wire::{Channel, DeviceId, Encoding};

use crate::view::command_now as view;

const REJECTED: &str = "rejected_uplinks";

/// Fields that a box adds to a valid acknowledgement.
fn oddities() -> Vec<Value> {
    let deep = (0..60).fold(json!(1), |inner, _| json!([inner]));
    vec![
        json!({ "reason": "x".repeat(300) }),
        json!({ "reason": "é\n".repeat(5_000) }),
        json!({ "reason": { "code": 7, "text": "ok" } }),
        json!({ "reason": 7, "result_payload": null }),
        json!({ "result_payload": { "log": "y".repeat(20 * 1024) } }),
        json!({ "result_payload": deep }),
        json!({ "result_payload": "a\u{0}b", "unknown": [1, { "a": null }], "timestamp": {} }),
    ]
}

fn with(mut message: Value, more: &Value) -> Value {
    let fields = more.as_object().unwrap().clone();
    message.as_object_mut().unwrap().extend(fields);
    message
}

/// What is stored of an odd field is within its limits, and marked where it was cut.
fn is_kept(command: &Value, odd: &Value) {
    let reason = command["reason"].as_str().unwrap_or_default();
    assert!(reason.len() <= 256, "{reason}");
    if odd["reason"]
        .as_str()
        .is_some_and(|reason| reason.len() > 256)
    {
        assert!(reason.ends_with(CUT_MARK), "{reason}");
    }
    match &odd["result_payload"] {
        Value::Object(_) => {
            assert_eq!(command["result_payload"]["cut"], true);
            let start = command["result_payload"]["start"].as_str().unwrap();
            assert!(start.starts_with("{\"log\":\"yyy"), "{start}");
        }
        Value::Array(_) => {
            let kept = command["result_payload"].to_string();
            assert!(kept.contains(CUT_MARK), "{kept}");
        }
        Value::String(_) => assert_eq!(command["result_payload"], "a\u{fffd}b"),
        _ => assert_eq!(command["result_payload"], Value::Null),
    }
}

async fn order(api: &Api, device_id: DeviceId) -> Value {
    let body = json!({ "type": "collect_diagnostics", "payload": {} });
    let ordered = crate::view::command(api, device_id, &body).await;
    ordered.expect(201).data()
}

/// A message in the encoding of the box.
fn bytes(encoding: Encoding, message: &Value) -> Vec<u8> {
    match encoding {
        Encoding::Json => message.to_string().into_bytes(),
        Encoding::Msgpack => rmp_serde::to_vec_named(message).unwrap(),
    }
}

async fn commands_end_by_mqtt(encoding: Encoding) {
    let (world, shop) = fixture::shop().await;
    let credentials = Credentials::at_in(&world, shop.terminal().id, encoding).await;
    let mut soundbox = Soundbox::switch_on(&world, credentials).await;
    let device_id = soundbox.credentials.device_id;
    let ops = world.staff(Role::Ops).await;
    for odd in oddities() {
        let command = order(&ops, device_id).await;
        let heard = soundbox.next_command().await;
        let ack = json!({
            "message_type": "command_ack", "device_id": device_id, "command_id": heard.command_id, "status": "delivered",
        });
        let ack = bytes(encoding, &with(ack, &odd));
        assert!(soundbox.send_raw(Channel::CommandAck, ack).await);
        let ended = view(&world, &command).await;
        assert_eq!(ended["status"], "delivered", "{odd}");
        is_kept(&ended, &odd);
    }
    assert_eq!(world.rows(REJECTED).await, 0);
}

#[tokio::test]
async fn a_command_ends_whatever_the_box_adds_in_json() {
    commands_end_by_mqtt(Encoding::Json).await;
}

#[tokio::test]
async fn a_command_ends_whatever_the_box_adds_in_messagepack() {
    commands_end_by_mqtt(Encoding::Msgpack).await;
}

#[tokio::test]
async fn a_command_ends_whatever_the_box_adds_by_http() {
    let (world, shop) = fixture::shop().await;
    let soundbox = HttpBox::at(&world, shop.terminal().id).await;
    let device_id = soundbox.credentials.device_id;
    let api = soundbox.credentials.api(&world);
    let ops = world.staff(Role::Ops).await;
    for odd in oddities() {
        let command = order(&ops, device_id).await;
        let ack =
            json!({ "device_id": device_id, "command_id": command["id"], "status": "delivered" });
        let ended = api.act("/device/commands/ack", &with(ack, &odd)).await;
        assert_eq!(ended["status"], "delivered", "{odd}");
        is_kept(&view(&world, &command).await, &odd);
    }
}

#[tokio::test]
async fn payments_and_configurations_are_acknowledged_whatever_the_box_adds() {
    let (world, shop, mut soundbox) = fixture::soundbox().await;
    let web = HttpBox::at(&world, shop.terminal().id).await;
    let api = web.credentials.api(&world);
    for odd in [
        json!({ "reason": "x".repeat(900), "played_at": "yesterday" }),
        json!({ "reason": ["interrupted"], "played_at": 1_779_616_800 }),
        json!({ "reason": "", "played_at": { "s": 1 }, "extra": { "a": [1] } }),
    ] {
        web.credentials.sell(&world, 10_000).await;
        let event_id = soundbox.hear().await.event_id;
        let ack =
            json!({ "message_type": "payment_ack", "event_id": event_id, "status": "failed" });
        let ack = with(ack, &odd).to_string().into_bytes();
        assert!(soundbox.send_raw(Channel::PaymentAck, ack).await);
        let event_id = web.heartbeat(0).await.payments[0].event_id;
        let ack = json!({ "event_id": event_id, "status": "failed" });
        api.act("/device/notifications/ack", &with(ack, &odd)).await;
        for credentials in [&soundbox.credentials, &web.credentials] {
            let received = credentials.notifications(&world).await;
            assert_eq!(received[0]["status"], "failed", "{odd}");
        }
        let version = web.heartbeat(0).await.config_version;
        let ack = json!({ "version": format!("{version}"), "status": "rejected" });
        api.act("/device/config/ack", &with(ack, &odd)).await;
    }
    assert_eq!(world.rows(REJECTED).await, 0);
}

/// Odd fields of heartbeats.
fn heartbeats() -> Vec<Value> {
    vec![
        json!({ "battery_level": 92.0 }),
        json!({ "battery_level": 255 }),
        json!({ "battery_level": -1, "network_strength": "strong" }),
        json!({ "battery_level": "92%", "network_strength": 1e300 }),
        json!({ "battery_level": null, "network_strength": { "dbm": -70 } }),
        json!({ "firmware_version": "v".repeat(500), "state": "idle\n" }),
        json!({ "firmware_version": 3, "state": null, "timestamp": [2026] }),
    ]
}

#[tokio::test]
async fn every_heartbeat_by_http_is_answered_with_what_waits() {
    let (world, shop) = fixture::shop().await;
    let soundbox = HttpBox::at(&world, shop.terminal().id).await;
    let api = soundbox.credentials.api(&world);
    for (number, odd) in (1..).zip(heartbeats()) {
        let sold = soundbox.credentials.sell(&world, 10_000 + number).await;
        let heartbeat = with(soundbox.heartbeat_body(), &odd);
        let answer = api.post("/device/heartbeat", &heartbeat).await.expect(200);
        let received = soundbox.open(&answer.data()).payments;
        let came = received.iter().any(|one| one.transaction_id == sold);
        assert!(came, "{odd}");
    }
    let path = format!("{}/heartbeats", soundbox.credentials.path());
    let kept = world.admin().read(&path).await;
    let level = |newest: usize| (&kept[newest]["battery_level"], &kept[newest]["extras"]);
    let levels = heartbeats().len();
    assert_eq!(level(levels - 1), (&json!(92), &Value::Null));
    let extras = json!({ "battery_level": 255 });
    assert_eq!(level(levels - 2), (&Value::Null, &extras));
    let metrics = world.metrics().await;
    assert!(metrics.contains("heartbeat_fields_odd_total"), "{metrics}");
}

#[tokio::test]
async fn every_heartbeat_by_mqtt_is_stored() {
    let world = World::new().await;
    for encoding in [Encoding::Json, Encoding::Msgpack] {
        let registered = register(&world).await;
        let credentials = registered.activate(&world, encoding).await;
        let mut soundbox = Soundbox::switch_on(&world, credentials).await;
        let whole = json!({
            "message_type": "heartbeat", "device_id": soundbox.credentials.device_id, "firmware_version": "1.0.3",
            "state": "idle", "network_strength": 78, "battery_level": 92,
        });
        for odd in heartbeats() {
            let heartbeat = bytes(encoding, &with(whole.clone(), &odd));
            assert!(soundbox.send_raw(Channel::Heartbeat, heartbeat).await);
        }
        if encoding == Encoding::Json {
            for before in ["\n", "\r\n\t ", "\u{feff}", "\u{feff}\n"] {
                let heartbeat = format!("{before}{whole}\0").into_bytes();
                assert!(soundbox.send_raw(Channel::Heartbeat, heartbeat).await);
            }
        }
    }
    let stored = i64::try_from(2 * heartbeats().len() + 4).unwrap();
    world.wait_for_rows("heartbeats", stored).await;
    assert_eq!(world.rows(REJECTED).await, 0);
}

#[tokio::test]
async fn a_request_without_a_currency_is_answered() {
    let (_world, _, mut soundbox) = fixture::soundbox().await;
    let request = json!({
        "message_type": "dynamic_qr_request", "request_id": 7, "device_id": soundbox.credentials.device_id,
        "terminal_id": "", "amount": 50_000, "created_at": {},
    });
    let request = request.to_string().into_bytes();
    assert!(soundbox.send_raw(Channel::DynamicQrRequest, request).await);
    let answer = soundbox.next_qr().await;
    assert_eq!(answer.correlation_id, "7");
    let wire::message::QrOutcome::Refused(error) = answer.outcome else {
        panic!("a currency is part of what is asked")
    };
    assert_eq!(error.code, "VALIDATION_FAILED");
}

#[tokio::test]
async fn a_firmware_version_is_no_reason_not_to_activate() {
    let world = World::new().await;
    for odd in [
        json!("v".repeat(500)),
        json!(3),
        json!(""),
        json!({}),
        Value::Null,
    ] {
        let (registered, key) = (register(&world).await, tests::credentials::new_key());
        let (code, more) = (
            &registered.activation_code,
            json!({ "firmware_version": odd }),
        );
        let answer = registered.ask(&world, code, key.csr_pem(), more).await;
        assert_eq!(answer.status, 200, "{odd}: {answer}");
    }
}
