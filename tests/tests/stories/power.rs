//! Changes that need two people: not with two tokens of one person, and not by creating the second one.

use platform::config::Switch;
use reqwest::Method;
use tests::payout_partner::Behaviour;
use tests::prelude::*;

use tests::ledger::must_verify;

use crate::view::confirm;

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
    text(&world.admin().read(&path).await[0], "id")
}

/// A program creates two administrators with passwords of its choice; one is to propose another payout account, the other
/// to confirm it. Then a person tries the same.
#[tokio::test]
async fn one_person_cannot_create_the_second() {
    let world = guarded().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let merchant = format!("/admin/merchants/{}", shop.merchant_id);
    let account = json!({ "payout_account_reference": "bank:666" });
    let maker = world.person(Role::Admin).await;
    let checker = world.person(Role::Finance).await;
    let program = world.admin();
    let before = Snapshot::take(&world.pool).await;
    let with_password =
        json!({ "email": "second@example.id", "role": "admin", "password": PASSWORD });
    let without = json!({ "email": "second@example.id", "role": "admin" });
    for body in [&with_password, &without] {
        program.post("/admin/users", body).await.refused(FORBIDDEN);
    }
    let refused = maker.post("/admin/users", &with_password).await;
    refused.refused_field("password");
    let changed = before.changes(&world.pool).await;
    assert!(changed.keys().all(|table| table == "tokens"), "{changed:?}");

    // Half of the code for each of two people, and none in the database.
    let proposal = maker.post("/admin/users", &without).await;
    let proposal = proposal.expect(202).data();
    assert_eq!(proposal["kind"], "user.create");
    let first = text(&proposal, "setup_code");
    for alone in [&maker, &program, &world.staff(Role::Admin).await] {
        confirm(alone, &proposal).await.refused(FORBIDDEN);
    }
    assert_eq!(world.rows("users").await, 2);
    let confirmed = confirm(&checker, &proposal).await.expect(200).data();
    let second = text(&confirmed, "setup_code");
    assert_eq!(confirmed["token"], Value::Null);
    for table in ["approvals", "users", "audit_logs"] {
        let kept = format!("{table} t WHERE t::text ~ '{first}|{second}'");
        assert_eq!(world.rows(&kept).await, 0, "kept in the clear in {table}");
    }
    let kept = format!("idempotency_keys WHERE position('{first}'::bytea IN body) > 0");
    assert_eq!(world.rows(&kept).await, 0, "kept in the clear");
    for codes in [
        vec![first.as_str()],
        vec![second.as_str()],
        vec![first.as_str(), first.as_str()],
        vec![second.as_str(), second.as_str()],
    ] {
        let answer = set_up(&world, "second@example.id", &codes, PASSWORD).await;
        answer.refused(UNAUTHENTICATED);
    }
    let email = "second@example.id";
    assert_refused!(log_in(&world, email, PASSWORD), UNAUTHENTICATED);

    // With both halves, once. Then the new person must wait for a day.
    let both = [second.as_str(), first.as_str()];
    let answer = set_up(&world, email, &both, "elevenchars").await;
    answer.refused(VALIDATION_FAILED);
    let _ = set_up(&world, email, &both, PASSWORD).await.expect(200);
    let answer = set_up(&world, email, &both, "another password").await;
    answer.refused(UNAUTHENTICATED);
    let newcomer = world.log_in("second@example.id").await;
    let change = maker.patch(&merchant, &account).await.expect(202).data();
    confirm(&newcomer, &change).await.refused(FORBIDDEN);
    world.later(DAY_S - 60);
    let newcomer = world.log_in("second@example.id").await;
    confirm(&newcomer, &change).await.refused(FORBIDDEN);
    let kept = world.admin().read(&merchant).await;
    assert_eq!(kept["payout_account_reference"], Value::Null);
    world.later(120);
    let _ = confirm(&newcomer, &change).await.expect(200);
}

