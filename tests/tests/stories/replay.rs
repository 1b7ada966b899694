//! Acquirers' messages that were refused: seen by who looks after them, and run again once the configuration is mended.

use domain::dialect::status::Meaning;
use service::Actor;
use service::payment::callback::replay::{self, Replayed};
use tests::dialects::{self, PARTNER, callback, post};
use tests::prelude::*;
use wire::CallbackId;

use crate::view::state;

async fn replay(world: &World, id: CallbackId) -> service::Result<Replayed> {
    world
        .within(|context| async move { replay::replay(&context, id, Actor::system()).await })
        .await
}

/// The id of the one message with this verdict.
async fn kept(world: &World, verdict: &str) -> CallbackId {
    let rows = world
        .admin()
        .list(&format!("/admin/callbacks?verdict={verdict}"))
        .await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0]["id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_held_message_is_paid_once_the_code_has_a_meaning_and_never_twice() {
    let (mut world, speaker) = dialects::world("manjo").await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.terminal().id).await;
    let id = credentials.qr(&world, 50_000).await.transaction_id;
    // A code that its table does not have.
    let odd = speaker
        .message(&callback(&world, id, 50_000, "r-1", "reversed"))
        .await;
    assert_eq!(post(&world, &odd).await.status, 200);
    let held = kept(&world, "held").await;
    assert_eq!(replay(&world, held).await.unwrap().verdict, "held");

    world.stop().await;
    world.reconfigure(|config| {
        let partner = config.qris_partners.get_mut(PARTNER).unwrap();
        partner.statuses.insert("07".to_owned(), Meaning::Success);
    });
    world.start().await;
    let replayed = replay(&world, held).await.unwrap();
    assert_eq!(
        (replayed.verdict, replayed.transaction_id),
        ("accepted", Some(id))
    );
    assert_eq!(state(&world, id).await.0, "paid");
    let before = Snapshot::take(&world.pool).await;
    assert_eq!(replay(&world, held).await.unwrap().verdict, "duplicate");
    let changes = before.changes(&world.pool).await;
    assert!(
        !changes.contains_key("payments") && !changes.contains_key("notifications"),
        "{changes:?}"
    );
    assert_eq!(
        world
            .rows("audit_logs WHERE action = 'callback.replay'")
            .await,
        3
    );
    // What had its effect is not run again.
    let accepted = kept(&world, "accepted").await;
    let error = replay(&world, accepted).await.unwrap_err().to_string();
    assert!(error.contains("had its effect"), "{error}");
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn what_was_never_verified_is_not_run_again() {
    let (world, speaker) = dialects::world("yokke").await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.terminal().id).await;
    let id = credentials.qr(&world, 50_000).await.transaction_id;
    let mut forged = speaker
        .message(&callback(&world, id, 50_000, "r-1", "success"))
        .await;
    forged.body = String::from_utf8(forged.body)
        .unwrap()
        .replace("50000", "1")
        .into_bytes();
    assert_eq!(post(&world, &forged).await.status, 401);
    let rejected = kept(&world, "rejected").await;
    let error = replay(&world, rejected).await.unwrap_err().to_string();
    assert!(error.contains("never right"), "{error}");
    assert_eq!(state(&world, id).await.0, "awaiting_payment");
}

#[tokio::test]
async fn who_looks_after_acquirers_sees_how_each_does() {
    let (world, speaker) = dialects::world("yokke").await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.terminal().id).await;
    let id = credentials.qr(&world, 50_000).await.transaction_id;
    let paid = speaker
        .message(&callback(&world, id, 50_000, "r-1", "success"))
        .await;
    let mut forged = paid.clone();
    forged.body.push(b'x');
    post(&world, &forged).await;
    assert_eq!(post(&world, &paid).await.status, 200);
    let admin = world.admin();
    let all = admin.list("/admin/partners").await;
    let ids: Vec<_> = all.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"acme") && ids.contains(&PARTNER), "{ids:?}");
    let bank = admin.read(&format!("/admin/partners/{PARTNER}")).await;
    assert_fields!(bank, { "dialect": "yokke", "circuit": Value::Null });
    assert_eq!(bank["last_callback"]["verdict"], "accepted");
    assert_eq!(bank["paths"], json!(["/qr/qr-mpm-notify"]));
    assert_eq!(bank["signatures"], json!(["snap_symmetric_without_token"]));
    let refused = &bank["refused"][0];
    assert_eq!(
        (&refused["count"], &refused["verified"]),
        (&json!(1), &json!(false))
    );
    assert!(bank["clock_ahead_s"].as_i64().unwrap().abs() <= 5);
    assert_eq!(bank["unconfirmed_statuses"].as_array().unwrap().len(), 4);
    admin
        .get("/admin/partners/nobody")
        .await
        .refused((404, "PARTNER_NOT_FOUND"));
}
