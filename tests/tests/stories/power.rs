//! What nobody does alone, where two people are needed: neither with two tokens, nor by making the second person.

use domain::role::Role;
use platform::config::Switch;
use reqwest::Method;
use serde_json::{Value, json};
use tests::bank::Mood;
use tests::books::{Books, count, settle};
use tests::shop::text;
use tests::{Answer, Api, Bank, Credentials, PASSWORD, Shop, World, eventually};

use super::money::adds_up;

const DAY_S: i64 = 86_400;

async fn guarded() -> World {
    World::with(|config| config.money.maker_checker = Switch::On).await
}

async fn ask(api: &Api, method: &Method, path: &str, body: &Value) -> Answer {
    if *method == Method::PATCH {
        api.patch(path, body).await
    } else {
        api.post_once(path, body).await
    }
}

async fn confirm(api: &Api, proposal: &Value) -> Answer {
    let path = format!("/admin/approvals/{}/approve", text(proposal, "id"));
    api.post(&path, &json!({})).await
}

async fn set_up(world: &World, email: &str, codes: &[&str], password: &str) -> Answer {
    let mut body = json!({ "email": email, "code": codes[0], "password": password });
    if let Some(second) = codes.get(1) {
        body["second_code"] = json!(second);
    }
    world.anonymous().post("/admin/password/setup", &body).await
}

async fn log_in(world: &World, email: &str, password: &str) -> Answer {
    let body = json!({ "email": email, "password": password });
    world.anonymous().post("/admin/login", &body).await
}

async fn user_id(world: &World, email: &str) -> String {
    let path = format!("/admin/users?email={email}");
    text(&world.admin().get(&path).await.expect(200).data()[0], "id")
}

/// A program makes two administrators with passwords of its choice; one is to propose another payout account, the other to
/// confirm it. Then a person tries the same.
#[tokio::test]
async fn nobody_makes_the_second_person() {
    let world = guarded().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let merchant = format!("/admin/merchants/{}", shop.merchant_id);
    let account = json!({ "payout_account_reference": "bank:666" });
    let (maker, checker) = (
        world.person(Role::Admin).await,
        world.person(Role::Finance).await,
    );
    let program = world.admin();
    let before = Books::open(&world.pool).await;
    let with_password =
        json!({ "email": "second@example.id", "role": "admin", "password": PASSWORD });
    let without = json!({ "email": "second@example.id", "role": "admin" });
    for body in [&with_password, &without] {
        program
            .post("/admin/users", body)
            .await
            .refused(403, "FORBIDDEN");
    }
    let refused = maker.post("/admin/users", &with_password).await;
    refused.refused(422, "VALIDATION_FAILED");
    assert_eq!(
        refused.json()["details"]["fields"][0]["field"],
        "password",
        "{refused}"
    );
    let changed = before.changes(&world.pool).await;
    assert!(changed.keys().all(|table| table == "tokens"), "{changed:?}");

    // One half of the code for each of two people, and none in the database.
    let proposal = maker
        .post("/admin/users", &without)
        .await
        .expect(202)
        .data();
    assert_eq!(proposal["kind"], "user.create");
    let first = text(&proposal, "setup_code");
    for alone in [&maker, &program, &world.staff(Role::Admin).await] {
        confirm(alone, &proposal).await.refused(403, "FORBIDDEN");
    }
    assert_eq!(count(&world.pool, "SELECT count(*) FROM users").await, 2);
    let confirmed = confirm(&checker, &proposal).await.expect(200).data();
    let second = text(&confirmed, "setup_code");
    assert_eq!(confirmed["token"], Value::Null);
    let kept: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM approvals a WHERE position($1 IN a::text) > 0 OR position($2 IN a::text) > 0)
              + (SELECT count(*) FROM users a WHERE position($1 IN a::text) > 0 OR position($2 IN a::text) > 0)
              + (SELECT count(*) FROM audit_logs a WHERE position($1 IN a::text) > 0 OR position($2 IN a::text) > 0)
              + (SELECT count(*) FROM idempotency_keys i WHERE position(convert_to($1, 'UTF8') IN i.body) > 0)",
    )
    .bind(&first)
    .bind(&second)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(kept, 0, "a half of the code is kept in the clear");
    for codes in [
        vec![first.as_str()],
        vec![second.as_str()],
        vec![first.as_str(), first.as_str()],
        vec![second.as_str(), second.as_str()],
    ] {
        let answer = set_up(&world, "second@example.id", &codes, PASSWORD).await;
        answer.refused(401, "UNAUTHENTICATED");
    }
    log_in(&world, "second@example.id", PASSWORD)
        .await
        .refused(401, "UNAUTHENTICATED");

    // With both halves, once. And then the new person waits a day.
    let both = [second.as_str(), first.as_str()];
    set_up(&world, "second@example.id", &both, "elevenchars")
        .await
        .refused(422, "VALIDATION_FAILED");
    let _ = set_up(&world, "second@example.id", &both, PASSWORD)
        .await
        .expect(200);
    set_up(&world, "second@example.id", &both, "another password")
        .await
        .refused(401, "UNAUTHENTICATED");
    let newcomer = world.log_in("second@example.id").await;
    let change = maker.patch(&merchant, &account).await.expect(202).data();
    confirm(&newcomer, &change).await.refused(403, "FORBIDDEN");
    world.later(DAY_S - 60);
    let newcomer = world.log_in("second@example.id").await;
    confirm(&newcomer, &change).await.refused(403, "FORBIDDEN");
    let kept = world.admin().get(&merchant).await.expect(200).data();
    assert_eq!(kept["payout_account_reference"], Value::Null);
    world.later(120);
    let _ = confirm(&newcomer, &change).await.expect(200);
}

