//! Permissions of roles over HTTP.

use chrono::TimeDelta;
use tests::prelude::*;

#[tokio::test]
async fn no_access_without_a_token() {
    let world = World::new().await;
    let anonymous = world.anonymous();
    for path in [
        "/admin/merchants",
        "/admin/outlets",
        "/admin/terminals",
        "/admin/devices",
        "/admin/transactions",
    ] {
        for api in [anonymous.clone(), anonymous.with_token("sbt_nonsense")] {
            api.get(path).await.refused(UNAUTHENTICATED);
        }
    }
    // The caller is checked before the request.
    for (path, body) in [
        ("/admin/merchants", json!("nonsense")),
        ("/admin/seed", json!({})),
    ] {
        assert_refused!(anonymous.post(path, &body), UNAUTHENTICATED);
    }
    assert_refused!(anonymous.get("/admin/devices/nonsense"), UNAUTHENTICATED);
    assert_eq!(anonymous.get("/nowhere").await.refusal().0, 404);
    let wrong_method = anonymous.patch("/admin/merchants", &json!({})).await;
    assert_eq!(wrong_method.refusal().0, 405);
}

#[tokio::test]
async fn every_role_does_its_own_work() {
    let (world, shop) = fixture::shop().await;
    let owner = world.owner(shop.merchant_id).await;
    let ops = world.staff(Role::Ops).await;
    let finance = world.staff(Role::Finance).await;
    let support = world.staff(Role::Support).await;
    let device = json!({ "serial_number": "SN-1", "model": "SB-1", "capabilities": ["speaker"] });
    for api in [&finance, &support, &owner] {
        api.post("/admin/devices", &device).await.refused(FORBIDDEN);
    }
    ops.create("/admin/devices", &device).await;

    for api in [&ops, &owner] {
        api.get("/admin/transactions").await.refused(FORBIDDEN);
    }
    for api in [&finance, &support] {
        api.read("/admin/transactions").await;
    }
    for api in [&ops, &finance, &support, &owner] {
        api.post("/admin/seed", &json!({})).await.refused(FORBIDDEN);
    }
    finance.get("/admin/devices").await.refused(FORBIDDEN);
    support.read("/admin/devices").await;
    owner.get("/admin/merchants").await.refused(FORBIDDEN);
    // A box has no access here.
    let credentials = Credentials::at(&world, shop.terminal().id).await;
    let answer = credentials.api(&world).get("/admin/devices").await;
    assert!([401, 403].contains(&answer.refusal().0));
}

#[tokio::test]
async fn a_token_ends() {
    let world = World::new().await;
    let minute = TimeDelta::minutes(1);
    let token = world.token_for(Role::Ops, None, minute).await;
    let ops = world.anonymous().with_token(&token);
    ops.read("/admin/devices").await;
    world.later(61);
    ops.get("/admin/devices").await.refused(UNAUTHENTICATED);
}

#[tokio::test]
async fn every_change_is_in_the_audit_log() {
    let (world, shop) = fixture::shop().await;
    Credentials::at(&world, shop.terminal().id).await;
    let actions = "SELECT action FROM audit_logs WHERE action <> 'token.create' ORDER BY id";
    let actions: Vec<String> = world.values(actions).await;
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
    let secrets =
        "audit_logs WHERE before::text ~ '(sbt|sbd)_' OR after::text ~ '(sbt|sbd)_|PRIVATE'";
    assert_eq!(world.rows(secrets).await, 0);
}
