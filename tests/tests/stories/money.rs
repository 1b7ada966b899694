//! Fees, the ledger, statements, approvals and reconciliation, as finance staff see them.

use chrono::TimeDelta;
use domain::role::Role;
use platform::config::{FileFormat, Switch};
use platform::service::money::{ledger, settlement_run};
use reqwest::Method;
use serde_json::{Value, json};
use tests::acquirer::{OURS, but_status, reference};
use tests::bank::{ID, Mood};
use tests::shop::text;
use tests::{Answer, Api, Bank, Credentials, Shop, World, eventually, success};

async fn keyed(api: &Api, path: &str, body: &Value) -> Answer {
    let key = format!("k-{:016x}", rand::random::<u64>());
    api.post_with(path, &[("idempotency-key", &key)], body)
        .await
}

/// Nothing that does not add up.
async fn adds_up(world: &World) {
    let report = ledger::verify(world.app().context()).await.unwrap();
    assert_eq!(report.findings, Vec::<String>::new());
}

#[tokio::test]
async fn one_rupiah_can_be_followed_from_the_payment_to_the_bank() {
    let bank = Bank::open(Mood::Prompt).await;
    let world = World::with(|config| bank.configure(config)).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let till = Credentials::at(&world, shop.till().id).await;
    let sold = till.sell(&world, 100_000).await;
    world.later(1);
    let finance = world.staff(Role::Finance).await;
    let read = async |path: &str| finance.get(path).await.expect(200).data();

    let payment = read(&format!("/admin/transactions/{sold}")).await;
    let facts = ["amount", "fee", "net", "fee_version"].map(|field| payment[field].clone());
    assert_eq!(
        facts,
        [100_000, 700, 99_300, 1].map(|number: i64| json!(number))
    );
    let lines = read(&format!("/admin/ledger-entries?transaction_id={sold}")).await;
    let mut booked: Vec<_> = lines
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            (
                text(line, "account"),
                line["debit"].as_i64().unwrap(),
                line["credit"].as_i64().unwrap(),
            )
        })
        .collect();
    booked.sort();
    let expected = [
        ("acquirer_held", 100_000, 0),
        ("mdr", 0, 700),
        ("merchant_payable", 0, 99_300),
    ];
    assert_eq!(
        booked,
        expected.map(|(account, debit, credit)| (account.to_owned(), debit, credit))
    );

    let made = keyed(&finance, "/admin/settlements/run", &json!({}))
        .await
        .expect(200)
        .data();
    let id = made["settlements"][0].as_str().unwrap().to_owned();
    let payment = read(&format!("/admin/transactions/{sold}")).await;
    assert_eq!(payment["settlement_id"], id);
    let settlement = eventually("paid", || async {
        world.later(1);
        let settlement = read(&format!("/admin/settlements/{id}")).await;
        (settlement["status"] == "paid").then_some(settlement)
    })
    .await;
    let payout = text(&settlement["payouts"][0], "id");
    assert_eq!(
        settlement["bank_reference"],
        tests::bank::reference(&payout)
    );
    let lines = read(&format!("/admin/ledger-entries?settlement_id={id}")).await;
    let mut kinds: Vec<_> = lines
        .as_array()
        .unwrap()
        .iter()
        .map(|line| text(line, "kind"))
        .collect();
    kinds.dedup();
    assert_eq!(kinds, ["payout_paid", "payout_sent", "settlement"]);
    let balance = read(&format!(
        "/admin/ledger/trial-balance?merchant_id={}",
        shop.merchant_id
    ))
    .await;
    let balances: Vec<_> = balance["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|account| account["balance"].as_i64().unwrap())
        .collect();
    assert_eq!(
        (balances, &balance["balanced"]),
        (vec![700, 0, -700, 0], &json!(true))
    );
    finance
        .get("/admin/ledger-entries?account=cash")
        .await
        .refused(422, "VALIDATION_FAILED");
    adds_up(&world).await;
}

