//! What anybody can make us keep is small, within a budget, and gone after some days; what partners said is found again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use platform::service::partition::{self, Retention};
use reqwest::Method;
use serde_json::{Value, json};
use tests::acquirer::{PATH, reference, success};
use tests::bank;
use tests::books;
use tests::shop::text;
use tests::snap::NOTIFY;
use tests::{Api, Credentials, Shop, Soundbox, World};
use wire::Channel;

use crate::view::state;

const REJECTED: &str = "SELECT count(*) FROM rejected_callbacks";

/// An unsigned callback of 16 KB with 8 KB of headers, in a partner's name.
async fn send_junk(api: &Api, path: &str) {
    let noise: Vec<String> = (0..30).map(|_| "n".repeat(250)).collect();
    let names: Vec<String> = (0..noise.len()).map(|n| format!("x-noise-{n}")).collect();
    let mut headers = vec![
        ("x-partner-id", "acme"),
        ("x-partner-signature", "00"),
        ("content-type", "application/json"),
    ];
    headers.extend(
        names
            .iter()
            .map(String::as_str)
            .zip(noise.iter().map(String::as_str)),
    );
    let body = vec![b'x'; 16_000];
    let answer = api.call(Method::POST, path, &headers, Some(body)).await;
    assert_eq!(answer.status, 401, "{answer}");
}

#[tokio::test]
async fn what_anybody_can_send_is_kept_in_small_and_within_a_budget_for_each_address() {
    let world = World::with(|config| {
        config.callbacks.rejected_per_address_per_minute_max = 6;
    })
    .await;
    let (loud, quiet) = (
        world.anonymous_from([127, 0, 0, 2]),
        world.anonymous_from([127, 0, 0, 3]),
    );
    for _ in 0..40 {
        for path in [PATH, bank::PATH, NOTIFY] {
            send_junk(&loud, path).await;
        }
    }
    // Its bucket holds six and fills with six a minute, for as long as these requests took.
    let kept = books::count(&world.pool, REJECTED).await;
    assert!((6..=30).contains(&kept), "{kept} of 120 are kept");
    send_junk(&quiet, PATH).await;
    let of_quiet = "SELECT count(*) FROM rejected_callbacks WHERE address = '127.0.0.3'";
    assert_eq!(books::count(&world.pool, of_quiet).await, 1);
    let large = "SELECT count(*) FROM rejected_callbacks
                 WHERE length(body) <> 2048 OR body_bytes <> 16000 OR length(headers::text) > 1024
                    OR headers ? 'x-partner-signature' OR claimed_partner_id <> 'acme'";
    assert_eq!(books::count(&world.pool, large).await, 0);
    assert_eq!(
        books::count(&world.pool, "SELECT count(*) FROM callbacks").await,
        0
    );
    let metrics = format!("http://{}/metrics", world.app().metrics_addr());
    let numbers = reqwest::get(metrics).await.unwrap().text().await.unwrap();
    assert!(
        numbers.contains("rejected_callbacks_dropped_total{budget=\"address\"}"),
        "{numbers}"
    );
}

#[tokio::test]
async fn all_addresses_together_have_a_budget_too() {
    let world = World::with(|config| {
        config.callbacks.rejected_per_minute_max = 6;
    })
    .await;
    for last in 2..60 {
        send_junk(&world.anonymous_from([127, 0, 0, last]), PATH).await;
    }
    let kept = books::count(&world.pool, REJECTED).await;
    assert!((6..=30).contains(&kept), "{kept} of 58 are kept");
}

#[tokio::test]
async fn a_box_that_sends_junk_has_a_budget_and_the_others_have_theirs() {
    let world = World::with(|config| {
        config.devices.rejected_uplinks_per_minute_max = 6;
    })
    .await;
    let mut loud = Soundbox::switch_on(&world, Credentials::unbound(&world).await).await;
    let mut quiet = Soundbox::switch_on(&world, Credentials::unbound(&world).await).await;
    for channel in [Channel::Heartbeat, Channel::PaymentAck, Channel::CommandAck] {
        for _ in 0..30 {
            let junk = vec![b'j'; 10_000];
            assert!(
                loud.say_raw(channel, junk).await,
                "acknowledged all the same"
            );
        }
    }
    assert!(quiet.say_raw(Channel::Status, b"{}".to_vec()).await);
    let of = |device: wire::DeviceId| {
        let pool = world.pool.clone();
        async move {
            sqlx::query_as::<_, (i64, i64)>(
                "SELECT count(*), coalesce(max(length(payload) + length(reason)), 0)::bigint
                 FROM rejected_uplinks WHERE device_id = $1",
            )
            .bind(device.as_uuid())
            .fetch_one(&pool)
            .await
            .unwrap()
        }
    };
    let (rows, bytes) = of(loud.credentials.device_id).await;
    assert!((6..=30).contains(&rows), "{rows} of 90 are kept");
    assert!(bytes <= 2048 + 256, "{bytes}");
    assert_eq!(of(quiet.credentials.device_id).await.0, 1);
}

