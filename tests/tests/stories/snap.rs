//! A partner that speaks SNAP BI: heard like any other, believed no sooner.

use chrono::TimeDelta;
use platform::config::NotifySignature::{Asymmetric, Symmetric};
use serde_json::{Value, json};
use tests::acquirer::reference;
use tests::books::{self, Books};
use tests::snap::{self, BANK, Bank, NOTIFY, code, notification, timestamp};
use tests::{Credentials, Shop, Soundbox, World};
use wire::TransactionId;

use crate::view::{state, transaction};

async fn a_code(world: &World, amount: i64) -> TransactionId {
    let shop = Shop::open(world, "Warung Sari", 1).await;
    let credentials = Credentials::at(world, shop.till().id).await;
    credentials.qr(world, amount).await.transaction_id
}

async fn is_heard(world: World, bank: Bank) {
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.till().id).await;
    let id = soundbox.credentials.qr(&world, 50_000).await.transaction_id;
    let body = notification(id, 50_000, "2020102977770000000009", "00");
    assert_eq!(bank.tell(&body).await, "2005200");
    let heard = soundbox.play().await;
    assert_eq!((heard.transaction_id, heard.amount.to_i64()), (id, 50_000));
    let paid = transaction(&world, id).await;
    assert_eq!(paid["partner_reference"], "2020102977770000000009");
    assert_eq!(paid["rrn"], "000019001390");
    books::must_balance(&world.pool).await;

    // Told again under another external id, it is the same payment.
    let before = Books::open(&world.pool).await;
    assert_eq!(bank.tell(&body).await, "2005200");
    let changes = before.changes(&world.pool).await;
    assert_eq!(changes.get("callbacks"), Some(&1));
    assert!(!changes.contains_key("transactions") && !changes.contains_key("notifications"));
    // And taken back.
    let back = notification(id, 50_000, "2020102977770000000009", "04");
    assert_eq!(bank.tell(&back).await, "2005200");
    assert_eq!(state(&world, id).await.0, "reversed");
    books::must_balance(&world.pool).await;
}

#[tokio::test]
async fn a_payment_signed_symmetrically_is_heard_once() {
    let (world, bank) = snap::world(Symmetric).await;
    is_heard(world, bank).await;
}

#[tokio::test]
async fn a_payment_signed_asymmetrically_is_heard_once() {
    let (world, bank) = snap::world(Asymmetric).await;
    is_heard(world, bank).await;
}

#[tokio::test]
async fn the_general_route_answers_a_snap_partner_in_its_own_words() {
    let (world, bank) = snap::world(Symmetric).await;
    let id = a_code(&world, 50_000).await;
    let token = bank.token().await;
    let body = notification(id, 50_000, "ref-1", "00").to_string();
    let path = "/integrations/qris/callback";
    let letter = bank.sign(path, body.as_bytes(), &token, world.clock.now());
    assert_eq!(
        code(&bank.post(&letter.clone().with("x-signature", "AAAA")).await),
        "4015200"
    );
    assert_eq!(code(&bank.post(&letter).await), "2005200");
    assert_eq!(state(&world, id).await.0, "paid");
    // A partner of the other profile does not get in by SNAP's door.
    let letter = letter.with("x-partner-id", "acme");
    let at_notify = snap::Letter {
        path: NOTIFY.into(),
        ..letter
    };
    assert_eq!(code(&bank.post(&at_notify).await), "4015200");
}

#[tokio::test]
async fn one_changed_byte_anywhere_has_no_effect_by_snap() {
    let (world, bank) = snap::world(Symmetric).await;
    let id = a_code(&world, 50_000).await;
    let token = bank.token().await;
    let body = notification(id, 50_000, "ref-1", "00").to_string();
    let now = world.clock.now();
    let good = bank.sign(NOTIFY, body.as_bytes(), &token, now);
    let before = Books::open(&world.pool).await;
    let mut spoiled = Vec::new();
    for at in 0..body.len() {
        let mut letter = good.clone();
        letter.body[at] ^= 1;
        spoiled.push(letter);
    }
    let signature = good.header("x-signature");
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    spoiled.push(
        good.clone()
            .with("x-signature", &format!("{flipped}{}", &signature[1..])),
    );
    spoiled.push(good.clone().with("x-signature", "%"));
    spoiled.push(good.clone().without("x-signature"));
    spoiled.push(good.clone().without("x-timestamp"));
    spoiled.push(good.clone().without("authorization"));
    let another = bank.token().await;
    spoiled.push(
        good.clone()
            .with("authorization", &format!("Bearer {another}")),
    );
    spoiled.push(
        good.clone()
            .with("x-timestamp", &timestamp(now + TimeDelta::seconds(1))),
    );
    spoiled.push(good.clone().with("x-partner-id", "nobody"));
    spoiled.push(snap::Letter {
        path: format!("{NOTIFY}?x=1"),
        ..good.clone()
    });
    for letter in &spoiled {
        assert_eq!(code(&bank.post(letter).await), "4015200", "{letter:?}");
    }
    let rejected = i64::try_from(spoiled.len()).unwrap();
    before
        .changed_only(
            &world.pool,
            &[("rejected_callbacks", rejected), ("partner_tokens", 1)],
        )
        .await;
    let kept = "SELECT count(*) FROM rejected_callbacks
                WHERE NOT headers ?| ARRAY['x-signature', 'authorization']";
    assert_eq!(books::count(&world.pool, kept).await, rejected);
    assert_eq!(code(&bank.post(&good).await), "2005200");
    assert_eq!(state(&world, id).await.0, "paid");
}

