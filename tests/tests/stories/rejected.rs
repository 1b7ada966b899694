//! Unauthenticated callbacks and rejected uplinks are kept cut, within a budget, and for some days; verified ones are found.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use service::partition::{self, Retention};
use tests::acquirer::PATH;
use tests::payout_partner;
use tests::prelude::*;
use tests::snap::NOTIFY;
use wire::Channel;

use crate::view::state;

const REJECTED: &str = "rejected_callbacks";

/// An unsigned callback of 16 KB with 8 KB of headers, in a partner's name.
async fn send_junk(api: &Api, path: &str) {
    let noise: Vec<String> = (0..30).map(|_| "n".repeat(250)).collect();
    let names: Vec<String> = (0..noise.len()).map(|n| format!("x-noise-{n}")).collect();
    let mut headers = vec![
        ("x-partner-id", "acme"),
        ("x-partner-signature", "00"),
        ("content-type", "application/json"),
    ];
    let noise = names.iter().zip(&noise);
    headers.extend(noise.map(|(name, value)| (name.as_str(), value.as_str())));
    let body = vec![b'x'; 16_000];
    let answer = api.call(Method::POST, path, &headers, Some(body)).await;
    assert_eq!(answer.status, 401, "{answer}");
}

#[tokio::test]
async fn unauthenticated_callbacks_are_kept_cut_and_within_a_budget_for_each_address() {
    let world = World::with(|config| {
        config.callbacks.rejected_per_address_per_minute_max = 6;
    })
    .await;
    let loud = world.anonymous_from([127, 0, 0, 2]);
    let quiet = world.anonymous_from([127, 0, 0, 3]);
    for _ in 0..40 {
        for path in [PATH, payout_partner::PATH, NOTIFY] {
            send_junk(&loud, path).await;
        }
    }
    // Its budget is six and refills with six a minute, for as long as these requests took.
    let kept = world.rows(REJECTED).await;
    assert!((6..=30).contains(&kept), "{kept} of 120 are kept");
    send_junk(&quiet, PATH).await;
    let of_quiet = "rejected_callbacks WHERE address = '127.0.0.3'";
    assert_eq!(world.rows(of_quiet).await, 1);
    let large = "rejected_callbacks
                 WHERE length(body) <> 2048 OR body_bytes <> 16000 OR length(headers::text) > 1024
                    OR headers ? 'x-partner-signature' OR claimed_partner_id <> 'acme'";
    assert_eq!(world.rows(large).await, 0);
    assert_eq!(world.rows("callbacks").await, 0);
    let numbers = world.metrics().await;
    let dropped = "rejected_callbacks_dropped_total{budget=\"address\"}";
    assert!(numbers.contains(dropped), "{numbers}");
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
    let kept = world.rows(REJECTED).await;
    assert!((6..=30).contains(&kept), "{kept} of 58 are kept");
}

#[tokio::test]
async fn a_box_that_sends_junk_has_a_budget_and_the_others_have_theirs() {
    let world = World::with(|config| {
        config.devices.rejected_uplinks_per_minute_max = 6;
    })
    .await;
    let mut loud = Soundbox::unbound(&world).await;
    let mut quiet = Soundbox::unbound(&world).await;
    for channel in [Channel::Heartbeat, Channel::PaymentAck, Channel::CommandAck] {
        for _ in 0..30 {
            // Acknowledged all the same.
            assert!(loud.send_raw(channel, vec![b'j'; 10_000]).await);
        }
    }
    assert!(quiet.send_raw(Channel::Status, b"{}".to_vec()).await);
    let of = |soundbox: &Soundbox| {
        let id = soundbox.credentials.device_id.as_uuid();
        format!("rejected_uplinks WHERE device_id = '{id}'")
    };
    let rows = world.rows(&of(&loud)).await;
    assert!((6..=30).contains(&rows), "{rows} of 90 are kept");
    let long = format!(
        "{} AND length(payload) + length(reason) > 2048 + 256",
        of(&loud)
    );
    assert_eq!(world.rows(&long).await, 0);
    assert_eq!(world.rows(&of(&quiet)).await, 1);
}

