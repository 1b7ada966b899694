//! A box on HTTP misses nothing, says nothing twice, and may change its way of communicating at any time.

use std::collections::BTreeSet;

use tests::http_box::HttpBox;
use tests::{Credentials, Shop, Soundbox, World};
use wire::message::AckStatus;
use wire::{EventId, TransactionId};

#[tokio::test]
async fn a_box_on_http_and_one_on_mqtt_at_one_till_play_each_payment_once() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut by_mqtt = Soundbox::at(&world, shop.till().id).await;
    let mut by_http = HttpBox::at(&world, shop.till().id).await;
    let mut sold: Vec<TransactionId> = Vec::new();
    for amount in [10_000, 10_000, 25_000] {
        sold.push(by_mqtt.credentials.sell(&world, amount).await);
        by_mqtt.play().await;
        assert_eq!(by_http.play(25).await, 1);
    }
    // Both are asked again, after every time at which something could be repeated.
    world.later(120);
    assert_eq!(by_http.play(0).await, 0);
    sold.push(by_http.credentials.sell(&world, 1_000).await);
    assert_eq!(by_mqtt.play().await.transaction_id, sold[3]);
    assert_eq!(by_http.play(25).await, 1);
    for spoken in [&by_mqtt.spoken, &by_http.spoken] {
        let ids: Vec<TransactionId> = spoken.iter().map(|one| one.transaction_id).collect();
        assert_eq!(ids, sold);
    }
    assert_eq!((&by_mqtt.repeated, &by_http.repeated), (&vec![], &vec![]));
}

#[tokio::test]
async fn a_payment_is_in_every_answer_until_one_of_them_arrives() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = HttpBox::at(&world, shop.till().id).await;
    let sold = soundbox.credentials.sell(&world, 10_000).await;
    // Every answer is lost on its way, but each beat within the payment's five minutes brings it again.
    for beat in 0..10 {
        let told = soundbox.beat(0).await.payments;
        assert_eq!(told.len(), 1, "beat {beat}");
        assert_eq!(told[0].transaction_id, sold);
        world.later(29);
    }
    let told = soundbox.beat(0).await.payments;
    soundbox
        .acknowledge(told[0].event_id, AckStatus::Received)
        .await;
    world.later(5);
    assert!(soundbox.beat(0).await.payments.is_empty(), "it has it");
}

#[tokio::test]
async fn a_box_that_was_away_from_http_hears_what_can_still_be_said_and_nothing_older() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = HttpBox::at(&world, shop.till().id).await;
    soundbox.credentials.sell(&world, 10_000).await;
    world.later(200);
    let second = soundbox.credentials.sell(&world, 20_000).await;
    world.later(150);
    let third = soundbox.credentials.sell(&world, 30_000).await;
    assert_eq!(soundbox.play(0).await, 2);
    let ids: Vec<TransactionId> = soundbox
        .spoken
        .iter()
        .map(|one| one.transaction_id)
        .collect();
    assert_eq!(ids, [second, third]);
}

#[tokio::test]
async fn switching_between_the_two_ways_loses_nothing_and_says_nothing_twice() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.till().id).await;
    let mut sold = Vec::new();
    // What the box has said: its journal outlives the switch.
    let mut said: Vec<(EventId, TransactionId)> = Vec::new();

    let mut mqtt = Soundbox::switch_on(&world, credentials.clone()).await;
    sold.push(credentials.sell(&world, 10_000).await);
    let heard = mqtt.play().await;
    said.push((heard.event_id, heard.transaction_id));
    // The line goes dead with a payment on it: heard, confirmed, and neither said nor acknowledged.
    sold.push(credentials.sell(&world, 20_000).await);
    let unsaid = mqtt.hear().await;
    let away = mqtt.switch_off().await;

    let mut http = HttpBox::with(&world, credentials.clone());
    http.goes_by(&world, "http").await;
    sold.push(credentials.sell(&world, 30_000).await);
    world.later(60);
    http.play(0).await;
    let ids: Vec<EventId> = http.spoken.iter().map(|one| one.event_id).collect();
    assert_eq!(ids.first(), Some(&unsaid.event_id));
    said.extend(
        http.spoken
            .iter()
            .map(|one| (one.event_id, one.transaction_id)),
    );
    // An answer is lost: it was told, and does not know.
    sold.push(credentials.sell(&world, 40_000).await);
    let lost = http.beat(0).await.payments;
    assert_eq!(lost.len(), 1);

    http.goes_by(&world, "mqtt").await;
    let mut mqtt = away.come_back(&world).await;
    // One box, one journal. What was on the dead line may come again, and is known.
    mqtt.spoken.extend(http.spoken.clone());
    let heard = mqtt.play().await;
    assert_eq!(heard.event_id, lost[0].event_id);
    said.push((heard.event_id, heard.transaction_id));
    sold.push(credentials.sell(&world, 50_000).await);
    let heard = mqtt.play().await;
    said.push((heard.event_id, heard.transaction_id));
    world.later(120);
    assert!(http.beat(0).await.payments.is_empty());

    let ids: Vec<TransactionId> = said.iter().map(|(_, id)| *id).collect();
    assert_eq!(ids, sold);
    let events: BTreeSet<EventId> = said.iter().map(|(event, _)| *event).collect();
    assert_eq!(events.len(), sold.len());
    assert_eq!(http.repeated, []);
}