#[tokio::test]
async fn a_changed_amount_anywhere_is_found_by_the_proof() {
    let bank = Bank::open(Mood::Prompt).await;
    let world = World::with(|config| bank.configure(config)).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let till = Credentials::at(&world, shop.till().id).await;
    for amount in [10_000, 20_000, 30_000] {
        till.sell(&world, amount).await;
    }
    let back = till.qr(&world, 40_000).await.transaction_id;
    let paid = success(back, 40_000, &reference(), world.clock.now());
    for body in [paid.clone(), but_status(paid, "reversed")] {
        let _ = world.acquirer().tell(&body).await.expect(200);
    }
    world.later(1);
    let finance = world.staff(Role::Finance).await;
    let made = keyed(&finance, "/admin/settlements/run", &json!({}))
        .await
        .expect(200)
        .data();
    let path = format!(
        "/admin/settlements/{}",
        made["settlements"][0].as_str().unwrap()
    );
    eventually("paid", || async {
        world.later(1);
        (finance.get(&path).await.data()["status"] == "paid").then_some(())
    })
    .await;
    till.sell(&world, 5_000).await;
    adds_up(&world).await;

    // The guards of the database are switched off, as only its owner can; the proof does not trust them.
    for (spoil, mend, noun) in [
        (
            "UPDATE transactions SET amount = amount + 1, net = net + 1 WHERE amount = 10000",
            "UPDATE transactions SET amount = amount - 1, net = net - 1 WHERE amount = 10001",
            "payment",
        ),
        (
            "UPDATE ledger_entries SET debit = debit + 1 WHERE kind = 'sale' AND account = 'acquirer_held' AND debit = 20000",
            "UPDATE ledger_entries SET debit = debit - 1 WHERE debit = 20001",
            "posting",
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
            "UPDATE transactions SET settlement_id = NULL WHERE amount = 30000",
            "UPDATE transactions SET settlement_id = (SELECT id FROM settlements) WHERE amount = 30000",
            "merchant",
        ),
    ] {
        for statement in ["ALTER TABLE ledger_entries DISABLE TRIGGER USER", spoil] {
            sqlx::query(statement).execute(&world.pool).await.unwrap();
        }
        let report = ledger::verify(world.app().context()).await.unwrap();
        assert!(
            report
                .findings
                .iter()
                .any(|finding| finding.starts_with(noun)),
            "{spoil}: {:?}",
            report.findings
        );
        sqlx::query(mend).execute(&world.pool).await.unwrap();
        adds_up(&world).await;
    }
}

#[tokio::test]
async fn new_rates_hold_from_their_instant_on_and_what_was_charged_stays() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let till = Credentials::at(&world, shop.till().id).await;
    let finance = world.staff(Role::Finance).await;
    let before = till.sell(&world, 100_000).await;
    let profile = json!({ "id": "fee_promo", "name": "Promo", "rules": [{ "category": "education", "basis_points": 0 }, { "basis_points": 50 }] });
    let made = finance
        .post("/admin/fee-profiles", &profile)
        .await
        .expect(201)
        .data();
    assert_eq!(made["versions"][0]["version"], 1);
    finance
        .post("/admin/fee-profiles", &profile)
        .await
        .refused(409, "DUPLICATE_REQUEST");
    let path = format!("/admin/merchants/{}", shop.merchant_id);
    let _ = world
        .admin()
        .patch(&path, &json!({ "fee_profile_id": "fee_promo" }))
        .await
        .expect(200);
    let promo = till.sell(&world, 100_000).await;

    let versions = "/admin/fee-profiles/fee_promo/versions";
    let at = world.clock.now() + TimeDelta::hours(1);
    let next = json!({ "effective_from": at, "rules": [{ "basis_points": 25 }] });
    let made = finance.post(versions, &next).await.expect(201).data();
    assert_eq!(made["versions"].as_array().unwrap().len(), 2);
    let still = till.sell(&world, 100_000).await;
    world.later(3600);
    let cheaper = till.sell(&world, 100_000).await;
    for (sold, fee, profile, version) in [
        (before, 700, "fee_basic", 1),
        (promo, 500, "fee_promo", 1),
        (still, 500, "fee_promo", 1),
        (cheaper, 250, "fee_promo", 2),
    ] {
        let payment = finance
            .get(&format!("/admin/transactions/{sold}"))
            .await
            .expect(200)
            .data();
        assert_eq!(
            (
                &payment["fee"],
                &payment["fee_profile_id"],
                &payment["fee_version"]
            ),
            (&json!(fee), &json!(profile), &json!(version))
        );
    }
    for wrong in [
        json!({ "effective_from": world.clock.now() - TimeDelta::seconds(1), "rules": [{ "basis_points": 1 }] }),
        json!({ "effective_from": at, "rules": [{ "basis_points": 1 }] }),
        json!({ "rules": [] }),
        json!({ "rules": [{ "up_to": 5, "basis_points": 1 }] }),
        json!({ "rules": [{ "basis_points": 10_001 }] }),
        json!({ "rules": [{ "basis_points": 1.5 }] }),
    ] {
        finance
            .post(versions, &wrong)
            .await
            .refused(422, "VALIDATION_FAILED");
    }
    let nobody = json!({ "rules": [{ "basis_points": 1 }] });
    finance
        .post("/admin/fee-profiles/fee_none/versions", &nobody)
        .await
        .refused(404, "FEE_PROFILE_NOT_FOUND");
    let list = finance.get("/admin/fee-profiles").await.expect(200).data();
    assert_eq!(list.as_array().unwrap().len(), 2);
    adds_up(&world).await;
}

