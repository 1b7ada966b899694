//! From a verified callback to a spoken sentence, once.

use serde_json::json;
use tests::acquirer::{self, success};
use tests::{Credentials, Shop, Soundbox, World, books};
use wire::message::AckStatus;

use crate::view::{state, transaction};

#[tokio::test]
async fn a_verified_payment_is_heard_once() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.till().id).await;

    let qr = soundbox.credentials.qr(&world, 50_000).await;
    let answer = world.acquirer().pays(qr.transaction_id, 50_000).await;
    let receipt = answer.expect(200).data();
    assert_eq!(
        receipt,
        json!({ "verdict": "accepted", "transaction_id": qr.transaction_id, "status": "paid" })
    );

    let heard = soundbox.play().await;
    assert_eq!(
        heard.speech.text,
        "Pembayaran QRIS diterima, lima puluh ribu rupiah"
    );
    assert_eq!((heard.sequence, heard.amount.to_i64()), (1, 50_000));
    assert_eq!(heard.transaction_id, qr.transaction_id);
    assert_eq!(heard.merchant_name, "Warung Sari");
    assert!(!heard.replay);
    assert!(heard.announce_until > heard.delayed_after);

    // The PUBACK of the acknowledgement came, so it is in Postgres.
    let told = soundbox.credentials.notifications(&world).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["event_id"], json!(heard.event_id));
    assert_eq!(told[0]["status"], "played");
    assert!(told[0]["played_at"].is_string());

    let paid = transaction(&world, qr.transaction_id).await;
    assert_eq!(
        (&paid["status"], &paid["late"], &paid["amount"]),
        (&json!("paid"), &json!(false), &json!(50_000))
    );
    assert_eq!((&paid["fee"], &paid["net"]), (&json!(350), &json!(49_650)));
    let line = |kind: &str, account: &str, debit, credit| {
        (kind.to_owned(), account.to_owned(), debit, credit)
    };
    let mut booked = books::ledger_of(&world.pool, qr.transaction_id).await;
    booked.sort();
    assert_eq!(
        booked,
        [
            line("sale", "acquirer_held", 50_000, 0),
            line("sale", "mdr", 0, 350),
            line("sale", "merchant_payable", 0, 49_650),
        ]
    );
    books::must_balance(&world.pool).await;
}

#[tokio::test]
async fn fifty_identical_callbacks_at_once_are_one_payment() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut first = Soundbox::at(&world, shop.till().id).await;
    let mut second = Soundbox::at(&world, shop.till().id).await;
    let id = first.credentials.qr(&world, 75_000).await.transaction_id;

    let acquirer = world.acquirer();
    let body = success(id, 75_000, "the-one", world.clock.now()).to_string();
    let letter = acquirer.sign(body.as_bytes(), world.clock.now());
    let posts = (0..50).map(|_| acquirer.post(&letter));
    let answers = futures_util::future::join_all(posts).await;

    let mut verdicts: Vec<String> = answers
        .iter()
        .map(|answer| answer.data()["verdict"].as_str().unwrap().to_owned())
        .collect();
    verdicts.sort();
    assert_eq!(verdicts[0], "accepted");
    assert!(
        verdicts[1..].iter().all(|verdict| verdict == "duplicate"),
        "{verdicts:?}"
    );

    for soundbox in [&mut first, &mut second] {
        soundbox.play().await;
        assert_eq!(soundbox.credentials.notifications(&world).await.len(), 1);
    }
    assert_ne!(first.spoken[0].event_id, second.spoken[0].event_id);
    let transitions = books::count(
        &world.pool,
        "SELECT count(*) FROM transaction_events WHERE to_status = 'paid'",
    );
    assert_eq!(transitions.await, 1);
    assert_eq!(books::ledger_of(&world.pool, id).await.len(), 3);
    assert_eq!(
        books::count(&world.pool, "SELECT count(*) FROM notifications").await,
        2
    );
    assert_eq!(
        books::count(&world.pool, "SELECT count(*) FROM callbacks").await,
        50
    );
    books::must_balance(&world.pool).await;
}

