//! Amounts near the limit of 64 bits, which only the owner of the database can write: those of one merchant never break an
//! answer about another, and sums are exact.

use chrono::TimeDelta;
use platform::config::Switch;
use service::money::settlement_run;
use tests::payout_partner::Behaviour;
use tests::prelude::*;

use crate::view::open_alert;

/// Two or three of them are beyond 64 bits.
const LARGE: i64 = 9_000_000_000_000_000_000;

/// Inserts a paid transaction with its posting.
async fn insert_sale(world: &World, shop: &Shop, amount: i64) {
    let paid_at = world.clock.now() - TimeDelta::seconds(1);
    let mut tx = world.pool.acquire().await.unwrap();
    let id: sqlx::types::Uuid = sqlx::query_scalar(
        "WITH sold AS (
             INSERT INTO transactions (id, merchant_id, outlet_id, terminal_id, qr_type, amount, currency, status, partner_id, created_at)
             VALUES (gen_random_uuid(), $1, $2, $3, 'static', $4, 'IDR', 'paid', 'acme', $5) RETURNING *)
         INSERT INTO payments (transaction_id, merchant_id, outlet_id, amount, fee, net, paid_at, accepted_at, fee_version, late,
             fee_profile_id, partner_id, partner_reference)
         SELECT id, merchant_id, outlet_id, amount, 0, amount, created_at, created_at, 1, false, 'fee_basic', partner_id, id::text
         FROM sold RETURNING transaction_id",
    )
    .bind(shop.merchant_id.as_uuid())
    .bind(shop.outlet_id.as_uuid())
    .bind(shop.terminal().id.as_uuid())
    .bind(amount)
    .bind(paid_at)
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO postings (posting_id, kind, merchant_id, partner_id, transaction_id, acquirer_held, payable_open, created_at)
         VALUES ($1, 'sale', $2, 'acme', $1, $3, -$3, $4)",
    )
    .bind(id)
    .bind(shop.merchant_id.as_uuid())
    .bind(amount)
    .bind(paid_at)
    .execute(&mut *tx)
    .await
    .unwrap();
}

/// A shop with sums beyond 64 bits, and one with usual sums.
async fn shops(world: &World) -> (Shop, Shop) {
    let large = Shop::open(world, "Toko Besar", 1).await;
    let usual = Shop::open(world, "Warung Sari", 1).await;
    for _ in 0..3 {
        insert_sale(world, &large, LARGE).await;
    }
    let device = Credentials::at(world, usual.terminal().id).await;
    device.sell(world, 100_000).await;
    world.later(1);
    (large, usual)
}

/// Compares text: a `Value` has no integers beyond 64 bits.
fn contains(answer: &tests::Answer, text: &str) -> bool {
    String::from_utf8_lossy(&answer.body).contains(text)
}

#[tokio::test]
async fn sums_beyond_64_bits_are_shown_exactly() {
    let world = World::new().await;
    let (large, usual) = shops(&world).await;
    let finance = world.staff(Role::Finance).await;
    let all = finance.get("/admin/ledger/trial-balance").await.expect(200);
    assert!(contains(&all, "\"debit\":27000000000000100000"), "{all}");
    assert_eq!(all.data()["balanced"], true);
    let path = "/admin/ledger/trial-balance?merchant_id=";
    let own = finance.read(&format!("{path}{}", usual.merchant_id)).await;
    assert_eq!(own["debit"], 100_000);

    let summary = async |shop: &Shop| {
        let owner = world.owner(shop.merchant_id).await;
        owner.get("/merchant/dashboard/summary").await.expect(200)
    };
    let seen = summary(&large).await;
    assert!(contains(&seen, "\"gross\":27000000000000000000"), "{seen}");
    let seen = summary(&usual).await;
    assert_eq!(seen.data()["last_7_days"]["gross"], 100_000);
    for path in ["/admin/transactions", "/admin/ledger-entries"] {
        finance.read(path).await;
    }
    tests::ledger::must_verify(&world).await;
}

#[tokio::test]
async fn a_merchant_whose_sum_cannot_be_settled_is_skipped_and_the_others_are_settled() {
    let partner = PayoutPartner::open(Behaviour::Accepts).await;
    let world = World::with(|config| {
        partner.configure_callbacks_only(config);
        config.money.daily_run = Switch::On;
        config.money.daily_run_after_min = 0;
    })
    .await;
    let (large, usual) = shops(&world).await;
    let finance = world.staff(Role::Finance).await;
    let run = "/admin/settlements/run";
    let skipped = json!([{ "merchant_id": large.merchant_id, "code": "INVALID_AMOUNT" }]);
    let made = finance.post_once(run, &json!({})).await.expect(200).data();
    assert_eq!(made["settlements"].as_array().unwrap().len(), 1);
    assert_eq!(made["skipped"], skipped);
    let id = made["settlements"][0].as_str().unwrap();
    let settlement = finance.read(&format!("/admin/settlements/{id}")).await;
    assert_eq!(settlement["merchant_id"], json!(usual.merchant_id));
    let alert = open_alert(&world, "failed_item").await;
    assert_fields!(alert, { "subject": large.merchant_id, "details/job": "settlement_run" });

    // Run for it alone, it is skipped as well, and nothing of it is claimed.
    let alone = json!({ "merchant_id": large.merchant_id });
    let made = finance.post_once(run, &alone).await.expect(200).data();
    assert_eq!(made["skipped"], skipped);
    let claimed = "payments WHERE amount > 1000000000 AND settlement_id IS NOT NULL";
    assert_eq!(world.rows(claimed).await, 0);

    // The daily run settles the others as well.
    let device = Credentials::at(&world, usual.terminal().id).await;
    device.sell(&world, 50_000).await;
    world.clock.advance(TimeDelta::days(1));
    settlement_run::daily(world.app().context()).await.unwrap();
    assert_eq!(world.rows("settlements").await, 2);
    let finished = "settlement_runs WHERE finished_at IS NOT NULL AND skipped = 1";
    assert!(world.rows(finished).await >= 1);
    tests::ledger::must_verify(&world).await;
}