#[tokio::test]
async fn changes_of_money_need_two_people_where_that_is_the_rule() {
    let bank = Bank::open(Mood::Busy).await;
    let world = World::with(|config| {
        bank.configure(config);
        config.money.maker_checker = Switch::On;
    })
    .await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let maker = world.person(Role::Admin).await;
    let checker = world.person(Role::Finance).await;
    let merchant = format!("/admin/merchants/{}", shop.merchant_id);
    let account = json!({ "payout_account_reference": "bank:555" });
    let read = async |path: &str| maker.get(path).await.expect(200).data();

    // A program may not; what is wrong is refused at once; what is no money is done at once.
    world
        .admin()
        .patch(&merchant, &account)
        .await
        .refused(403, "FORBIDDEN");
    maker
        .patch(&merchant, &json!({ "payout_mode": "cash" }))
        .await
        .refused(422, "VALIDATION_FAILED");
    let _ = maker
        .patch(&merchant, &json!({ "city": "BANDUNG" }))
        .await
        .expect(200);

    let proposal = maker.patch(&merchant, &account).await.expect(202).data();
    assert_eq!(
        (&proposal["status"], &proposal["kind"]),
        (&json!("pending"), &json!("merchant.patch"))
    );
    assert_eq!(
        read(&merchant).await["payout_account_reference"],
        Value::Null
    );
    let approve = format!("/admin/approvals/{}/approve", text(&proposal, "id"));
    maker
        .post(&approve, &json!({}))
        .await
        .refused(403, "FORBIDDEN");
    world
        .staff(Role::Finance)
        .await
        .post(&approve, &json!({}))
        .await
        .refused(403, "FORBIDDEN");
    let waiting = read("/admin/approvals?status=pending").await;
    assert_eq!(waiting.as_array().unwrap().len(), 1);
    let approved = checker.post(&approve, &json!({})).await.expect(200).data();
    assert_ne!(approved["decided_by"], approved["requested_by"]);
    assert_eq!(
        read(&merchant).await["payout_account_reference"],
        "bank:555"
    );
    checker
        .post(&approve, &json!({}))
        .await
        .refused(409, "INVALID_STATE");

    // Turned down: nothing changes.
    let rates = json!({ "rules": [{ "basis_points": 0 }] });
    let proposal = checker
        .post("/admin/fee-profiles/fee_basic/versions", &rates)
        .await
        .expect(202)
        .data();
    let reject = format!("/admin/approvals/{}/reject", text(&proposal, "id"));
    let _ = maker
        .post(&reject, &json!({ "reason": "no" }))
        .await
        .expect(200);
    let basic = read("/admin/fee-profiles/fee_basic").await;
    assert_eq!(basic["versions"].as_array().unwrap().len(), 1);

    // A payout by hand is paid when the second person says so.
    let manual = maker
        .patch(&merchant, &json!({ "payout_mode": "manual" }))
        .await
        .expect(202)
        .data();
    let _ = checker
        .post(
            &format!("/admin/approvals/{}/approve", text(&manual, "id")),
            &json!({}),
        )
        .await
        .expect(200);
    let till = Credentials::at(&world, shop.till().id).await;
    till.sell(&world, 10_000).await;
    world.later(1);
    let made = keyed(&checker, "/admin/settlements/run", &json!({}))
        .await
        .expect(200)
        .data();
    let settlement = format!(
        "/admin/settlements/{}",
        made["settlements"][0].as_str().unwrap()
    );
    let mark = json!({ "bank_reference": "TRX-1" });
    let proposal = checker
        .post(&format!("{settlement}/mark-paid"), &mark)
        .await
        .expect(202)
        .data();
    assert_eq!(read(&settlement).await["status"], "pending");
    let _ = maker
        .post(
            &format!("/admin/approvals/{}/approve", text(&proposal, "id")),
            &json!({}),
        )
        .await
        .expect(200);
    assert_eq!(read(&settlement).await["status"], "paid");
    adds_up(&world).await;
}

