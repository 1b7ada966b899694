//! Logins of people, and tokens of programs.

use chrono::TimeDelta;
use futures_util::future::join_all;
use tests::prelude::*;

const PASSWORD: &str = "kopi tubruk panas";

/// A user of this role, made by an administrator.
async fn create_user(world: &World, email: &str, role: Role) -> Value {
    let user = json!({ "email": email, "role": role, "password": PASSWORD });
    world.admin().create("/admin/users", &user).await
}

fn user_path(user: &Value) -> String {
    format!("/admin/users/{}", text(user, "id"))
}

async fn change_user(world: &World, user: &Value, change: Value) -> Value {
    world.admin().change(&user_path(user), &change).await
}

async fn log_in(api: &Api, email: &str, password: &str) -> Answer {
    let body = json!({ "email": email, "password": password });
    api.post("/admin/login", &body).await
}

fn refused_and_throttled(answers: &[Answer]) -> (usize, usize) {
    (with_status(answers, 401), with_status(answers, 429))
}

async fn can_log_in(api: &Api, email: &str, password: &str) {
    let _ = log_in(api, email, password).await.expect(200);
}

async fn cannot_log_in(api: &Api, email: &str, password: &str, refusal: (u16, &str)) {
    log_in(api, email, password).await.refused(refusal);
}

/// Logs in with the right password.
async fn enter(world: &World, email: &str) -> Api {
    let given = log_in(&world.anonymous(), email, PASSWORD)
        .await
        .expect(200)
        .data();
    world.anonymous().with_token(&text(&given, "token"))
}

#[tokio::test]
async fn a_login_is_good_for_twelve_hours() {
    let world = World::new().await;
    let user = create_user(&world, "Sari@Example.id", Role::Ops).await;
    assert_eq!(user["email"], "sari@example.id");
    assert!(
        user["password"].is_null(),
        "a chosen password is not returned"
    );
    let given = log_in(&world.anonymous(), "SARI@example.id", PASSWORD)
        .await
        .expect(200)
        .data();
    assert_eq!(given["token_type"], "Bearer");
    assert_fields!(given["user"], { "id": user["id"], "role": "ops" });
    let sari = world.anonymous().with_token(&text(&given, "token"));
    sari.read("/admin/devices").await;
    sari.get("/admin/users").await.refused(FORBIDDEN);
    world.later(12 * 3600 - 60);
    sari.read("/admin/devices").await;
    world.later(61);
    sari.get("/admin/devices").await.refused(UNAUTHENTICATED);
}

#[tokio::test]
async fn a_refused_login_does_not_reveal_the_reason() {
    let world = World::new().await;
    let user = create_user(&world, "sari@example.id", Role::Ops).await;
    let anonymous = world.anonymous();
    let wrong = log_in(&anonymous, "sari@example.id", "kopi susu").await;
    let unknown = log_in(&anonymous, "nobody@example.id", PASSWORD).await;
    change_user(&world, &user, json!({ "status": "disabled" })).await;
    let disabled = log_in(&anonymous, "sari@example.id", PASSWORD).await;
    for answer in [&wrong, &unknown, &disabled] {
        answer.refused(UNAUTHENTICATED);
        assert_eq!(answer.json()["message"], wrong.json()["message"]);
        assert_eq!(answer.json()["details"], wrong.json()["details"]);
    }
    for nonsense in [
        json!({}),
        json!({ "email": "sari", "password": "x" }),
        json!({ "email": "sari@example.id", "password": "" }),
        json!({ "email": "sari@example.id", "password": "x", "role": "admin" }),
    ] {
        assert_refused!(anonymous.post("/admin/login", &nonsense), VALIDATION_FAILED);
    }
}

#[tokio::test]
async fn guessing_is_slowed_down_for_one_email_from_one_address_and_no_user_is_locked_out() {
    let world = World::new().await;
    create_user(&world, "sari@example.id", Role::Ops).await;
    create_user(&world, "budi@example.id", Role::Ops).await;
    let anonymous = world.anonymous();
    // All at once, so that none fails before the others are sent.
    let guesses = join_all((0..25).map(|_| log_in(&anonymous, "sari@example.id", "a guess"))).await;
    assert_eq!(refused_and_throttled(&guesses), (10, 15));
    // Now the right password is refused too.
    let throttled = log_in(&anonymous, "sari@example.id", PASSWORD).await;
    throttled.refused(RATE_LIMITED);
    let wait: i64 = throttled.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=901).contains(&wait), "{wait}");
    enter(&world, "budi@example.id").await;
    // Guessing locks no user out: from any other address the login works, while the guessing goes on.
    for last in 2..6 {
        let elsewhere = world.anonymous_from([127, 0, 0, last]);
        can_log_in(&elsewhere, "sari@example.id", PASSWORD).await;
        cannot_log_in(&anonymous, "sari@example.id", "a guess", RATE_LIMITED).await;
    }
    // Successful logins are not counted.
    world.later(wait);
    for _ in 0..12 {
        enter(&world, "sari@example.id").await;
    }
}