#[tokio::test]
async fn what_was_received_is_listed_with_its_verdict_and_found_with_its_body() {
    let (world, _, credentials) = fixture::device().await;
    let acquirer = world.acquirer();
    let id = credentials.qr(&world, 50_000).await.transaction_id;
    let good = success(id, 50_000, &reference(), world.clock.now());
    let _ = acquirer.send(&good).await.expect(200);
    let started = world.clock.now();
    world.later(1);
    // Verified and unreadable: kept whole.
    let mut odd = good.clone();
    odd["status"] = json!("maybe");
    odd["note"] = json!("n".repeat(10_000));
    acquirer.send(&odd).await.refused(VALIDATION_FAILED);
    world.later(1);
    send_junk(&world.anonymous(), PATH).await;

    let support = world.staff(Role::Support).await;
    let list = async |query: &str| -> Vec<Value> {
        let path = format!("/admin/callbacks{query}");
        support.list(&path).await
    };
    let all = list("").await;
    assert_eq!(all.len(), 3);
    assert_fields!(all[0], { "verdict": "rejected", "partner_id": null, "http_status": 401 });
    assert_fields!(all[1], { "verdict": "rejected", "partner_id": "acme", "http_status": 422 });
    assert_fields!(all[2], { "verdict": "accepted", "partner_id": "acme", "http_status": 200 });
    assert!(all[0]["reason"].is_string() && all[1]["reason"].is_string());
    assert_eq!(all[0]["claimed_partner_id"], "acme");
    assert_eq!(all[2]["transaction_id"], json!(id));
    // By verdict, by partner (also a claimed one), by time, page by page.
    assert_eq!(list("?verdict=rejected").await, all[..2]);
    assert_eq!(list("?verdict=accepted&partner_id=acme").await, all[2..]);
    assert_eq!(list("?partner_id=acme").await, all);
    assert!(list("?partner_id=rival").await.is_empty());
    let moment = started.to_rfc3339().replace('+', "%2B");
    assert_eq!(list(&format!("?from={moment}")).await, all[..2]);
    assert_eq!(list(&format!("?to={moment}")).await, all[2..]);
    let paged = support.pages("/admin/callbacks?limit=1").await;
    assert_eq!(paged, all);
    support
        .get("/admin/callbacks?verdict=perhaps")
        .await
        .refused(VALIDATION_FAILED);

    let found = async |one: &Value| {
        let path = format!("/admin/callbacks/{}", text(one, "id"));
        support.read(&path).await
    };
    let paid = found(&all[2]).await;
    assert_eq!(paid["body"], good.to_string());
    let bytes = STANDARD.decode(text(&paid, "body_base64")).unwrap();
    assert_eq!(bytes, good.to_string().as_bytes());
    assert_eq!(paid["headers"]["x-partner-id"], "acme");
    assert_eq!(paid["body_truncated"], false);
    assert_eq!(found(&all[1]).await["body"], odd.to_string());
    let junk = found(&all[0]).await;
    assert_eq!(text(&junk, "body").len(), 2048);
    assert_fields!(junk, { "body_truncated": true, "body_bytes": 16_000 });
    let unknown = "/admin/callbacks/cb_0190f3a1c0de7abc8def0123456789ab";
    assert_refused!(support.get(unknown), CALLBACK_NOT_FOUND);
}

#[tokio::test]
async fn bytes_go_by_the_day_and_what_became_of_money_stays() {
    let (world, shop, credentials) = fixture::device().await;
    let id = credentials.sell(&world, 10_000).await;
    // Unmatched money, and an incident, which refer to their callbacks.
    let mut stray = shop.printed_payment(&world, 40_000);
    stray["terminal_label"] = json!("T99");
    let _ = world.acquirer().send(&stray).await.expect(200);
    let other = success(id, 20_000, &reference(), world.clock.now());
    let _ = world.acquirer().send(&other).await;
    send_junk(&world.anonymous(), PATH).await;
    let mut soundbox = Soundbox::unbound(&world).await;
    let junk = b"junk".to_vec();
    assert!(soundbox.send_raw(Channel::Heartbeat, junk).await);
    let retention = Retention {
        heartbeat_days: 30,
        callback_body_days: 100,
        rejected_callback_days: 14,
        rejected_uplink_days: 14,
    };
    let rows = async || {
        let context = world.app().context();
        partition::maintain(context, retention).await.unwrap();
        let mut rows = Vec::new();
        for table in [REJECTED, "rejected_uplinks", "callback_bodies", "callbacks"] {
            rows.push(world.rows(table).await);
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
    assert_eq!(world.rows("unmatched_payments").await, 1);
    let kept = "SELECT '/admin/callbacks/cb_' || replace(id::text, '-', '') FROM callbacks WHERE verdict = 'accepted'";
    let kept: String = world.value(kept).await;
    let shown = world.admin().read(&kept).await;
    assert_fields!(shown, { "verdict": "accepted", "body": null, "headers": null });
    // A clock that jumps past all partitions that were made ahead stops nothing.
    world.later(30 * day);
    let credentials = Credentials::at(&world, shop.terminal().id).await;
    let later = credentials.sell(&world, 10_000).await;
    assert_eq!(state(&world, later).await.0, "paid");
    send_junk(&world.anonymous(), PATH).await;
    assert_eq!(world.rows(REJECTED).await, 1);
}
