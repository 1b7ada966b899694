//! Who may do what, over HTTP.

use chrono::TimeDelta;
use domain::role::Role;
use serde_json::json;
use tests::{Credentials, Shop, World};

#[tokio::test]
async fn nobody_gets_in_without_a_token() {
    let world = World::new().await;
    let stranger = world.anonymous();
    for path in [
        "/admin/merchants",
        "/admin/outlets",
        "/admin/terminals",
        "/admin/devices",
        "/admin/transactions",
    ] {
        stranger.get(path).await.refused(401, "UNAUTHENTICATED");
        stranger
            .with_token("sbt_nonsense")
            .get(path)
            .await
            .refused(401, "UNAUTHENTICATED");
    }
    // Who asks comes before what is asked.
    stranger
        .post("/admin/merchants", &json!("nonsense"))
        .await
        .refused(401, "UNAUTHENTICATED");
    stranger
        .get("/admin/devices/nonsense")
        .await
        .refused(401, "UNAUTHENTICATED");
    stranger
        .post("/admin/seed", &json!({}))
        .await
        .refused(401, "UNAUTHENTICATED");
    let (status, _) = stranger.get("/nowhere").await.refusal();
    assert_eq!(status, 404);
    let (status, _) = stranger
        .patch("/admin/merchants", &json!({}))
        .await
        .refusal();
    assert_eq!(status, 405);
}

#[tokio::test]
async fn every_role_does_its_own_work() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let owner = world
        .token_for(
            Role::MerchantOwner,
            Some(shop.merchant_id),
            TimeDelta::hours(1),
        )
        .await;
    let owner = world.anonymous().with_token(&owner);
    let (ops, finance, support) = (
        world.staff(Role::Ops).await,
        world.staff(Role::Finance).await,
        world.staff(Role::Support).await,
    );
    let device = json!({ "serial_number": "SN-1", "model": "SB-1", "capabilities": ["speaker"] });
    for api in [&finance, &support, &owner] {
        api.post("/admin/devices", &device)
            .await
            .refused(403, "FORBIDDEN");
    }
    let _ = ops.post("/admin/devices", &device).await.expect(201);

    for api in [&ops, &owner] {
        api.get("/admin/transactions")
            .await
            .refused(403, "FORBIDDEN");
    }
    for api in [&finance, &support] {
        let _ = api.get("/admin/transactions").await.expect(200);
    }
    for api in [&ops, &finance, &support, &owner] {
        api.post("/admin/seed", &json!({}))
            .await
            .refused(403, "FORBIDDEN");
    }
    finance
        .get("/admin/devices")
        .await
        .refused(403, "FORBIDDEN");
    let _ = support.get("/admin/devices").await.expect(200);
    owner
        .get("/admin/merchants")
        .await
        .refused(403, "FORBIDDEN");
    // A box is nobody here.
    let credentials = Credentials::at(&world, shop.till().id).await;
    let (status, _) = credentials
        .api(&world)
        .get("/admin/devices")
        .await
        .refusal();
    assert!([401, 403].contains(&status));
}

#[tokio::test]
async fn a_token_ends() {
    let world = World::new().await;
    let token = world
        .token_for(Role::Ops, None, TimeDelta::minutes(1))
        .await;
    let ops = world.anonymous().with_token(&token);
    let _ = ops.get("/admin/devices").await.expect(200);
    world.later(61);
    ops.get("/admin/devices")
        .await
        .refused(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn every_change_is_in_the_audit_log() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    Credentials::at(&world, shop.till().id).await;
    let actions: Vec<String> = sqlx::query_scalar(
        "SELECT action FROM audit_logs WHERE action <> 'token.create' ORDER BY id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let expected = [
        "merchant.create",
        "merchant.approve",
        "outlet.create",
        "terminal.create",
        "device.create",
        "device.bind",
        "device.activate",
    ];
    assert_eq!(actions, expected);
    let secrets: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_logs WHERE before::text ~ '(sbt|sbd)_' OR after::text ~ '(sbt|sbd)_' OR after::text ~ 'PRIVATE'")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(secrets, 0);
}
