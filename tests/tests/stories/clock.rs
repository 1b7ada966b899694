//! Boxes whose clocks are wrong: a day behind, ten years ahead, or without any.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tests::http_box::HttpBox;
use tests::soundbox::Words;
use tests::{Credentials, Shop, Soundbox, World};

/// How far each clock is off; none: it has no clock.
const SKEWS: [Option<TimeDelta>; 3] =
    [Some(TimeDelta::days(-1)), Some(TimeDelta::days(3652)), None];

/// What such a clock shows.
fn shown(world: &World, skew: Option<TimeDelta>) -> Option<String> {
    skew.map(|skew| (world.clock.now() + skew).to_rfc3339())
}

#[tokio::test]
async fn a_wrong_clock_locks_no_box_out_and_is_seen() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    for skew in SKEWS {
        let credentials = Credentials::at(&world, shop.till().id).await;
        let mut soundbox = Soundbox::switch_on(&world, credentials.clone()).await;
        let shown_now = shown(&world, skew);
        soundbox.beat_at(shown_now.as_deref()).await;
        let view = credentials.view(&world).await;
        assert_eq!(view["online"], json!(true), "{skew:?}");
        let close = |measured: &Value| match (measured.as_i64(), skew) {
            (None, None) => true,
            (Some(measured), Some(skew)) => {
                (measured - skew.num_milliseconds()).abs()
                    < TimeDelta::minutes(1).num_milliseconds()
            }
            _ => false,
        };
        assert!(close(&view["clock_skew_ms"]), "{skew:?}: {view}");
        let seen: DateTime<Utc> = serde_json::from_value(view["last_seen_at"].clone()).unwrap();
        assert!((world.clock.now() - seen).abs() < TimeDelta::minutes(1));

        // The same over HTTP.
        let mut beat = HttpBox::with(&world, credentials.clone()).sign_of_life();
        if let Some(shown) = &shown_now {
            beat["timestamp"] = json!(shown);
        }
        let api = credentials.api(&world);
        let _ = api.post("/device/heartbeat", &beat).await.expect(200);

        // A fresh payment is fresh by the time that the box was told, and what it says of when is only data.
        let sold = credentials.sell(&world, 10_000).await;
        let payment = soundbox.hear().await;
        assert_eq!(payment.transaction_id, sold);
        assert_eq!(soundbox.words(&payment), Words::Plain, "{skew:?}");
        let ack =
            json!({ "event_id": payment.event_id, "status": "played", "played_at": shown_now });
        let known = api
            .post("/device/notifications/ack", &ack)
            .await
            .expect(200)
            .data();
        assert_eq!(known["status"], "played");
        let acked: DateTime<Utc> = serde_json::from_value(known["acked_at"].clone()).unwrap();
        assert!((world.clock.now() - acked).abs() < TimeDelta::minutes(1));
        soundbox.switch_off().await;
    }
    let summary = world
        .admin()
        .get("/admin/devices/summary")
        .await
        .expect(200)
        .data();
    assert_eq!(
        (
            &summary["clock_behind"],
            &summary["clock_ahead"],
            &summary["clock_unknown"]
        ),
        (&json!(1), &json!(1), &json!(1))
    );
}

#[tokio::test]
async fn a_wrong_clock_makes_no_box_say_an_old_payment_as_a_new_one() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    // Made before the clock is moved: their certificates are looked at by the clock of the machine too.
    let mut boxes = Vec::new();
    for skew in SKEWS {
        boxes.push((skew, Credentials::at(&world, shop.till().id).await));
    }
    for (skew, credentials) in boxes {
        let mut soundbox = Soundbox::switch_on(&world, credentials.clone()).await;
        soundbox.beat_at(shown(&world, skew).as_deref()).await;
        let away = soundbox.switch_off().await;
        away.is_missed(&world).await;
        let delayed = credentials.sell(&world, 10_000).await;
        world.later(90);
        let mut soundbox = away.come_back(&world).await;
        soundbox.beat_at(shown(&world, skew).as_deref()).await;
        let payment = soundbox.hear().await;
        assert_eq!(payment.transaction_id, delayed);
        // By its own clock it would be new a day before, and over ten years after.
        assert_eq!(soundbox.words(&payment), Words::Delayed, "{skew:?}");
        soundbox
            .acknowledge(payment.event_id, wire::message::AckStatus::Played)
            .await;
        let away = soundbox.switch_off().await;
        away.is_missed(&world).await;
        credentials.sell(&world, 20_000).await;
        world.later(301);
        let mut soundbox = away.come_back(&world).await;
        let fresh = credentials.sell(&world, 30_000).await;
        let payment = soundbox.hear().await;
        assert_eq!(
            payment.transaction_id, fresh,
            "what is over is not told any more"
        );
        soundbox.switch_off().await;
        // Of all this the next box at the till is told nothing.
        world.later(301);
    }
}
