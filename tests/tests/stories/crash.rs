//! The platform crashes while it works: what was answered with 2xx has happened, and what was not answered can be sent
//! again.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tests::acquirer::{self, SignedRequest};
use tests::prelude::*;
use wire::TransactionId;

use crate::view::state;

const PAYMENTS: usize = 40;

/// A payment whose callback is sent until it is answered.
struct Sale {
    id: TransactionId,
    request: SignedRequest,
}

async fn sales(world: &World, soundbox: &Soundbox) -> Vec<Sale> {
    let acquirer = world.acquirer();
    let mut sales = Vec::new();
    for number in 0..PAYMENTS {
        let amount = 1_000 + i64::try_from(number).unwrap();
        let id = soundbox.credentials.qr(world, amount).await.transaction_id;
        let body = success(id, amount, &acquirer::reference(), world.clock.now());
        let request = acquirer.sign(body.to_string().as_bytes(), world.clock.now());
        sales.push(Sale { id, request });
    }
    sales
}

/// Posts all at once and crashes the platform after `answers_max` answers. The payments that were answered.
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
            async move { (sale.id, acquirer.try_post(&sale.request).await) }
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

/// Everything is paid once and played once; the box may have received more than it played.
async fn all_is_well(world: &World, mut soundbox: Soundbox, sales: &[Sale]) {
    let acquirer = world.acquirer();
    for sale in sales {
        let again = acquirer.post(&sale.request).await.expect(200).data();
        assert!(["accepted", "duplicate"].contains(&again["verdict"].as_str().unwrap()));
    }
    while soundbox.spoken.len() < PAYMENTS {
        soundbox.play().await;
    }
    let spoken = soundbox.spoken.iter().map(|one| one.transaction_id);
    let spoken: BTreeSet<_> = spoken.collect();
    let sold: BTreeSet<_> = sales.iter().map(|sale| sale.id).collect();
    assert_eq!(spoken, sold);
    let played = "notifications WHERE status = 'played'";
    let expected = i64::try_from(PAYMENTS).unwrap();
    assert_eq!(world.rows(played).await, expected);
    assert_eq!(world.rows("notifications").await, expected);
    let transitions = "transaction_events WHERE to_status = 'paid'";
    assert_eq!(world.rows(transitions).await, expected);
    ledger::must_balance(&world.pool).await;
    let same = "payments p
                WHERE p.amount = (SELECT sum(debit) FROM ledger_entries l WHERE l.transaction_id = p.transaction_id)
                  AND p.amount = (SELECT n.amount FROM notifications n WHERE n.transaction_id = p.transaction_id)
                  AND p.amount = p.fee + p.net";
    assert_eq!(world.rows(same).await, expected);
}

async fn dies_after(answers_max: usize) {
    let (mut world, _, soundbox) = fixture::soundbox().await;
    let sales = sales(&world, &soundbox).await;

    let answered = post_until_it_dies(&mut world, &sales, answers_max).await;
    assert!(answered.len() >= answers_max);
    let away = soundbox.switch_off().await;
    world.start().await;
    for id in &answered {
        assert_eq!(state(&world, *id).await.0, "paid", "answered and lost");
    }
    let soundbox = away.reconnect(&world).await;
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
async fn a_box_that_acknowledged_receives_nothing_again_after_a_crash() {
    let (mut world, _, mut soundbox) = fixture::soundbox().await;
    let sales = sales(&world, &soundbox).await;
    post_all_and_play_ten(&world, &mut soundbox, &sales).await;
    world.crash();
    let away = soundbox.switch_off().await;
    world.start().await;
    let mut soundbox = away.reconnect(&world).await;
    while soundbox.spoken.len() < PAYMENTS {
        soundbox.play().await;
    }
    for payment in &soundbox.spoken[..10] {
        assert!(!soundbox.repeated.contains(&payment.event_id));
    }
    all_is_well(&world, soundbox, &sales).await;
}

async fn post_all_and_play_ten(world: &World, soundbox: &mut Soundbox, sales: &[Sale]) {
    let acquirer = world.acquirer();
    let posts =
        futures_util::future::join_all(sales.iter().map(|sale| acquirer.post(&sale.request)));
    let plays = async {
        for _ in 0..10 {
            soundbox.play().await;
        }
    };
    let (answers, ()) = tokio::join!(posts, plays);
    assert!(answers.iter().all(|answer| answer.status == 200));
}