/// Every change that needs two people, requested by a program, by one person, and by a new one.
#[tokio::test]
async fn every_guarded_change_needs_two_people() {
    let world = guarded().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let device = Credentials::at(&world, shop.terminal().id).await.device_id;
    let maker = world.person(Role::Admin).await;
    let checker = world.person(Role::Finance).await;
    let newcomer = world.newcomer(Role::Finance).await;
    let new_user = async |role: Role| {
        let email = world.create_user(role).await;
        format!("/admin/users/{}", user_id(&world, &email).await)
    };
    let (support, gone) = (new_user(Role::Support).await, new_user(Role::Finance).await);
    maker.change(&gone, &json!({ "status": "disabled" })).await;
    let mut stray = shop.printed_payment(&world, 40_000);
    stray["terminal_label"] = json!("T99");
    let _ = world.acquirer().send(&stray).await.expect(200);
    let money = world.admin().get("/admin/unmatched-payments").await.data()[0].clone();
    let merchant =
        json!({ "legal_name": "PT Baru", "brand_name": "Baru", "fee_profile_id": "fee_basic" });
    let merchant = maker.create("/admin/merchants", &merchant).await;
    let text_order = json!({ "type": "announce_text", "payload": { "text": "Selamat pagi" } });
    let bulk = json!({
        "type": "announce_text", "payload": { "text": "Selamat siang" }, "query": {},
        "rollout": { "rate_per_minute": 600, "abort_threshold_percent": 100, "min_sample": 1 },
    });
    let reset = format!("{support}/reset");
    let tokens = "/admin/tokens".to_owned();
    let assign = format!("/admin/unmatched-payments/{}/assign", text(&money, "id"));
    let approve = format!("/admin/merchants/{}/approve", text(&merchant, "id"));
    let commands = format!("/admin/devices/{device}/commands");
    let user = json!({ "email": "new@example.id", "role": "finance" });
    let robot = json!({ "role": "admin", "name": "robot" });
    let books = json!({ "role": "finance", "name": "books" });
    let terminal = json!({ "terminal_id": shop.terminal().id });
    let account = json!({ "payout_account_reference": "bank:777" });
    let changes = [
        (Method::POST, "/admin/users".to_owned(), user),
        (Method::PATCH, support, json!({ "role": "admin" })),
        (Method::PATCH, gone, json!({ "status": "active" })),
        (Method::POST, reset, json!({})),
        (Method::POST, tokens.clone(), robot),
        (Method::POST, tokens, books),
        (Method::POST, assign, terminal),
        (Method::POST, approve, json!({})),
        (Method::PATCH, shop.path(), account),
        (Method::POST, commands.clone(), text_order),
        (Method::POST, "/admin/bulk-commands".to_owned(), bulk),
    ];
    let trail = ["approvals", "audit_logs", "idempotency_keys", "tokens"];
    for (method, path, body) in &changes {
        let before = Snapshot::take(&world.pool).await;
        let program = ask(&world.admin(), method, path, body).await;
        program.refused(FORBIDDEN);
        assert!(text(&program.json(), "message").contains("two people"));
        let proposal = ask(&maker, method, path, body).await;
        assert_eq!(proposal.status, 202, "{path}: {proposal}");
        let proposal = proposal.data();
        for (who, api) in [
            ("the maker", &maker),
            ("a program", &world.admin()),
            ("a newcomer", &newcomer),
        ] {
            println!("{path} confirmed by {who}");
            confirm(api, &proposal).await.refused(FORBIDDEN);
        }
        let changed = before.changes(&world.pool).await;
        let surprising = |table: &String| !trail.contains(&table.as_str());
        assert!(!changed.keys().any(surprising), "{path}: {changed:?}");

        let confirmed = confirm(&checker, &proposal).await;
        assert_eq!(confirmed.status, 200, "{path}: {confirmed}");
        let confirmed = confirmed.data();
        assert_ne!(confirmed["decided_by"], confirmed["requested_by"]);
        let changed = before.changes(&world.pool).await;
        let effective = path == "/admin/tokens" || changed.keys().any(surprising);
        assert!(effective, "{path} changed nothing: {changed:?}");
        if path == "/admin/tokens" {
            let robot = world.anonymous().with_token(&text(&confirmed, "token"));
            robot.read("/admin/settlements").await;
        }
        confirm(&checker, &proposal).await.refused(INVALID_STATE);
        let audited = format!(
            "audit_logs WHERE entity = '{}' AND action IN ('approval.propose', 'approval.approve')",
            text(&proposal, "id")
        );
        assert_eq!(world.rows(&audited).await, 2, "{path}");
    }
    // Other changes need one person, or a program.
    let robot = json!({ "role": "ops", "name": "terminal sync" });
    world.admin().create("/admin/tokens", &robot).await;
    let volume = json!({ "type": "set_volume", "payload": { "volume": 3 } });
    let given = world.admin().post_once(&commands, &volume).await;
    let _ = given.expect(201);
}

/// A user who was made, promoted, enabled again or reset today confirms nothing today.
#[tokio::test]
async fn a_user_whose_access_changed_today_confirms_nothing_today() {
    let world = guarded().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let merchant = format!("/admin/merchants/{}", shop.merchant_id);
    let mut emails = vec![("made", world.create_user(Role::Finance).await)];
    for (how, role) in [
        ("promoted", Role::Support),
        ("enabled", Role::Finance),
        ("reset", Role::Finance),
    ] {
        emails.push((how, world.create_user(role).await));
    }
    // All but the first have had their access for long.
    let long_ago = "UPDATE users SET access_changed_at = access_changed_at - interval '30 days'";
    let (_, made) = &emails[0];
    world
        .execute(&format!("{long_ago} WHERE email <> '{made}'"))
        .await;
    let maker = world.person(Role::Admin).await;
    let checker = world.person(Role::Admin).await;
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
                maker.change(&user, &json!({ "status": "disabled" })).await;
                let _ = both(maker.patch(&user, &json!({ "status": "active" })).await).await;
            }
            "reset" => {
                let session = world.log_in(email).await;
                let (one, two) = both(maker.post(&format!("{user}/reset"), &json!({})).await).await;
                assert_refused!(session.get("/admin/settlements"), UNAUTHENTICATED);
                assert_refused!(log_in(&world, email, PASSWORD), UNAUTHENTICATED);
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
        let change = maker.patch(&merchant, &account(number)).await;
        let change = change.expect(202).data();
        println!("confirmed by the user who was {how} today");
        let answer = confirm(&world.log_in(email).await, &change).await;
        answer.refused(FORBIDDEN);
        waiting.push(change);
    }
    world.later(DAY_S - 60);
    for ((how, email), change) in emails.iter().zip(&waiting) {
        println!("confirmed by the user who was {how} a day ago");
        let answer = confirm(&world.log_in(email).await, change).await;
        answer.refused(FORBIDDEN);
    }
    world.later(120);
    for ((how, email), change) in emails.iter().zip(&waiting) {
        let answer = confirm(&world.log_in(email).await, change).await;
        assert_eq!(answer.status, 200, "{how}: {answer}");
    }
}

