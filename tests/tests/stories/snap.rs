//! A partner that speaks SNAP BI: the same rules and the same checks as for any other.

use chrono::TimeDelta;
use platform::config::NotifySignature::{Asymmetric, Symmetric};
use tests::prelude::*;
use tests::snap::{self, BANK, NOTIFY, SnapPartner, code, notification, timestamp};
use wire::TransactionId;

use crate::view::{open_money, state, transaction};

async fn a_code(world: &World, amount: i64) -> TransactionId {
    let shop = Shop::open(world, "Warung Sari", 1).await;
    let credentials = Credentials::at(world, shop.terminal().id).await;
    credentials.qr(world, amount).await.transaction_id
}

async fn is_heard(world: World, partner: SnapPartner) {
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.terminal().id).await;
    let id = soundbox.credentials.qr(&world, 50_000).await.transaction_id;
    let body = notification(id, 50_000, "2020102977770000000009", "00");
    partner.send_ok(&body).await;
    let heard = soundbox.play().await;
    assert_eq!((heard.transaction_id, heard.amount.to_i64()), (id, 50_000));
    let paid = transaction(&world, id).await;
    assert_fields!(paid, { "partner_reference": "2020102977770000000009", "rrn": "000019001390" });
    ledger::must_balance(&world.pool).await;

    // Sent again with another external id, it is the same payment.
    let before = Snapshot::take(&world.pool).await;
    partner.send_ok(&body).await;
    let changes = before.changes(&world.pool).await;
    assert_eq!(changes.get("callbacks"), Some(&1));
    assert!(!changes.contains_key("transactions") && !changes.contains_key("notifications"));
    // And a reversal.
    let back = notification(id, 50_000, "2020102977770000000009", "04");
    partner.send_ok(&back).await;
    assert_eq!(state(&world, id).await.0, "reversed");
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn a_payment_signed_symmetrically_is_heard_once() {
    let (world, partner) = snap::world(Symmetric).await;
    is_heard(world, partner).await;
}

#[tokio::test]
async fn a_payment_signed_asymmetrically_is_heard_once() {
    let (world, partner) = snap::world(Asymmetric).await;
    is_heard(world, partner).await;
}

#[tokio::test]
async fn the_general_route_answers_a_snap_partner_in_its_own_format() {
    let (world, partner) = snap::world(Symmetric).await;
    let id = a_code(&world, 50_000).await;
    let token = partner.token().await;
    let body = notification(id, 50_000, "ref-1", "00").to_string();
    let path = "/integrations/qris/callback";
    let request = partner.sign(path, body.as_bytes(), &token, world.clock.now());
    let forged = request.clone().with("x-signature", "AAAA");
    assert_eq!(code(&partner.post(&forged).await), "4015200");
    assert_eq!(code(&partner.post(&request).await), "2005200");
    assert_eq!(state(&world, id).await.0, "paid");
    // A partner of the other profile is refused on the SNAP route.
    let request = request.with("x-partner-id", "acme");
    let at_notify = snap::SignedRequest {
        path: NOTIFY.into(),
        ..request
    };
    assert_eq!(code(&partner.post(&at_notify).await), "4015200");
}

#[tokio::test]
async fn one_changed_byte_anywhere_has_no_effect_by_snap() {
    let (world, partner) = snap::world(Symmetric).await;
    let id = a_code(&world, 50_000).await;
    let token = partner.token().await;
    let body = notification(id, 50_000, "ref-1", "00").to_string();
    let now = world.clock.now();
    let good = partner.sign(NOTIFY, body.as_bytes(), &token, now);
    let before = Snapshot::take(&world.pool).await;
    let mut spoiled = Vec::new();
    for at in 0..body.len() {
        let mut request = good.clone();
        request.body[at] ^= 1;
        spoiled.push(request);
    }
    let signature = good.header("x-signature");
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let another = partner.token().await;
    for (header, value) in [
        ("x-signature", format!("{flipped}{}", &signature[1..])),
        ("x-signature", "%".to_owned()),
        ("authorization", format!("Bearer {another}")),
        ("x-timestamp", timestamp(now + TimeDelta::seconds(1))),
        ("x-partner-id", "nobody".to_owned()),
    ] {
        spoiled.push(good.clone().with(header, &value));
    }
    for header in ["x-signature", "x-timestamp", "authorization"] {
        spoiled.push(good.clone().without(header));
    }
    spoiled.push(snap::SignedRequest {
        path: format!("{NOTIFY}?x=1"),
        ..good.clone()
    });
    for request in &spoiled {
        assert_eq!(code(&partner.post(request).await), "4015200", "{request:?}");
    }
    let rejected = i64::try_from(spoiled.len()).unwrap();
    let kept = [("rejected_callbacks", rejected), ("partner_tokens", 1)];
    before.changed_only(&world.pool, &kept).await;
    let kept = "rejected_callbacks
                WHERE NOT headers ?| ARRAY['x-signature', 'authorization']";
    assert_eq!(world.rows(kept).await, rejected);
    assert_eq!(code(&partner.post(&good).await), "2005200");
    assert_eq!(state(&world, id).await.0, "paid");
}