#[tokio::test]
async fn guessing_is_slowed_down_for_one_address_and_no_other() {
    let world = World::new().await;
    create_user(&world, "sari@example.id", Role::Ops).await;
    let anonymous = world.anonymous_from([127, 0, 0, 2]);
    let guesses = join_all((0..60).map(|number| {
        let anonymous = anonymous.clone();
        async move { log_in(&anonymous, &format!("user{number}@example.id"), "a guess").await }
    }))
    .await;
    assert_eq!(refused_and_throttled(&guesses), (50, 10));
    cannot_log_in(&anonymous, "sari@example.id", PASSWORD, RATE_LIMITED).await;
    let elsewhere = world.anonymous_from([127, 0, 0, 3]);
    can_log_in(&elsewhere, "sari@example.id", PASSWORD).await;
}

#[tokio::test]
async fn a_disabled_user_is_out_at_once() {
    let world = World::new().await;
    let user = create_user(&world, "sari@example.id", Role::Ops).await;
    let sari = enter(&world, "sari@example.id").await;
    let disabled = change_user(&world, &user, json!({ "status": "disabled" })).await;
    assert_eq!(disabled["status"], "disabled");
    sari.get("/admin/devices").await.refused(UNAUTHENTICATED);
    // Enabled again, the old token stays revoked and a new login is needed.
    change_user(&world, &user, json!({ "status": "active" })).await;
    sari.get("/admin/devices").await.refused(UNAUTHENTICATED);
    let sari = enter(&world, "sari@example.id").await;
    sari.read("/admin/devices").await;
}

#[tokio::test]
async fn a_new_password_ends_what_the_old_one_opened() {
    let world = World::new().await;
    let user = create_user(&world, "sari@example.id", Role::Ops).await;
    let sari = enter(&world, "sari@example.id").await;
    let change = json!({ "password": "teh tarik panas" });
    change_user(&world, &user, change).await;
    sari.get("/admin/devices").await.refused(UNAUTHENTICATED);
    let anonymous = world.anonymous();
    cannot_log_in(&anonymous, "sari@example.id", PASSWORD, UNAUTHENTICATED).await;
    can_log_in(&anonymous, "sari@example.id", "teh tarik panas").await;
}

#[tokio::test]
async fn a_merchants_user_belongs_to_its_merchant() {
    let (world, shop) = fixture::shop().await;
    let admin = world.admin();
    let owner = |merchant: Value| json!({ "email": "sari@example.id", "role": "merchant_owner", "merchant_id": merchant, "password": PASSWORD });
    admin
        .post("/admin/users", &owner(Value::Null))
        .await
        .refused(VALIDATION_FAILED);
    let of_none = owner(json!("m_0190f3a1c0de7abc8def0123456789ab"));
    assert_refused!(admin.post("/admin/users", &of_none), MERCHANT_NOT_FOUND);
    admin
        .create("/admin/users", &owner(json!(shop.merchant_id)))
        .await;
    admin
        .post("/admin/users", &owner(json!(shop.merchant_id)))
        .await
        .refused(DUPLICATE_REQUEST);
    let given = log_in(&world.anonymous(), "sari@example.id", PASSWORD)
        .await
        .expect(200)
        .data();
    assert_eq!(given["user"]["merchant_id"], json!(shop.merchant_id));
    let sari = world.anonymous().with_token(&text(&given, "token"));
    sari.get("/admin/merchants").await.refused(FORBIDDEN);
}

#[tokio::test]
async fn secrets_are_shown_once() {
    let world = World::new().await;
    let key = [("idempotency-key", "one")];
    let admin = world.admin();
    let user = json!({ "email": "sari@example.id", "role": "ops" });
    let token = json!({ "role": "ops", "name": "terminal sync" });
    for (path, body, secret) in [
        ("/admin/users", user, "password"),
        ("/admin/tokens", token, "token"),
    ] {
        let first = admin.post_with(path, &key, &body).await.expect(201);
        let shown = text(&first.data(), secret);
        assert!(shown.len() >= 20, "{shown}");
        let again = admin.post_with(path, &key, &body).await.expect(201);
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        assert!(again.data()[secret].is_null());
        assert_eq!(again.data()["id"], first.data()["id"]);
        let list = admin.get(path).await.expect(200);
        let list = String::from_utf8_lossy(&list.body).into_owned();
        assert!(!list.contains(&shown) && !list.contains("argon2"), "{list}");
        let kept: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM users u WHERE position($1 IN u::text) > 0)
                  + (SELECT count(*) FROM tokens t WHERE position($1 IN t::text) > 0)
                  + (SELECT count(*) FROM audit_logs a WHERE position($1 IN a::text) > 0)
                  + (SELECT count(*) FROM idempotency_keys i WHERE position(convert_to($1, 'UTF8') IN i.body) > 0)",
        )
        .bind(&shown)
        .fetch_one(&world.pool)
        .await
        .unwrap();
        assert_eq!(kept, 0, "{secret} is kept in the clear");
    }
    // The generated password works.
    let user = json!({ "email": "budi@example.id", "role": "ops" });
    let password = text(&admin.create("/admin/users", &user).await, "password");
    can_log_in(&world.anonymous(), "budi@example.id", &password).await;
}