#[tokio::test]
async fn a_stale_time_or_token_has_no_effect() {
    let (world, bank) = snap::world(Symmetric).await;
    let id = a_code(&world, 50_000).await;
    let token = bank.token().await;
    let body = notification(id, 50_000, "ref-1", "00").to_string();
    let sign = |token: &str, seconds| {
        let at = world.clock.now() + TimeDelta::seconds(seconds);
        bank.sign(NOTIFY, body.as_bytes(), token, at)
    };
    for seconds in [-310, 310] {
        assert_eq!(code(&bank.post(&sign(&token, seconds)).await), "4015200");
    }
    // Signed well with a token that we never gave, and with one that is over.
    assert_eq!(code(&bank.post(&sign("snap_nonsense", 0)).await), "4015201");
    world.later(901);
    assert_eq!(code(&bank.post(&sign(&token, 0)).await), "4015201");
    assert_eq!(state(&world, id).await.0, "awaiting_payment");
    assert_eq!(
        code(&bank.post(&sign(&bank.token().await, 0)).await),
        "2005200"
    );
}

#[tokio::test]
async fn only_the_banks_key_gets_a_token() {
    let (world, bank) = snap::world(Symmetric).await;
    let grant = json!({ "grantType": "client_credentials" });
    let now = timestamp(world.clock.now());
    let good = bank.sign_token(BANK, &now);
    let ask = async |timestamp: &str, signature: &str, body: &Value| {
        code(&bank.ask_token(timestamp, signature, body).await)
    };
    assert_eq!(ask(&now, &good, &grant).await, "2007300");
    assert_eq!(
        ask(&now, &bank.sign_token("other", &now), &grant).await,
        "4017300"
    );
    assert_eq!(ask(&now, "AAAA", &grant).await, "4017300");
    let old = timestamp(world.clock.now() - TimeDelta::seconds(301));
    assert_eq!(
        ask(&old, &bank.sign_token(BANK, &old), &grant).await,
        "4017300"
    );
    assert_eq!(ask(&now, &good, &json!({})).await, "4007302");
    assert_eq!(
        ask(&now, &good, &json!({ "grantType": "password" })).await,
        "4007301"
    );
    let kept = "SELECT count(*) FROM partner_tokens";
    assert_eq!(books::count(&world.pool, kept).await, 1);
}

#[tokio::test]
async fn an_external_id_names_one_message_a_day() {
    let (world, bank) = snap::world(Symmetric).await;
    let id = a_code(&world, 50_000).await;
    let token = bank.token().await;
    let body = notification(id, 50_000, "ref-1", "00");
    let sign = |body: &Value| {
        bank.sign(
            NOTIFY,
            body.to_string().as_bytes(),
            &token,
            world.clock.now(),
        )
    };
    let first = sign(&body).with("x-external-id", "1");
    let answered = bank.post(&first).await;
    assert_eq!(code(&answered), "2005200");
    // The same again, laid out differently: the same answer, and nothing happens.
    let before = Books::open(&world.pool).await;
    let mut again = first.clone();
    again.body.push(b'\n');
    assert_eq!(bank.post(&again).await.body, answered.body);
    // Another message under its name: refused, whatever it says.
    for status in ["04", "06"] {
        let other = sign(&notification(id, 50_000, "ref-1", status)).with("x-external-id", "1");
        assert_eq!(code(&bank.post(&other).await), "4095200");
    }
    before
        .changed_only(&world.pool, &[("callbacks", 3), ("incidents", 2)])
        .await;
    assert_eq!(state(&world, id).await.0, "paid");
    for wrong in ["a b", &"1".repeat(37)] {
        let letter = first.clone().with("x-external-id", wrong);
        assert_eq!(code(&bank.post(&letter).await), "4005201");
    }
    let letter = first.clone().without("x-external-id");
    assert_eq!(code(&bank.post(&letter).await), "4005202");
    // A day later the name is free.
    world.later(86_400);
    let token = bank.token().await;
    let back = notification(id, 50_000, "ref-1", "04").to_string();
    let letter = bank
        .sign(NOTIFY, back.as_bytes(), &token, world.clock.now())
        .with("x-external-id", "1");
    assert_eq!(code(&bank.post(&letter).await), "2005200");
    // Our own token has run out by now.
    let reversed = "SELECT count(*) FROM transactions WHERE status = 'reversed'";
    assert_eq!(books::count(&world.pool, reversed).await, 1);
}