/// Every change that needs two people, asked for by everybody who is not two people.
#[tokio::test]
async fn what_needs_two_people_is_done_by_two_people() {
    let world = guarded().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let device = Credentials::at(&world, shop.till().id).await.device_id;
    let (maker, checker) = (
        world.person(Role::Admin).await,
        world.person(Role::Finance).await,
    );
    let newcomer = world.newcomer(Role::Finance).await;
    let (support, gone) = (
        world.hire(Role::Support).await,
        world.hire(Role::Finance).await,
    );
    let (support, gone) = (
        user_id(&world, &support).await,
        user_id(&world, &gone).await,
    );
    let _ = maker
        .patch(
            &format!("/admin/users/{gone}"),
            &json!({ "status": "disabled" }),
        )
        .await
        .expect(200);
    let stray = json!({
        "event_id": "e-1", "nmid": shop.nmid, "terminal_label": "T99", "partner_reference": "stray-1",
        "amount": 40_000, "currency": "IDR", "status": "success", "paid_at": world.clock.now(),
    });
    let _ = world.acquirer().tell(&stray).await.expect(200);
    let money = world.admin().get("/admin/unmatched-payments").await.data()[0].clone();
    let merchant =
        json!({ "legal_name": "PT Baru", "brand_name": "Baru", "fee_profile_id": "fee_basic" });
    let merchant = maker
        .post("/admin/merchants", &merchant)
        .await
        .expect(201)
        .data();
    let text_order = json!({ "type": "announce_text", "payload": { "text": "Selamat pagi" } });
    let bulk = json!({
        "type": "announce_text", "payload": { "text": "Selamat siang" }, "query": {},
        "rollout": { "rate_per_minute": 600, "abort_threshold_percent": 100, "min_sample": 1 },
    });
    let changes = [
        (
            Method::POST,
            "/admin/users".to_owned(),
            json!({ "email": "new@example.id", "role": "finance" }),
        ),
        (
            Method::PATCH,
            format!("/admin/users/{support}"),
            json!({ "role": "admin" }),
        ),
        (
            Method::PATCH,
            format!("/admin/users/{gone}"),
            json!({ "status": "active" }),
        ),
        (
            Method::POST,
            format!("/admin/users/{support}/reset"),
            json!({}),
        ),
        (
            Method::POST,
            "/admin/tokens".to_owned(),
            json!({ "role": "admin", "name": "robot" }),
        ),
        (
            Method::POST,
            "/admin/tokens".to_owned(),
            json!({ "role": "finance", "name": "books" }),
        ),
        (
            Method::POST,
            format!("/admin/unmatched-payments/{}/assign", text(&money, "id")),
            json!({ "terminal_id": shop.till().id }),
        ),
        (
            Method::POST,
            format!("/admin/merchants/{}/approve", text(&merchant, "id")),
            json!({}),
        ),
        (
            Method::PATCH,
            format!("/admin/merchants/{}", shop.merchant_id),
            json!({ "payout_account_reference": "bank:777" }),
        ),
        (
            Method::POST,
            format!("/admin/devices/{device}/commands"),
            text_order,
        ),
        (Method::POST, "/admin/bulk-commands".to_owned(), bulk),
    ];
    let trail = ["approvals", "audit_logs", "idempotency_keys", "tokens"];
    for (method, path, body) in &changes {
        let before = Books::open(&world.pool).await;
        let program = ask(&world.admin(), method, path, body).await;
        assert_eq!(
            program.refusal(),
            (403, "FORBIDDEN".to_owned()),
            "{path} by a program"
        );
        assert!(
            program.json()["message"]
                .as_str()
                .unwrap()
                .contains("two people")
        );
        let proposal = ask(&maker, method, path, body).await;
        assert_eq!(proposal.status, 202, "{path}: {proposal}");
        let proposal = proposal.data();
        for (who, api) in [
            ("the maker", &maker),
            ("a program", &world.admin()),
            ("a newcomer", &newcomer),
        ] {
            let answer = confirm(api, &proposal).await;
            assert_eq!(
                answer.refusal(),
                (403, "FORBIDDEN".to_owned()),
                "{path} by {who}"
            );
        }
        let changed = before.changes(&world.pool).await;
        let surprising: Vec<_> = changed
            .keys()
            .filter(|table| !trail.contains(&table.as_str()))
            .collect();
        assert!(
            surprising.is_empty(),
            "{path} changed {surprising:?} before it was confirmed"
        );

        let confirmed = confirm(&checker, &proposal).await;
        assert_eq!(confirmed.status, 200, "{path}: {confirmed}");
        let confirmed = confirmed.data();
        assert_ne!(confirmed["decided_by"], confirmed["requested_by"]);
        let changed = before.changes(&world.pool).await;
        assert!(
            path == "/admin/tokens" || changed.keys().any(|table| !trail.contains(&table.as_str())),
            "{path} was confirmed and changed nothing: {changed:?}"
        );
        if path == "/admin/tokens" {
            let robot = world.anonymous().with_token(&text(&confirmed, "token"));
            let _ = robot.get("/admin/settlements").await.expect(200);
        }
        confirm(&checker, &proposal)
            .await
            .refused(409, "INVALID_STATE");
        let rows = "SELECT count(*) FROM audit_logs WHERE entity = $1 AND action IN ('approval.propose', 'approval.approve')";
        let rows: i64 = sqlx::query_scalar(rows)
            .bind(text(&proposal, "id"))
            .fetch_one(&world.pool)
            .await
            .unwrap();
        assert_eq!(rows, 2, "{path}");
    }
    // What harms nobody needs one person, or a program.
    let robot = json!({ "role": "ops", "name": "till sync" });
    let _ = world
        .admin()
        .post("/admin/tokens", &robot)
        .await
        .expect(201);
    let volume = json!({ "type": "set_volume", "payload": { "volume": 3 } });
    let path = format!("/admin/devices/{device}/commands");
    let _ = world.admin().post_once(&path, &volume).await.expect(201);
}