#[tokio::test]
async fn what_was_received_is_listed_with_its_verdict_and_found_with_its_body() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.till().id).await;
    let acquirer = world.acquirer();
    let id = credentials.qr(&world, 50_000).await.transaction_id;
    let good = success(id, 50_000, &reference(), world.clock.now());
    let _ = acquirer.tell(&good).await.expect(200);
    let started = world.clock.now();
    world.later(1);
    // Proven, and too odd to be read; kept whole.
    let mut odd = good.clone();
    odd["status"] = json!("maybe");
    odd["note"] = json!("n".repeat(10_000));
    acquirer.tell(&odd).await.refused(422, "VALIDATION_FAILED");
    world.later(1);
    send_junk(&world.anonymous(), PATH).await;

    let support = world.staff(domain::role::Role::Support).await;
    let list = async |query: &str| -> Vec<Value> {
        let path = format!("/admin/callbacks{query}");
        let list = support.get(&path).await.expect(200).data();
        list.as_array().unwrap().clone()
    };
    let all = list("").await;
    let seen: Vec<_> = all
        .iter()
        .map(|one| {
            (
                text(one, "verdict"),
                one["partner_id"].clone(),
                one["http_status"].clone(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("rejected".to_owned(), Value::Null, json!(401)),
            ("rejected".to_owned(), json!("acme"), json!(422)),
            ("accepted".to_owned(), json!("acme"), json!(200)),
        ]
    );
    assert!(all[0]["reason"].is_string() && all[1]["reason"].is_string());
    assert_eq!(all[0]["claimed_partner_id"], "acme");
    assert_eq!(all[2]["transaction_id"], json!(id));
    // By verdict, by partner (also by who says so), by time, page by page.
    assert_eq!(list("?verdict=rejected").await, all[..2]);
    assert_eq!(list("?verdict=accepted&partner_id=acme").await, all[2..]);
    assert_eq!(list("?partner_id=acme").await, all);
    assert!(list("?partner_id=rival").await.is_empty());
    let moment = started.to_rfc3339().replace('+', "%2B");
    assert_eq!(list(&format!("?from={moment}")).await, all[..2]);
    assert_eq!(list(&format!("?to={moment}")).await, all[2..]);
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = support
            .get(&format!("/admin/callbacks?limit=1{cursor}"))
            .await;
        let page = answer.json();
        paged.extend(page["data"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, all);
    support
        .get("/admin/callbacks?verdict=perhaps")
        .await
        .refused(422, "VALIDATION_FAILED");

    let found = async |one: &Value| {
        let path = format!("/admin/callbacks/{}", text(one, "id"));
        support.get(&path).await.expect(200).data()
    };
    let paid = found(&all[2]).await;
    assert_eq!(paid["body"], good.to_string());
    assert_eq!(
        STANDARD.decode(text(&paid, "body_base64")).unwrap(),
        good.to_string().as_bytes()
    );
    assert_eq!(paid["headers"]["x-partner-id"], "acme");
    assert_eq!(paid["body_truncated"], false);
    assert_eq!(found(&all[1]).await["body"], odd.to_string());
    let junk = found(&all[0]).await;
    assert_eq!(text(&junk, "body").len(), 2048);
    assert_eq!(
        (&junk["body_truncated"], &junk["body_bytes"]),
        (&json!(true), &json!(16_000))
    );
    support
        .get("/admin/callbacks/cb_0190f3a1c0de7abc8def0123456789ab")
        .await
        .refused(404, "CALLBACK_NOT_FOUND");
}

#[tokio::test]
async fn bytes_go_by_the_day_and_what_became_of_money_stays() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.till().id).await;
    let id = credentials.sell(&world, 10_000).await;
    // Money without an owner, and an incident, which point at their callbacks.
    let stray = json!({
        "event_id": "e-1", "nmid": shop.nmid, "terminal_label": "T99", "partner_reference": "stray",
        "amount": 40_000, "currency": "IDR", "status": "success", "paid_at": world.clock.now(),
    });
    let _ = world.acquirer().tell(&stray).await.expect(200);
    let other = success(id, 20_000, &reference(), world.clock.now());
    let _ = world.acquirer().tell(&other).await;
    send_junk(&world.anonymous(), PATH).await;
    let mut soundbox = Soundbox::switch_on(&world, Credentials::unbound(&world).await).await;
    assert!(soundbox.say_raw(Channel::Heartbeat, b"junk".to_vec()).await);
    let retention = Retention {
        heartbeat_days: 30,
        callback_body_days: 100,
        rejected_callback_days: 14,
        rejected_uplink_days: 14,
    };
    let rows = async || {
        let maintained = world
            .within(move |context| async move { partition::maintain(&context, retention).await })
            .await;
        maintained.unwrap();
        let mut rows = Vec::new();
        for count in [
            REJECTED,
            "SELECT count(*) FROM rejected_uplinks",
            "SELECT count(*) FROM callback_bodies",
            "SELECT count(*) FROM callbacks",
        ] {
            rows.push(books::count(&world.pool, count).await);
        }
        rows
    };
    let day = 86_400;
    assert_eq!(rows().await, [1, 1, 3, 3]);
    world.later(14 * day);
    assert_eq!(rows().await, [1, 1, 3, 3]);
    world.later(day);
    assert_eq!(rows().await, [0, 0, 3, 3]);
    world.later(86 * day);
    assert_eq!(rows().await, [0, 0, 0, 3]);
    assert_eq!(
        books::count(&world.pool, "SELECT count(*) FROM unmatched_payments").await,
        1
    );
    let kept: String = sqlx::query_scalar(
        "SELECT 'cb_' || replace(id::text, '-', '') FROM callbacks WHERE verdict = 'accepted'",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    let shown = world
        .admin()
        .get(&format!("/admin/callbacks/{kept}"))
        .await
        .expect(200)
        .data();
    assert_eq!(
        (&shown["verdict"], &shown["body"], &shown["headers"]),
        (&json!("accepted"), &Value::Null, &Value::Null)
    );
    // A clock that jumps over all the partitions that were made ahead stops nobody.
    world.later(30 * day);
    let credentials = Credentials::at(&world, shop.till().id).await;
    let later = credentials.sell(&world, 10_000).await;
    assert_eq!(state(&world, later).await.0, "paid");
    send_junk(&world.anonymous(), PATH).await;
    assert_eq!(books::count(&world.pool, REJECTED).await, 1);
}