#[tokio::test]
async fn a_statement_has_every_item_and_only_for_those_it_is_for() {
    let world = World::new().await;
    let shop = Shop::open(&world, "=Warung <Sari>", 1).await;
    let other = Shop::open(&world, "Kopi Fajar", 1).await;
    let till = Credentials::at(&world, shop.till().id).await;
    let sold = [
        till.sell(&world, 100_000).await,
        till.sell(&world, 1_250_000).await,
    ];
    world.later(1);
    let finance = world.staff(Role::Finance).await;
    let made = keyed(&finance, "/admin/settlements/run", &json!({}))
        .await
        .expect(200)
        .data();
    let id = made["settlements"][0].as_str().unwrap();
    let csv = finance
        .get(&format!("/admin/settlements/{id}/statement.csv"))
        .await
        .expect(200);
    let text = String::from_utf8(csv.body.to_vec()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(
        lines[1].contains(&sold[0].to_string()) && lines[1].ends_with(",100000,700,99300"),
        "{text}"
    );
    let page = finance
        .get(&format!("/admin/settlements/{id}/statement.html"))
        .await
        .expect(200);
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    for expected in [
        "Rp1.250.000",
        "Rp1.340.550",
        "=Warung &lt;Sari&gt;",
        "</html>",
        &sold[1].to_string(),
    ] {
        assert!(html.contains(expected), "{expected} is not in {html}");
    }
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'none'")
    );
    for (shop, status) in [(&shop, 200), (&other, 404)] {
        let token = world
            .token_for(
                Role::MerchantOwner,
                Some(shop.merchant_id),
                TimeDelta::hours(1),
            )
            .await;
        let owner = world.anonymous().with_token(&token);
        for form in ["csv", "html"] {
            let path = format!("/merchant/settlements/{id}/statement.{form}");
            assert_eq!(owner.get(&path).await.status, status, "{path}");
        }
    }
}

