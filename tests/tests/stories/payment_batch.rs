//! Payments that arrive together are committed together, and each is answered as if it were alone.

use futures_util::future::join_all;
use tests::acquirer::SignedRequest;
use tests::failing_rows::fail_writes;
use tests::prelude::*;
use wire::TransactionId;

/// One batch at a time, so that a story can hold it.
async fn scene(queue_max: u32) -> (World, Shop, Vec<Soundbox>) {
    let world = World::with(|config| {
        config.callbacks.batches_at_once = 1;
        config.callbacks.queue_max = queue_max;
    })
    .await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let mut boxes = Vec::new();
    for terminal in &shop.terminals {
        boxes.push(Soundbox::at(&world, terminal.id).await);
    }
    (world, shop, boxes)
}

/// Codes of the boxes in turn, for amounts from 1,001 on.
async fn codes(world: &World, boxes: &[Soundbox], count: i64) -> Vec<(TransactionId, i64)> {
    let mut codes = Vec::new();
    for (amount, soundbox) in (1_001..1_001 + count).zip(boxes.iter().cycle()) {
        let code = soundbox.credentials.qr(world, amount).await;
        codes.push((code.transaction_id, amount));
    }
    codes
}

/// Sends requests so that they are in one batch: the batch before is held by a lock of its row until all wait, and until
/// what is done meanwhile is done.
async fn together<T>(
    world: &World,
    held: (TransactionId, i64),
    requests: &[SignedRequest],
    meanwhile: impl Future<Output = T>,
) -> (Vec<Answer>, T) {
    let mut lock = world.pool.acquire().await.unwrap();
    sqlx::query("BEGIN").execute(&mut *lock).await.unwrap();
    sqlx::query("SELECT 1 FROM transactions WHERE id = $1 FOR UPDATE")
        .bind(held.0.as_uuid())
        .execute(&mut *lock)
        .await
        .unwrap();
    let acquirer = world.acquirer();
    let first = acquirer.pay(held.0, held.1);
    let others = async {
        waiting(world, 0).await;
        let posts = join_all(requests.iter().map(|request| acquirer.post(request)));
        let release = async {
            waiting(world, requests.len()).await;
            let done = meanwhile.await;
            sqlx::query("COMMIT").execute(&mut *lock).await.unwrap();
            done
        };
        tokio::join!(posts, release)
    };
    let (first, done) = tokio::join!(first, others);
    assert_eq!(first.expect(200).data()["verdict"], "accepted");
    done
}

/// Waits until a batch is under way and so many callbacks wait for the next one.
async fn waiting(world: &World, count: usize) {
    let line = format!("payments_waiting {count}");
    eventually(&line, || async {
        let metrics = world.metrics().await;
        metrics.lines().any(|known| known == line).then_some(())
    })
    .await;
}

/// How many database transactions wrote the paid ones.
async fn commits(world: &World) -> i64 {
    world
        .number("SELECT count(DISTINCT xmin::text) FROM transactions WHERE status = 'paid'")
        .await
}

