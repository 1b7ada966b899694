//! Jobs over many rows: one that cannot be processed gets a reason and an alert, and the others are processed.

use service::housekeeping;
use service::money::payout;
use service::payment::transaction;
use service::people::audit;
use tests::failing_rows::{allow_writes, fail_writes};
use tests::payout_partner::Behaviour;
use tests::prelude::*;

use crate::view::open_alerts;

async fn failed_items(world: &World, job: &str) -> Vec<Value> {
    let mut alerts = open_alerts(world, "failed_item").await;
    alerts.retain(|alert| alert["details"]["job"] == job);
    alerts
}

/// Two shops that are owed money, and the settlements of both, in this order.
async fn settled(world: &World) -> Vec<(Shop, String)> {
    let mut shops = Vec::new();
    for name in ["Warung Sari", "Kopi Fajar"] {
        let shop = Shop::open(world, name, 1).await;
        let device = Credentials::at(world, shop.terminal().id).await;
        device.sell(world, 100_000).await;
        shops.push(shop);
    }
    world.later(1);
    let finance = world.staff(Role::Finance).await;
    let mut settled = Vec::new();
    for shop in shops {
        let alone = json!({ "merchant_id": shop.merchant_id });
        let run = finance.post_once("/admin/settlements/run", &alone).await;
        let made = run.expect(200).data();
        let id = made["settlements"][0].as_str().unwrap();
        settled.push((shop, id.to_owned()));
    }
    settled
}

/// Runs the settlements: how many were made, and the merchants that were skipped.
async fn run(finance: &Api) -> (usize, Value) {
    let run = finance
        .post_once("/admin/settlements/run", &json!({}))
        .await;
    let made = run.expect(200).data();
    let count = made["settlements"].as_array().unwrap().len();
    (count, made["skipped"].clone())
}

async fn status(world: &World, id: &str) -> Value {
    let path = format!("/admin/settlements/{id}");
    world.admin().read(&path).await
}

#[tokio::test]
async fn a_payout_that_cannot_be_worked_on_keeps_no_other_waiting() {
    let partner = PayoutPartner::open(Behaviour::Pays).await;
    let mut world = World::with(|_| {}).await;
    let settled = settled(&world).await;
    // The first settlement cannot get a payout.
    let condition = format!("NEW.merchant_id = '{}'", settled[0].0.merchant_id.as_uuid());
    fail_writes(&world.pool, "payouts", "INSERT", &condition).await;
    world.stop().await;
    world.reconfigure(|config| partner.configure(config));
    world.start().await;
    let (bad, good) = (&settled[0].1, &settled[1].1);
    let paid = async |id: &str| {
        eventually("it is paid", || async {
            world.later(1);
            let settlement = status(&world, id).await;
            (settlement["status"] == "paid").then_some(settlement)
        })
        .await
    };
    paid(good).await;
    let alerts = failed_items(&world, "payouts").await;
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0]["subject"], json!(bad));
    assert_eq!(status(&world, bad).await["status"], "pending");
    allow_writes(&world.pool, "payouts").await;
    paid(bad).await;
    tests::ledger::must_verify(&world).await;
}

#[tokio::test]
async fn a_payout_that_cannot_be_booked_has_a_reason_and_the_others_are_paid() {
    let partner = PayoutPartner::open(Behaviour::Pays).await;
    let world = World::with(|config| partner.configure(config)).await;
    let first = Shop::open(&world, "Warung Sari", 1).await;
    let id = first.merchant_id.as_uuid();
    let condition = format!("NEW.kind = 'payout_sent' AND NEW.merchant_id = '{id}'");
    fail_writes(&world.pool, "postings", "INSERT", &condition).await;
    let second = Shop::open(&world, "Kopi Fajar", 1).await;
    for shop in [&first, &second] {
        let device = Credentials::at(&world, shop.terminal().id).await;
        device.sell(&world, 100_000).await;
    }
    world.later(1);
    let finance = world.staff(Role::Finance).await;
    assert_eq!(run(&finance).await.0, 2);
    let of = async |shop: &Shop| {
        let path = format!("/admin/settlements?merchant_id={}", shop.merchant_id);
        finance.read(&path).await[0].take()
    };
    let failed = eventually("one has a reason, the other is paid", || async {
        world.later(1);
        payout::work(world.app().context(), 1_000).await.unwrap();
        let (one, other) = (of(&first).await, of(&second).await);
        let has_reason = one["payouts"][0]["reason"].is_string();
        (has_reason && other["status"] == "paid").then_some(one)
    })
    .await;
    let reason = "it could not be worked on: INTERNAL";
    assert_fields!(failed, { "status": "pending", "payouts/0/reason": reason });
    let alerts = failed_items(&world, "payouts").await;
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0]["subject"], failed["id"]);
    allow_writes(&world.pool, "postings").await;
    eventually("it is paid after all", || async {
        world.later(10);
        (of(&first).await["status"] == "paid").then_some(())
    })
    .await;
    assert_eq!(partner.transfers().len(), 2);
    tests::ledger::must_verify(&world).await;
}

