//! Clocks of partners: their times are used as far as they can be true.

use chrono::{DateTime, TimeDelta, Utc};
use platform::config::NotifySignature::Asymmetric;
use tests::prelude::*;
use tests::snap;

use crate::view::{incidents, open_alert, transaction};

fn at(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_clock_that_is_ahead_delays_neither_the_box_nor_the_settlement() {
    let (world, shop, mut soundbox) = fixture::soundbox().await;
    let now = world.clock.now();
    let ahead = [
        (now + TimeDelta::minutes(20)).to_rfc3339(),
        (now + TimeDelta::hours(7)).to_rfc3339(),
        "2030-01-01T00:00:00Z".to_owned(),
        "9999-12-31T23:59:59Z".to_owned(),
    ];
    for paid_at in &ahead {
        for printed in [false, true] {
            let mut body = if printed {
                shop.printed_payment(&world, 10_000)
            } else {
                let id = soundbox.credentials.qr(&world, 10_000).await.transaction_id;
                success(id, 10_000, &reference(), now)
            };
            body["paid_at"] = json!(paid_at);
            let receipt = world.acquirer().send(&body).await.expect(200).data();
            assert_eq!(receipt["verdict"], "accepted");
            let heard = soundbox.play().await;
            assert_eq!(json!(heard.transaction_id), receipt["transaction_id"]);
            let paid = transaction(&world, heard.transaction_id).await;
            let accepted_at = at(&paid["accepted_at"]);
            assert!(at(&paid["paid_at"]) <= accepted_at, "{paid_at}: {paid}");
            let window = heard.announce_until - accepted_at;
            // Messages have whole milliseconds.
            let window_ms = window.num_microseconds().unwrap().div_euclid(1000);
            assert!(
                [299_999, 300_000].contains(&window_ms),
                "{paid_at}: {window}"
            );
        }
    }
    // Twenty minutes are tolerated; the others are incidents.
    assert_eq!(incidents(&world).await, ["clock_far_off"; 6]);
    open_alert(&world, "incident").await;
    world.later(1);
    let finance = world.staff(Role::Finance).await;
    let path = format!("/admin/settlements/{}", settle(&finance).await);
    let settlement = finance.read(&path).await;
    assert_eq!(settlement["transaction_count"], json!(2 * ahead.len()));
}

#[tokio::test]
async fn a_clock_that_is_behind_leaves_a_trace_of_the_silence() {
    let (world, shop, credentials) = fixture::device().await;
    let now = world.clock.now();
    let behind = [
        (now - TimeDelta::hours(7)).to_rfc3339(),
        "1970-01-01T00:00:00Z".to_owned(),
        "0001-01-01T00:00:00Z".to_owned(),
    ];
    for paid_at in &behind {
        let id = credentials.qr(&world, 10_000).await.transaction_id;
        let mut body = success(id, 10_000, &reference(), now);
        body["paid_at"] = json!(paid_at);
        let _ = world.acquirer().send(&body).await.expect(200);
        let paid = transaction(&world, id).await;
        assert_eq!(paid["status"], "paid", "{paid_at}");
        assert_fields!(paid["notifications"][0], { "status": "stale", "reason": "window_over" });
        let age = at(&paid["accepted_at"]) - at(&paid["paid_at"]);
        assert!(age <= TimeDelta::days(7), "{paid}");
    }
    assert_eq!(incidents(&world).await, ["clock_far_off"; 3]);
    let alert = open_alert(&world, "unannounced_payment").await;
    assert_fields!(alert, { "subject": shop.terminal().id, "details/reason": "window_over" });
}

#[tokio::test]
async fn a_bank_that_writes_jakartas_time_as_utc_is_heard_by_snap_as_well() {
    let (world, partner) = snap::world(Asymmetric).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.terminal().id).await;
    let id = soundbox.credentials.qr(&world, 10_000).await.transaction_id;
    let mut body = snap::notification(id, 10_000, "ref-1", "00");
    let wib = world.clock.now() + TimeDelta::hours(7);
    body["paidTime"] = json!(wib.format("%Y-%m-%dT%H:%M:%SZ").to_string());
    partner.send_ok(&body).await;
    assert_eq!(soundbox.play().await.transaction_id, id);
    assert_eq!(incidents(&world).await, ["clock_far_off"]);
}
