//! A box on HTTP that waits for its answer.

use std::time::Duration;

use serde_json::json;
use tests::http_box::HttpBox;
use tests::{Answer, Shop, World, eventually, within};
use tokio::task::JoinHandle;

/// Longer than anybody here is patient: an answer that comes in a story did not come because time was up.
const LONG: u32 = 25;

/// Asks in a task of its own; returns when the platform has its beat, from where on nothing can be missed.
async fn waits(world: &World, soundbox: &HttpBox) -> JoinHandle<Answer> {
    let id = soundbox.credentials.device_id.as_uuid();
    let beats = || async {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM heartbeats WHERE device_id = $1")
            .bind(id)
            .fetch_one(&world.pool)
            .await
            .unwrap();
        count
    };
    let before = beats().await;
    let asks = soundbox.clone();
    let asked = tokio::spawn(async move { asks.ask(LONG).await });
    eventually("the beat of a box that waits", || async {
        (beats().await > before).then_some(())
    })
    .await;
    asked
}

async fn answered(asked: JoinHandle<Answer>) -> Answer {
    within("an answer", asked).await.unwrap()
}

#[tokio::test]
async fn a_box_that_waits_is_told_when_there_is_a_payment_an_order_or_a_configuration() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let soundbox = HttpBox::at(&world, shop.till().id).await;
    let id = soundbox.credentials.device_id;
    let admin = world.admin();

    let asked = waits(&world, &soundbox).await;
    let sold = soundbox.credentials.sell(&world, 10_000).await;
    let told = soundbox.open(&answered(asked).await.expect(200).data());
    assert_eq!(told.payments.len(), 1);
    assert_eq!(told.payments[0].transaction_id, sold);
    let played = wire::message::AckStatus::Played;
    soundbox
        .acknowledge(told.payments[0].event_id, played)
        .await;

    let asked = waits(&world, &soundbox).await;
    let order = json!({ "type": "set_volume", "payload": { "volume": 3 } });
    let path = format!("/admin/devices/{id}/commands");
    let _ = admin
        .post_with(&path, &[("idempotency-key", "louder")], &order)
        .await
        .expect(201);
    let told = soundbox.open(&answered(asked).await.expect(200).data());
    assert_eq!(told.commands.len(), 1);
    assert_eq!(told.commands[0].kind, "set_volume");
    let ack = json!({ "device_id": id, "command_id": told.commands[0].command_id, "status": "delivered" });
    let api = soundbox.credentials.api(&world);
    let _ = api.post("/device/commands/ack", &ack).await.expect(200);

    let asked = waits(&world, &soundbox).await;
    tests::credentials::bind(&world, id, shop.terminals[1].id).await;
    let news = soundbox.open(&answered(asked).await.expect(200).data());
    assert!(news.config_version > told.config_version);
}

#[tokio::test]
async fn nothing_to_tell_is_what_a_box_is_told_in_the_end() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = HttpBox::at(&world, shop.till().id).await;
    let told = soundbox.beat(1).await;
    assert!(told.payments.is_empty() && told.commands.is_empty());
    // Longer than allowed is as long as allowed; what is no number is refused, and says so.
    let sold = soundbox.credentials.sell(&world, 10_000).await;
    assert_eq!(
        soundbox.beat(4_000_000).await.payments[0].transaction_id,
        sold
    );
    let api = soundbox.credentials.api(&world);
    api.post("/device/heartbeat?wait=long", &soundbox.sign_of_life())
        .await
        .refused(422, "VALIDATION_FAILED");
}

#[tokio::test]
async fn boxes_that_wait_take_nothing_from_the_others() {
    // More boxes than the platform has connections to its database.
    let world = World::with(|config| config.database.connections_max = 4).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut waiting = Vec::new();
    for _ in 0..12 {
        let soundbox = HttpBox::at(&world, shop.till().id).await;
        waiting.push((waits(&world, &soundbox).await, soundbox));
    }
    let sold = waiting[0].1.credentials.sell(&world, 10_000).await;
    for (asked, soundbox) in waiting {
        let told = soundbox.open(&answered(asked).await.expect(200).data());
        assert_eq!(told.payments[0].transaction_id, sold);
    }
}

#[tokio::test]
async fn there_is_a_limit_to_those_who_wait_and_the_rest_are_answered_at_once() {
    let world = World::with(|config| config.http.long_polls_max = 1).await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let first = HttpBox::at(&world, shop.terminals[0].id).await;
    let second = HttpBox::at(&world, shop.terminals[1].id).await;
    let asked = waits(&world, &first).await;
    let told = within("an answer without a wait", second.beat(LONG)).await;
    assert!(told.payments.is_empty());
    assert!(!asked.is_finished());
    first.credentials.sell(&world, 10_000).await;
    let told = first.open(&answered(asked).await.expect(200).data());
    assert_eq!(told.payments.len(), 1);
}

#[tokio::test]
async fn a_box_that_asks_again_takes_its_own_place() {
    let world = World::with(|config| config.http.long_polls_max = 1).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = HttpBox::at(&world, shop.till().id).await;
    let older = waits(&world, &soundbox).await;
    let newer = waits(&world, &soundbox).await;
    let told = soundbox.open(&answered(older).await.expect(200).data());
    assert!(told.payments.is_empty());
    soundbox.credentials.sell(&world, 10_000).await;
    let told = soundbox.open(&answered(newer).await.expect(200).data());
    assert_eq!(told.payments.len(), 1);
}

#[tokio::test]
async fn whoever_waits_is_let_go_when_the_platform_stops() {
    let mut world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = HttpBox::at(&world, shop.till().id).await;
    let asked = waits(&world, &soundbox).await;
    world.stop().await;
    let told = soundbox.open(&answered(asked).await.expect(200).data());
    assert!(told.payments.is_empty());
}

#[tokio::test]
async fn a_box_that_is_suspended_while_it_waits_is_told_that_and_nothing_else() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = HttpBox::at(&world, shop.till().id).await;
    for api in [
        soundbox.credentials.api(&world),
        soundbox.credentials.api_by_certificate(&world),
    ] {
        let _ = api
            .post("/device/heartbeat", &soundbox.sign_of_life())
            .await
            .expect(200);
    }
    let asked = waits(&world, &soundbox).await;
    let path = format!("/admin/devices/{}", soundbox.credentials.device_id);
    let suspended = json!({ "status": "suspended" });
    let _ = world.admin().patch(&path, &suspended).await.expect(200);
    answered(asked).await.refused(401, "DEVICE_UNAUTHORIZED");
}

#[tokio::test]
async fn a_box_that_hangs_up_gives_its_place_back() {
    let world = World::with(|config| config.http.long_polls_max = 1).await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let first = HttpBox::at(&world, shop.terminals[0].id).await;
    let second = HttpBox::at(&world, shop.terminals[1].id).await;
    let asked = waits(&world, &first).await;
    asked.abort();
    // Its place is free as soon as the platform has noticed: then the second one waits, and does not answer by itself.
    let told = eventually("a place for the second box", || async {
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
    let told = second.open(&answered(told).await.expect(200).data());
    assert_eq!(told.payments.len(), 1);
}
