//! Whoever wants to know is told by HTTP of what happens: once it is committed, in order, and until they take it.

use crate::view::open_alerts;
use tests::payout_partner::Behaviour;
use tests::prelude::*;
use tests::webhook_receiver::{Received, WebhookReceiver};

const ENDPOINTS: &str = "/admin/webhook-endpoints";
const PAYMENTS: [&str; 4] = [
    "payment.paid",
    "payment.heard",
    "payment.unheard",
    "payment.reversed",
];

async fn world() -> World {
    World::with(WebhookReceiver::allow).await
}

/// A platform, a shop with a box, and a receiver of these events with its endpoint.
async fn scene(events: &[&str]) -> (World, Soundbox, WebhookReceiver, Value) {
    let world = world().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = Soundbox::at(&world, shop.terminal().id).await;
    let receiver = WebhookReceiver::open().await;
    let endpoint = receiver.join(&world.admin(), events).await;
    (world, soundbox, receiver, endpoint)
}

fn path(endpoint: &Value) -> String {
    format!("{ENDPOINTS}/{}", text(endpoint, "id"))
}

/// Asks for a test message; its id.
async fn ask_for_test(admin: &Api, endpoint: &Value) -> String {
    let path = format!("{}/test", path(endpoint));
    let queued = admin.post(&path, &json!({})).await.expect(202).data();
    text(&queued, "delivery_id")
}

fn of_payment(messages: &[Received], id: &str) -> Vec<String> {
    messages
        .iter()
        .filter(|one| one.body["data"]["transaction_id"] == *id)
        .map(Received::event)
        .collect()
}

async fn reverse(world: &World, id: wire::TransactionId, amount: i64, reference: &str) {
    let body = but_status(
        success(id, amount, reference, world.clock.now()),
        "reversed",
    );
    let mut body = body;
    body["event_id"] = json!(format!("rev-{reference}"));
    let _ = world.acquirer().send(&body).await.expect(200);
}

#[tokio::test]
async fn a_payment_is_told_of_when_it_is_paid_and_when_it_is_heard() {
    let (world, mut soundbox, receiver, endpoint) = scene(&PAYMENTS).await;
    let id = soundbox.credentials.sell(&world, 50_000).await;
    soundbox.play().await;
    let taken = receiver.has_taken(2).await;
    assert_eq!(
        of_payment(&taken, &id.to_string()),
        ["payment.paid", "payment.heard"]
    );
    let secret = text(&endpoint, "secret");
    assert!(taken.iter().all(|one| one.is_signed_with(&secret)));
    let paid = &taken[0].body["data"];
    assert_fields!(paid, { "amount": 50_000, "currency": "IDR", "qr_type": "dynamic", "reversed_at": Value::Null });
    assert_eq!(
        taken[1].body["data"]["device_id"],
        json!(soundbox.credentials.device_id)
    );
    let sent = world
        .admin()
        .list(&format!("{}/deliveries?status=delivered", path(&endpoint)))
        .await;
    assert_eq!(texts(&sent, "event"), ["payment.heard", "payment.paid"]);
    assert_fields!(sent[0], { "attempts": 1, "answer_status": 204, "id": taken[1].id });
}

#[tokio::test]
async fn a_payment_that_no_box_can_announce_is_told_of_as_unheard() {
    let world = world().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let receiver = WebhookReceiver::open().await;
    receiver.join(&world.admin(), &PAYMENTS).await;
    // Of each payment, though they share one alert.
    for amount in [10_000, 20_000] {
        let body = shop.printed_payment(&world, amount);
        let receipt = world.acquirer().send(&body).await.expect(200).data();
        let id = text(&receipt, "transaction_id");
        let taken = eventually("both messages", || async {
            let told = of_payment(&receiver.taken(), &id);
            (told.len() == 2).then_some(told)
        })
        .await;
        let mut sorted = taken.clone();
        sorted.sort();
        assert_eq!(sorted, ["payment.paid", "payment.unheard"]);
    }
    let unheard = receiver.taken();
    let unheard = unheard.iter().find(|one| one.event() == "payment.unheard");
    assert_eq!(unheard.unwrap().body["data"]["reason"], "no_box_bound");
}

#[tokio::test]
async fn a_payment_that_its_box_never_announces_is_told_of_as_unheard() {
    let (world, soundbox, receiver, _) = scene(&PAYMENTS).await;
    let away = soundbox.switch_off().await;
    let id = away.credentials.sell(&world, 10_000).await;
    receiver.has_taken(1).await;
    world.later(2 * 86_400);
    let taken = receiver.has_taken(2).await;
    assert_eq!(
        of_payment(&taken, &id.to_string()),
        ["payment.paid", "payment.unheard"]
    );
}