#[tokio::test]
async fn many_are_one_commit_and_each_is_heard_once_in_order() {
    let (world, _, mut boxes) = scene(1_024).await;
    let mut codes = codes(&world, &boxes, 25).await;
    let held = codes.remove(0);
    let acquirer = world.acquirer();
    let requests: Vec<_> = codes
        .iter()
        .map(|(id, amount)| acquirer.payment(*id, *amount))
        .collect();
    let (answers, ()) = together(&world, held, &requests, async {}).await;
    for answer in answers {
        assert_eq!(answer.expect(200).data()["verdict"], "accepted");
    }
    assert_eq!(commits(&world).await, 2);
    for (soundbox, count) in boxes.iter_mut().zip([13, 12]) {
        for sequence in 1..=count {
            assert_eq!(soundbox.play().await.sequence, sequence);
        }
    }
    assert_eq!(world.rows("callbacks WHERE verdict = 'accepted'").await, 25);
    assert_eq!(world.rows("callback_bodies").await, 25);
    assert_eq!(
        world
            .rows("transaction_events WHERE to_status = 'paid'")
            .await,
        25
    );
    assert_eq!(
        world.rows("notifications WHERE status = 'played'").await,
        25
    );
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn what_is_not_the_plain_case_is_answered_as_if_it_were_alone() {
    let (world, _, boxes) = scene(1_024).await;
    let mut codes = codes(&world, &boxes, 8).await;
    let held = codes.remove(0);
    let acquirer = world.acquirer();
    let now = world.clock.now();
    let signed = |body: Value| acquirer.sign(body.to_string().as_bytes(), now);
    let plain: Vec<_> = codes
        .iter()
        .map(|(id, amount)| acquirer.payment(*id, *amount))
        .collect();
    let unknown = TransactionId::from_uuid(world.clock.uuid());
    let requests = [
        plain[0].clone(),
        // The same bytes twice, a transaction under two references, a reference for two transactions.
        plain[1].clone(),
        plain[1].clone(),
        plain[2].clone(),
        signed(success(codes[2].0, codes[2].1, "second-money", now)),
        signed(success(codes[3].0, codes[3].1, "used-twice", now)),
        signed(success(codes[4].0, codes[4].1, "used-twice", now)),
        // Another amount, and no such transaction.
        signed(success(codes[5].0, 999_999, "too-much", now)),
        signed(success(unknown, 5_000, "unknown", now)),
        plain[6].clone(),
    ];
    let (answers, ()) = together(&world, held, &requests, async {}).await;
    let verdicts: Vec<String> = answers
        .iter()
        .map(|answer| match answer.status {
            200 => answer.data()["verdict"].as_str().unwrap().to_owned(),
            status => status.to_string(),
        })
        .collect();
    let sorted = |range: std::ops::Range<usize>| {
        let mut some = verdicts[range].to_vec();
        some.sort();
        some
    };
    assert_eq!(verdicts[0], "accepted");
    assert_eq!(sorted(1..3), ["accepted", "duplicate"]);
    assert_eq!(sorted(3..5), ["accepted", "unmatched"]);
    assert_eq!(sorted(5..7), ["409", "accepted"]);
    assert_eq!(verdicts[7..], ["409", "404", "accepted"]);
    assert_eq!(world.rows("transactions WHERE status = 'paid'").await, 6);
    assert_eq!(world.rows("callbacks").await, 11);
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn a_payment_that_cannot_be_written_fails_alone() {
    let (world, _, boxes) = scene(1_024).await;
    let mut codes = codes(&world, &boxes, 18).await;
    let held = codes.remove(0);
    let (poison, _) = codes[5];
    let condition = format!("NEW.transaction_id = '{}'", poison.as_uuid());
    fail_writes(&world.pool, "notifications", "INSERT", &condition).await;
    let acquirer = world.acquirer();
    let requests: Vec<_> = codes
        .iter()
        .map(|(id, amount)| acquirer.payment(*id, *amount))
        .collect();
    let (answers, ()) = together(&world, held, &requests, async {}).await;
    for (answer, (id, _)) in answers.iter().zip(&codes) {
        assert_eq!(answer.status, if *id == poison { 500 } else { 200 }, "{id}");
    }
    assert_eq!(world.rows("transactions WHERE status = 'paid'").await, 17);
    assert_eq!(world.rows("callbacks WHERE verdict = 'failed'").await, 1);
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn what_does_not_fit_into_the_queue_is_to_be_repeated() {
    let (world, _, boxes) = scene(2).await;
    let mut codes = codes(&world, &boxes, 4).await;
    let (held, left_over) = (codes.remove(0), codes.remove(0));
    let acquirer = world.acquirer();
    let requests: Vec<_> = codes
        .iter()
        .map(|(id, amount)| acquirer.payment(*id, *amount))
        .collect();
    let too_much = acquirer.pay(left_over.0, left_over.1);
    let (answers, refused) = together(&world, held, &requests, too_much).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("2"));
    assert!(answers.iter().all(|answer| answer.status == 200));
    let repeated = acquirer.pay(left_over.0, left_over.1).await;
    assert_eq!(repeated.expect(200).data()["verdict"], "accepted");
}
