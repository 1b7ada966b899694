//! Boxes whose clocks are wrong: a day behind, ten years ahead, or without any.

use chrono::{DateTime, TimeDelta, Utc};
use tests::prelude::*;
use tests::soundbox::Wording;

/// How far each clock is off; `None`: no clock.
const SKEWS: [Option<TimeDelta>; 3] =
    [Some(TimeDelta::days(-1)), Some(TimeDelta::days(3652)), None];

/// What such a clock shows.
fn shown(world: &World, skew: Option<TimeDelta>) -> Option<String> {
    skew.map(|skew| (world.clock.now() + skew).to_rfc3339())
}

#[tokio::test]
async fn a_wrong_clock_locks_no_box_out_and_is_seen() {
    let (world, shop) = fixture::shop().await;
    for skew in SKEWS {
        let credentials = Credentials::at(&world, shop.terminal().id).await;
        let mut soundbox = Soundbox::switch_on(&world, credentials.clone()).await;
        let shown_now = shown(&world, skew);
        soundbox.heartbeat_at(shown_now.as_deref()).await;
        let view = credentials.view(&world).await;
        assert_eq!(view["online"], json!(true), "{skew:?}");
        let close = |measured: &Value| match (measured.as_i64(), skew) {
            (None, None) => true,
            (Some(measured), Some(skew)) => (measured - skew.num_milliseconds()).abs() < 60_000,
            _ => false,
        };
        assert!(close(&view["clock_skew_ms"]), "{skew:?}: {view}");
        let seen: DateTime<Utc> = serde_json::from_value(view["last_seen_at"].clone()).unwrap();
        assert!((world.clock.now() - seen).abs() < TimeDelta::minutes(1));

        // The same over HTTP.
        let mut heartbeat = HttpBox::with(&world, credentials.clone()).heartbeat_body();
        if let Some(shown) = &shown_now {
            heartbeat["timestamp"] = json!(shown);
        }
        let api = credentials.api(&world);
        api.act("/device/heartbeat", &heartbeat).await;

        // A fresh payment is fresh by the server's time, and the box's own time of playing is only data.
        let sold = credentials.sell(&world, 10_000).await;
        let payment = soundbox.hear().await;
        assert_eq!(payment.transaction_id, sold);
        assert_eq!(soundbox.wording(&payment), Wording::Plain, "{skew:?}");
        let ack =
            json!({ "event_id": payment.event_id, "status": "played", "played_at": shown_now });
        let known = api.act("/device/notifications/ack", &ack).await;
        assert_eq!(known["status"], "played");
        let acked: DateTime<Utc> = serde_json::from_value(known["acked_at"].clone()).unwrap();
        assert!((world.clock.now() - acked).abs() < TimeDelta::minutes(1));
        soundbox.switch_off().await;
    }
    let summary = world.admin().read("/admin/devices/summary").await;
    assert_fields!(summary, { "clock_behind": 1, "clock_ahead": 1, "clock_unknown": 1 });
}

#[tokio::test]
async fn a_wrong_clock_makes_no_box_say_an_old_payment_as_a_new_one() {
    let (world, shop) = fixture::shop().await;
    // Made before the clock is moved: their certificates are checked against the machine's clock too.
    let mut boxes = Vec::new();
    for skew in SKEWS {
        boxes.push((skew, Credentials::at(&world, shop.terminal().id).await));
    }
    for (skew, credentials) in boxes {
        let mut soundbox = Soundbox::switch_on(&world, credentials.clone()).await;
        soundbox.heartbeat_at(shown(&world, skew).as_deref()).await;
        let away = soundbox.switch_off().await;
        away.wait_until_offline(&world).await;
        let delayed = credentials.sell(&world, 10_000).await;
        world.later(90);
        let mut soundbox = away.reconnect(&world).await;
        soundbox.heartbeat_at(shown(&world, skew).as_deref()).await;
        let payment = soundbox.hear().await;
        assert_eq!(payment.transaction_id, delayed);
        // By its own clock it would be new a day before, and over ten years after.
        assert_eq!(soundbox.wording(&payment), Wording::Delayed, "{skew:?}");
        let played = wire::message::AckStatus::Played;
        soundbox.acknowledge(payment.event_id, played).await;
        let away = soundbox.switch_off().await;
        away.wait_until_offline(&world).await;
        credentials.sell(&world, 20_000).await;
        world.later(301);
        let mut soundbox = away.reconnect(&world).await;
        let fresh = credentials.sell(&world, 30_000).await;
        let payment = soundbox.hear().await;
        // An expired payment is not sent any more.
        assert_eq!(payment.transaction_id, fresh);
        soundbox.switch_off().await;
        // The next box at the terminal receives nothing of this.
        world.later(301);
    }
}
