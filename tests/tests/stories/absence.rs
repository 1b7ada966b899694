//! A box that was offline, and a platform that was.

use tests::prelude::*;
use wire::TransactionId;

/// Three payments of codes of this box.
async fn three(world: &World, credentials: &Credentials) -> Vec<TransactionId> {
    let mut sold = Vec::new();
    for amount in [10_000, 10_000, 20_000] {
        sold.push(credentials.sell(world, amount).await);
    }
    sold
}

/// The box plays exactly these, in order, and then the next one.
async fn hears_only(world: &World, soundbox: &mut Soundbox, sold: &[TransactionId]) {
    let mut heard = Vec::new();
    for _ in sold {
        heard.push(soundbox.play().await);
    }
    let ids: Vec<_> = heard.iter().map(|payment| payment.transaction_id).collect();
    assert_eq!(ids, sold);
    assert!(
        heard
            .windows(2)
            .all(|pair| pair[0].sequence + 1 == pair[1].sequence)
    );
    let next = soundbox.credentials.sell(world, 1_000).await;
    assert_eq!(soundbox.play().await.transaction_id, next);
    assert_eq!(
        soundbox.repeated,
        [],
        "received again what it had acknowledged"
    );
}

#[tokio::test]
async fn a_box_that_was_away_hears_all_three_in_order_once_each() {
    let (world, _, soundbox) = fixture::soundbox().await;
    let away = soundbox.switch_off().await;
    let sold = three(&world, &away.credentials).await;
    let mut soundbox = away.reconnect(&world).await;
    hears_only(&world, &mut soundbox, &sold).await;
}

#[tokio::test]
async fn it_hears_them_also_when_the_platform_was_restarted_in_between() {
    let (mut world, _, soundbox) = fixture::soundbox().await;
    let away = soundbox.switch_off().await;
    let sold = three(&world, &away.credentials).await;
    world.stop().await;
    world.start().await;
    let mut soundbox = away.reconnect(&world).await;
    hears_only(&world, &mut soundbox, &sold).await;
}

#[tokio::test]
async fn it_hears_them_also_when_the_platform_died_in_between() {
    let (mut world, _, soundbox) = fixture::soundbox().await;
    let away = soundbox.switch_off().await;
    let sold = three(&world, &away.credentials).await;
    world.crash();
    world.start().await;
    let mut soundbox = away.reconnect(&world).await;
    hears_only(&world, &mut soundbox, &sold).await;
}

#[tokio::test]
async fn a_box_whose_platform_dies_under_it_comes_back_and_misses_nothing() {
    let (mut world, _, mut soundbox) = fixture::soundbox().await;
    let before = soundbox.credentials.sell(&world, 10_000).await;
    assert_eq!(soundbox.play().await.transaction_id, before);
    // Answered 200, and the platform ends before the box can receive it.
    let unheard = soundbox.credentials.sell(&world, 20_000).await;
    world.crash();
    let away = soundbox.switch_off().await;
    world.start().await;
    let mut soundbox = away.reconnect(&world).await;
    assert_eq!(soundbox.play().await.transaction_id, unheard);
    let next = soundbox.credentials.sell(&world, 1_000).await;
    assert_eq!(soundbox.play().await.transaction_id, next);
    assert_eq!(soundbox.repeated, []);
}

#[tokio::test]
async fn a_code_that_was_shown_before_a_restart_is_paid_after_it() {
    let (mut world, _, soundbox) = fixture::soundbox().await;
    let id = soundbox.credentials.qr(&world, 10_000).await.transaction_id;
    world.stop().await;
    let away = soundbox.switch_off().await;
    world.start().await;
    let mut soundbox = away.reconnect(&world).await;
    let _ = world.acquirer().pay(id, 10_000).await.expect(200);
    assert_eq!(soundbox.play().await.transaction_id, id);
}