#[tokio::test]
async fn a_stale_time_or_token_has_no_effect() {
    let (world, partner) = snap::world(Symmetric).await;
    let id = a_code(&world, 50_000).await;
    let token = partner.token().await;
    let body = notification(id, 50_000, "ref-1", "00").to_string();
    let sign = |token: &str, seconds| {
        let at = world.clock.now() + TimeDelta::seconds(seconds);
        partner.sign(NOTIFY, body.as_bytes(), token, at)
    };
    for seconds in [-310, 310] {
        assert_eq!(code(&partner.post(&sign(&token, seconds)).await), "4015200");
    }
    // Signed correctly with an unknown token, and with an expired one.
    let unknown = sign("snap_nonsense", 0);
    assert_eq!(code(&partner.post(&unknown).await), "4015201");
    world.later(901);
    assert_eq!(code(&partner.post(&sign(&token, 0)).await), "4015201");
    assert_eq!(state(&world, id).await.0, "awaiting_payment");
    let fresh = sign(&partner.token().await, 0);
    assert_eq!(code(&partner.post(&fresh).await), "2005200");
}

#[tokio::test]
async fn only_the_banks_key_gets_a_token() {
    let (world, partner) = snap::world(Symmetric).await;
    let grant = json!({ "grantType": "client_credentials" });
    let now = timestamp(world.clock.now());
    let good = partner.sign_token(BANK, &now);
    let ask = async |timestamp: &str, signature: &str, body: &Value| {
        code(&partner.ask_token(timestamp, signature, body).await)
    };
    assert_eq!(ask(&now, &good, &grant).await, "2007300");
    let of_other = partner.sign_token("other", &now);
    assert_eq!(ask(&now, &of_other, &grant).await, "4017300");
    assert_eq!(ask(&now, "AAAA", &grant).await, "4017300");
    let old = timestamp(world.clock.now() - TimeDelta::seconds(301));
    let stale = partner.sign_token(BANK, &old);
    assert_eq!(ask(&old, &stale, &grant).await, "4017300");
    assert_eq!(ask(&now, &good, &json!({})).await, "4007302");
    let other_grant = json!({ "grantType": "password" });
    assert_eq!(ask(&now, &good, &other_grant).await, "4007301");
    assert_eq!(world.rows("partner_tokens").await, 1);
}

#[tokio::test]
async fn an_external_id_names_one_message_a_day() {
    let (world, partner) = snap::world(Symmetric).await;
    let id = a_code(&world, 50_000).await;
    let token = partner.token().await;
    let body = notification(id, 50_000, "ref-1", "00");
    let sign = |body: &Value| {
        let bytes = body.to_string().into_bytes();
        partner.sign(NOTIFY, &bytes, &token, world.clock.now())
    };
    let first = sign(&body).with("x-external-id", "1");
    let answered = partner.post(&first).await;
    assert_eq!(code(&answered), "2005200");
    // The same again with another layout: the same answer, and nothing changes.
    let before = Snapshot::take(&world.pool).await;
    let mut again = first.clone();
    again.body.push(b'\n');
    assert_eq!(partner.post(&again).await.body, answered.body);
    // Another message with the same external id is refused.
    for status in ["04", "06"] {
        let other = sign(&notification(id, 50_000, "ref-1", status)).with("x-external-id", "1");
        assert_eq!(code(&partner.post(&other).await), "4095200");
    }
    before
        .changed_only(&world.pool, &[("callbacks", 3), ("incidents", 2)])
        .await;
    assert_eq!(state(&world, id).await.0, "paid");
    for wrong in ["a b", &"1".repeat(37)] {
        let request = first.clone().with("x-external-id", wrong);
        assert_eq!(code(&partner.post(&request).await), "4005201");
    }
    let request = first.clone().without("x-external-id");
    assert_eq!(code(&partner.post(&request).await), "4005202");
    // A day later the external id is free.
    world.later(86_400);
    let token = partner.token().await;
    let back = notification(id, 50_000, "ref-1", "04").to_string();
    let request = partner
        .sign(NOTIFY, back.as_bytes(), &token, world.clock.now())
        .with("x-external-id", "1");
    assert_eq!(code(&partner.post(&request).await), "2005200");
    // The test's own token has expired by now.
    let reversed = "transactions WHERE status = 'reversed'";
    assert_eq!(world.rows(reversed).await, 1);
}