#[tokio::test]
async fn an_acquirers_file_is_held_against_ours() {
    let world = World::with(|config| {
        let format = FileFormat {
            reference_column: "ref".into(),
            amount_column: "jumlah".into(),
            delimiter: ";".into(),
            decimal_comma: true,
        };
        config
            .reconciliation
            .formats
            .insert(OURS.to_owned(), format);
        config.reconciliation.bytes_max = 2_000;
    })
    .await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let till = Credentials::at(&world, shop.till().id).await;
    let from = world.clock.now() - TimeDelta::minutes(1);
    let mut references = Vec::new();
    for amount in [10_000, 20_000, 30_000] {
        let id = till.qr(&world, amount).await.transaction_id;
        let own = reference();
        let paid = success(id, amount, &own, world.clock.now());
        let _ = world.acquirer().tell(&paid).await.expect(200);
        references.push(own);
    }
    let finance = world.staff(Role::Finance).await;
    let time = |at: chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let to = world.clock.now() + TimeDelta::minutes(1);
    let path = format!(
        "/admin/reconciliations?partner_id={OURS}&from={}&to={}",
        time(from),
        time(to)
    );
    let send = async |key: &str, file: &str| {
        let headers = [("content-type", "text/csv"), ("idempotency-key", key)];
        finance
            .call(
                Method::POST,
                &path,
                &headers,
                Some(file.as_bytes().to_vec()),
            )
            .await
    };
    let file = format!(
        "tanggal;ref;jumlah\r\n1;{};Rp10.000,00\r\n2;{};20.001\r\n3;lain;5.000\r\n4;{};10.000\r\n",
        references[0], references[1], references[0]
    );
    let done = send("one", &file).await.expect(201);
    let counts = ["matched", "amount_differs", "theirs_only", "ours_only"]
        .map(|class| done.data()[class].clone());
    assert_eq!(counts, [1, 1, 2, 1].map(|count: i64| json!(count)));
    let again = send("one", &file).await.expect(201);
    assert_eq!(
        (
            again.body,
            again.headers["idempotent-replayed"].to_str().unwrap()
        ),
        (done.body.clone(), "true")
    );
    send("one", "tanggal;ref;jumlah\n")
        .await
        .refused(409, "DUPLICATE_REQUEST");

    let own = format!("/admin/reconciliations/{}", text(&done.data(), "id"));
    let lines = finance
        .get(&format!("{own}/lines?class=ours_only"))
        .await
        .expect(200)
        .data();
    assert_eq!(
        (&lines[0]["partner_reference"], &lines[0]["our_amount"]),
        (&json!(references[2]), &json!(30_000))
    );
    let page = finance
        .get(&format!("{own}/lines?limit=2"))
        .await
        .expect(200)
        .json();
    let next = page["next_cursor"].as_str().unwrap();
    let rest = finance
        .get(&format!("{own}/lines?limit=200&cursor={next}"))
        .await
        .expect(200)
        .data();
    assert_eq!(rest.as_array().unwrap().len(), 3);
    assert_eq!(
        rest[1]["note"],
        "this reference is in the file more than once"
    );
    let csv = finance
        .get(&format!("{own}/lines.csv?class=amount_differs"))
        .await
        .expect(200);
    let csv = String::from_utf8(csv.body.to_vec()).unwrap();
    assert!(
        csv.lines().nth(1).unwrap().contains(",20001,20000,"),
        "{csv}"
    );
    finance
        .get(&format!("{own}/lines?class=lost"))
        .await
        .refused(422, "VALIDATION_FAILED");

    // A file that is wrong leaves nothing.
    for (wrong, code, status) in [
        ("ref;jumlah\nr;5\nr2;lima\n", "VALIDATION_FAILED", 422),
        ("a;b\n", "VALIDATION_FAILED", 422),
        (
            &*format!("ref;jumlah\n{}", "r;5\n".repeat(600)),
            "PAYLOAD_TOO_LARGE",
            413,
        ),
    ] {
        send("two", wrong).await.refused(status, code);
    }
    let all = finance
        .get("/admin/reconciliations")
        .await
        .expect(200)
        .data();
    assert_eq!(all.as_array().unwrap().len(), 1);
    let rows = "SELECT count(*) FROM reconciliations";
    assert_eq!(tests::books::count(&world.pool, rows).await, 1);
    let strange = path.replace(OURS, ID);
    let headers = [("content-type", "text/csv")];
    finance
        .call(Method::POST, &strange, &headers, Some(Vec::new()))
        .await
        .refused(422, "VALIDATION_FAILED");
}