/// A user who was made, promoted, enabled again or reset today confirms nothing today.
#[tokio::test]
async fn who_was_given_anything_today_confirms_nothing_today() {
    let world = guarded().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let merchant = format!("/admin/merchants/{}", shop.merchant_id);
    let mut emails = vec![("made", world.hire(Role::Finance).await)];
    for (how, role) in [
        ("promoted", Role::Support),
        ("enabled", Role::Finance),
        ("reset", Role::Finance),
    ] {
        emails.push((how, world.hire(role).await));
    }
    // All of them are old hands, but for the first.
    sqlx::query("UPDATE users SET access_changed_at = access_changed_at - interval '30 days' WHERE email <> $1")
        .bind(&emails[0].1)
        .execute(&world.pool)
        .await
        .unwrap();
    let (maker, checker) = (
        world.person(Role::Admin).await,
        world.person(Role::Admin).await,
    );
    for (how, email) in &emails {
        let user = format!("/admin/users/{}", user_id(&world, email).await);
        let both = async |answer: Answer| -> (Value, Value) {
            let proposal = answer.expect(202).data();
            let confirmed = confirm(&checker, &proposal).await.expect(200).data();
            (proposal, confirmed)
        };
        match *how {
            "promoted" => {
                let _ = both(maker.patch(&user, &json!({ "role": "finance" })).await).await;
            }
            "enabled" => {
                let _ = maker
                    .patch(&user, &json!({ "status": "disabled" }))
                    .await
                    .expect(200);
                let _ = both(maker.patch(&user, &json!({ "status": "active" })).await).await;
            }
            "reset" => {
                let session = world.log_in(email).await;
                let (one, two) = both(maker.post(&format!("{user}/reset"), &json!({})).await).await;
                session
                    .get("/admin/settlements")
                    .await
                    .refused(401, "UNAUTHENTICATED");
                log_in(&world, email, PASSWORD)
                    .await
                    .refused(401, "UNAUTHENTICATED");
                let codes = [text(&one, "setup_code"), text(&two, "setup_code")];
                let codes = [codes[0].as_str(), codes[1].as_str()];
                let _ = set_up(&world, email, &codes, PASSWORD).await.expect(200);
            }
            _ => {}
        }
    }
    let account = |number: usize| json!({ "payout_account_reference": format!("bank:{number}") });
    let mut waiting = Vec::new();
    for (number, (how, email)) in emails.iter().enumerate() {
        let change = maker
            .patch(&merchant, &account(number))
            .await
            .expect(202)
            .data();
        let answer = confirm(&world.log_in(email).await, &change).await;
        assert_eq!(answer.refusal(), (403, "FORBIDDEN".to_owned()), "{how}");
        waiting.push(change);
    }
    world.later(DAY_S - 60);
    for ((how, email), change) in emails.iter().zip(&waiting) {
        let answer = confirm(&world.log_in(email).await, change).await;
        assert_eq!(answer.refusal(), (403, "FORBIDDEN".to_owned()), "{how}");
    }
    world.later(120);
    for ((how, email), change) in emails.iter().zip(&waiting) {
        let answer = confirm(&world.log_in(email).await, change).await;
        assert_eq!(answer.status, 200, "{how}: {answer}");
    }
}

