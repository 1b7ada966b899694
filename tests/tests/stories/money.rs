//! Fees, the ledger and the daily run.

use chrono::TimeDelta;
use platform::config::Switch;
use reqwest::Method;
use service::money::{ledger, settlement_run};
use tests::ledger::must_verify;
use tests::payout_partner::Behaviour;
use tests::prelude::*;

#[tokio::test]
async fn one_rupiah_can_be_followed_from_the_payment_to_the_bank() {
    let partner = PayoutPartner::open(Behaviour::Pays).await;
    let world = World::with(|config| partner.configure(config)).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let device = Credentials::at(&world, shop.terminal().id).await;
    let sold = device.sell(&world, 100_000).await;
    world.later(1);
    let finance = world.staff(Role::Finance).await;
    let read = async |path: &str| finance.read(path).await;

    let payment = read(&format!("/admin/transactions/{sold}")).await;
    assert_fields!(payment, { "amount": 100_000, "fee": 700, "net": 99_300, "fee_version": 1 });
    let path = format!("/admin/ledger-entries?transaction_id={sold}");
    let mut booked = finance.list(&path).await;
    booked.sort_by_key(|line| text(line, "account"));
    assert_eq!(booked.len(), 3);
    assert_fields!(booked[0], { "account": "acquirer_held", "debit": 100_000, "credit": 0 });
    assert_fields!(booked[1], { "account": "mdr", "debit": 0, "credit": 700 });
    assert_fields!(booked[2], { "account": "merchant_payable", "debit": 0, "credit": 99_300 });

    let id = settle(&finance).await;
    let payment = read(&format!("/admin/transactions/{sold}")).await;
    assert_eq!(payment["settlement_id"], id);
    let settlement = eventually("paid", || async {
        world.later(1);
        let settlement = read(&format!("/admin/settlements/{id}")).await;
        (settlement["status"] == "paid").then_some(settlement)
    })
    .await;
    let payout = text(&settlement["payouts"][0], "id");
    let reference = tests::payout_partner::reference(&payout);
    assert_eq!(settlement["bank_reference"], reference);
    let path = format!("/admin/ledger-entries?settlement_id={id}");
    let mut kinds = texts(&finance.list(&path).await, "kind");
    kinds.dedup();
    assert_eq!(kinds, ["payout_paid", "payout_sent", "settlement"]);
    let path = "/admin/ledger/trial-balance?merchant_id=";
    let balance = read(&format!("{path}{}", shop.merchant_id)).await;
    let accounts = balance["accounts"].as_array().unwrap().iter();
    let balances = accounts.map(|account| account["balance"].as_i64().unwrap());
    assert!(balances.eq([700, 0, -700, 0]), "{balance}");
    assert_eq!(balance["balanced"], true);
    let wrong = "/admin/ledger-entries?account=cash";
    assert_refused!(finance.get(wrong), VALIDATION_FAILED);
    must_verify(&world).await;
}