#[tokio::test]
async fn two_equal_amounts_are_two_announcements() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.till().id).await;
    let mut neighbour = Soundbox::at(&world, shop.till().id).await;

    let one = soundbox.credentials.sell(&world, 20_000).await;
    let other = soundbox.credentials.sell(&world, 20_000).await;

    for listener in [&mut soundbox, &mut neighbour] {
        let heard = [listener.play().await, listener.play().await];
        assert_eq!(
            heard.each_ref().map(|payment| payment.transaction_id),
            [one, other]
        );
        assert_eq!(heard.each_ref().map(|payment| payment.sequence), [1, 2]);
        assert_ne!(heard[0].event_id, heard[1].event_id);
        assert_eq!(listener.repeated, []);
    }
}

#[tokio::test]
async fn a_payment_past_its_time_is_not_announced() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = Soundbox::at(&world, shop.till().id).await;
    let credentials = soundbox.credentials.clone();
    let away = soundbox.switch_off().await;
    let unheard = credentials.sell(&world, 10_000).await;
    world.later(301);
    // A payment whose callback comes so late is paid, and is not announced to anybody either.
    let late = credentials.qr(&world, 11_000).await.transaction_id;
    let paid_at = world.clock.now() - chrono::TimeDelta::seconds(301);
    let body = success(late, 11_000, &acquirer::reference(), paid_at);
    let _ = world.acquirer().tell(&body).await.expect(200);
    let fresh = credentials.sell(&world, 12_000).await;

    let mut soundbox = away.come_back(&world).await;

    // Announcements come in order: had there been one of the others, it would have come first.
    assert_eq!(soundbox.play().await.transaction_id, fresh);
    for id in [unheard, late] {
        assert_eq!(state(&world, id).await, ("paid".to_owned(), false));
    }
    // What came too late leaves a trace of the silence, with its reason.
    let rows = credentials.notifications(&world).await;
    let row = rows.iter().find(|row| row["transaction_id"] == json!(late));
    let row = row.expect("a notification of the late payment");
    assert_eq!(
        (&row["status"], &row["reason"], &row["attempts"]),
        (&json!("stale"), &json!("window_over"), &json!(0))
    );
}

#[tokio::test]
async fn an_announcement_that_nobody_heard_in_time_is_stale() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.till().id).await;
    credentials.sell(&world, 10_000).await;
    world.later(330);
    tests::eventually("the announcement becoming stale", || async {
        let told = credentials.notifications(&world).await;
        (told[0]["status"] == "stale").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_box_that_took_it_and_says_nothing_is_told_again() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.till().id).await;
    soundbox.credentials.sell(&world, 10_000).await;
    let first = soundbox.hear().await;
    world.later(3);
    let again = soundbox.hear().await;
    assert_eq!(
        (again.event_id, again.sequence),
        (first.event_id, first.sequence)
    );
    assert!(again.sent_at > first.sent_at);
    soundbox
        .acknowledge(again.event_id, AckStatus::Played)
        .await;
    let told = soundbox.credentials.notifications(&world).await;
    assert_eq!((told.len(), &told[0]["status"]), (1, &json!("played")));
    // The box may be quicker than the note that it was told.
    tests::eventually("a note of the second attempt", || async {
        let told = soundbox.credentials.notifications(&world).await;
        (told[0]["attempts"].as_i64() >= Some(2)).then_some(())
    })
    .await;

    // And after that never again: the next thing it hears is the next payment.
    world.later(60);
    let next = soundbox.credentials.sell(&world, 11_000).await;
    assert_eq!(soundbox.hear().await.transaction_id, next);
}

#[tokio::test]
async fn what_is_known_of_an_announcement_only_rises() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.till().id).await;
    soundbox.credentials.sell(&world, 10_000).await;
    let event_id = soundbox.hear().await.event_id;
    for (said, known) in [
        (AckStatus::Received, "received"),
        (AckStatus::Failed, "failed"),
        (AckStatus::Received, "failed"),
        (AckStatus::Played, "played"),
        (AckStatus::Stale, "played"),
        (AckStatus::Played, "played"),
    ] {
        soundbox.acknowledge(event_id, said).await;
        let told = soundbox.credentials.notifications(&world).await;
        assert_eq!(told[0]["status"], known, "after {said:?}");
    }
}

