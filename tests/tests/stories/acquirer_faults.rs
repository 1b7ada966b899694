//! An acquirer whose API fails in every way: nobody is paid twice, and nothing is lost. `ACQUIRER_FAULTS_SEED` repeats a run.

use std::collections::HashMap;
use std::time::Duration;

use device_sim::api_faults::ApiFaultRates;
use device_sim::callback_faults::CallbackFaults;
use device_sim::issuer_orders::{Order, Status};
use futures_util::StreamExt as _;
use futures_util::stream;
use service::payment::{partner_order, refund};
use tests::issuing_acquirer::{Customers, IssuingAcquirer, world_with};
use tests::prelude::*;
use tests::snap_partner_api::terminal;

/// How many codes are asked for.
const CODES: i64 = 40;
/// How many are asked for at once.
const AT_ONCE: usize = 4;

const RATES: ApiFaultRates = ApiFaultRates {
    api_silent: 4,
    api_broken: 8,
    api_garbage: 8,
    api_refused: 8,
    api_late: 15,
    api_late_ms_max: 150,
    api_bad_code: 10,
    api_duplicate: 10,
};

fn seed() -> u64 {
    let seed = std::env::var("ACQUIRER_FAULTS_SEED").ok();
    let seed = seed.map_or_else(rand::random, |seed| seed.parse().unwrap());
    println!("ACQUIRER_FAULTS_SEED={seed}");
    seed
}

/// Asks for codes until each is shown or refused for good.
async fn ask_for_codes(world: &World, credentials: &Credentials) {
    let ask = |number: i64| async move {
        let request = format!("r{number}");
        let amount = 10_000 + number;
        let wanted = json!({ "amount": amount, "currency": "IDR", "request_id": request });
        for _ in 0..4 {
            let answer = credentials.ask_qr(world, &request, &wanted).await;
            match answer.status {
                201 => {
                    let code = text(&answer.json(), "qr_payload");
                    let code: domain::qris::QrisCode = code.parse().unwrap();
                    assert_eq!(code.amount(), Some(amount.into()));
                    return;
                }
                504 => {}
                409 => return,
                _ => panic!("{answer}"),
            }
        }
    };
    stream::iter(0..CODES)
        .for_each_concurrent(AT_ONCE, ask)
        .await;
}

/// Asks the acquirer about what is not known, until all that customers paid is. Time passes slowly, because some questions
/// of before are still waited for, and an order is asked about for ten minutes after its end. An order whose code never came
/// here is not asked about: nobody has seen its code, though these customers pay it. Its callback counts all the same.
async fn all_is_known(world: &World, acquirer: &IssuingAcquirer) {
    eventually("every payment of the acquirer's", || async {
        world.later(1);
        let context = world.app().context();
        partner_order::query_due(context, 100).await.unwrap();
        let unknown: Vec<String> = sqlx::query_scalar(
            "SELECT o.order_name FROM partner_orders o JOIN transactions t ON t.id = o.transaction_id
             WHERE t.qr_payload IS NOT NULL AND NOT EXISTS (SELECT FROM payments p WHERE p.transaction_id = t.id)",
        )
        .fetch_all(&world.pool)
        .await
        .unwrap();
        let paid = paid(acquirer);
        (!unknown.iter().any(|order| paid.contains_key(order))).then_some(())
    })
    .await;
}

/// Asks for refunds again, until it is known of each what became of it.
async fn every_refund_is_known(world: &World) {
    eventually("an answer to every refund", || async {
        world.later(60);
        let context = world.app().context();
        refund::resume_due(context, 100).await.unwrap();
        (world.rows("refunds WHERE status = 'requested'").await == 0).then_some(())
    })
    .await;
}

/// The orders that customers have paid.
fn paid(acquirer: &IssuingAcquirer) -> HashMap<String, Order> {
    let is_paid = |order: &Order| matches!(order.status, Status::Paid | Status::TakenBack);
    let mut orders = acquirer.orders.all();
    orders.retain(|_, order| is_paid(order));
    orders
}

/// Has parts and wholes taken back, whatever the answers are.
async fn take_back(world: &World, parts: &[Option<i64>]) {
    let finance = world.staff(Role::Finance).await;
    for payment in finance.pages("/admin/transactions?status=paid").await {
        let path = format!("/admin/transactions/{}/refund", text(&payment, "id"));
        for part in parts {
            let body = match part {
                Some(amount) => json!({ "reason": "cold", "amount": amount }),
                None => json!({ "reason": "cold" }),
            };
            let answer = finance.post(&path, &body).await;
            assert!([200, 409, 504].contains(&answer.status), "{answer}");
        }
    }
}

async fn nothing_is_paid_twice_or_lost(name: &str, parts: &[Option<i64>]) {
    let seed = seed();
    let customers = Customers {
        pay_after: Some(Duration::from_millis(20)),
        faults: CallbackFaults {
            lost: 30,
            duplicated: 30,
            ..CallbackFaults::default()
        },
        seed,
    };
    let (world, acquirer, _) = world_with(name, customers, |config| {
        config.payments.partner_timeout_ms = 2_000;
        config.payments.partner_attempts_max = 2;
        config.payments.partner_failures_max = 1_000;
    })
    .await;
    let terminal = terminal(&world).await;
    let credentials = Credentials::at(&world, terminal).await;
    acquirer.api_faults.set_rates(RATES);
    ask_for_codes(&world, &credentials).await;
    // Callbacks are lost, and so are answers to questions.
    world.later(275);
    let asked = partner_order::query_due(world.app().context(), 100).await;
    asked.unwrap();
    acquirer.api_faults.set_active(false);
    all_is_known(&world, &acquirer).await;

    acquirer.api_faults.set_active(true);
    take_back(&world, parts).await;
    acquirer.api_faults.set_active(false);
    every_refund_is_known(&world).await;

    let orders = paid(&acquirer);
    let ours: Vec<(String, i64, i64, i64)> = sqlx::query_as(
        "SELECT o.order_name, p.amount, p.refunded, (SELECT count(*) FROM notifications n WHERE n.transaction_id = p.transaction_id)
         FROM payments p JOIN partner_orders o USING (transaction_id)",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert!(!ours.is_empty(), "somebody paid");
    let mut taken_back = 0;
    for (order, amount, refunded, announced) in ours {
        let theirs = &orders[&order];
        assert_eq!(theirs.amount.to_i64(), amount, "{order}");
        assert_eq!(theirs.taken_back().to_i64(), refunded, "{order}");
        assert_eq!(announced, 1, "{order}");
        taken_back += refunded;
    }
    assert!(taken_back > 0, "something was taken back");
    ledger::must_verify(&world).await;
}

#[tokio::test]
async fn with_a_failing_acquirer_that_takes_parts_back_money_adds_up() {
    nothing_is_paid_twice_or_lost("manjo", &[Some(300), Some(200), Some(200), None]).await;
}

#[tokio::test]
async fn with_a_failing_acquirer_that_takes_back_the_whole_money_adds_up() {
    nothing_is_paid_twice_or_lost("bjb", &[Some(300), None, None]).await;
}

#[tokio::test]
async fn with_a_failing_acquirer_of_the_standard_money_adds_up() {
    nothing_is_paid_twice_or_lost("snap", &[None, None]).await;
}