#[tokio::test]
async fn a_token_that_was_made_for_a_program_can_be_revoked() {
    let world = World::new().await;
    let admin = world.admin();
    for wrong in [
        json!({ "role": "boss", "name": "x" }),
        json!({ "role": "ops", "name": "" }),
        json!({ "role": "ops", "name": "x", "expires_in": 0 }),
        json!({ "role": "merchant_owner", "name": "x" }),
    ] {
        assert_refused!(admin.post("/admin/tokens", &wrong), VALIDATION_FAILED);
    }
    let asked = json!({ "role": "support", "name": "dashboard", "expires_in": 3600 });
    let made = admin.create("/admin/tokens", &asked).await;
    let program = world.anonymous().with_token(&text(&made, "token"));
    program.read("/admin/devices").await;
    // Support may list tokens and not revoke them.
    let listed = program.read("/admin/tokens?role=support").await;
    assert_fields!(listed[0], { "id": made["id"], "name": "dashboard" });
    assert!(listed[0]["first_used_at"].is_string());
    let path = format!("/admin/tokens/{}/revoke", text(&made, "id"));
    program.post(&path, &json!({})).await.refused(FORBIDDEN);
    let revoked = admin.act(&path, &json!({})).await;
    assert!(revoked["revoked_at"].is_string());
    program.get("/admin/devices").await.refused(UNAUTHENTICATED);
    let again = admin.act(&path, &json!({})).await;
    assert_eq!(again["revoked_at"], revoked["revoked_at"]);
    admin
        .post(
            "/admin/tokens/tok_0190f3a1c0de7abc8def0123456789ab/revoke",
            &json!({}),
        )
        .await
        .refused(TOKEN_NOT_FOUND);
    let second = TimeDelta::seconds(1);
    let short = world.token_for(Role::Ops, None, second).await;
    world.later(2);
    assert_refused!(
        world.anonymous().with_token(&short).get("/admin/devices"),
        UNAUTHENTICATED
    );
}

#[tokio::test]
async fn the_audit_log_names_people_not_their_tokens() {
    let world = World::new().await;
    let user = create_user(&world, "sari@example.id", Role::Ops).await;
    let sari = enter(&world, "sari@example.id").await;
    let device = json!({ "serial_number": "SN-1", "model": "SB-1", "capabilities": ["speaker"] });
    sari.create("/admin/devices", &device).await;
    let rows: Vec<(String, String)> = world.table("SELECT action, actor FROM audit_logs WHERE action IN ('user.login', 'device.create') ORDER BY id").await;
    let sari = text(&user, "id");
    let acts = ["user.login", "device.create"];
    assert_eq!(rows, acts.map(|act| (act.to_owned(), sari.clone())));
}

#[tokio::test]
async fn a_password_is_long_and_not_the_email() {
    let world = World::new().await;
    let admin = world.admin();
    for wrong in [
        "elevenchars",
        "sari-the-boss@example.id",
        "SARI-the-boss@example.id",
        &"x".repeat(129),
    ] {
        let user = json!({ "email": "sari-the-boss@example.id", "role": "ops", "password": wrong });
        let refused = admin.post("/admin/users", &user).await;
        refused.refused_field("password");
    }
}

