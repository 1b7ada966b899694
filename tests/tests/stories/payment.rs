//! From a verified callback to a spoken sentence, once.

use serde_json::{Value, json};
use tests::books::{self, Books};
use tests::{Credentials, Shop, Soundbox, World, acquirer, eventually, success};
use wire::message::AckStatus;

/// What the API says of a transaction.
async fn transaction(world: &World, id: wire::TransactionId) -> Value {
    world
        .admin()
        .get(&format!("/admin/transactions/{id}"))
        .await
        .expect(200)
        .data()
}

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
