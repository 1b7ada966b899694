//! The platform ends in the middle of what it does: what was answered with 2xx has happened, and what
//! was not answered may be asked again.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tests::acquirer::{self, Letter, success};
use tests::{Shop, Soundbox, World, books};
use wire::TransactionId;

use crate::view::state;

const PAYMENTS: usize = 40;

/// A payment that the acquirer tells us of until it is answered.
struct Sale {
    id: TransactionId,
    letter: Letter,
}

async fn sales(world: &World, soundbox: &Soundbox) -> Vec<Sale> {
    let acquirer = world.acquirer();
    let mut sales = Vec::new();
    for number in 0..PAYMENTS {
        let amount = 1_000 + i64::try_from(number).unwrap();
        let id = soundbox.credentials.qr(world, amount).await.transaction_id;
        let body = success(id, amount, &acquirer::reference(), world.clock.now());
        let letter = acquirer.sign(body.to_string().as_bytes(), world.clock.now());
        sales.push(Sale { id, letter });
    }
    sales
}

/// Posts all at once and ends the platform after `answers_max` of them were answered. Those that were.
async fn post_until_it_dies(
    world: &mut World,
    sales: &[Sale],
    answers_max: usize,
) -> BTreeSet<TransactionId> {
    let acquirer = world.acquirer();
    let mut posts: FuturesUnordered<_> = sales
        .iter()
        .map(|sale| {
            let acquirer = acquirer.clone();
            async move { (sale.id, acquirer.try_post(&sale.letter).await) }
        })
        .collect();
    let mut answered = BTreeSet::new();
    let mut alive = true;
    while let Some((id, answer)) = posts.next().await {
        if answer.is_ok_and(|answer| answer.status == 200) {
            answered.insert(id);
        }
        if alive && answered.len() >= answers_max {
            world.crash();
            alive = false;
        }
    }
    answered
}

/// Everything is paid once and was heard once; the box may have been told more often than it spoke.
async fn all_is_well(world: &World, mut soundbox: Soundbox, sales: &[Sale]) {
    let acquirer = world.acquirer();
    for sale in sales {
        let again = acquirer.post(&sale.letter).await.expect(200).data();
        assert!(["accepted", "duplicate"].contains(&again["verdict"].as_str().unwrap()));
    }
    while soundbox.spoken.len() < PAYMENTS {
        soundbox.play().await;
    }
    let spoken: BTreeSet<_> = soundbox
        .spoken
        .iter()
        .map(|payment| payment.transaction_id)
        .collect();
    let sold: BTreeSet<_> = sales.iter().map(|sale| sale.id).collect();
    assert_eq!(spoken, sold);
    let played = "SELECT count(*) FROM notifications WHERE status = 'played'";
    let all = "SELECT count(*) FROM notifications";
    let expected = i64::try_from(PAYMENTS).unwrap();
    assert_eq!(books::count(&world.pool, played).await, expected);
    assert_eq!(books::count(&world.pool, all).await, expected);
    let transitions = "SELECT count(*) FROM transaction_events WHERE to_status = 'paid'";
    assert_eq!(books::count(&world.pool, transitions).await, expected);
    books::must_balance(&world.pool).await;
    let same = "SELECT count(*) FROM transactions t
                WHERE t.amount = (SELECT sum(debit) FROM ledger_entries l WHERE l.transaction_id = t.id)
                  AND t.amount = (SELECT n.amount FROM notifications n WHERE n.transaction_id = t.id)
                  AND t.amount = t.fee + t.net";
    assert_eq!(books::count(&world.pool, same).await, expected);
}

async fn dies_after(answers_max: usize) {
    let mut world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = Soundbox::at(&world, shop.till().id).await;
    let sales = sales(&world, &soundbox).await;

    let answered = post_until_it_dies(&mut world, &sales, answers_max).await;
    assert!(answered.len() >= answers_max);
    let away = soundbox.switch_off().await;
    world.start().await;
    for id in &answered {
        assert_eq!(state(&world, *id).await.0, "paid", "answered and lost");
    }
    let soundbox = away.come_back(&world).await;
    all_is_well(&world, soundbox, &sales).await;
}

#[tokio::test]
async fn a_platform_that_dies_after_its_first_answer_loses_nothing() {
    dies_after(1).await;
}

#[tokio::test]
async fn a_platform_that_dies_in_the_middle_loses_nothing() {
    dies_after(PAYMENTS / 2).await;
}

#[tokio::test]
async fn a_platform_that_dies_after_its_last_answer_loses_nothing() {
    dies_after(PAYMENTS).await;
}

#[tokio::test]
async fn a_box_that_acknowledged_is_not_told_again_after_a_crash() {
    let mut world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.till().id).await;
    let sales = sales(&world, &soundbox).await;
    post_all_and_play_ten(&world, &mut soundbox, &sales).await;
    world.crash();
    let away = soundbox.switch_off().await;
    world.start().await;
    let mut soundbox = away.come_back(&world).await;
    while soundbox.spoken.len() < PAYMENTS {
        soundbox.play().await;
    }
    let acknowledged: Vec<_> = soundbox.spoken[..10]
        .iter()
        .map(|payment| payment.event_id)
        .collect();
    assert!(
        soundbox
            .repeated
            .iter()
            .all(|event_id| !acknowledged.contains(event_id))
    );
    all_is_well(&world, soundbox, &sales).await;
}

async fn post_all_and_play_ten(world: &World, soundbox: &mut Soundbox, sales: &[Sale]) {
    let acquirer = world.acquirer();
    let posts =
        futures_util::future::join_all(sales.iter().map(|sale| acquirer.post(&sale.letter)));
    let plays = async {
        for _ in 0..10 {
            soundbox.play().await;
        }
    };
    let (answers, ()) = tokio::join!(posts, plays);
    assert!(answers.iter().all(|answer| answer.status == 200));
}
