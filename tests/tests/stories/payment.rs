//! From a verified callback to one announcement.

use tests::acquirer;
use tests::prelude::*;
use wire::message::AckStatus;

use crate::view::{state, transaction};

#[tokio::test]
async fn a_verified_payment_is_heard_once() {
    let (world, _, mut soundbox) = fixture::soundbox().await;

    let qr = soundbox.credentials.qr(&world, 50_000).await;
    let answer = world.acquirer().pay(qr.transaction_id, 50_000).await;
    let receipt = answer.expect(200).data();
    let expected =
        json!({ "verdict": "accepted", "transaction_id": qr.transaction_id, "status": "paid" });
    assert_eq!(receipt, expected);

    let heard = soundbox.play().await;
    let speech = "Pembayaran QRIS diterima, lima puluh ribu rupiah";
    assert_eq!(heard.speech.text, speech);
    assert_eq!((heard.sequence, heard.amount.to_i64()), (1, 50_000));
    assert_eq!(heard.transaction_id, qr.transaction_id);
    assert_eq!(heard.merchant_name, "Warung Sari");
    assert!(!heard.replay);
    assert!(heard.announce_until > heard.delayed_after);

    // The acknowledgement was PUBACKed, so it is in Postgres.
    let received = soundbox.credentials.notifications(&world).await;
    assert_eq!(received.len(), 1);
    assert_fields!(received[0], { "event_id": heard.event_id, "status": "played" });
    assert!(received[0]["played_at"].is_string());

    let paid = transaction(&world, qr.transaction_id).await;
    assert_fields!(paid, { "status": "paid", "late": false, "amount": 50_000 });
    assert_fields!(paid, { "fee": 350, "net": 49_650 });
    let line = |kind: &str, account: &str, debit, credit| {
        (kind.to_owned(), account.to_owned(), debit, credit)
    };
    let mut booked = ledger::ledger_of(&world.pool, qr.transaction_id).await;
    booked.sort();
    let expected = [
        line("sale", "acquirer_held", 50_000, 0),
        line("sale", "mdr", 0, 350),
        line("sale", "merchant_payable", 0, 49_650),
    ];
    assert_eq!(booked, expected);
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn fifty_identical_callbacks_at_once_are_one_payment() {
    let (world, shop, mut first) = fixture::soundbox().await;
    let mut second = Soundbox::at(&world, shop.terminal().id).await;
    let id = first.credentials.qr(&world, 75_000).await.transaction_id;

    let acquirer = world.acquirer();
    let body = success(id, 75_000, "the-one", world.clock.now()).to_string();
    let request = acquirer.sign(body.as_bytes(), world.clock.now());
    let posts = (0..50).map(|_| acquirer.post(&request));
    let answers = futures_util::future::join_all(posts).await;

    let receipts: Vec<Value> = answers.iter().map(Answer::data).collect();
    let mut verdicts = texts(&receipts, "verdict");
    verdicts.sort();
    assert_eq!(verdicts.remove(0), "accepted");
    assert_eq!(verdicts, ["duplicate"; 49]);

    for soundbox in [&mut first, &mut second] {
        soundbox.play().await;
        assert_eq!(soundbox.credentials.notifications(&world).await.len(), 1);
    }
    assert_ne!(first.spoken[0].event_id, second.spoken[0].event_id);
    let transitions = world.rows("transaction_events WHERE to_status = 'paid'");
    assert_eq!(transitions.await, 1);
    assert_eq!(ledger::ledger_of(&world.pool, id).await.len(), 3);
    assert_eq!(world.rows("notifications").await, 2);
    assert_eq!(world.rows("callbacks").await, 50);
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn two_equal_amounts_are_two_announcements() {
    let (world, shop, mut soundbox) = fixture::soundbox().await;
    let mut neighbour = Soundbox::at(&world, shop.terminal().id).await;

    let one = soundbox.credentials.sell(&world, 20_000).await;
    let other = soundbox.credentials.sell(&world, 20_000).await;

    for listener in [&mut soundbox, &mut neighbour] {
        let heard = [listener.play().await, listener.play().await];
        let ids = heard.each_ref().map(|payment| payment.transaction_id);
        assert_eq!(ids, [one, other]);
        assert_eq!(heard.each_ref().map(|payment| payment.sequence), [1, 2]);
        assert_ne!(heard[0].event_id, heard[1].event_id);
        assert_eq!(listener.repeated, []);
    }
}

#[tokio::test]
async fn a_payment_past_its_time_is_not_announced() {
    let (world, _, soundbox) = fixture::soundbox().await;
    let credentials = soundbox.credentials.clone();
    let away = soundbox.switch_off().await;
    let unheard = credentials.sell(&world, 10_000).await;
    world.later(301);
    // A payment whose callback comes so late is paid and not announced.
    let late = credentials.qr(&world, 11_000).await.transaction_id;
    let paid_at = world.clock.now() - chrono::TimeDelta::seconds(301);
    let body = success(late, 11_000, &acquirer::reference(), paid_at);
    let _ = world.acquirer().send(&body).await.expect(200);
    let fresh = credentials.sell(&world, 12_000).await;

    let mut soundbox = away.reconnect(&world).await;

    // Notifications come in order: one of the others would have come first.
    assert_eq!(soundbox.play().await.transaction_id, fresh);
    for id in [unheard, late] {
        assert_eq!(state(&world, id).await, ("paid".to_owned(), false));
    }
    // A notification that came too late is kept with its reason.
    let rows = credentials.notifications(&world).await;
    let row = rows.iter().find(|row| row["transaction_id"] == json!(late));
    let row = row.expect("a notification of the late payment");
    assert_fields!(row, { "status": "stale", "reason": "window_over", "attempts": 0 });
}

#[tokio::test]
async fn a_notification_that_was_not_acknowledged_in_time_is_stale() {
    let (world, _, credentials) = fixture::device().await;
    credentials.sell(&world, 10_000).await;
    world.later(330);
    eventually("the announcement becoming stale", || async {
        let received = credentials.notifications(&world).await;
        (received[0]["status"] == "stale").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_payment_without_an_acknowledgement_is_sent_again() {
    let (world, _, mut soundbox) = fixture::soundbox().await;
    soundbox.credentials.sell(&world, 10_000).await;
    let first = soundbox.hear().await;
    world.later(3);
    let again = soundbox.hear().await;
    assert_eq!(again.event_id, first.event_id);
    assert_eq!(again.sequence, first.sequence);
    assert!(again.sent_at > first.sent_at);
    let played = AckStatus::Played;
    soundbox.acknowledge(again.event_id, played).await;
    let received = soundbox.credentials.notifications(&world).await;
    assert_eq!(texts(&received, "status"), ["played"]);
    // The box may be quicker than the update of the attempts.
    eventually("a note of the second attempt", || async {
        let received = soundbox.credentials.notifications(&world).await;
        (received[0]["attempts"].as_i64() >= Some(2)).then_some(())
    })
    .await;

    // After that it is not sent again: the next one is the next payment.
    world.later(60);
    let next = soundbox.credentials.sell(&world, 11_000).await;
    assert_eq!(soundbox.hear().await.transaction_id, next);
}

#[tokio::test]
async fn what_is_known_of_an_announcement_only_rises() {
    let (world, _, mut soundbox) = fixture::soundbox().await;
    soundbox.credentials.sell(&world, 10_000).await;
    let event_id = soundbox.hear().await.event_id;
    for (sent, known) in [
        (AckStatus::Received, "received"),
        (AckStatus::Failed, "failed"),
        (AckStatus::Received, "failed"),
        (AckStatus::Played, "played"),
        (AckStatus::Stale, "played"),
        (AckStatus::Played, "played"),
    ] {
        soundbox.acknowledge(event_id, sent).await;
        let received = soundbox.credentials.notifications(&world).await;
        assert_eq!(received[0]["status"], known, "after {sent:?}");
    }
}

#[tokio::test]
async fn an_operator_has_a_payment_announced_again() {
    let (world, _, mut soundbox) = fixture::soundbox().await;
    let id = soundbox.credentials.sell(&world, 10_000).await;
    let first = soundbox.play().await;

    world.later(3600);
    let path = format!("/admin/transactions/{id}/retry-notification");
    let again = world.admin().post(&path, &json!({})).await;
    let again = again.expect(202).data();
    let replay = soundbox.play().await;
    assert_eq!(again[0]["event_id"], json!(replay.event_id));
    assert!(replay.replay && !first.replay);
    assert_eq!((replay.transaction_id, replay.sequence), (id, 2));
    // A replay is spoken as delayed.
    assert!(replay.delayed_after <= replay.sent_at);

    let unpaid = soundbox.credentials.qr(&world, 10_000).await.transaction_id;
    let path = format!("/admin/transactions/{unpaid}/retry-notification");
    assert_refused!(world.admin().post(&path, &json!({})), INVALID_STATE);
}

#[tokio::test]
async fn a_printed_code_is_paid_at_the_terminal_of_its_label() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let mut here = Soundbox::at(&world, shop.terminals[0].id).await;
    let mut there = Soundbox::at(&world, shop.terminals[1].id).await;
    let printed: domain::qris::QrisCode = shop.terminals[1].static_qr_payload.parse().unwrap();
    assert_eq!(printed.nmid().unwrap().as_str(), shop.nmid);

    let pay = |label: Value, amount: i64| {
        let mut body = shop.printed_payment(&world, amount);
        body["terminal_label"] = label;
        body
    };
    let labelled = pay(json!(shop.terminals[1].label), 30_000);
    let receipt = world.acquirer().send(&labelled).await.expect(200).data();
    assert_fields!(receipt, { "verdict": "accepted", "status": "paid" });
    let heard = there.play().await;
    assert_eq!(json!(heard.transaction_id), receipt["transaction_id"]);
    assert_eq!(heard.amount.to_i64(), 30_000);
    let paid = transaction(&world, heard.transaction_id).await;
    assert_fields!(paid, { "qr_type": "static", "terminal_id": shop.terminals[1].id });
    assert_eq!(world.acquirer().verdict(&labelled).await, "duplicate");

    // Two terminals and no label: it cannot be attributed. It is kept, and not announced.
    for nowhere in [pay(Value::Null, 31_000), pay(json!("NOPE"), 32_000)] {
        let receipt = world.acquirer().send(&nowhere).await.expect(200).data();
        assert_fields!(receipt, { "verdict": "unmatched", "transaction_id": null });
    }
    assert_eq!(world.rows("unmatched_payments").await, 2);
    for soundbox in [&mut here, &mut there] {
        let next = soundbox.credentials.sell(&world, 33_000).await;
        assert_eq!(soundbox.play().await.transaction_id, next);
    }
}

#[tokio::test]
async fn a_printed_code_without_a_label_is_of_the_sole_terminal() {
    let (world, shop, mut soundbox) = fixture::soundbox().await;
    let mut body = shop.printed_payment(&world, 40_000);
    body.as_object_mut().unwrap().remove("terminal_label");
    body["amount"] = json!("40000");
    let _ = world.acquirer().send(&body).await.expect(200);
    assert_eq!(soundbox.play().await.amount.to_i64(), 40_000);
}
