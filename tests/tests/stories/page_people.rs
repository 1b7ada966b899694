//! The pages of people, by plain HTTP: users, tokens, passwords, and the audit log.

use tests::pages::{Pages, person};
use tests::payout_partner::Behaviour;
use tests::prelude::*;

#[tokio::test]
async fn a_user_is_made_logs_in_is_reset_and_disabled() {
    let (world, shop) = fixture::shop().await;
    let admin = Pages::of(&world, Role::Admin, None).await;
    let path = "/console/users";
    let fields = [("email", "ani@example.id"), ("role", "support")];
    let made = admin.press(path, path, &fields).await;
    assert_eq!(made.status, 200);
    assert!(made.html.contains("shown only now"), "{}", made.html);
    let password = made.element("secret").to_owned();
    assert!(password.len() >= 12);
    let ani = Pages::open(&world);
    assert_eq!(ani.log_in("ani@example.id", &password).await.status, 303);
    assert_eq!(ani.get("/console/users").await.status, 200);
    // The same again, and a merchant's user without a merchant: what was typed is kept.
    let again = admin.press(path, path, &fields).await;
    assert_eq!(again.status, 422);
    assert!(again.html.contains("another user") && again.html.contains("value=\"ani@example.id\""));
    let owner = [("email", "ibu@example.id"), ("role", "merchant_owner")];
    let alone = admin.press(path, path, &owner).await;
    assert!(
        alone.html.contains("merchant_id: merchant roles"),
        "{}",
        alone.html
    );
    let merchant = shop.merchant_id.to_string();
    let whole = [owner[0], owner[1], ("merchant_id", merchant.as_str())];
    assert_eq!(admin.press(path, path, &whole).await.status, 200);
    let listed = admin.get("/console/users?email=ani@example.id").await.html;
    let (_, rest) = listed.split_once("/console/users/usr_").unwrap();
    let user = format!("/console/users/usr_{}", &rest[..32]);
    assert!(!listed.contains("ibu@example.id"), "{listed}");

    let change = format!("{user}/change");
    let role = admin.press(&user, &change, &[("role", "finance")]).await;
    assert_eq!(role.location.as_deref(), Some(user.as_str()));
    assert_eq!(
        ani.get("/console/").await.status,
        303,
        "another role ends sessions"
    );
    let shop_role = admin
        .press(&user, &change, &[("role", "merchant_owner")])
        .await;
    assert_eq!(shop_role.status, 422);
    let reset = admin.press(&user, &format!("{user}/reset"), &[]).await;
    let code = reset.element("secret").to_owned();
    assert_eq!(ani.log_in("ani@example.id", &password).await.status, 401);
    let form = |code: &str, password: &str| {
        let fields = [
            ("email", "ani@example.id"),
            ("code", code),
            ("password", password),
        ];
        fields.map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let set = async |code: &str, password: &str| {
        let fields = form(code, password);
        let fields = fields
            .each_ref()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        ani.press("/password", "/password", &fields).await
    };
    let wrong = set("WRONG-CODE", "kopi tubruk dingin").await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.html.contains("value=\"WRONG-CODE\"") && !wrong.html.contains("tubruk"));
    assert_eq!(set(&code, "short").await.status, 422);
    assert_eq!(set(&code, "kopi tubruk dingin").await.status, 200);
    assert_eq!(
        ani.log_in("ani@example.id", "kopi tubruk dingin")
            .await
            .status,
        303
    );
    let off = admin.press(&user, &change, &[("status", "disabled")]).await;
    assert_eq!(off.status, 303);
    assert_eq!(ani.get("/console/").await.status, 303);
    assert!(admin.get(&user).await.html.contains("Enable"));
    // Support sees, and has no forms.
    let support = Pages::of(&world, Role::Support, None).await;
    let seen = support.get(&user).await.html;
    assert!(
        seen.contains("ani@example.id") && !seen.contains("/change"),
        "{seen}"
    );
    let csrf = support.get(&user).await.csrf();
    let sent = [("csrf", csrf.as_str()), ("status", "active")];
    assert_eq!(support.post(&change, &sent).await.status, 403);
    let file = admin.get("/console/users.csv?role=finance").await.html;
    assert!(
        file.contains("ani@example.id") && !file.contains("ibu@example.id"),
        "{file}"
    );
}

