//! A box on HTTP misses nothing, plays nothing twice, and may change its transport at any time.

use std::collections::BTreeSet;
use tests::prelude::*;

use wire::message::AckStatus;
use wire::{EventId, TransactionId};

#[tokio::test]
async fn a_box_on_http_and_one_on_mqtt_at_one_terminal_play_each_payment_once() {
    let (world, shop, mut by_mqtt) = fixture::soundbox().await;
    let mut by_http = HttpBox::at(&world, shop.terminal().id).await;
    let mut sold: Vec<TransactionId> = Vec::new();
    for amount in [10_000, 10_000, 25_000] {
        sold.push(by_mqtt.credentials.sell(&world, amount).await);
        by_mqtt.play().await;
        assert_eq!(by_http.play(25).await, 1);
    }
    // Both receive again, after every time at which something could be repeated.
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
    let (world, shop) = fixture::shop().await;
    let soundbox = HttpBox::at(&world, shop.terminal().id).await;
    let sold = soundbox.credentials.sell(&world, 10_000).await;
    // Every answer is lost, but each heartbeat within the payment's five minutes returns it again.
    for heartbeat in 0..10 {
        let received = soundbox.heartbeat(0).await.payments;
        assert_eq!(received.len(), 1, "heartbeat {heartbeat}");
        assert_eq!(received[0].transaction_id, sold);
        world.later(29);
    }
    let received = soundbox.heartbeat(0).await.payments;
    let has_it = AckStatus::Received;
    soundbox.acknowledge(received[0].event_id, has_it).await;
    world.later(5);
    assert!(soundbox.heartbeat(0).await.payments.is_empty(), "it has it");
}

#[tokio::test]
async fn a_box_that_was_away_from_http_receives_what_can_still_be_announced() {
    let (world, shop) = fixture::shop().await;
    let mut soundbox = HttpBox::at(&world, shop.terminal().id).await;
    soundbox.credentials.sell(&world, 10_000).await;
    world.later(200);
    let second = soundbox.credentials.sell(&world, 20_000).await;
    world.later(150);
    let third = soundbox.credentials.sell(&world, 30_000).await;
    assert_eq!(soundbox.play(0).await, 2);
    let ids = soundbox.spoken.iter().map(|one| one.transaction_id);
    assert!(ids.eq([second, third]));
}

#[tokio::test]
async fn switching_between_mqtt_and_http_loses_and_repeats_nothing() {
    let (world, _, credentials) = fixture::device().await;
    let mut sold = Vec::new();
    // What the box has played: its journal outlives the switch.
    let mut sent: Vec<(EventId, TransactionId)> = Vec::new();

    let mut mqtt = Soundbox::switch_on(&world, credentials.clone()).await;
    sold.push(credentials.sell(&world, 10_000).await);
    let heard = mqtt.play().await;
    sent.push((heard.event_id, heard.transaction_id));
    // The connection breaks with a payment on it: received, PUBACKed, and neither played nor acknowledged.
    sold.push(credentials.sell(&world, 20_000).await);
    let unsaid = mqtt.hear().await;
    let away = mqtt.switch_off().await;

    let mut http = HttpBox::with(&world, credentials.clone());
    http.set_communication_mode(&world, "http").await;
    sold.push(credentials.sell(&world, 30_000).await);
    world.later(60);
    http.play(0).await;
    let ids: Vec<EventId> = http.spoken.iter().map(|one| one.event_id).collect();
    assert_eq!(ids.first(), Some(&unsaid.event_id));
    let spoken = http.spoken.iter();
    sent.extend(spoken.map(|one| (one.event_id, one.transaction_id)));
    // An answer of the platform is lost.
    sold.push(credentials.sell(&world, 40_000).await);
    let lost = http.heartbeat(0).await.payments;
    assert_eq!(lost.len(), 1);

    http.set_communication_mode(&world, "mqtt").await;
    let mut mqtt = away.reconnect(&world).await;
    // One box, one journal. What was on the broken connection may come again, and is recognised.
    mqtt.spoken.extend(http.spoken.clone());
    let heard = mqtt.play().await;
    assert_eq!(heard.event_id, lost[0].event_id);
    sent.push((heard.event_id, heard.transaction_id));
    sold.push(credentials.sell(&world, 50_000).await);
    let heard = mqtt.play().await;
    sent.push((heard.event_id, heard.transaction_id));
    world.later(120);
    assert!(http.heartbeat(0).await.payments.is_empty());

    let ids: Vec<TransactionId> = sent.iter().map(|(_, id)| *id).collect();
    assert_eq!(ids, sold);
    let events: BTreeSet<EventId> = sent.iter().map(|(event, _)| *event).collect();
    assert_eq!(events.len(), sold.len());
    assert_eq!(http.repeated, []);
}