#[tokio::test]
async fn a_merchants_endpoint_is_told_of_its_own_alone() {
    let world = world().await;
    let mine = Shop::open(&world, "Warung Sari", 1).await;
    let other = Shop::open(&world, "Kopi Fajar", 1).await;
    let receiver = WebhookReceiver::open().await;
    let endpoint =
        json!({ "url": receiver.url(), "events": PAYMENTS, "merchant_id": mine.merchant_id });
    world.admin().create(ENDPOINTS, &endpoint).await;
    for shop in [&other, &mine] {
        let body = shop.printed_payment(&world, 10_000);
        let _ = world.acquirer().send(&body).await.expect(200);
    }
    let taken = receiver.has_taken(2).await;
    assert!(
        taken
            .iter()
            .all(|one| one.body["data"]["merchant_id"] == json!(mine.merchant_id))
    );
    let rows = "webhook_deliveries";
    assert_eq!(world.rows(rows).await, 2);
    assert_eq!(world.rows("webhook_events").await, 0);
}

#[tokio::test]
async fn a_receiver_that_was_down_for_an_hour_gets_everything_in_order() {
    let (world, soundbox, receiver, _) = scene(&PAYMENTS).await;
    receiver.answer(503);
    let mut sold = Vec::new();
    for number in 0..10 {
        let amount = 1_000 + number;
        let id = soundbox.credentials.qr(&world, amount).await.transaction_id;
        let reference = reference();
        let body = success(id, amount, &reference, world.clock.now());
        let _ = world.acquirer().send(&body).await.expect(200);
        reverse(&world, id, amount, &reference).await;
        sold.push(id.to_string());
    }
    for _ in 0..60 {
        world.later(60);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(receiver.taken().is_empty());
    assert!(!receiver.received().is_empty());
    receiver.answer(200);
    let taken = receiver.has_taken_by(&world, 20).await;
    for id in &sold {
        assert_eq!(of_payment(&taken, id), ["payment.paid", "payment.reversed"]);
    }
}

#[tokio::test]
async fn a_message_that_is_never_taken_holds_up_no_other_subject() {
    let (world, soundbox, receiver, endpoint) = scene(&["payment.paid", "endpoint.test"]).await;
    receiver.answer(500);
    let test = ask_for_test(&world.admin(), &endpoint).await;
    eventually("the refused message", || async {
        receiver.received().first().cloned()
    })
    .await;
    receiver.answer(200);
    let id = soundbox.credentials.sell(&world, 10_000).await;
    let taken = receiver.has_taken_by(&world, 2).await;
    assert_eq!(of_payment(&taken, &id.to_string()), ["payment.paid"]);
    assert!(taken.iter().any(|one| one.id == test));
}

#[tokio::test]
async fn a_crash_between_commit_and_delivery_loses_and_skips_nothing() {
    let (mut world, soundbox, receiver, _) = scene(&["payment.paid"]).await;
    receiver.answer(503);
    let mut sold = Vec::new();
    for amount in 1..=20 {
        sold.push(soundbox.credentials.sell(&world, amount).await.to_string());
        if amount % 7 == 0 {
            world.crash();
            world.start().await;
        }
    }
    world.crash();
    receiver.answer(200);
    world.start().await;
    let taken = receiver.has_taken_by(&world, 20).await;
    let mut told: Vec<String> = taken
        .iter()
        .map(|one| text(&one.body["data"], "transaction_id"))
        .collect();
    told.sort();
    sold.sort();
    assert_eq!(told, sold);
}

#[tokio::test]
async fn an_endpoint_that_takes_nothing_for_three_days_is_switched_off_with_an_alert() {
    let (world, soundbox, receiver, endpoint) = scene(&["payment.paid"]).await;
    receiver.answer(500);
    let id = soundbox.credentials.sell(&world, 10_000).await.to_string();
    let off = eventually("the end of its patience", || async {
        world.later(3_600);
        let now = world.admin().read(&path(&endpoint)).await;
        (now["enabled"] == false).then_some(now)
    })
    .await;
    assert_eq!(off["disabled_reason"], "it answered 500");
    let alerts = open_alerts(&world, "webhook_disabled").await;
    assert_eq!(texts(&alerts, "subject"), [text(&endpoint, "id")]);
    let days = world.clock.now().signed_duration_since(
        text(&endpoint, "created_at")
            .parse::<chrono::DateTime<chrono::Utc>>()
            .unwrap(),
    );
    assert!(days >= chrono::TimeDelta::days(3), "{days}");

    // While it is off, it is told of nothing new; switched on, it gets what it had not taken.
    let unseen = soundbox.credentials.sell(&world, 20_000).await.to_string();
    receiver.answer(200);
    let on = world
        .admin()
        .change(&path(&endpoint), &json!({ "enabled": true }))
        .await;
    assert_fields!(on, { "enabled": true, "disabled_reason": Value::Null, "failures": 0 });
    let taken = receiver.has_taken_by(&world, 1).await;
    assert_eq!(of_payment(&taken, &id), ["payment.paid"]);
    assert!(of_payment(&taken, &unseen).is_empty());
    assert!(open_alerts(&world, "webhook_disabled").await.is_empty());
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_switched_off_at_once() {
    let (world, soundbox, receiver, endpoint) = scene(&["payment.paid"]).await;
    receiver.answer(410);
    soundbox.credentials.sell(&world, 10_000).await;
    eventually("its end", || async {
        let now = world.admin().read(&path(&endpoint)).await;
        (now["enabled"] == false).then_some(())
    })
    .await;
    let test = world
        .admin()
        .post(&format!("{}/test", path(&endpoint)), &json!({}))
        .await;
    test.refused(INVALID_STATE);
}

#[tokio::test]
async fn a_secret_is_replaced_without_a_gap() {
    let (world, _, receiver, endpoint) = scene(&["endpoint.test"]).await;
    let (admin, path) = (world.admin(), path(&endpoint));
    let old = text(&endpoint, "secret");
    let rotated = admin
        .act(&format!("{path}/rotate-secret"), &json!({}))
        .await;
    let new = text(&rotated, "secret");
    ask_for_test(&admin, &endpoint).await;
    let first = receiver.has_taken(1).await.remove(0);
    assert!(first.is_signed_with(&old) && first.is_signed_with(&new));
    world.later(25 * 3_600);
    ask_for_test(&admin, &endpoint).await;
    let second = receiver.has_taken(2).await.remove(1);
    assert!(!second.is_signed_with(&old) && second.is_signed_with(&new));
    // It is in no other answer.
    assert!(admin.read(&path).await.get("secret").is_none());
    assert!(admin.list(ENDPOINTS).await[0].get("secret").is_none());
}

#[tokio::test]
async fn a_message_can_be_sent_again_and_an_endpoint_removed() {
    let (world, soundbox, receiver, endpoint) = scene(&["payment.paid"]).await;
    let (admin, path) = (world.admin(), path(&endpoint));
    soundbox.credentials.sell(&world, 10_000).await;
    let sent = receiver.has_taken(1).await.remove(0);
    let again = format!("{ENDPOINTS}/deliveries/{}/resend", sent.id);
    let _ = admin.post(&again, &json!({})).await.expect(202);
    let twice = eventually("the repetition", || async {
        let received = receiver.received();
        (received.len() == 2).then_some(received)
    })
    .await;
    assert_eq!(twice[0].id, twice[1].id);
    assert_eq!(twice[0].raw, twice[1].raw);
    let _ = admin.delete(&path).await.expect(200);
    assert_refused!(admin.get(&path), WEBHOOK_ENDPOINT_NOT_FOUND);
    assert_refused!(admin.post(&again, &json!({})), WEBHOOK_DELIVERY_NOT_FOUND);
    soundbox.credentials.sell(&world, 20_000).await;
    assert_eq!(world.rows("webhook_events").await, 0);
}

#[tokio::test]
async fn boxes_alerts_and_settlements_are_told_of() {
    let mut payouts = Payouts::with(Behaviour::Pays, |partner, config| {
        partner.configure(config);
        WebhookReceiver::allow(config);
    })
    .await;
    let receiver = WebhookReceiver::open().await;
    let events = [
        "settlement.paid",
        "settlement.returned",
        "device.online",
        "device.offline",
        "alert.opened",
        "alert.closed",
    ];
    receiver.join(&payouts.world.admin(), &events).await;
    payouts.sell(&[100_000]).await;
    let settlement = payouts.run().await;
    payouts.becomes(&settlement, "paid").await;
    let told = eventually("the settlement", || async {
        let taken = receiver.taken();
        taken
            .into_iter()
            .find(|one| one.event() == "settlement.paid")
    })
    .await;
    assert_fields!(told.body["data"], { "settlement_id": settlement, "status": "paid", "net": 99_300 });

    let world = &mut payouts.world;
    let soundbox = Soundbox::at(world, payouts.shop.terminal().id).await;
    let device_id = json!(soundbox.credentials.device_id);
    let away = soundbox.switch_off().await;
    away.wait_until_offline(world).await;
    let of_box = eventually("its coming and going", || async {
        let taken = receiver.taken();
        let events: Vec<String> = taken
            .iter()
            .filter(|one| one.body["data"]["device_id"] == device_id)
            .map(Received::event)
            .filter(|event| event.starts_with("device."))
            .collect();
        (events.len() >= 2).then_some(events)
    })
    .await;
    assert_eq!(of_box, ["device.online", "device.offline"]);
}

#[tokio::test]
async fn only_what_leads_to_the_internet_over_tls_is_accepted() {
    let world = World::new().await;
    let admin = world.admin();
    for url in [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "not a url",
    ] {
        let endpoint = json!({ "url": url, "events": ["payment.paid"] });
        admin.post(ENDPOINTS, &endpoint).await.refused_field("url");
    }
    let good = json!({ "url": "https://example.com/hook", "events": ["payment.paid"] });
    let made = admin.create(ENDPOINTS, &good).await;
    let bad = json!({ "url": "https://10.0.0.1/" });
    admin.patch(&path(&made), &bad).await.refused_field("url");
    let none = json!({ "url": "https://example.com/hook", "events": [] });
    admin.post(ENDPOINTS, &none).await.refused_field("events");
    let unknown = json!({ "url": "https://example.com/hook", "events": ["payment.lost"] });
    admin
        .post(ENDPOINTS, &unknown)
        .await
        .refused_field("events[0]");
}