#[tokio::test]
async fn people_change_their_own_password_and_their_other_sessions_end() {
    let world = World::new().await;
    let user = create_user(&world, "sari@example.id", Role::Support).await;
    let here = enter(&world, "sari@example.id").await;
    let elsewhere = enter(&world, "sari@example.id").await;
    let change =
        |current: &str, new: &str| json!({ "current_password": current, "new_password": new });
    for (current, new, field) in [
        ("not this one at all", "teh tarik panas", "current_password"),
        (PASSWORD, "short", "new_password"),
        (PASSWORD, PASSWORD, "new_password"),
    ] {
        let refused = here.post("/admin/password", &change(current, new)).await;
        refused.refused_field(field);
    }
    elsewhere.read("/admin/devices").await;
    let new = change(PASSWORD, "teh tarik panas");
    let changed = here.act("/admin/password", &new).await;
    // A change of one's own password does not count as a change of access.
    assert_eq!(changed["access_changed_at"], user["access_changed_at"]);
    here.read("/admin/devices").await;
    assert_refused!(elsewhere.get("/admin/devices"), UNAUTHENTICATED);
    let anonymous = world.anonymous();
    cannot_log_in(&anonymous, "sari@example.id", PASSWORD, UNAUTHENTICATED).await;
    can_log_in(&anonymous, "sari@example.id", "teh tarik panas").await;
    // A program has no password, and wrong passwords are counted like logins.
    world
        .admin()
        .post("/admin/password", &change(PASSWORD, "teh tarik panas"))
        .await
        .refused(FORBIDDEN);
    let guess = change("not this one at all", "kopi susu gula aren");
    let mut throttled = false;
    for _ in 0..12 {
        throttled |= here.post("/admin/password", &guess).await.status == 429;
    }
    assert!(throttled);
}

#[tokio::test]
async fn a_token_ends_itself() {
    let world = World::new().await;
    create_user(&world, "sari@example.id", Role::Support).await;
    let here = enter(&world, "sari@example.id").await;
    let elsewhere = enter(&world, "sari@example.id").await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let owner = world.owner(shop.merchant_id).await;
    for (api, path) in [(&here, "/admin/devices"), (&owner, "/merchant/settlements")] {
        api.read(path).await;
        let ended = api.act("/admin/logout", &json!({})).await;
        assert!(ended["revoked_at"].is_string());
        api.get(path).await.refused(UNAUTHENTICATED);
    }
    elsewhere.read("/admin/devices").await;
    let ends = "audit_logs WHERE action = 'token.revoke'";
    assert_eq!(world.rows(ends).await, 2);
}

#[tokio::test]
async fn a_reset_user_sets_a_password_with_a_code_once_and_in_time() {
    let world = World::new().await;
    let user = create_user(&world, "sari@example.id", Role::Support).await;
    let sari = enter(&world, "sari@example.id").await;
    let path = format!("/admin/users/{}/reset", text(&user, "id"));
    let key = [("idempotency-key", "one")];
    let admin = world.admin();
    let reset = admin.post_with(&path, &key, &json!({})).await.expect(200);
    let code = text(&reset.data(), "setup_code");
    let again = admin.post_with(&path, &key, &json!({})).await.expect(200);
    assert!(again.data()["setup_code"].is_null());
    sari.get("/admin/devices").await.refused(UNAUTHENTICATED);
    let anonymous = world.anonymous();
    cannot_log_in(&anonymous, "sari@example.id", PASSWORD, UNAUTHENTICATED).await;
    let set_up = async |email: &str, code: &str| {
        let body = json!({ "email": email, "code": code, "password": PASSWORD });
        anonymous.post("/admin/password/setup", &body).await
    };
    create_user(&world, "budi@example.id", Role::Support).await;
    for (email, code) in [
        ("budi@example.id", code.as_str()),
        ("nobody@example.id", code.as_str()),
        ("sari@example.id", "AAAAA-BBBBB-CCCCC-DDDDD-EEEEE"),
    ] {
        set_up(email, code).await.refused(UNAUTHENTICATED);
    }
    let _ = set_up("sari@example.id", &code.to_lowercase())
        .await
        .expect(200);
    enter(&world, "sari@example.id").await;
    assert_refused!(set_up("sari@example.id", &code), UNAUTHENTICATED);
    // An unused code expires.
    let late = admin.act(&path, &json!({})).await;
    world.later(3 * 86_400 + 1);
    set_up("sari@example.id", &text(&late, "setup_code"))
        .await
        .refused(UNAUTHENTICATED);
    // Of several codes the last one is valid.
    let first = admin.act(&path, &json!({})).await;
    let last = admin.act(&path, &json!({})).await;
    set_up("sari@example.id", &text(&first, "setup_code"))
        .await
        .refused(UNAUTHENTICATED);
    let _ = set_up("sari@example.id", &text(&last, "setup_code"))
        .await
        .expect(200);
}

#[tokio::test]
async fn another_role_is_one_of_the_same_kind_and_ends_sessions() {
    let world = World::new().await;
    let user = create_user(&world, "sari@example.id", Role::Support).await;
    let sari = enter(&world, "sari@example.id").await;
    let path = user_path(&user);
    let other_kind = json!({ "role": "merchant_owner" });
    let refused = world.admin().patch(&path, &other_kind).await;
    refused.refused_field("role");
    let changed = change_user(&world, &user, json!({ "role": "finance" })).await;
    assert_eq!(changed["role"], "finance");
    sari.get("/admin/devices").await.refused(UNAUTHENTICATED);
    let sari = enter(&world, "sari@example.id").await;
    sari.read("/admin/settlements").await;
}