#[tokio::test]
async fn a_merchant_is_approved_by_somebody_who_did_not_make_it() {
    let world = guarded().await;
    let (ani, budi) = (
        world.person(Role::Admin).await,
        world.person(Role::Admin).await,
    );
    let newcomer = world.newcomer(Role::Admin).await;
    let new =
        json!({ "legal_name": "PT Baru", "brand_name": "Baru", "fee_profile_id": "fee_basic" });
    let made_by = async |api: &Api| {
        let made = api.post("/admin/merchants", &new).await.expect(201).data();
        format!("/admin/merchants/{}", text(&made, "id"))
    };
    let approve =
        async |api: &Api, path: &str| api.post(&format!("{path}/approve"), &json!({})).await;
    let status = async |path: &str| ani.get(path).await.expect(200).data()["status"].clone();

    let path = made_by(&ani).await;
    approve(&world.admin(), &path)
        .await
        .refused(403, "FORBIDDEN");
    approve(&newcomer, &path).await.refused(403, "FORBIDDEN");
    assert_eq!(status(&path).await, "pending_review");
    let _ = approve(&budi, &path).await.expect(200);
    assert_eq!(status(&path).await, "approved");

    // Made by oneself, by a program that anybody may hold, or changed by oneself: another person confirms.
    let own = made_by(&ani).await;
    let by_program = made_by(&world.admin()).await;
    let changed = made_by(&budi).await;
    let _ = ani
        .patch(&changed, &json!({ "nmid": "ID1234567890123" }))
        .await
        .expect(200);
    for path in [own, by_program, changed] {
        let proposal = approve(&ani, &path).await.expect(202).data();
        confirm(&ani, &proposal).await.refused(403, "FORBIDDEN");
        assert_eq!(status(&path).await, "pending_review");
        let _ = confirm(&budi, &proposal).await.expect(200);
        assert_eq!(status(&path).await, "approved");
    }
}

