//! Long polls of boxes on HTTP.

use std::time::Duration;
use tests::prelude::*;

use tokio::task::JoinHandle;
use wire::message::AckStatus;

/// Longer than any test: an answer does not come because the time is up.
const LONG: u32 = 25;

/// Polls in a task; returns when the platform has stored the heartbeat, after which nothing can be missed.
async fn waits(world: &World, soundbox: &HttpBox) -> JoinHandle<Answer> {
    let id = soundbox.credentials.device_id.as_uuid();
    let heartbeats = format!("heartbeats WHERE device_id = '{id}'");
    let before = world.rows(&heartbeats).await;
    let asks = soundbox.clone();
    let asked = tokio::spawn(async move { asks.poll(LONG).await });
    world.wait_for_rows(&heartbeats, before + 1).await;
    asked
}

async fn answered(asked: JoinHandle<Answer>) -> Answer {
    within("an answer", asked).await.unwrap()
}

#[tokio::test]
async fn a_poll_is_answered_by_a_payment_a_command_or_a_configuration() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let soundbox = HttpBox::at(&world, shop.terminal().id).await;
    let id = soundbox.credentials.device_id;

    let asked = waits(&world, &soundbox).await;
    let sold = soundbox.credentials.sell(&world, 10_000).await;
    let received = soundbox.open(&answered(asked).await.expect(200).data());
    assert_eq!(received.payments.len(), 1);
    assert_eq!(received.payments[0].transaction_id, sold);
    let (event_id, played) = (received.payments[0].event_id, AckStatus::Played);
    soundbox.acknowledge(event_id, played).await;

    let asked = waits(&world, &soundbox).await;
    let louder = json!({ "type": "set_volume", "payload": { "volume": 3 } });
    let ordered = soundbox.credentials.command(&world.admin(), &louder).await;
    let _ = ordered.expect(201);
    let received = soundbox.open(&answered(asked).await.expect(200).data());
    assert_eq!(received.commands.len(), 1);
    assert_eq!(received.commands[0].kind, "set_volume");
    let ack = json!({ "device_id": id, "command_id": received.commands[0].command_id, "status": "delivered" });
    let api = soundbox.credentials.api(&world);
    api.act("/device/commands/ack", &ack).await;

    let asked = waits(&world, &soundbox).await;
    bind(&world, id, shop.terminals[1].id).await;
    let news = soundbox.open(&answered(asked).await.expect(200).data());
    assert!(news.config_version > received.config_version);
}

#[tokio::test]
async fn a_poll_without_news_ends_empty() {
    let (world, shop) = fixture::shop().await;
    let soundbox = HttpBox::at(&world, shop.terminal().id).await;
    let received = soundbox.heartbeat(1).await;
    assert!(received.payments.is_empty() && received.commands.is_empty());
    // A longer wait than allowed is cut; one that is no number is refused.
    let sold = soundbox.credentials.sell(&world, 10_000).await;
    let received = soundbox.heartbeat(4_000_000).await;
    assert_eq!(received.payments[0].transaction_id, sold);
    let api = soundbox.credentials.api(&world);
    let answer = api
        .post("/device/heartbeat?wait=long", &soundbox.heartbeat_body())
        .await;
    answer.refused(VALIDATION_FAILED);
}

#[tokio::test]
async fn waiting_polls_hold_no_database_connections() {
    // More boxes than the platform has connections to its database.
    let world = World::with(|config| config.database.connections_max = 4).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut waiting = Vec::new();
    for _ in 0..12 {
        let soundbox = HttpBox::at(&world, shop.terminal().id).await;
        waiting.push((waits(&world, &soundbox).await, soundbox));
    }
    let sold = waiting[0].1.credentials.sell(&world, 10_000).await;
    for (asked, soundbox) in waiting {
        let received = soundbox.open(&answered(asked).await.expect(200).data());
        assert_eq!(received.payments[0].transaction_id, sold);
    }
}

#[tokio::test]
async fn polls_beyond_the_limit_are_answered_at_once() {
    let world = World::with(|config| config.http.long_polls_max = 1).await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let first = HttpBox::at(&world, shop.terminals[0].id).await;
    let second = HttpBox::at(&world, shop.terminals[1].id).await;
    let asked = waits(&world, &first).await;
    let received = within("an answer without a wait", second.heartbeat(LONG)).await;
    assert!(received.payments.is_empty());
    assert!(!asked.is_finished());
    first.credentials.sell(&world, 10_000).await;
    let received = first.open(&answered(asked).await.expect(200).data());
    assert_eq!(received.payments.len(), 1);
}

#[tokio::test]
async fn a_new_poll_of_a_box_replaces_its_old_one() {
    let world = World::with(|config| config.http.long_polls_max = 1).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = HttpBox::at(&world, shop.terminal().id).await;
    let older = waits(&world, &soundbox).await;
    let newer = waits(&world, &soundbox).await;
    let received = soundbox.open(&answered(older).await.expect(200).data());
    assert!(received.payments.is_empty());
    soundbox.credentials.sell(&world, 10_000).await;
    let received = soundbox.open(&answered(newer).await.expect(200).data());
    assert_eq!(received.payments.len(), 1);
}

#[tokio::test]
async fn waiting_polls_are_answered_when_the_platform_stops() {
    let (mut world, shop) = fixture::shop().await;
    let soundbox = HttpBox::at(&world, shop.terminal().id).await;
    let asked = waits(&world, &soundbox).await;
    world.stop().await;
    let received = soundbox.open(&answered(asked).await.expect(200).data());
    assert!(received.payments.is_empty());
}

#[tokio::test]
async fn a_box_that_is_suspended_while_it_polls_is_refused() {
    let (world, shop) = fixture::shop().await;
    let soundbox = HttpBox::at(&world, shop.terminal().id).await;
    for api in [
        soundbox.credentials.api(&world),
        soundbox.credentials.api_by_certificate(&world),
    ] {
        let heartbeat = soundbox.heartbeat_body();
        api.act("/device/heartbeat", &heartbeat).await;
    }
    let asked = waits(&world, &soundbox).await;
    soundbox.credentials.set_status(&world, "suspended").await;
    answered(asked).await.refused(DEVICE_UNAUTHORIZED);
}

#[tokio::test]
async fn a_poll_that_is_closed_frees_its_slot() {
    let world = World::with(|config| config.http.long_polls_max = 1).await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let first = HttpBox::at(&world, shop.terminals[0].id).await;
    let second = HttpBox::at(&world, shop.terminals[1].id).await;
    let asked = waits(&world, &first).await;
    asked.abort();
    // Its slot is free as soon as the platform has noticed: then the second box waits.
    let received = eventually("a slot for the second box", || async {
        let asked = waits(&world, &second).await;
        let waited = tokio::time::timeout(Duration::from_millis(200), async {
            while !asked.is_finished() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        waited.is_err().then_some(asked)
    })
    .await;
    second.credentials.sell(&world, 10_000).await;
    let received = second.open(&answered(received).await.expect(200).data());
    assert_eq!(received.payments.len(), 1);
}
