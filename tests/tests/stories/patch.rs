//! Changes of merchants, outlets and terminals.

use tests::prelude::*;

#[tokio::test]
async fn a_merchant_is_changed_field_by_field() {
    let (world, shop) = fixture::shop().await;
    let admin = world.admin();
    let path = format!("/admin/merchants/{}", shop.merchant_id);
    let before = admin.get(&path).await.data();
    let change = json!({
        "brand_name": "Warung Sari Baru", "payout_mode": "manual", "payout_account_reference": "bank:111",
        "settlement_account_type": null, "contact": { "phone": "+62 811" },
    });
    let after = admin.change(&path, &change).await;
    assert_eq!(after["brand_name"], "Warung Sari Baru");
    assert_fields!(after, { "payout_mode": "manual", "settlement_account_type": null });
    for untouched in [
        "legal_name",
        "nmid",
        "status",
        "settlement_account_reference",
        "created_at",
    ] {
        assert_eq!(after[untouched], before[untouched], "{untouched}");
    }
    assert_eq!(admin.get(&path).await.data(), after);
    let audited = "SELECT before, after FROM audit_logs WHERE action = 'merchant.patch'";
    let audited: Vec<(Value, Value)> = world.table(audited).await;
    assert_eq!(audited[0].0["brand_name"], "Warung Sari");
    assert_eq!(audited[0].1["brand_name"], "Warung Sari Baru");
}

#[tokio::test]
async fn a_change_that_breaks_a_rule_changes_nothing() {
    let (world, shop) = fixture::shop().await;
    let other = Shop::open(&world, "Kopi Fajar", 1).await;
    let admin = world.admin();
    let path = format!("/admin/merchants/{}", shop.merchant_id);
    let before = admin.get(&path).await.data();
    for wrong in [
        json!({ "legal_name": null }),
        json!({ "legal_name": " " }),
        json!({ "brand_name": "X", "colour": "red" }),
        json!({ "payout_mode": "cash" }),
        json!({ "mcc": "abc" }),
        json!({ "fee_profile_id": "fee_of_nobody" }),
        json!({ "status": "closed" }),
        json!({ "reason": "because" }),
        json!({ "id": other.merchant_id }),
    ] {
        admin.patch(&path, &wrong).await.refused(VALIDATION_FAILED);
    }
    for not_now in [
        json!({ "nmid": "ID1020304050607" }),
        json!({ "merchant_pan": "936000000000000001" }),
        json!({ "status": "pending_review" }),
        json!({ "status": "rejected" }),
    ] {
        admin.patch(&path, &not_now).await.refused(INVALID_STATE);
    }
    assert_eq!(admin.get(&path).await.data(), before);
    let unknown = "/admin/merchants/m_0190f3a1c0de7abc8def0123456789ab";
    assert_refused!(admin.patch(unknown, &json!({})), MERCHANT_NOT_FOUND);
    for role in [Role::Finance, Role::Support] {
        let api = world.staff(role).await;
        assert_refused!(api.patch(&path, &json!({})), FORBIDDEN);
    }
}

#[tokio::test]
async fn acquirer_ids_of_a_merchant_can_be_set_until_its_review() {
    let world = World::new().await;
    let admin = world.admin();
    let merchant = json!({ "legal_name": "PT Sari", "brand_name": "Sari" });
    let merchant = admin.create("/admin/merchants", &merchant).await;
    let path = format!("/admin/merchants/{}", text(&merchant, "id"));
    let wrong = json!({ "merchant_pan": "9360" });
    assert_refused!(admin.patch(&path, &wrong), VALIDATION_FAILED);
    let ids = json!({ "nmid": "ID1020304050607", "merchant_pan": "936000000000000001" });
    admin.change(&path, &ids).await;
    let approved = admin.act(&format!("{path}/approve"), &json!({})).await;
    assert_fields!(approved, { "nmid": ids["nmid"], "merchant_pan": ids["merchant_pan"] });
}

#[tokio::test]
async fn a_suspended_merchant_takes_no_payments_until_it_is_reinstated() {
    let (world, shop, soundbox) = fixture::device().await;
    let admin = world.admin();
    let path = format!("/admin/merchants/{}", shop.merchant_id);
    let suspension = json!({ "status": "suspended", "reason": "complaints" });
    let suspended = admin.change(&path, &suspension).await;
    assert_fields!(suspended, { "status": "suspended", "status_reason": "complaints" });
    let ask = json!({ "device_id": soundbox.device_id, "amount": 1000, "currency": "IDR", "request_id": "r-1" });
    assert_refused!(soundbox.ask_qr(&world, "k-1", &ask), INVALID_STATE);
    let approve = format!("{path}/approve");
    assert_refused!(admin.post(&approve, &json!({})), INVALID_STATE);
    let reinstated = admin.change(&path, &json!({ "status": "approved" })).await;
    assert_eq!(reinstated["nmid"], suspended["nmid"]);
    soundbox.sell(&world, 1000).await;
}

#[tokio::test]
async fn an_outlet_and_a_terminal_are_changed() {
    let (world, mut shop) = fixture::shop().await;
    shop.add_terminal(&world, "Kasir 2").await;
    let admin = world.admin();
    let outlet = format!("/admin/outlets/{}", shop.outlet_id);
    let change = json!({ "name": "Cabang", "address": null, "timezone": "Asia/Makassar" });
    let changed = admin.change(&outlet, &change).await;
    assert_fields!(changed, { "name": "Cabang", "address": null, "city": "JAKARTA" });
    for wrong in [
        json!({ "timezone": "Europe/Paris" }),
        json!({ "name": null }),
        json!({ "merchant_id": shop.merchant_id }),
    ] {
        assert_refused!(admin.patch(&outlet, &wrong), VALIDATION_FAILED);
    }

    let terminal = format!("/admin/terminals/{}", shop.terminal().id);
    let change = json!({ "name": "Depan", "terminal_label": "FRONT" });
    let changed = admin.change(&terminal, &change).await;
    assert_eq!(changed["terminal_label"], "FRONT");
    assert!(text(&changed, "static_qr_payload").contains("0705FRONT"));
    let taken = json!({ "terminal_label": shop.terminals[1].label });
    assert_refused!(admin.patch(&terminal, &taken), DUPLICATE_REQUEST);
    let wrong = json!({ "qr_mode": "paper" });
    assert_refused!(admin.patch(&terminal, &wrong), VALIDATION_FAILED);
    let dynamic = json!({ "qr_mode": "dynamic" });
    let dynamic = admin.change(&terminal, &dynamic).await;
    assert_eq!(dynamic["static_qr_payload"], Value::Null);
}

#[tokio::test]
async fn a_terminals_code_comes_as_a_picture() {
    let (world, shop) = fixture::shop().await;
    let admin = world.admin();
    let terminal = format!("/admin/terminals/{}", shop.terminal().id);
    let (svg, png) = (format!("{terminal}/qr.svg"), format!("{terminal}/qr.png"));
    let shown = admin.get(&svg).await.expect(200);
    assert_eq!(shown.header("content-type"), Some("image/svg+xml"));
    assert!(shown.body.starts_with(b"<svg"));
    let shown = admin.get(&png).await.expect(200);
    assert_eq!(shown.header("content-type"), Some("image/png"));
    assert!(shown.body.starts_with(b"\x89PNG\r\n\x1a\n"));

    let dynamic = json!({ "qr_mode": "dynamic" });
    admin.change(&terminal, &dynamic).await;
    assert_refused!(admin.get(&svg), INVALID_STATE);
    let finance = world.staff(Role::Finance).await;
    assert_refused!(finance.get(&png), FORBIDDEN);
}