#[tokio::test]
async fn an_operator_has_a_payment_announced_again() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.till().id).await;
    let id = soundbox.credentials.sell(&world, 10_000).await;
    let first = soundbox.play().await;

    world.later(3600);
    let path = format!("/admin/transactions/{id}/retry-notification");
    let again = world
        .admin()
        .post(&path, &json!({}))
        .await
        .expect(202)
        .data();
    let replay = soundbox.play().await;
    assert_eq!(again[0]["event_id"], json!(replay.event_id));
    assert!(replay.replay && !first.replay);
    assert_eq!((replay.transaction_id, replay.sequence), (id, 2));
    assert!(
        replay.delayed_after <= replay.sent_at,
        "a replay is spoken as delayed"
    );

    let unpaid = soundbox.credentials.qr(&world, 10_000).await.transaction_id;
    let path = format!("/admin/transactions/{unpaid}/retry-notification");
    world
        .admin()
        .post(&path, &json!({}))
        .await
        .refused(409, "INVALID_STATE");
}

#[tokio::test]
async fn a_printed_code_is_paid_at_the_till_that_its_label_names() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let mut here = Soundbox::at(&world, shop.terminals[0].id).await;
    let mut there = Soundbox::at(&world, shop.terminals[1].id).await;
    let printed: domain::qris::QrisCode = shop.terminals[1].static_qr_payload.parse().unwrap();
    assert_eq!(printed.nmid().unwrap().as_str(), shop.nmid);

    let pay = |label: Option<&str>, reference: &str, amount: i64| {
        json!({
            "event_id": reference, "nmid": shop.nmid, "terminal_label": label, "partner_reference": reference,
            "amount": amount, "currency": "IDR", "status": "success", "paid_at": world.clock.now(),
        })
    };
    let labelled = pay(Some(&shop.terminals[1].label), "labelled", 30_000);
    let receipt = world.acquirer().tell(&labelled).await.expect(200).data();
    assert_eq!(
        (&receipt["verdict"], &receipt["status"]),
        (&json!("accepted"), &json!("paid"))
    );
    let heard = there.play().await;
    assert_eq!(
        (json!(heard.transaction_id), heard.amount.to_i64()),
        (receipt["transaction_id"].clone(), 30_000)
    );
    let paid = transaction(&world, heard.transaction_id).await;
    assert_eq!(
        (&paid["qr_type"], &paid["terminal_id"]),
        (&json!("static"), &json!(shop.terminals[1].id))
    );
    let again = world.acquirer().tell(&labelled).await.expect(200).data();
    assert_eq!(again["verdict"], "duplicate");

    // Two tills and no label: nobody can say whose it is. It is kept, and nobody speaks.
    let nowhere = world
        .acquirer()
        .tell(&pay(None, "unlabelled", 31_000))
        .await
        .expect(200)
        .data();
    assert_eq!(
        (&nowhere["verdict"], &nowhere["transaction_id"]),
        (&json!("unmatched"), &json!(null))
    );
    let stranger = pay(Some("NOPE"), "mislabelled", 32_000);
    let nowhere = world.acquirer().tell(&stranger).await.expect(200).data();
    assert_eq!(nowhere["verdict"], "unmatched");
    assert_eq!(
        books::count(&world.pool, "SELECT count(*) FROM unmatched_payments").await,
        2
    );
    for soundbox in [&mut here, &mut there] {
        let next = soundbox.credentials.sell(&world, 33_000).await;
        assert_eq!(soundbox.play().await.transaction_id, next);
    }
}

#[tokio::test]
async fn a_printed_code_without_a_label_is_the_sole_tills() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.till().id).await;
    let body = json!({
        "event_id": "e", "nmid": shop.nmid, "partner_reference": "sole", "amount": "40000",
        "currency": "IDR", "status": "success", "paid_at": world.clock.now(),
    });
    let _ = world.acquirer().tell(&body).await.expect(200);
    assert_eq!(soundbox.play().await.amount.to_i64(), 40_000);
}
