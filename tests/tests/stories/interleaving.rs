//! Many payments, each with messages in a random order and with every fault: the ledger of the real database.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use tests::prelude::*;
use tests::seeds::seeds;

/// Seeds that are tried unless `SOUNDBOX_SEEDS` is set.
const SEEDS: u64 = 24;
const PAYMENTS: usize = 24;
const MESSAGES: usize = 10;

#[tokio::test]
async fn in_any_order_the_ledger_adds_up_and_each_payment_is_announced_at_most_once() {
    let seed = seeds(1).next().unwrap();
    let mut random = StdRng::seed_from_u64(seed);
    let (world, _, credentials) = fixture::device().await;
    let mut codes = Vec::new();
    for _ in 0..PAYMENTS {
        let amount = random.random_range(1..=1_000_000);
        codes.push((credentials.qr(&world, amount).await.transaction_id, amount));
    }
    let mut messages = Vec::new();
    for (number, (id, amount)) in codes.iter().enumerate() {
        for _ in 0..MESSAGES {
            let reference = format!("ref-{number}-{}", random.random_range(0..2));
            let amount = amount + i64::from(random.random_ratio(1, 8));
            let status = ["success", "success", "failed", "expired", "reversed"];
            let status = *status.choose(&mut random).unwrap();
            let body = success(*id, amount, &reference, world.clock.now());
            messages.push(but_status(body, status));
        }
    }
    // As many at once as there are payments, in random order.
    while !messages.is_empty() {
        if random.random_ratio(1, 5) {
            world.later(120);
        }
        let acquirer = world.acquirer();
        let batch: Vec<_> = (0..PAYMENTS.min(messages.len()))
            .map(|_| messages.swap_remove(random.random_range(0..messages.len())))
            .collect();
        let sent = batch.iter().map(|body| acquirer.send(body));
        for answer in futures_util::future::join_all(sent).await {
            assert!([200, 409].contains(&answer.status), "seed {seed}: {answer}");
        }
    }
    ledger::must_balance(&world.pool).await;
    let none = async |what: &str, query: &'static str| {
        assert_eq!(world.number(query).await, 0, "seed {seed}: {what}");
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
         <> CASE t.status WHEN 'paid' THEN (SELECT net FROM payments p WHERE p.transaction_id = t.id) ELSE 0 END",
    )
    .await;
    none(
        "an ended code that is open, or one that waits and is not",
        "SELECT count(*) FROM transactions t LEFT JOIN open_codes o ON o.transaction_id = t.id AND o.expires_at = t.expires_at
         WHERE t.qr_type = 'dynamic' AND (o.transaction_id IS NOT NULL) <> (t.status IN ('initiated', 'awaiting_payment'))",
    )
    .await;
    ledger::must_verify(&world).await;
    let paid = "transaction_events WHERE to_status = 'paid'";
    assert!(world.rows(paid).await > 0, "seed {seed}");
    let sent = credentials.notifications(&world).await;
    assert!(sent.iter().all(|sent| sent["replay"] == json!(false)));
}

const STATUSES: [&str; 4] = ["success", "failed", "expired", "reversed"];

/// What the messages of a seed are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// A dynamic code: money besides the payment of the code is unmatched.
    Order,
    /// A printed code: every reference is a payment.
    PrintedCode,
    /// A printed code of an unknown terminal: all money is unmatched.
    UnknownTerminal,
}

/// The messages of one seed: every status of two references, some more than once, with new and repeated event ids.
async fn messages(
    world: &World,
    (shop, credentials): (&Shop, &Credentials),
    about: About,
    seed: u64,
    random: &mut StdRng,
) -> Vec<Value> {
    let now = world.clock.now();
    let order = match about {
        About::Order => Some(credentials.qr(world, 10_000).await.transaction_id),
        About::PrintedCode | About::UnknownTerminal => None,
    };
    let label = if about == About::PrintedCode {
        shop.terminal().label.as_str()
    } else {
        "NOPE"
    };
    let mut messages = Vec::new();
    for reference in ["a", "b"].map(|name| format!("{seed}-{name}")) {
        for status in STATUSES {
            for _ in 0..random.random_range(0..=2) {
                let mut body = match order {
                    Some(id) => success(id, 10_000, &reference, now),
                    None => json!({
                        "nmid": shop.nmid, "terminal_label": label, "partner_reference": reference, "amount": 10_000,
                        "currency": "IDR", "paid_at": now,
                    }),
                };
                body["status"] = json!(status);
                body["event_id"] = json!(format!("{seed}-{}", random.random_range(0..4)));
                messages.push(body);
            }
        }
    }
    messages.shuffle(random);
    messages
}

