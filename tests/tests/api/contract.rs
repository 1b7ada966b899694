//! The sample requests of the API contract, byte for byte, with nothing but their ids replaced.

use reqwest::Method;
use tests::prelude::*;

async fn send(api: &Api, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    api.call(Method::POST, path, headers, Some(body.as_bytes().to_vec()))
        .await
}

/// The fields of an object, sorted.
fn names(object: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn the_sample_of_a_merchant() {
    let world = World::new().await;
    let sample = r#"{
  "legal_name": "Toko Indo",
  "brand_name": "Toko Indo",
  "settlement_account_reference": "bank:9876543210",
  "settlement_account_type": "merchant_bank_account",
  "payout_mode": "merchant_direct",
  "fee_profile_id": "fee_basic"
}"#;
    let answer = send(&world.admin(), "/admin/merchants", &[], sample)
        .await
        .expect(201)
        .json();
    assert_eq!(names(&answer), ["data", "request_id", "timestamp"]);
    let merchant = &answer["data"];
    let (id, code) = (
        merchant["id"].as_str().unwrap(),
        merchant["merchant_code"].as_str().unwrap(),
    );
    assert!(id.starts_with("m_") && code.starts_with("m_") && id != code);
    for (field, value) in [
        ("legal_name", "Toko Indo"),
        ("brand_name", "Toko Indo"),
        ("settlement_account_reference", "bank:9876543210"),
        ("settlement_account_type", "merchant_bank_account"),
        ("payout_mode", "merchant_direct"),
    ] {
        assert_eq!(merchant[field], value, "{field}");
    }
}

#[tokio::test]
async fn the_sample_of_a_heartbeat() {
    let world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    let sample = r#"{
  "device_id": "sbx_001",
  "timestamp": "2026-05-23T10:00:00Z",
  "firmware_version": "1.0.3",
  "network_strength": 78,
  "battery_level": 92,
  "state": "idle"
}"#
    .replace("sbx_001", &credentials.device_id.to_string());
    let _ = send(&credentials.api(&world), "/device/heartbeat", &[], &sample)
        .await
        .expect(200);
    let seen = credentials.view(&world).await;
    assert_fields!(seen, { "firmware_version": "1.0.3", "network_strength": 78, "battery_level": 92 });
}

#[tokio::test]
async fn the_sample_of_an_acknowledgement() {
    let world = World::new().await;
    let mut soundbox = Soundbox::unbound(&world).await;
    let device_id = soundbox.credentials.device_id;
    let path = format!("/admin/devices/{device_id}/commands");
    let ops = world.staff(Role::Ops).await;
    let _ = send(
        &ops,
        &path,
        &[("idempotency-key", "k-1")],
        r#"{"type": "play_test", "payload": {}}"#,
    )
    .await;
    let command = soundbox.next_command().await.command_id;
    let sample = r#"{
  "device_id": "sbx_001",
  "command_id": "cmd_123",
  "status": "delivered",
  "reason": "ok",
  "result_payload": {
    "payment_result": "ok"
  }
}"#
    .replace("sbx_001", &device_id.to_string())
    .replace("cmd_123", &command.to_string());
    let _ = send(
        &soundbox.credentials.api(&world),
        "/device/commands/ack",
        &[],
        &sample,
    )
    .await
    .expect(200);
    let ended = ops.get(&format!("{path}/{command}")).await.data();
    assert_fields!(ended, { "status": "delivered", "reason": "ok", "result_payload": { "payment_result": "ok" } });
}

#[tokio::test]
async fn the_sample_of_a_dynamic_code() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Toko Indo", 1).await;
    let credentials = Credentials::at(&world, shop.terminal().id).await;
    let sample = r#"{
  "device_id": "sbx_001",
  "terminal_id": "term_001",
  "amount": 50000,
  "currency": "IDR",
  "request_id": "req_123"
}"#
    .replace("sbx_001", &credentials.device_id.to_string())
    .replace("term_001", &shop.terminal().id.to_string());
    let key = [("idempotency-key", "4f6c0d9e-5b1c-4a53-9d5e-0d9a3c1d2b7f")];
    let answer = send(
        &credentials.api(&world),
        "/device/transactions/dynamic-qr",
        &key,
        &sample,
    )
    .await
    .expect(201)
    .json();
    assert_eq!(
        names(&answer),
        [
            "expires_at",
            "qr_payload",
            "qr_type",
            "request_id",
            "status",
            "transaction_id"
        ]
    );
    assert_fields!(answer, { "request_id": "req_123", "qr_type": "dynamic", "status": "awaiting_payment" });
    let payload = answer["qr_payload"].as_str().unwrap();
    assert!(payload.starts_with("000201010212"), "{payload}");
    assert!(
        answer["transaction_id"]
            .as_str()
            .unwrap()
            .starts_with("tx_")
    );
}

#[test]
fn every_endpoint_of_the_contract_exists() {
    let endpoints = http_api::endpoints();
    let ours: Vec<String> = endpoints
        .iter()
        .map(|endpoint| {
            format!(
                "{} {}",
                json!(endpoint.method).as_str().unwrap(),
                endpoint.path
            )
        })
        .collect();
    let contract = "\
        POST /admin/merchants
        GET /admin/merchants
        GET /admin/merchants/{merchant_id}
        PATCH /admin/merchants/{merchant_id}
        POST /admin/merchants/{merchant_id}/approve
        POST /admin/merchants/{merchant_id}/reject
        POST /admin/merchants/{merchant_id}/outlets
        GET /admin/outlets
        GET /admin/outlets/{outlet_id}
        PATCH /admin/outlets/{outlet_id}
        POST /admin/outlets/{outlet_id}/terminals
        GET /admin/terminals
        GET /admin/terminals/{terminal_id}
        PATCH /admin/terminals/{terminal_id}
        POST /admin/devices
        GET /admin/devices
        GET /admin/devices/{device_id}
        PATCH /admin/devices/{device_id}
        POST /admin/devices/{device_id}/bind
        POST /admin/devices/{device_id}/unbind
        POST /admin/devices/{device_id}/commands
        GET /admin/devices/{device_id}/commands
        GET /admin/devices/{device_id}/commands/{command_id}
        GET /admin/devices/{device_id}/heartbeats
        GET /admin/devices/{device_id}/notifications
        POST /admin/seed
        GET /admin/transactions
        GET /admin/transactions/{transaction_id}
        POST /admin/transactions/{transaction_id}/retry-notification
        GET /admin/settlements
        GET /admin/settlements/{settlement_id}
        POST /admin/settlements/run
        POST /admin/settlements/{settlement_id}/retry-payout
        POST /device/provision/activate
        POST /device/provision/refresh-credential
        POST /device/heartbeat
        GET /device/config
        POST /device/config/ack
        POST /device/commands/ack
        POST /device/transactions/dynamic-qr
        GET /merchant/me
        GET /merchant/dashboard/summary
        GET /merchant/transactions
        GET /merchant/transactions/{transaction_id}
        GET /merchant/settlements
        GET /merchant/settlements/{settlement_id}
        GET /merchant/devices
        GET /merchant/outlets
        POST /integrations/qris/callback
        POST /integrations/bank/payout-callback";
    for line in contract.lines() {
        let (method, path) = line.trim().split_once(' ').unwrap();
        let wanted = format!("{} {path}", method.to_lowercase());
        assert!(ours.contains(&wanted), "{wanted} is missing");
    }
}
