//! Many payments, each told of in a random order with everything that can go wrong: the books of the real database.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tests::acquirer::{but_status, success};
use tests::{Credentials, Shop, World, books};

const PAYMENTS: usize = 24;
const MESSAGES: usize = 10;

#[tokio::test]
async fn in_any_order_the_books_add_up_and_each_payment_is_announced_at_most_once() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.till().id).await;
    let mut codes = Vec::new();
    for _ in 0..PAYMENTS {
        let amount = random.random_range(1..=1_000_000);
        codes.push((credentials.qr(&world, amount).await.transaction_id, amount));
    }
    let mut messages = Vec::new();
    for (number, (id, amount)) in codes.iter().enumerate() {
        for _ in 0..MESSAGES {
            let reference = format!("ref-{number}-{}", random.random_range(0..2));
            let amount = if random.random_ratio(1, 8) {
                amount + 1
            } else {
                *amount
            };
            let status = ["success", "success", "failed", "expired", "reversed"];
            let status = *status.choose(&mut random).unwrap();
            let body = success(*id, amount, &reference, world.clock.now());
            messages.push(but_status(body, status));
        }
    }
    // They cross each other: as many at once as there are payments, from all over the heap.
    while !messages.is_empty() {
        if random.random_ratio(1, 5) {
            world.later(120);
        }
        let acquirer = world.acquirer();
        let batch: Vec<_> = (0..PAYMENTS.min(messages.len()))
            .map(|_| messages.swap_remove(random.random_range(0..messages.len())))
            .collect();
        let told = batch.iter().map(|body| acquirer.tell(body));
        for answer in futures_util::future::join_all(told).await {
            assert!([200, 409].contains(&answer.status), "seed {seed}: {answer}");
        }
    }
    books::must_balance(&world.pool).await;
    let none = async |what: &str, query: &'static str| {
        assert_eq!(
            books::count(&world.pool, query).await,
            0,
            "seed {seed}: {what}"
        );
    };
    none(
        "paid twice",
        "SELECT count(*) FROM (SELECT transaction_id FROM transaction_events WHERE to_status = 'paid'
         GROUP BY transaction_id HAVING count(*) > 1) t",
    )
    .await;
    none(
        "paid and then given up",
        "SELECT count(*) FROM transaction_events WHERE from_status IN ('paid', 'reversed') AND to_status <> 'reversed'",
    )
    .await;
    none(
        "announced twice, or without having been paid",
        "SELECT count(*) FROM transactions t WHERE
         (SELECT count(*) FROM notifications n WHERE n.transaction_id = t.id) >
         (SELECT count(*) FROM transaction_events e WHERE e.transaction_id = t.id AND e.to_status = 'paid')",
    )
    .await;
    none(
        "the merchant is owed something else than the net of what is paid",
        "SELECT count(*) FROM transactions t WHERE
         coalesce((SELECT sum(credit - debit) FROM ledger_entries l WHERE l.transaction_id = t.id AND l.account = 'merchant_payable'), 0)
         <> CASE t.status WHEN 'paid' THEN t.net ELSE 0 END",
    )
    .await;
    let paid = "SELECT count(*) FROM transaction_events WHERE to_status = 'paid'";
    assert!(books::count(&world.pool, paid).await > 0, "seed {seed}");
    let told = credentials.notifications(&world).await;
    assert!(told.iter().all(|told| told["replay"] == json!(false)));
}
