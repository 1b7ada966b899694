//! Callbacks that must have no effect, or another one than the acquirer expects; in any order.

use chrono::TimeDelta;
use tests::acquirer::{self, SignedRequest};
use tests::prelude::*;
use wire::TransactionId;

use crate::view::{open_alert, state};

/// A box at a terminal, and a code that waits to be paid.
async fn a_code(world: &World, amount: i64) -> (Credentials, TransactionId) {
    let shop = Shop::open(world, "Warung Sari", 1).await;
    let credentials = Credentials::at(world, shop.terminal().id).await;
    let id = credentials.qr(world, amount).await.transaction_id;
    (credentials, id)
}

/// Sends `bodies` in order; the verdicts of the answers.
async fn received(world: &World, bodies: &[Value]) -> Vec<Value> {
    let mut verdicts = Vec::new();
    for body in bodies {
        verdicts.push(world.acquirer().verdict(body).await);
    }
    verdicts
}

#[tokio::test]
async fn one_changed_byte_anywhere_has_no_effect() {
    let world = World::new().await;
    let (_, id) = a_code(&world, 50_000).await;
    let acquirer = world.acquirer();
    let body = success(id, 50_000, "ref-1", world.clock.now()).to_string();
    let good = acquirer.sign(body.as_bytes(), world.clock.now());
    let before = Snapshot::take(&world.pool).await;

    let mut spoiled: Vec<SignedRequest> = Vec::new();
    for at in [0, body.find("50000").unwrap(), body.len() - 1] {
        let mut request = good.clone();
        request.body[at] ^= 1;
        spoiled.push(request);
    }
    let mut longer = good.clone();
    longer.body.push(b' ');
    spoiled.push(longer);
    let first_is_0 = good.signature.starts_with('0');
    let flipped = if first_is_0 { "1" } else { "0" };
    for signature in [
        format!("{flipped}{}", &good.signature[1..]),
        good.signature[..62].to_owned(),
        String::new(),
        "nonsense".to_owned(),
    ] {
        let good = good.clone();
        spoiled.push(SignedRequest { signature, ..good });
    }
    let next_second = (good.timestamp.parse::<i64>().unwrap() + 1).to_string();
    for timestamp in [next_second, String::new(), "soon".to_owned()] {
        let good = good.clone();
        spoiled.push(SignedRequest { timestamp, ..good });
    }
    for partner in ["rival", "nobody", ""].map(str::to_owned) {
        let good = good.clone();
        spoiled.push(SignedRequest { partner, ..good });
    }
    for request in &spoiled {
        acquirer.post(request).await.refused(INVALID_SIGNATURE);
    }

    let rejected = i64::try_from(spoiled.len()).unwrap();
    before
        .changed_only(&world.pool, &[("rejected_callbacks", rejected)])
        .await;
    // It is kept apart from verified callbacks, and without credentials.
    let kept = "rejected_callbacks WHERE NOT headers ? 'x-partner-signature'";
    assert_eq!(world.rows(kept).await, rejected);
    let _ = acquirer.post(&good).await.expect(200);
    assert_eq!(state(&world, id).await, ("paid".to_owned(), false));
}

#[tokio::test]
async fn a_stale_timestamp_has_no_effect() {
    let world = World::new().await;
    let (_, id) = a_code(&world, 50_000).await;
    let acquirer = world.acquirer();
    let body = success(id, 50_000, "ref-1", world.clock.now()).to_string();
    let before = Snapshot::take(&world.pool).await;
    for seconds in [-310, 310] {
        let at = world.clock.now() + TimeDelta::seconds(seconds);
        let request = acquirer.sign(body.as_bytes(), at);
        acquirer.post(&request).await.refused(STALE_TIMESTAMP);
    }
    before
        .changed_only(&world.pool, &[("rejected_callbacks", 2)])
        .await;
}

#[tokio::test]
async fn what_cannot_be_read_has_no_effect() {
    let world = World::new().await;
    let (_, id) = a_code(&world, 50_000).await;
    let acquirer = world.acquirer();
    let good = success(id, 50_000, "ref-1", world.clock.now());
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body.to_string()
    };
    let before = Snapshot::take(&world.pool).await;
    let unreadable = [
        ("not JSON".to_owned(), MALFORMED_REQUEST),
        (String::new(), MALFORMED_REQUEST),
        ("[]".to_owned(), VALIDATION_FAILED),
        ("{}".to_owned(), VALIDATION_FAILED),
        (with("status", json!("maybe")), VALIDATION_FAILED),
        (with("transaction_id", json!("tx_1")), VALIDATION_FAILED),
        (with("currency", json!("USD")), VALIDATION_FAILED),
        (with("amount", json!(0)), INVALID_AMOUNT),
        (with("amount", json!(-50_000)), INVALID_AMOUNT),
        (with("amount", json!("0.5")), INVALID_AMOUNT),
        (with("amount", json!("many")), INVALID_AMOUNT),
    ];
    for (body, refusal) in &unreadable {
        let request = acquirer.sign(body.as_bytes(), world.clock.now());
        acquirer.post(&request).await.refused(*refusal);
    }
    let rejected = i64::try_from(unreadable.len()).unwrap();
    let kept = [("callbacks", rejected), ("incidents", rejected)];
    before.changed_only(&world.pool, &kept).await;
    let kept =
        "callbacks WHERE verdict = 'rejected' AND partner_id = 'acme' AND reason IS NOT NULL";
    assert_eq!(world.rows(kept).await, rejected);
    for kind in ["incident", "rejected_callback"] {
        let alert = open_alert(&world, kind).await;
        assert_eq!(alert["details"]["kind"], "unreadable_message", "{alert}");
    }
}