#[tokio::test]
async fn a_merchant_that_cannot_be_settled_is_skipped_with_an_alert() {
    let world = World::new().await;
    let first = Shop::open(&world, "Warung Sari", 1).await;
    let second = Shop::open(&world, "Kopi Fajar", 1).await;
    for shop in [&first, &second] {
        let device = Credentials::at(&world, shop.terminal().id).await;
        device.sell(&world, 100_000).await;
    }
    world.later(1);
    let condition = format!("NEW.merchant_id = '{}'", first.merchant_id.as_uuid());
    fail_writes(&world.pool, "settlements", "INSERT", &condition).await;
    let finance = world.staff(Role::Finance).await;
    let skipped = json!([{ "merchant_id": first.merchant_id, "code": "INTERNAL" }]);
    assert_eq!(run(&finance).await, (1, skipped));
    let alerts = failed_items(&world, "settlement_run").await;
    assert_eq!(alerts[0]["subject"], json!(first.merchant_id));
    allow_writes(&world.pool, "settlements").await;
    assert_eq!(run(&finance).await.0, 1);
    tests::ledger::must_verify(&world).await;
}

#[tokio::test]
async fn a_transaction_that_cannot_be_expired_keeps_no_other_open() {
    let (world, _, device) = fixture::device().await;
    let mut codes = Vec::new();
    for amount in [1_000, 2_000, 3_000] {
        codes.push(device.qr(&world, amount).await.transaction_id);
    }
    let condition = format!("NEW.id = '{}'", codes[0].as_uuid());
    fail_writes(&world.pool, "transactions", "UPDATE", &condition).await;
    world.later(301);
    let expire = async || transaction::expire_overdue(world.app().context(), 2).await;
    expire().await.unwrap();
    let expired = "transactions WHERE status = 'expired'";
    world.wait_for_rows(expired, 2).await;
    // The platform's own run of the job may have been first, and opens the alert after it has expired the others.
    let alert = eventually("an alert is open", || async {
        let mut alerts = failed_items(&world, "expire_transactions").await;
        assert!(alerts.len() <= 1);
        alerts.pop()
    })
    .await;
    assert_eq!(alert["subject"], json!(codes[0]));
    allow_writes(&world.pool, "transactions").await;
    expire().await.unwrap();
    world.wait_for_rows(expired, 3).await;
}

#[tokio::test]
async fn an_audit_row_that_cannot_be_sealed_waits_and_the_others_are_sealed() {
    let (world, shop) = fixture::shop().await;
    let context = world.app().context();
    let sealed = async |left: i64| {
        eventually("they are sealed", || async {
            audit::seal(context, 2).await.unwrap();
            (world.rows("audit_waiting").await == left).then_some(())
        })
        .await;
    };
    sealed(0).await;
    let next = "SELECT coalesce(max(id), 0) + 1 FROM audit_logs";
    let next = world.number(next).await;
    let condition = format!("NEW.audit_id = {next}");
    fail_writes(&world.pool, "audit_seals", "INSERT", &condition).await;
    for city in ["BOGOR", "DEPOK", "TANGERANG"] {
        shop.change(&world, json!({ "city": city })).await;
    }
    sealed(1).await;
    let alerts = failed_items(&world, "seal_audit").await;
    assert_eq!(alerts[0]["details"]["audit_id"], json!(next));
    allow_writes(&world.pool, "audit_seals").await;
    sealed(0).await;
    let report = audit::verify(context, None).await.unwrap();
    assert_eq!(report.findings, Vec::<String>::new());
}

#[tokio::test]
async fn what_cannot_be_forgotten_keeps_nothing_else() {
    let (world, shop) = fixture::shop().await;
    let key = [("idempotency-key", "forgotten")];
    let outlets = format!("/admin/merchants/{}/outlets", shop.merchant_id);
    let outlet = json!({ "name": "Cabang" });
    let made = world.admin().post_with(&outlets, &key, &outlet).await;
    let _ = made.expect(201);
    world.execute("INSERT INTO reconciliations (id, partner_id, period_from, period_to, status, created_by, created_at)
         VALUES (gen_random_uuid(), 'acme', now() - interval '9 days', now(), 'loading', 'test', now() - interval '9 days')").await;
    fail_writes(&world.pool, "idempotency_keys", "DELETE", "true").await;
    world.later(25 * 3600);
    let forget = async || housekeeping::forget_expired(world.app().context(), 1_000).await;
    forget().await.unwrap();
    assert_eq!(world.rows("reconciliations").await, 0);
    let alerts = failed_items(&world, "housekeeping").await;
    assert_fields!(alerts[0], { "subject": "platform", "details/table": "idempotency_keys" });
    allow_writes(&world.pool, "idempotency_keys").await;
    forget().await.unwrap();
    let left = "idempotency_keys WHERE key = 'forgotten'";
    assert_eq!(world.rows(left).await, 0);
}