#[tokio::test]
async fn a_merchant_is_approved_by_another_person_than_its_maker() {
    let world = guarded().await;
    let ani = world.person(Role::Admin).await;
    let budi = world.person(Role::Admin).await;
    let newcomer = world.newcomer(Role::Admin).await;
    let new =
        json!({ "legal_name": "PT Baru", "brand_name": "Baru", "fee_profile_id": "fee_basic" });
    let made_by = async |api: &Api| {
        let made = api.create("/admin/merchants", &new).await;
        format!("/admin/merchants/{}", text(&made, "id"))
    };
    let approve =
        async |api: &Api, path: &str| api.post(&format!("{path}/approve"), &json!({})).await;
    let status = async |path: &str| ani.read(path).await["status"].clone();

    let path = made_by(&ani).await;
    approve(&world.admin(), &path).await.refused(FORBIDDEN);
    approve(&newcomer, &path).await.refused(FORBIDDEN);
    assert_eq!(status(&path).await, "pending_review");
    let _ = approve(&budi, &path).await.expect(200);
    assert_eq!(status(&path).await, "approved");

    // Made by the same person, by a program, or changed by the same person: another person confirms.
    let own = made_by(&ani).await;
    let by_program = made_by(&world.admin()).await;
    let changed = made_by(&budi).await;
    let nmid = json!({ "nmid": "ID1234567890123" });
    ani.change(&changed, &nmid).await;
    for path in [own, by_program, changed] {
        let proposal = approve(&ani, &path).await.expect(202).data();
        confirm(&ani, &proposal).await.refused(FORBIDDEN);
        assert_eq!(status(&path).await, "pending_review");
        let _ = confirm(&budi, &proposal).await.expect(200);
        assert_eq!(status(&path).await, "approved");
    }
}

/// The first payout to an account waits for two people, also when a program ran the settlement; the next one does not.
#[tokio::test]
async fn the_first_payout_to_an_account_waits_for_two_people() {
    let Payouts {
        world,
        partner,
        shop,
        device,
        ..
    } = Payouts::with(Behaviour::Accepts, PayoutPartner::configure_two_people).await;
    let ani = world.person(Role::Admin).await;
    let budi = world.person(Role::Finance).await;
    let read = async |id: &str| ani.read(&format!("/admin/settlements/{id}")).await;
    let waiting = async |status: &str| {
        let path = format!("/admin/approvals?status={status}&kind=payout.account");
        ani.read(&path).await
    };
    device.sell(&world, 10_000).await;
    world.later(1);
    let first = settle(&ani).await;
    let held = read(&first).await;
    assert_fields!(held, { "status": "pending", "payouts/0/status": "pending" });
    let reason = text(&held["payouts"][0], "reason");
    assert!(reason.contains("two people"), "{reason}");
    assert!(partner.transfers().is_empty());
    let proposal = waiting("pending").await[0].clone();
    assert_eq!(proposal["entity"], json!(shop.merchant_id));
    confirm(&ani, &proposal).await.refused(FORBIDDEN);
    confirm(&world.admin(), &proposal).await.refused(FORBIDDEN);

    // Another settlement meanwhile waits for the same proposal.
    device.sell(&world, 20_000).await;
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

    // Another account: the run of a program is taken over by one person and confirmed by another.
    let account = json!({ "payout_account_reference": "bank:555" });
    let change = ani.patch(&shop.path(), &account).await.expect(202).data();
    let _ = confirm(&budi, &change).await.expect(200);
    device.sell(&world, 30_000).await;
    world.later(1);
    let third = settle(&world.staff(Role::Finance).await).await;
    let proposal = waiting("pending").await[0].clone();
    assert_fields!(proposal, { "request/payout_account/destination": "bank:555" });
    let taken = confirm(&ani, &proposal).await.expect(200).data();
    assert_eq!(taken["status"], "pending");
    assert_eq!(read(&third).await["payouts"][0]["status"], "pending");
    confirm(&ani, &proposal).await.refused(FORBIDDEN);

    // Rejected: it failed, and may be tried again with another account.
    let reject = format!("/admin/approvals/{}/reject", text(&proposal, "id"));
    let reason = json!({ "reason": "not the merchant's" });
    budi.act(&reject, &reason).await;
    assert_eq!(read(&third).await["status"], "failed");
    must_verify(&world).await;
}