#[tokio::test]
async fn twenty_identical_notifications_at_once_are_one_payment() {
    let (world, partner) = snap::world(Symmetric).await;
    let id = a_code(&world, 50_000).await;
    let token = partner.token().await;
    let body = notification(id, 50_000, "ref-1", "00").to_string();
    let request = partner.sign(NOTIFY, body.as_bytes(), &token, world.clock.now());
    let answers = futures_util::future::join_all((0..20).map(|_| partner.post(&request))).await;
    for answer in &answers {
        assert_eq!(code(answer), "2005200");
    }
    for (from, count) in [
        ("transaction_events WHERE to_status = 'paid'", 1),
        ("(SELECT DISTINCT posting_id FROM ledger_entries) p", 1),
        ("notifications", 1),
        ("callbacks", 20),
    ] {
        assert_eq!(world.rows(from).await, count, "{from}");
    }
}

#[tokio::test]
async fn a_status_that_means_nothing_is_held_and_never_announced() {
    let (world, partner) = snap::world(Symmetric).await;
    let id = a_code(&world, 50_000).await;
    let before = Snapshot::take(&world.pool).await;
    for pending in ["01", "02", "03"] {
        partner.notify(id, 50_000, "ref-1", pending).await;
    }
    assert!(!before.changes(&world.pool).await.contains_key("incidents"));
    for unknown in ["07", "99", "paid"] {
        partner.notify(id, 50_000, "ref-1", unknown).await;
    }
    assert_eq!(state(&world, id).await.0, "awaiting_payment");
    assert_eq!(world.rows("notifications").await, 0);
    let path = "/admin/incidents?resolved=false";
    let incidents = world.admin().list(path).await;
    assert_eq!(incidents.len(), 3);
    for incident in &incidents {
        assert_fields!(incident, { "kind": "unknown_status", "transaction_id": id });
        assert_eq!(incident["details"]["amount"], 50_000);
    }
    partner.notify(id, 50_000, "ref-1", "00").await;
    assert_eq!(state(&world, id).await.0, "paid");
}

#[tokio::test]
async fn what_contradicts_or_cannot_be_read_changes_nothing() {
    let (world, partner) = snap::world(Symmetric).await;
    let id = a_code(&world, 50_000).await;
    let good = notification(id, 50_000, "ref-1", "00");
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let token = partner.token().await;
    let before = Snapshot::take(&world.pool).await;
    let unknown = json!(TransactionId::from_uuid(world.clock.uuid()));
    for (body, expected) in [
        (with("/amount/value", json!("49999.00")), "4095200"),
        (with("/amount/value", json!("50000.01")), "4005201"),
        (with("/amount/currency", json!("USD")), "4005201"),
        (with("/amount", json!(null)), "4005202"),
        (with("/originalReferenceNo", json!("")), "4005202"),
        (with("/originalPartnerReferenceNo", unknown), "4045201"),
        (with("/originalPartnerReferenceNo", json!(null)), "4005202"),
        (with("/latestTransactionStatus", json!(null)), "4005202"),
        (json!([]), "4005201"),
    ] {
        let bytes = body.to_string().into_bytes();
        let request = partner.sign(NOTIFY, &bytes, &token, world.clock.now());
        assert_eq!(code(&partner.post(&request).await), expected, "{body}");
    }
    let kept = [("callbacks", 9), ("external_ids", 2), ("incidents", 9)];
    before.changed_only(&world.pool, &kept).await;
    // Verified messages are kept as the partner's.
    let kept = "callbacks WHERE verdict = 'rejected' AND partner_id = 'bank'";
    assert_eq!(world.rows(kept).await, 7);
}

#[tokio::test]
async fn a_payment_of_a_printed_code_is_attributed_by_its_snap_fields() {
    let (world, partner) = snap::world(Symmetric).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.terminal().id).await;
    let body = |reference: &str, label: &str| {
        let id = TransactionId::from_uuid(world.clock.uuid());
        let mut body = notification(id, 7_500, reference, "00");
        body["originalPartnerReferenceNo"] = json!("");
        body["additionalInfo"]["nmid"] = json!(shop.nmid);
        body["additionalInfo"]["terminalLabel"] = json!(label);
        body
    };
    let paid = body(&reference(), &shop.terminal().label);
    partner.send_ok(&paid).await;
    assert_eq!(soundbox.play().await.amount.to_i64(), 7_500);
    partner.send_ok(&body(&reference(), "T99")).await;
    let open = open_money(&world).await;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0]["amount"], 7_500);
}