#[tokio::test]
async fn a_wrong_amount_or_merchant_is_an_incident_and_nothing_else() {
    let world = World::new().await;
    let (_, id) = a_code(&world, 50_000).await;
    let other = Shop::open(&world, "Kopi Fajar", 1).await;
    let before = Snapshot::take(&world.pool).await;
    let now = world.clock.now();
    for amount in [49_999, 50_001, 5_000_000] {
        let body = success(id, amount, "ref-1", now);
        let (status, _) = world.acquirer().send(&body).await.refusal();
        assert_eq!(status, 409);
    }
    let mut body = success(id, 50_000, "ref-1", now);
    body["nmid"] = json!(other.nmid);
    assert_eq!(world.acquirer().send(&body).await.refusal().0, 409);
    let kept = [("callbacks", 4), ("incidents", 4)];
    before.changed_only(&world.pool, &kept).await;
    let waiting = ("awaiting_payment".to_owned(), false);
    assert_eq!(state(&world, id).await, waiting);
}

#[tokio::test]
async fn an_unknown_transaction_is_an_incident_and_nothing_else() {
    let world = World::new().await;
    let (_, id) = a_code(&world, 50_000).await;
    let before = Snapshot::take(&world.pool).await;
    let now = world.clock.now();
    let unknown = TransactionId::from_uuid(world.clock.uuid());
    let body = success(unknown, 50_000, "ref-1", now);
    assert_refused!(world.acquirer().send(&body), TRANSACTION_NOT_FOUND);
    // The transaction exists, but belongs to another partner.
    let body = success(id, 50_000, "ref-2", now);
    assert_refused!(world.another_acquirer().send(&body), TRANSACTION_NOT_FOUND);
    before
        .changed_only(&world.pool, &[("callbacks", 2), ("incidents", 2)])
        .await;
}

#[tokio::test]
async fn a_partner_does_not_speak_of_anothers_merchants() {
    let (world, shop, mut soundbox) = fixture::soundbox().await;
    let stolen = shop.printed_payment(&world, 40_000);
    let _ = world.another_acquirer().send(&stolen).await;
    assert_eq!(world.rows("transactions").await, 0);
    assert_eq!(world.rows("notifications").await, 0);
    let real = soundbox.credentials.sell(&world, 10_000).await;
    assert_eq!(soundbox.play().await.transaction_id, real);
}

#[tokio::test]
async fn the_same_reference_with_another_amount_is_refused() {
    let world = World::new().await;
    let (credentials, id) = a_code(&world, 50_000).await;
    let now = world.clock.now();
    let body = success(id, 50_000, "ref-1", now);
    assert_eq!(world.acquirer().verdict(&body).await, "accepted");
    let before = Snapshot::take(&world.pool).await;
    let body = success(id, 60_000, "ref-1", now);
    assert_refused!(world.acquirer().send(&body), DUPLICATE_REQUEST);
    before
        .changed_only(&world.pool, &[("callbacks", 1), ("incidents", 1)])
        .await;
    // Nor may the reference be used for another transaction.
    let other = credentials.qr(&world, 50_000).await.transaction_id;
    let body = success(other, 50_000, "ref-1", now);
    assert_refused!(world.acquirer().send(&body), DUPLICATE_REQUEST);
    assert_eq!(state(&world, other).await.0, "awaiting_payment");
}

#[tokio::test]
async fn another_reference_on_a_paid_transaction_is_kept_and_not_announced() {
    let (world, _, mut soundbox) = fixture::soundbox().await;
    let id = soundbox.credentials.sell(&world, 50_000).await;
    soundbox.play().await;
    let before = Snapshot::take(&world.pool).await;
    let body = success(id, 50_000, "second-money", world.clock.now());
    assert_eq!(world.acquirer().verdict(&body).await, "unmatched");
    before
        .changed_only(&world.pool, &[("callbacks", 1), ("unmatched_payments", 1)])
        .await;
    assert_eq!(received(&world, &[body]).await, ["duplicate"]);
    let next = soundbox.credentials.sell(&world, 10_000).await;
    assert_eq!(soundbox.play().await.transaction_id, next);
}