#[tokio::test]
async fn a_token_is_shown_once_and_ended_by_its_button() {
    let (world, _) = fixture::shop().await;
    let admin = Pages::of(&world, Role::Admin, None).await;
    let path = "/console/tokens";
    let fields = [
        ("name", "nightly report"),
        ("role", "support"),
        ("days", "30"),
    ];
    let made = admin.press(path, path, &fields).await;
    let secret = made.element("secret").to_owned();
    let api = world.anonymous().with_token(&secret);
    let _ = api.get("/admin/merchants").await.expect(200);
    let listed = admin.get("/console/tokens?role=support").await.html;
    assert!(
        listed.contains("nightly report") && !listed.contains(&secret),
        "{listed}"
    );
    let (_, rest) = listed.split_once("/console/tokens/tok_").unwrap();
    let revoke = format!("/console/tokens/tok_{}/revoke", &rest[..32]);
    let ended = admin
        .press("/console/tokens?role=support", &revoke, &[])
        .await;
    assert_eq!(ended.status, 303);
    assert_refused!(api.get("/admin/merchants"), UNAUTHENTICATED);
    for (days, told) in [("x", "days: is not a number"), ("0", "expires_in:")] {
        let wrong = [fields[0], fields[1], ("days", days)];
        let refused = admin.press(path, path, &wrong).await;
        assert_eq!(refused.status, 422);
        assert!(refused.html.contains(told) && refused.html.contains("value=\"nightly report\""));
    }
    let file = admin.get("/console/tokens.csv").await.html;
    assert!(file.contains("nightly report") && !file.contains(&secret));
}

#[tokio::test]
async fn where_two_people_must_agree_a_users_code_has_two_halves() {
    let Payouts {
        world,
        partner: _partner,
        ..
    } = Payouts::with(Behaviour::Accepts, PayoutPartner::configure_two_people).await;
    let people = [
        person(&world, Role::Admin, None).await,
        person(&world, Role::Finance, None).await,
    ];
    world
        .execute("UPDATE users SET access_changed_at = access_changed_at - interval '30 days'")
        .await;
    let [maker, checker] = [Pages::open(&world), Pages::open(&world)];
    maker.log_in(&people[0], PASSWORD).await;
    checker.log_in(&people[1], PASSWORD).await;
    let path = "/console/users";
    let fields = [("email", "ani@example.id"), ("role", "ops")];
    let asked = maker.press(path, path, &fields).await;
    assert!(
        asked.html.contains("one half of the code"),
        "{}",
        asked.html
    );
    let first = asked.element("secret").to_owned();
    let (_, rest) = asked.html.split_once("/console/approvals/apr_").unwrap();
    let proposal = format!("/console/approvals/apr_{}", &rest[..32]);
    let approve = format!("{proposal}/approve");
    assert!(
        maker
            .get(&proposal)
            .await
            .html
            .contains("You have proposed this")
    );
    assert_eq!(maker.press(&proposal, &approve, &[]).await.status, 403);
    let done = checker.press(&proposal, &approve, &[]).await;
    assert_eq!(done.status, 200, "{}", done.html);
    let second = done.element("secret");
    let ani = Pages::open(&world);
    let half = [
        ("email", "ani@example.id"),
        ("code", first.as_str()),
        ("password", PASSWORD),
    ];
    assert_eq!(ani.press("/password", "/password", &half).await.status, 401);
    let whole = [half[0], half[1], ("second_code", second), half[2]];
    assert_eq!(
        ani.press("/password", "/password", &whole).await.status,
        200
    );
    assert_eq!(ani.log_in("ani@example.id", PASSWORD).await.status, 303);
}

#[tokio::test]
async fn the_audit_log_shows_before_and_after_and_a_row_that_was_changed() {
    let (world, shop) = fixture::shop().await;
    shop.change(&world, json!({ "city": "BANDUNG" })).await;
    let pages = Pages::of(&world, Role::Support, None).await;
    let own = format!(
        "/console/audit?action=merchant.patch&entity={}",
        shop.merchant_id
    );
    let html = pages.get(&own).await.html;
    let row =
        "<tr class=\"changed\"><th scope=\"row\">city</th><td>JAKARTA</td><td>BANDUNG</td></tr>";
    assert!(
        html.contains("merchant.patch") && html.contains("BANDUNG"),
        "{html}"
    );
    assert!(
        html.contains(row) || html.contains("<td>BANDUNG</td></tr>"),
        "{html}"
    );
    assert!(!html.contains("merchant.create"));
    eventually("the seal", || async {
        let sealed = "audit_waiting";
        (world.rows(sealed).await == 0).then_some(())
    })
    .await;
    let html = pages.get(&own).await.html;
    assert!(
        html.contains("sealed") && !html.contains("changed after it was sealed"),
        "{html}"
    );
    // Somebody who may disable triggers changes a row: it shows.
    world
        .execute(
            "ALTER TABLE audit_logs DISABLE TRIGGER USER;
             UPDATE audit_logs SET after = jsonb_set(after, '{city}', '\"MEDAN\"') WHERE action = 'merchant.patch';
             ALTER TABLE audit_logs ENABLE TRIGGER USER",
        )
        .await;
    let html = pages.get(&own).await.html;
    assert!(html.contains("changed after it was sealed"), "{html}");
    let file = pages
        .get("/console/audit.csv?action=merchant.patch")
        .await
        .html;
    assert_eq!(file.lines().count(), 2, "{file}");
    let filtered = world
        .admin()
        .list("/admin/audit-logs?action=merchant.patch")
        .await;
    assert_eq!(filtered.len(), 1);
    let none = pages.get("/console/audit?actor=nobody").await.html;
    assert!(none.contains("Nothing matches these filters"));
}