/// All effects of the references of a seed.
async fn effects(world: &World, seed: u64) -> String {
    sqlx::query_scalar(
        "SELECT concat_ws(E'\\n',
             (SELECT string_agg(concat_ws(' ', t.id, t.status, p.partner_reference, p.late, p.paid_at), E'\\n' ORDER BY t.id)
              FROM transactions t JOIN payments p ON p.transaction_id = t.id WHERE p.partner_reference LIKE $1),
             (SELECT string_agg(concat_ws(' ', u.id, u.status, u.assigned_to), E'\\n' ORDER BY u.id)
              FROM unmatched_payments u WHERE u.partner_reference LIKE $1),
             (SELECT string_agg(concat_ws(' ', i.id, i.kind), E'\\n' ORDER BY i.id) FROM incidents i WHERE i.partner_reference LIKE $1),
             (SELECT count(*) FROM ledger_entries l JOIN payments p USING (transaction_id) WHERE p.partner_reference LIKE $1),
             (SELECT count(*) FROM transaction_events e JOIN payments p USING (transaction_id) WHERE p.partner_reference LIKE $1),
             (SELECT count(*) FROM notifications n JOIN payments p USING (transaction_id) WHERE p.partner_reference LIKE $1))",
    )
    .bind(format!("{seed}-%"))
    .fetch_one(&world.pool)
    .await
    .unwrap()
}

/// How often the money of a reference is booked: a paid transaction, or open unmatched money.
async fn places(world: &World, reference: &str) -> i64 {
    let paid = format!(
        "payments p JOIN transactions t ON t.id = p.transaction_id WHERE p.partner_reference = '{reference}' AND t.status = 'paid'"
    );
    let open =
        format!("unmatched_payments WHERE partner_reference = '{reference}' AND status = 'open'");
    world.rows(&paid).await + world.rows(&open).await
}

/// Assigns all open unmatched money of a seed.
async fn assign_open(world: &World, finance: &Api, shop: &Shop, seed: u64) {
    let open = format!(
        "SELECT id FROM unmatched_payments WHERE partner_reference LIKE '{seed}-%' AND status = 'open'"
    );
    for id in world.values::<uuid::Uuid>(&open).await {
        let id = wire::ids::UnmatchedPaymentId::from_uuid(id);
        let path = format!("/admin/unmatched-payments/{id}/assign");
        let assignment = json!({ "terminal_id": shop.terminal().id });
        finance.act(&path, &assignment).await;
    }
}

/// Sends these, up to three at once; all must be answered 200.
async fn send(world: &World, bodies: &[Value], random: &mut StdRng, seed: u64) {
    let mut rest = bodies;
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(random.random_range(1..=rest.len().min(3)));
        let acquirer = world.acquirer();
        let answers = batch.iter().map(|body| acquirer.send(body));
        for (body, answer) in batch
            .iter()
            .zip(futures_util::future::join_all(answers).await)
        {
            assert_eq!(answer.status, 200, "SOUNDBOX_SEED={seed}: {body}: {answer}");
        }
        rest = later;
    }
}

#[tokio::test]
async fn in_any_order_the_money_of_each_reference_is_where_its_partner_says() {
    let (world, shop, credentials) = fixture::device().await;
    let finance = world.staff(Role::Finance).await;
    let mut live = 0;
    for seed in seeds(SEEDS) {
        let mut random = StdRng::seed_from_u64(seed);
        let about = [About::Order, About::PrintedCode, About::UnknownTerminal];
        let about = *about.choose(&mut random).unwrap();
        let bodies = messages(&world, (&shop, &credentials), about, seed, &mut random).await;
        let (early, late) = bodies.split_at(random.random_range(0..=bodies.len()));
        send(&world, early, &mut random, seed).await;
        if random.random_ratio(1, 3) {
            assign_open(&world, &finance, &shop, seed).await;
        }
        send(&world, late, &mut random, seed).await;
        for reference in ["a", "b"].map(|name| format!("{seed}-{name}")) {
            let came = |status: &str| {
                bodies.iter().any(|body| {
                    body["partner_reference"] == json!(reference) && body["status"] == json!(status)
                })
            };
            let expected = i64::from(came("success") && !came("reversed"));
            live += expected;
            assert_eq!(
                places(&world, &reference).await,
                expected,
                "SOUNDBOX_SEED={seed} {about:?} {reference}: {bodies:#?}"
            );
        }
        // A message that was answered has no effect when it is sent again.
        let before = effects(&world, seed).await;
        let mut again = bodies.clone();
        again.shuffle(&mut random);
        send(&world, &again, &mut random, seed).await;
        assert_eq!(
            effects(&world, seed).await,
            before,
            "SOUNDBOX_SEED={seed} {about:?}: {bodies:#?}, and again {again:#?}"
        );
    }
    ledger::must_balance(&world.pool).await;
    ledger::must_verify(&world).await;
    let twice = "(SELECT transaction_id FROM notifications WHERE NOT replay
                 GROUP BY transaction_id, device_id HAVING count(*) > 1) t";
    assert_eq!(world.rows(twice).await, 0);
    println!("{live} references whose money is with us");
}