#[tokio::test]
async fn failed_and_then_paid_is_late_and_announced() {
    let (world, _, mut soundbox) = fixture::soundbox().await;
    let id = soundbox.credentials.qr(&world, 50_000).await.transaction_id;
    let success = success(id, 50_000, "ref-1", world.clock.now());
    let failed = but_status(success.clone(), "failed");
    assert_eq!(world.acquirer().verdict(&failed).await, "accepted");
    assert_eq!(state(&world, id).await, ("failed".to_owned(), false));
    assert_eq!(received(&world, &[success]).await, ["accepted"]);
    assert_eq!(state(&world, id).await, ("paid".to_owned(), true));
    assert_eq!(soundbox.play().await.transaction_id, id);
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn expired_and_then_paid_is_late_and_announced() {
    let (world, _, mut soundbox) = fixture::soundbox().await;
    let by_callback = soundbox.credentials.qr(&world, 50_000).await.transaction_id;
    let by_time = soundbox.credentials.qr(&world, 51_000).await.transaction_id;
    let body = success(by_callback, 50_000, "ref-1", world.clock.now());
    let expired = but_status(body.clone(), "expired");
    assert_eq!(received(&world, &[expired]).await, ["accepted"]);
    assert_eq!(state(&world, by_callback).await.0, "expired");
    assert_eq!(received(&world, &[body]).await, ["accepted"]);
    assert_eq!(soundbox.play().await.transaction_id, by_callback);

    world.later(301);
    eventually("the expiry of the code", || async {
        (state(&world, by_time).await.0 == "expired").then_some(())
    })
    .await;
    let body = success(by_time, 51_000, "ref-2", world.clock.now());
    assert_eq!(received(&world, &[body]).await, ["accepted"]);
    assert_eq!(soundbox.play().await.transaction_id, by_time);
    for id in [by_callback, by_time] {
        assert_eq!(state(&world, id).await, ("paid".to_owned(), true));
    }
}

#[tokio::test]
async fn paid_stays_paid() {
    let world = World::new().await;
    let (credentials, id) = a_code(&world, 50_000).await;
    let success = success(id, 50_000, "ref-1", world.clock.now());
    assert_eq!(world.acquirer().verdict(&success).await, "accepted");
    let before = Snapshot::take(&world.pool).await;
    for status in ["failed", "expired"] {
        let contrary = but_status(success.clone(), status);
        assert_eq!(received(&world, &[contrary]).await, ["ignored"]);
    }
    before
        .changed_only(&world.pool, &[("callbacks", 2), ("incidents", 2)])
        .await;
    world.later(3600);
    // Another code expires, which shows that the job has run.
    let other = credentials.qr(&world, 1_000).await.transaction_id;
    world.later(301);
    eventually("the expiry of the other code", || async {
        (state(&world, other).await.0 == "expired").then_some(())
    })
    .await;
    assert_eq!(state(&world, id).await, ("paid".to_owned(), false));
}

#[tokio::test]
async fn a_reversed_payment_is_reversed_in_the_ledger_and_not_announced_again() {
    let world = World::new().await;
    let (credentials, id) = a_code(&world, 50_000).await;
    let success = success(id, 50_000, "ref-1", world.clock.now());
    let reversed = but_status(success.clone(), "reversed");
    let messages = [success.clone(), reversed.clone(), reversed, success];
    let verdicts = received(&world, &messages).await;
    assert_eq!(verdicts, ["accepted", "accepted", "duplicate", "duplicate"]);
    assert_eq!(state(&world, id).await.0, "reversed");
    ledger::must_balance(&world.pool).await;
    let left = ledger::balance(&world.pool, "merchant_payable").await;
    assert_eq!(left, 0, "the merchant is still owed");
    // The box was offline: it never receives the payment, and the notification is closed.
    let received = credentials.notifications(&world).await;
    assert_eq!(
        (received.len(), &received[0]["status"]),
        (1, &json!("failed"))
    );
    let mut soundbox = Soundbox::switch_on(&world, credentials).await;
    let next = soundbox.credentials.sell(&world, 10_000).await;
    assert_eq!(soundbox.play().await.transaction_id, next);
}

#[tokio::test]
async fn taken_back_before_it_was_paid_is_held() {
    let world = World::new().await;
    let (_, id) = a_code(&world, 50_000).await;
    let success = success(id, 50_000, &acquirer::reference(), world.clock.now());
    let reversed = but_status(success.clone(), "reversed");
    let verdicts = received(&world, &[reversed, success]).await;
    assert_eq!(verdicts, ["held", "held"]);
    assert_eq!(state(&world, id).await.0, "awaiting_payment");
    assert_eq!(world.rows("notifications").await, 0);
}