#[tokio::test]
async fn twenty_identical_notifications_at_once_are_one_payment() {
    let (world, bank) = snap::world(Symmetric).await;
    let id = a_code(&world, 50_000).await;
    let token = bank.token().await;
    let body = notification(id, 50_000, "ref-1", "00").to_string();
    let letter = bank.sign(NOTIFY, body.as_bytes(), &token, world.clock.now());
    let answers = futures_util::future::join_all((0..20).map(|_| bank.post(&letter))).await;
    for answer in &answers {
        assert_eq!(code(answer), "2005200");
    }
    let count = async |query| books::count(&world.pool, query).await;
    assert_eq!(
        count("SELECT count(*) FROM transaction_events WHERE to_status = 'paid'").await,
        1
    );
    assert_eq!(
        count("SELECT count(DISTINCT posting_id) FROM ledger_entries").await,
        1
    );
    assert_eq!(count("SELECT count(*) FROM notifications").await, 1);
    assert_eq!(count("SELECT count(*) FROM callbacks").await, 20);
}

#[tokio::test]
async fn a_status_that_means_nothing_is_held_and_never_announced() {
    let (world, bank) = snap::world(Symmetric).await;
    let id = a_code(&world, 50_000).await;
    let before = Books::open(&world.pool).await;
    for pending in ["01", "02", "03"] {
        assert_eq!(
            bank.tell(&notification(id, 50_000, "ref-1", pending)).await,
            "2005200"
        );
    }
    assert!(!before.changes(&world.pool).await.contains_key("incidents"));
    for unknown in ["07", "99", "paid"] {
        assert_eq!(
            bank.tell(&notification(id, 50_000, "ref-1", unknown)).await,
            "2005200"
        );
    }
    assert_eq!(state(&world, id).await.0, "awaiting_payment");
    assert_eq!(
        books::count(&world.pool, "SELECT count(*) FROM notifications").await,
        0
    );
    let incidents = world
        .admin()
        .get("/admin/incidents?resolved=false")
        .await
        .data();
    let incidents = incidents.as_array().unwrap();
    assert_eq!(incidents.len(), 3);
    for incident in incidents {
        assert_eq!(incident["kind"], "unknown_status");
        assert_eq!(incident["transaction_id"], json!(id));
        assert_eq!(incident["details"]["amount"], 50_000);
    }
    assert_eq!(
        bank.tell(&notification(id, 50_000, "ref-1", "00")).await,
        "2005200"
    );
    assert_eq!(state(&world, id).await.0, "paid");
}

#[tokio::test]
async fn what_contradicts_or_cannot_be_read_changes_nothing() {
    let (world, bank) = snap::world(Symmetric).await;
    let id = a_code(&world, 50_000).await;
    let good = notification(id, 50_000, "ref-1", "00");
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let token = bank.token().await;
    let before = Books::open(&world.pool).await;
    let unknown = TransactionId::from_uuid(world.clock.uuid());
    for (body, expected) in [
        (with("/amount/value", json!("49999.00")), "4095200"),
        (with("/amount/value", json!("50000.01")), "4005201"),
        (with("/amount/currency", json!("USD")), "4005201"),
        (with("/amount", json!(null)), "4005202"),
        (with("/originalReferenceNo", json!("")), "4005202"),
        (
            with("/originalPartnerReferenceNo", json!(unknown)),
            "4045201",
        ),
        (with("/originalPartnerReferenceNo", json!(null)), "4005202"),
        (with("/latestTransactionStatus", json!(null)), "4005202"),
        (json!([]), "4005201"),
    ] {
        let bytes = body.to_string().into_bytes();
        let letter = bank.sign(NOTIFY, &bytes, &token, world.clock.now());
        assert_eq!(code(&bank.post(&letter).await), expected, "{body}");
    }
    before
        .changed_only(
            &world.pool,
            &[("callbacks", 9), ("external_ids", 2), ("incidents", 9)],
        )
        .await;
    // What was proven to be the bank's is kept as the bank's.
    let kept = "SELECT count(*) FROM callbacks WHERE verdict = 'rejected' AND partner_id = 'bank'";
    assert_eq!(books::count(&world.pool, kept).await, 7);
}

#[tokio::test]
async fn a_payment_on_a_printed_code_is_attributed_by_what_snap_says_of_it() {
    let (world, bank) = snap::world(Symmetric).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.till().id).await;
    let body = |reference: &str, label: &str| {
        let mut body = notification(
            TransactionId::from_uuid(world.clock.uuid()),
            7_500,
            reference,
            "00",
        );
        body["originalPartnerReferenceNo"] = json!("");
        body["additionalInfo"]["nmid"] = json!(shop.nmid);
        body["additionalInfo"]["terminalLabel"] = json!(label);
        body
    };
    assert_eq!(
        bank.tell(&body(&reference(), &shop.till().label)).await,
        "2005200"
    );
    assert_eq!(soundbox.play().await.amount.to_i64(), 7_500);
    assert_eq!(bank.tell(&body(&reference(), "T99")).await, "2005200");
    let open = world
        .admin()
        .get("/admin/unmatched-payments?status=open")
        .await
        .data();
    assert_eq!(open.as_array().unwrap().len(), 1);
    assert_eq!(open[0]["amount"], 7_500);
}