#[tokio::test]
async fn every_business_day_is_settled_once_by_whoever_is_first() {
    let world = World::with(|config| {
        config.money.daily_run = Switch::On;
        config.money.daily_run_after_min = 30;
    })
    .await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let till = Credentials::at(&world, shop.till().id).await;
    till.sell(&world, 10_000).await;
    // To half an hour after the next midnight of Jakarta, which is 17:00 UTC.
    let now = world.clock.now();
    let midnight = (now - TimeDelta::hours(17))
        .date_naive()
        .succ_opt()
        .unwrap()
        .and_hms_opt(17, 0, 0)
        .unwrap()
        .and_utc();
    world.clock.advance(midnight + TimeDelta::minutes(20) - now);
    till.sell(&world, 7_000).await;
    settlement_run::daily(world.app().context()).await.unwrap();
    let count = "SELECT count(*) FROM settlements";
    assert_eq!(
        tests::books::count(&world.pool, count).await,
        0,
        "callbacks may still come"
    );
    world.clock.advance(TimeDelta::minutes(10));
    let context = world.app().context();
    let runs = futures_util::future::join_all((0..4).map(|_| settlement_run::daily(context))).await;
    assert!(runs.iter().all(Result::is_ok));
    settlement_run::daily(context).await.unwrap();
    let gross: i64 = sqlx::query_scalar("SELECT sum(gross)::bigint FROM settlements")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(
        (gross, tests::books::count(&world.pool, count).await),
        (10_000, 1)
    );
    let finished =
        "SELECT count(*) FROM settlement_runs WHERE finished_at IS NOT NULL AND settlements = 1";
    assert_eq!(tests::books::count(&world.pool, finished).await, 1);
    // The next day has what came after midnight.
    world.clock.advance(TimeDelta::hours(24));
    settlement_run::daily(context).await.unwrap();
    let gross: i64 = sqlx::query_scalar("SELECT sum(gross)::bigint FROM settlements")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(gross, 17_000);
    adds_up(&world).await;
}

#[tokio::test]
async fn a_run_that_is_cut_off_changes_nothing_of_what_is_settled_in_the_end() {
    let bank = Bank::open(Mood::Prompt).await;
    let mut world = World::with(|config| bank.configure(config)).await;
    let mut sold = 0;
    for name in ["Warung Sari", "Kopi Fajar", "Toko Indo"] {
        let shop = Shop::open(&world, name, 1).await;
        let till = Credentials::at(&world, shop.till().id).await;
        for amount in [10_000, 71_500, 123_456] {
            till.sell(&world, amount).await;
            sold += amount;
        }
    }
    world.later(1);
    // Killed at several moments of a run: before it began, in its middle, after its commit.
    for answers_after_ms in [0, 3, 8, 20] {
        let finance = world.staff(Role::Finance).await;
        let cut_off = tokio::spawn(async move {
            let headers = [("idempotency-key", "cut-off")];
            let body = Some(b"{}".to_vec());
            let path = "/admin/settlements/run";
            finance
                .try_call(Method::POST, path, &headers, body)
                .await
                .is_ok()
        });
        tokio::time::sleep(std::time::Duration::from_millis(answers_after_ms)).await;
        world.crash();
        let _answered = cut_off.await.unwrap();
        world.start().await;
    }
    let finance = world.staff(Role::Finance).await;
    let _ = keyed(&finance, "/admin/settlements/run", &json!({}))
        .await
        .expect(200);
    let sums = "SELECT sum(gross)::bigint FROM settlements";
    assert_eq!(tests::books::count(&world.pool, sums).await, sold);
    let number = "SELECT count(*) FROM settlements";
    assert_eq!(tests::books::count(&world.pool, number).await, 3);
    let net = tests::books::count(&world.pool, "SELECT sum(net)::bigint FROM settlements").await;
    eventually("all of it is paid", || async {
        world.later(1);
        let open = "SELECT count(*) FROM settlements WHERE status <> 'paid'";
        (tests::books::count(&world.pool, open).await == 0).then_some(())
    })
    .await;
    assert_eq!(bank.paid(), net);
    adds_up(&world).await;
}
