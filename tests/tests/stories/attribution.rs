//! Payments of printed codes: attributed when that is possible, else kept as unmatched, and never refused.

use platform::config::NotifySignature::Asymmetric;
use tests::prelude::*;
use tests::snap;

use crate::view::{incidents, open_alert, open_alerts, open_money};

/// A payment of a printed code with these fields.
pub(crate) fn paid(world: &World, fields: &Value) -> Value {
    let mut body = json!({
        "event_id": "e", "partner_reference": reference(), "amount": 40_000, "currency": "IDR",
        "status": "success", "paid_at": world.clock.now(),
    });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// Where a payment was booked; null when it was kept as unmatched.
pub(crate) async fn terminal_of(world: &World, body: &Value) -> Value {
    let receipt = world.acquirer().send(body).await.expect(200).data();
    let Some(id) = receipt["transaction_id"].as_str() else {
        assert_eq!(receipt["verdict"], "unmatched", "{body}");
        return Value::Null;
    };
    assert_eq!(receipt["verdict"], "accepted", "{body}");
    crate::view::transaction(world, id.parse().unwrap()).await["terminal_id"].clone()
}

async fn pan_of(world: &World, shop: &Shop) -> String {
    let path = format!("/admin/merchants/{}", shop.merchant_id);
    let merchant = world.admin().read(&path).await;
    tests::text(&merchant, "merchant_pan")
}

#[tokio::test]
async fn a_printed_code_is_attributed_by_whatever_names_one_terminal() {
    let world = World::new().await;
    let one = Shop::open(&world, "Warung Sari", 1).await;
    let two = Shop::open(&world, "Kopi Fajar", 2).await;
    let (one_pan, two_pan) = (pan_of(&world, &one).await, pan_of(&world, &two).await);
    let [first, second] = [&two.terminals[0], &two.terminals[1]];
    let long = "x".repeat(30);
    // By the label (with blanks around it, in lower case, as the terminal id), and by the PAN when there is no NMID.
    let of_second = [
        json!({ "nmid": two.nmid, "terminal_label": second.label }),
        json!({ "nmid": two.nmid, "terminal_label": format!("{} ", second.label) }),
        json!({ "nmid": format!(" {}", two.nmid.to_lowercase()), "terminal_label": second.label.to_lowercase() }),
        json!({ "nmid": "", "merchant_pan": two_pan, "terminal_id": second.label }),
    ];
    let of_first = [
        json!({ "nmid": two.nmid, "terminal_label": long, "terminal_id": first.label }),
        json!({ "nmid": two.nmid, "terminal_label": "", "terminal_id": first.id }),
        json!({ "mpan": two_pan, "terminal_label": first.label }),
    ];
    // The sole terminal, unless a valid label contradicts.
    let of_sole = [
        json!({ "mpan": one_pan }),
        json!({ "nmid": one.nmid }),
        json!({ "nmid": one.nmid, "terminal_label": null }),
        json!({ "nmid": one.nmid, "terminal_label": long }),
        json!({ "nmid": one.nmid, "terminal_label": ["T01"] }),
        json!({ "nmid": one.nmid, "terminal_id": "A01" }),
    ];
    let of_none = [
        json!({ "nmid": one.nmid, "terminal_label": "NOPE" }),
        // Two terminals, and no field that names one of them.
        json!({ "nmid": two.nmid }),
        json!({ "nmid": two.nmid, "terminal_label": long }),
        json!({ "mpan": two_pan }),
        // Unknown merchants.
        json!({ "nmid": "ID9999999999999", "mpan": one_pan }),
        json!({ "nmid": "Toko Budi" }),
        json!({ "mpan": "1" }),
        json!({ "terminal_label": one.terminal().label }),
    ];
    for (messages, terminal) in [
        (&of_second[..], json!(second.id)),
        (&of_first, json!(first.id)),
        (&of_sole, json!(one.terminal().id)),
        (&of_none, Value::Null),
    ] {
        for fields in messages {
            let body = paid(&world, fields);
            assert_eq!(terminal_of(&world, &body).await, terminal, "{fields}");
        }
    }
    let money = open_money(&world).await;
    assert_eq!(money.len(), 8);
    for (field, value) in [("terminal_label", long.as_str()), ("nmid", "TOKO BUDI")] {
        assert!(money.iter().any(|one| one[field] == value), "{money:?}");
    }
    open_alert(&world, "unmatched_payment").await;
    // The merchant is known, and its boxes announced nothing.
    for (shop, reason) in [(&one, "no_such_terminal"), (&two, "no_such_terminal")] {
        let alerts = open_alerts(&world, "unannounced_payment").await;
        let of_shop = alerts
            .iter()
            .find(|alert| alert["subject"] == json!(shop.merchant_id))
            .unwrap_or_else(|| panic!("{alerts:?}"));
        assert_eq!(of_shop["details"]["reason"], reason);
    }
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn a_suspended_merchants_printed_codes_are_kept_as_unmatched() {
    let (world, shop, credentials) = fixture::device().await;
    shop.set_status(&world, "suspended").await;
    let body = shop.printed_payment(&world, 40_000);
    assert_eq!(terminal_of(&world, &body).await, Value::Null);
    assert_eq!(open_money(&world).await[0]["reason"], "merchant_suspended");
    assert_eq!(credentials.notifications(&world).await, Vec::<Value>::new());
    let alert = open_alert(&world, "unannounced_payment").await;
    assert_eq!(alert["details"]["reason"], "merchant_suspended");
}

#[tokio::test]
async fn snap_attributes_by_the_same_rules() {
    let (world, partner) = snap::world(Asymmetric).await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let id = world.clock.uuid().into();
    let body = |info: &Value| {
        let mut body = snap::notification(id, 40_000, &reference(), "00");
        body["originalPartnerReferenceNo"] = json!("INV-7");
        for (name, value) in info.as_object().unwrap() {
            body["additionalInfo"][name] = value.clone();
        }
        body
    };
    let paid = "transactions WHERE status = 'paid'";
    let label = format!(" {}", shop.terminal().label.to_lowercase());
    let info = json!({ "nmid": shop.nmid, "terminalLabel": label });
    partner.send_ok(&body(&info)).await;
    let info =
        json!({ "nmid": shop.nmid, "terminalId": shop.terminal().label, "terminalLabel": "" });
    partner.send_ok(&body(&info)).await;
    assert_eq!(world.rows(paid).await, 2);
    // At the top level, as some partners write it.
    let mut top = body(&json!({}));
    top["nmid"] = json!(shop.nmid);
    top["terminalId"] = json!(shop.terminal().label);
    partner.send_ok(&top).await;
    assert_eq!(world.rows(paid).await, 3);
    let info = json!({ "nmid": shop.nmid, "terminalLabel": "x".repeat(30) });
    partner.send_ok(&body(&info)).await;
    assert_eq!(open_money(&world).await.len(), 1);
}

#[tokio::test]
async fn an_amount_beyond_the_largest_payment_is_kept_and_never_booked() {
    let (world, shop, _box) = fixture::device().await;
    let code = json!({ "nmid": shop.nmid, "terminal_label": shop.terminal().label });
    let amounts = [
        "10000001",
        "1000000000000000",
        "9000000000000000000",
        "\"9000000000000000000\"",
        "9223372036854775808",
        "\"100000000000000000000000000\"",
    ];
    for amount in amounts {
        let body = paid(&world, &code).to_string();
        let body = body.replace("\"amount\":40000", &format!("\"amount\":{amount}"));
        let request = world.acquirer().sign(body.as_bytes(), world.clock.now());
        // Sent again: the same answer, and nothing more.
        for _ in 0..2 {
            let receipt = world.acquirer().post(&request).await.expect(200).data();
            assert_eq!(receipt["verdict"], "unmatched", "{amount}");
        }
    }
    let money = open_money(&world).await;
    assert_eq!(money.len(), amounts.len());
    assert!(money.iter().all(|one| one["reason"] == "amount_beyond_max"));
    assert_fields!(money[0], { "amount": null, "amount_text": "100000000000000000000000000" });
    assert_eq!(money[3]["amount"], json!(9_000_000_000_000_000_000_i64));
    assert_eq!(
        incidents(&world).await,
        vec!["amount_beyond_max"; amounts.len()]
    );
    open_alert(&world, "incident").await;
    open_alert(&world, "unmatched_payment").await;
    // It cannot be booked by hand either; a reversal closes it.
    for one in &money {
        let path = format!("/admin/unmatched-payments/{}/assign", text(one, "id"));
        let terminal = json!({ "terminal_id": shop.terminal().id });
        assert_refused!(world.admin().post(&path, &terminal), INVALID_AMOUNT);
    }
    let none = "SELECT (SELECT count(*) FROM transactions) + (SELECT count(*) FROM ledger_entries)";
    assert_eq!(world.number(none).await, 0);
    let mut back = paid(&world, &code);
    back["partner_reference"] = money[5]["partner_reference"].clone();
    back["amount"] = money[5]["amount"].clone();
    let back = but_status(back, "reversed");
    assert_eq!(world.acquirer().verdict(&back).await, "accepted");
    assert_eq!(open_money(&world).await.len(), amounts.len() - 1);
}

#[tokio::test]
async fn the_same_reference_with_another_amount_is_refused_for_kept_money_too() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let body = paid(&world, &json!({ "nmid": shop.nmid }));
    assert_eq!(terminal_of(&world, &body).await, Value::Null);
    for status in ["success", "reversed", "failed"] {
        let mut other = but_status(body.clone(), status);
        other["amount"] = json!(40_001);
        assert_refused!(world.acquirer().send(&other), DUPLICATE_REQUEST);
    }
    assert_eq!(incidents(&world).await, ["amount_mismatch"; 3]);
    assert_eq!(open_money(&world).await[0]["amount"], 40_000);
}