/// The first payout to an account waits for two people, whoever ran the settlement; the next one does not.
#[tokio::test]
async fn the_first_payout_to_an_account_waits_for_two_people() {
    let bank = Bank::open(Mood::Busy).await;
    let world = World::with(|config| {
        bank.configure(config);
        config.money.maker_checker = Switch::On;
    })
    .await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let till = Credentials::at(&world, shop.till().id).await;
    let (ani, budi) = (
        world.person(Role::Admin).await,
        world.person(Role::Finance).await,
    );
    let read = async |id: &str| {
        ani.get(&format!("/admin/settlements/{id}"))
            .await
            .expect(200)
            .data()
    };
    let waiting = async |status: &str| {
        ani.get(&format!(
            "/admin/approvals?status={status}&kind=payout.account"
        ))
        .await
        .expect(200)
        .data()
    };
    till.sell(&world, 10_000).await;
    world.later(1);
    let first = settle(&ani).await;
    let held = read(&first).await;
    assert_eq!(
        (&held["status"], &held["payouts"][0]["status"]),
        (&json!("pending"), &json!("pending"))
    );
    assert!(
        text(&held["payouts"][0], "reason").contains("two people"),
        "{held}"
    );
    assert!(bank.transfers().is_empty());
    let proposal = waiting("pending").await[0].clone();
    assert_eq!(proposal["entity"], json!(shop.merchant_id));
    confirm(&ani, &proposal).await.refused(403, "FORBIDDEN");
    confirm(&world.admin(), &proposal)
        .await
        .refused(403, "FORBIDDEN");

    // Another settlement meanwhile waits for the same proposal.
    till.sell(&world, 20_000).await;
    world.later(1);
    let second = settle(&ani).await;
    assert_eq!(waiting("pending").await.as_array().unwrap().len(), 1);
    let _ = confirm(&budi, &proposal).await.expect(200);
    for id in [&first, &second] {
        eventually("the payout on its way", || async {
            (read(id).await["payouts"][0]["status"] != "pending").then_some(())
        })
        .await;
    }

    // Another account: what a program has run is taken over by one person and confirmed by another.
    let merchant = format!("/admin/merchants/{}", shop.merchant_id);
    let account = json!({ "payout_account_reference": "bank:555" });
    let change = ani.patch(&merchant, &account).await.expect(202).data();
    let _ = confirm(&budi, &change).await.expect(200);
    till.sell(&world, 30_000).await;
    world.later(1);
    let third = settle(&world.staff(Role::Finance).await).await;
    let proposal = waiting("pending").await[0].clone();
    assert_eq!(
        proposal["request"]["payout_account"]["destination"],
        "bank:555"
    );
    let taken = confirm(&ani, &proposal).await.expect(200).data();
    assert_eq!(taken["status"], "pending");
    assert_eq!(read(&third).await["payouts"][0]["status"], "pending");
    confirm(&ani, &proposal).await.refused(403, "FORBIDDEN");

    // Turned down: it failed, and may be tried again with another account.
    let reject = format!("/admin/approvals/{}/reject", text(&proposal, "id"));
    let _ = budi
        .post(&reject, &json!({ "reason": "not the merchant's" }))
        .await
        .expect(200);
    assert_eq!(read(&third).await["status"], "failed");
    adds_up(&world).await;
}