#[tokio::test]
async fn a_changed_amount_anywhere_is_found_by_the_proof() {
    let partner = PayoutPartner::open(Behaviour::Pays).await;
    let world = World::with(|config| partner.configure(config)).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let device = Credentials::at(&world, shop.terminal().id).await;
    for amount in [10_000, 20_000, 30_000] {
        device.sell(&world, amount).await;
    }
    let back = device.qr(&world, 40_000).await.transaction_id;
    let paid = success(back, 40_000, &reference(), world.clock.now());
    for body in [paid.clone(), but_status(paid, "reversed")] {
        let _ = world.acquirer().send(&body).await.expect(200);
    }
    world.later(1);
    let finance = world.staff(Role::Finance).await;
    let path = format!("/admin/settlements/{}", settle(&finance).await);
    eventually("paid", || async {
        world.later(1);
        (finance.get(&path).await.data()["status"] == "paid").then_some(())
    })
    .await;
    device.sell(&world, 5_000).await;
    must_verify(&world).await;

    // The guards of the database are disabled, as only its owner can; the verification does not depend on them.
    for guard in [
        "ALTER TABLE postings DISABLE TRIGGER USER",
        "ALTER TABLE postings DROP CONSTRAINT postings_balanced",
    ] {
        world.execute(guard).await;
    }
    for (spoil, mend, noun) in [
        (
            "UPDATE payments SET amount = amount + 1, net = net + 1 WHERE amount = 10000",
            "UPDATE payments SET amount = amount - 1, net = net - 1 WHERE amount = 10001",
            "payment",
        ),
        (
            "UPDATE postings SET acquirer_held = acquirer_held + 1 WHERE kind = 'sale' AND acquirer_held = 20000",
            "UPDATE postings SET acquirer_held = acquirer_held - 1 WHERE acquirer_held = 20001",
            "posting",
        ),
        (
            "UPDATE postings SET merchant_id = transaction_id WHERE acquirer_held = 20000",
            "UPDATE postings SET merchant_id = (SELECT id FROM merchants) WHERE acquirer_held = 20000",
            "posting",
        ),
        (
            "UPDATE postings SET transaction_id = merchant_id WHERE acquirer_held = 20000",
            "UPDATE postings SET transaction_id = (SELECT id FROM transactions WHERE amount = 20000) WHERE acquirer_held = 20000",
            "posting",
        ),
        (
            "UPDATE postings SET payout_id = settlement_id WHERE kind = 'payout_sent'",
            "UPDATE postings SET payout_id = (SELECT id FROM payouts) WHERE kind = 'payout_sent'",
            "posting",
        ),
        (
            "UPDATE refunds SET amount = amount + 1, net = net + 1",
            "UPDATE refunds SET amount = amount - 1, net = net - 1",
            "payment",
        ),
        (
            "UPDATE refunds SET settlement_id = NULL",
            "UPDATE refunds SET settlement_id = (SELECT id FROM settlements)",
            "settlement",
        ),
        (
            "UPDATE settlements SET gross = gross + 1, net = net + 1",
            "UPDATE settlements SET gross = gross - 1, net = net - 1",
            "settlement",
        ),
        (
            "UPDATE settlements SET status = 'processing'",
            "UPDATE settlements SET status = 'paid'",
            "payout",
        ),
        (
            "UPDATE payouts SET status = 'failed'",
            "UPDATE payouts SET status = 'paid'",
            "payout",
        ),
        (
            "UPDATE payments SET settlement_id = NULL WHERE amount = 30000",
            "UPDATE payments SET settlement_id = (SELECT id FROM settlements) WHERE amount = 30000",
            "merchant",
        ),
    ] {
        world.execute(spoil).await;
        let report = ledger::verify(world.app().context()).await.unwrap();
        let findings = report.findings;
        let found = findings.iter().any(|finding| finding.starts_with(noun));
        assert!(found, "{spoil}: {findings:?}");
        world.execute(mend).await;
        must_verify(&world).await;
    }
}

#[tokio::test]
async fn new_rates_hold_from_their_instant_on_and_what_was_charged_stays() {
    let (world, shop, device) = fixture::device().await;
    let finance = world.staff(Role::Finance).await;
    let before = device.sell(&world, 100_000).await;
    let profile = json!({ "id": "fee_promo", "name": "Promo", "rules": [{ "category": "education", "basis_points": 0 }, { "basis_points": 50 }] });
    let made = finance.create("/admin/fee-profiles", &profile).await;
    assert_eq!(made["versions"][0]["version"], 1);
    finance
        .post("/admin/fee-profiles", &profile)
        .await
        .refused(DUPLICATE_REQUEST);
    let promo = json!({ "fee_profile_id": "fee_promo" });
    shop.change(&world, promo).await;
    let promo = device.sell(&world, 100_000).await;

    let versions = "/admin/fee-profiles/fee_promo/versions";
    let at = world.clock.now() + TimeDelta::hours(1);
    let next = json!({ "effective_from": at, "rules": [{ "basis_points": 25 }] });
    let made = finance.create(versions, &next).await;
    assert_eq!(made["versions"].as_array().unwrap().len(), 2);
    let still = device.sell(&world, 100_000).await;
    world.later(3600);
    let cheaper = device.sell(&world, 100_000).await;
    for (sold, fee, profile, version) in [
        (before, 700, "fee_basic", 1),
        (promo, 500, "fee_promo", 1),
        (still, 500, "fee_promo", 1),
        (cheaper, 250, "fee_promo", 2),
    ] {
        let payment = finance.read(&format!("/admin/transactions/{sold}")).await;
        assert_fields!(payment, { "fee": fee, "fee_profile_id": profile, "fee_version": version });
    }
    for wrong in [
        json!({ "effective_from": world.clock.now() - TimeDelta::seconds(1), "rules": [{ "basis_points": 1 }] }),
        json!({ "effective_from": at, "rules": [{ "basis_points": 1 }] }),
        json!({ "rules": [] }),
        json!({ "rules": [{ "up_to": 5, "basis_points": 1 }] }),
        json!({ "rules": [{ "basis_points": 10_001 }] }),
        json!({ "rules": [{ "basis_points": 1.5 }] }),
    ] {
        assert_refused!(finance.post(versions, &wrong), VALIDATION_FAILED);
    }
    let unknown = json!({ "rules": [{ "basis_points": 1 }] });
    finance
        .post("/admin/fee-profiles/fee_none/versions", &unknown)
        .await
        .refused(FEE_PROFILE_NOT_FOUND);
    let list = finance.list("/admin/fee-profiles").await;
    assert_eq!(list.len(), 2);
    must_verify(&world).await;
}

