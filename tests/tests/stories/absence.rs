//! A box that was away, or a platform that was.

use tests::{Credentials, Shop, Soundbox, World};
use wire::TransactionId;

/// Three payments at this box's till.
async fn three(world: &World, credentials: &Credentials) -> Vec<TransactionId> {
    let mut sold = Vec::new();
    for amount in [10_000, 10_000, 20_000] {
        sold.push(credentials.sell(world, amount).await);
    }
    sold
}

/// The box hears exactly these, in order, and then the next one.
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
    assert_eq!(soundbox.repeated, [], "told again what it had acknowledged");
}

#[tokio::test]
async fn a_box_that_was_away_hears_all_three_in_order_once_each() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = Soundbox::at(&world, shop.till().id).await;
    let away = soundbox.switch_off().await;
    let sold = three(&world, &away.credentials).await;
    let mut soundbox = away.come_back(&world).await;
    hears_only(&world, &mut soundbox, &sold).await;
}

#[tokio::test]
async fn it_hears_them_also_when_the_platform_was_restarted_in_between() {
    let mut world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = Soundbox::at(&world, shop.till().id).await;
    let away = soundbox.switch_off().await;
    let sold = three(&world, &away.credentials).await;
    world.stop().await;
    world.start().await;
    let mut soundbox = away.come_back(&world).await;
    hears_only(&world, &mut soundbox, &sold).await;
}

#[tokio::test]
async fn it_hears_them_also_when_the_platform_died_in_between() {
    let mut world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = Soundbox::at(&world, shop.till().id).await;
    let away = soundbox.switch_off().await;
    let sold = three(&world, &away.credentials).await;
    world.crash();
    world.start().await;
    let mut soundbox = away.come_back(&world).await;
    hears_only(&world, &mut soundbox, &sold).await;
}

#[tokio::test]
async fn a_box_whose_platform_dies_under_it_comes_back_and_misses_nothing() {
    let mut world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.till().id).await;
    let before = soundbox.credentials.sell(&world, 10_000).await;
    assert_eq!(soundbox.play().await.transaction_id, before);
    // Answered 200, and the platform dies before anybody can have heard it.
    let unheard = soundbox.credentials.sell(&world, 20_000).await;
    world.crash();
    let away = soundbox.switch_off().await;
    world.start().await;
    let mut soundbox = away.come_back(&world).await;
    assert_eq!(soundbox.play().await.transaction_id, unheard);
    let next = soundbox.credentials.sell(&world, 1_000).await;
    assert_eq!(soundbox.play().await.transaction_id, next);
    assert_eq!(soundbox.repeated, []);
}

#[tokio::test]
async fn a_code_that_was_shown_before_a_restart_is_paid_after_it() {
    let mut world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = Soundbox::at(&world, shop.till().id).await;
    let id = soundbox.credentials.qr(&world, 10_000).await.transaction_id;
    world.stop().await;
    let away = soundbox.switch_off().await;
    world.start().await;
    let mut soundbox = away.come_back(&world).await;
    let _ = world.acquirer().pays(id, 10_000).await.expect(200);
    assert_eq!(soundbox.play().await.transaction_id, id);
}