#[tokio::test]
async fn every_business_day_is_settled_once() {
    let world = World::with(|config| {
        config.money.daily_run = Switch::On;
        config.money.daily_run_after_min = 30;
    })
    .await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let device = Credentials::at(&world, shop.terminal().id).await;
    device.sell(&world, 10_000).await;
    // To half an hour after the next midnight of Jakarta, which is 17:00 UTC.
    let now = world.clock.now();
    let day = (now + TimeDelta::hours(7)).date_naive();
    let midnight = day.and_hms_opt(17, 0, 0).unwrap().and_utc();
    world.clock.advance(midnight + TimeDelta::minutes(20) - now);
    device.sell(&world, 7_000).await;
    settlement_run::daily(world.app().context()).await.unwrap();
    let count = "SELECT count(*) FROM settlements";
    assert_eq!(world.number(count).await, 0, "callbacks may still come");
    world.clock.advance(TimeDelta::minutes(10));
    let context = world.app().context();
    let runs = futures_util::future::join_all((0..4).map(|_| settlement_run::daily(context))).await;
    assert!(runs.iter().all(Result::is_ok));
    settlement_run::daily(context).await.unwrap();
    let gross = "SELECT sum(gross)::bigint FROM settlements";
    assert_eq!(world.number(gross).await, 10_000);
    assert_eq!(world.number(count).await, 1);
    let finished = "settlement_runs WHERE finished_at IS NOT NULL AND settlements = 1";
    assert_eq!(world.rows(finished).await, 1);
    // The next day has what came after midnight.
    world.clock.advance(TimeDelta::hours(24));
    settlement_run::daily(context).await.unwrap();
    assert_eq!(world.number(gross).await, 17_000);
    must_verify(&world).await;
}

#[tokio::test]
async fn a_run_that_is_cut_off_changes_nothing_of_what_is_settled_in_the_end() {
    let partner = PayoutPartner::open(Behaviour::Pays).await;
    let mut world = World::with(|config| partner.configure(config)).await;
    let mut sold = 0;
    for name in ["Warung Sari", "Kopi Fajar", "Toko Indo"] {
        let shop = Shop::open(&world, name, 1).await;
        let device = Credentials::at(&world, shop.terminal().id).await;
        for amount in [10_000, 71_500, 123_456] {
            device.sell(&world, amount).await;
            sold += amount;
        }
    }
    world.later(1);
    // Crashed at several moments of a run: before it began, in its middle, after its commit.
    for answers_after_ms in [0, 3, 8, 20] {
        let finance = world.staff(Role::Finance).await;
        let cut_off = tokio::spawn(async move {
            let headers = [("idempotency-key", "cut-off")];
            let body = Some(b"{}".to_vec());
            let path = "/admin/settlements/run";
            let answer = finance.try_call(Method::POST, path, &headers, body).await;
            answer.is_ok()
        });
        tokio::time::sleep(std::time::Duration::from_millis(answers_after_ms)).await;
        world.crash();
        let _answered = cut_off.await.unwrap();
        world.start().await;
    }
    let finance = world.staff(Role::Finance).await;
    let run = finance
        .post_once("/admin/settlements/run", &json!({}))
        .await;
    let _ = run.expect(200);
    let sum = async |column: &str| {
        let sum = format!("SELECT sum({column})::bigint FROM settlements");
        world.number(&sum).await
    };
    assert_eq!(sum("gross").await, sold);
    assert_eq!(world.rows("settlements").await, 3);
    let net = sum("net").await;
    eventually("all of it is paid", || async {
        world.later(1);
        (world.rows("settlements WHERE status <> 'paid'").await == 0).then_some(())
    })
    .await;
    assert_eq!(partner.paid(), net);
    must_verify(&world).await;
}
