//! The pages of people, by plain HTTP: who gets in, who sees what, and what the browser is told.

use std::time::Duration;

use tests::pages::{Pages, person};
use tests::prelude::*;

const STAFF: [Role; 4] = [Role::Admin, Role::Ops, Role::Finance, Role::Support];
const SESSION: &str = "soundbox_session";

#[tokio::test]
async fn a_login_leads_to_the_pages_of_its_role_and_a_logout_ends_it() {
    let (world, shop) = fixture::shop().await;
    let start = Pages::open(&world).get("/").await;
    assert_eq!(
        (start.status, start.location.as_deref()),
        (303, Some("/login"))
    );
    for (role, merchant, home, other) in [
        (Role::Ops, None, "/console/", "/portal/"),
        (
            Role::MerchantCashier,
            Some(shop.merchant_id),
            "/portal/",
            "/console/",
        ),
    ] {
        let email = person(&world, role, merchant).await;
        let pages = Pages::open(&world);
        let asked = pages.get("/console/devices?online=false").await;
        let login = "/login?next=%2Fconsole%2Fdevices%3Fonline%3Dfalse";
        assert_eq!(
            (asked.status, asked.location.as_deref()),
            (303, Some(login))
        );
        let wrong = pages.log_in(&email, "not the password").await;
        assert_eq!(wrong.status, 401);
        assert!(wrong.html.contains(&email), "what was typed is kept");
        assert!(!wrong.html.contains("not the password"));
        let given = pages.log_in(&email, PASSWORD).await;
        assert_eq!((given.status, given.location.as_deref()), (303, Some(home)));
        let cookie = given.headers.get_all("set-cookie").iter();
        let cookie = cookie
            .filter_map(|value| value.to_str().ok())
            .find(|value| value.starts_with(SESSION))
            .unwrap();
        for attribute in [
            "HttpOnly",
            "Secure",
            "SameSite=Strict",
            "Path=/",
            "Max-Age=43200",
        ] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        assert_eq!(pages.get(home).await.status, 200);
        assert_eq!(pages.get(other).await.status, 403);
        assert_eq!(pages.get("/login").await.location.as_deref(), Some(home));
        let token = pages.cookie(SESSION).unwrap();
        let out = pages.press(home, "/logout", &[]).await;
        assert_eq!(out.location.as_deref(), Some("/login"));
        assert_eq!(pages.cookie(SESSION), None);
        // A copy of the cookie is worth nothing either.
        pages.keep(SESSION, &token);
        assert_eq!(pages.get(home).await.status, 303);
    }
}

#[tokio::test]
async fn a_login_goes_on_to_the_page_that_was_asked_for_and_to_no_other_site() {
    let (world, _) = fixture::shop().await;
    let email = person(&world, Role::Admin, None).await;
    for (next, on) in [
        ("/console/alerts?state=open", "/console/alerts?state=open"),
        ("https://evil.example/", "/console/"),
        ("//evil.example/console/", "/console/"),
        ("/console//evil.example", "/console/"),
        ("/portal/history", "/console/"),
        ("/\\evil.example", "/console/"),
    ] {
        let pages = Pages::open(&world);
        let fields = [
            ("email", email.as_str()),
            ("password", PASSWORD),
            ("next", next),
        ];
        // Without a form's secret, as a program would.
        let given = pages.post("/login", &fields).await;
        assert_eq!(
            (given.status, given.location.as_deref()),
            (303, Some(on)),
            "{next}"
        );
    }
    // A page of another site logs nobody in.
    let pages = Pages::open(&world);
    let fields = [("email", email.as_str()), ("password", PASSWORD)];
    let foreign = pages
        .sent("/login", &fields)
        .header("origin", "https://evil.example");
    assert_eq!(foreign.send().await.unwrap().status().as_u16(), 403);
    let wrong = [fields[0], fields[1], ("csrf", "0000")];
    assert_eq!(pages.post("/login", &wrong).await.status, 403);
    assert_eq!(pages.cookie(SESSION), None);
}

#[tokio::test]
async fn too_many_failed_logins_are_throttled_with_those_of_the_api() {
    let (world, _) = fixture::shop().await;
    let email = person(&world, Role::Ops, None).await;
    let login = json!({ "email": email, "password": "wrong" });
    for _ in 0..10 {
        let answer = world.anonymous().post("/admin/login", &login).await;
        answer.refused(UNAUTHENTICATED);
    }
    let throttled = Pages::open(&world).log_in(&email, PASSWORD).await;
    assert_eq!(throttled.status, 429);
    assert!(!throttled.header("retry-after").is_empty());
}

#[tokio::test]
async fn a_form_without_the_secret_of_its_session_does_nothing() {
    let (world, _, device) = fixture::device().await;
    let pages = Pages::of(&world, Role::Ops, None).await;
    let other = Pages::of(&world, Role::Ops, None).await;
    let page = format!("/console/devices/{}", device.device_id);
    let action = format!("{page}/test");
    let theirs = other.get(&page).await.csrf();
    for fields in [vec![], vec![("csrf", "")], vec![("csrf", theirs.as_str())]] {
        assert_eq!(pages.post(&action, &fields).await.status, 403, "{fields:?}");
    }
    let commands = format!("{}/commands", device.path());
    assert!(world.admin().list(&commands).await.is_empty());
    let done = pages.press(&page, &action, &[]).await;
    assert_eq!(
        (done.status, done.location.as_deref()),
        (303, Some(page.as_str()))
    );
    let commands = world.admin().list(&commands).await;
    assert_eq!(texts(&commands, "type"), ["play_test"]);
    // Nobody who is logged out presses anything, and nobody is led back to a form that was sent.
    let nobody = Pages::open(&world)
        .post(&action, &[("csrf", &theirs)])
        .await;
    assert_eq!(nobody.location.as_deref(), Some("/login?next="));
}

#[tokio::test]
async fn each_page_is_shown_to_the_roles_that_the_table_names() {
    let (world, shop, device) = fixture::device().await;
    let sold = device.sell(&world, 10_000).await;
    let payment = format!("/console/payments/{sold}");
    let box_page = format!("/console/devices/{}", device.device_id);
    let merchant = format!("/console/merchants/{}", shop.merchant_id);
    let poster = format!("/portal/qr/{}", shop.terminal().id);
    let commands = format!("{box_page}/commands");
    let layer = format!("/console/configuration/{}", shop.outlet_id);
    let own_box = format!("/portal/devices/{}", device.device_id);
    let (svg, png) = (format!("{poster}/code.svg"), format!("{poster}/code.png"));
    let money = [Role::Admin, Role::Finance, Role::Support];
    let operators = [Role::Admin, Role::Ops];
    let fleet = [Role::Admin, Role::Ops, Role::Support];
    let shops = [Role::MerchantOwner, Role::MerchantCashier];
    let people = [Role::Admin, Role::Support];
    let pages: &[(&str, &[Role])] = &[
        ("/console/", &STAFF),
        ("/console/devices.csv", &fleet),
        ("/console/merchants.csv", &fleet),
        ("/console/alerts.csv", &fleet),
        ("/console/settlements", &money),
        ("/console/settlements.csv", &money),
        ("/console/unmatched", &money),
        ("/console/unmatched.csv", &money),
        ("/console/approvals", &STAFF),
        ("/console/approvals.csv", &STAFF),
        ("/console/approvals?q=nobody&from=2026-11-01", &STAFF),
        ("/console/payments", &money),
        ("/console/payments.csv", &money),
        (&payment, &money),
        ("/console/devices", &fleet),
        (&box_page, &fleet),
        ("/console/merchants", &fleet),
        (&merchant, &fleet),
        ("/console/alerts", &fleet),
        (&commands, &fleet),
        ("/console/rollouts", &fleet),
        ("/console/rollouts.csv", &fleet),
        ("/console/rollouts/new", &operators),
        ("/console/firmware", &fleet),
        ("/console/firmware.csv", &fleet),
        ("/console/configuration", &fleet),
        ("/console/configuration.csv", &fleet),
        ("/console/configuration/fleet", &fleet),
        (&layer, &fleet),
        ("/portal/settlements", &shops),
        ("/portal/settlements.csv", &shops),
        (&own_box, &shops),
        (&svg, &shops),
        (&png, &shops),
        ("/console/payouts", &money),
        ("/console/payouts.csv", &money),
        ("/console/ledger", &money),
        ("/console/ledger.csv", &money),
        ("/console/reconciliations", &money),
        ("/console/reconciliations.csv", &money),
        ("/console/incidents", &money),
        ("/console/incidents.csv", &money),
        ("/console/partners", &money),
        ("/console/partners.csv", &money),
        ("/console/partners/acme", &money),
        ("/console/callbacks", &money),
        ("/console/callbacks.csv", &money),
        ("/console/audit", &people),
        ("/console/audit.csv", &people),
        ("/console/users", &people),
        ("/console/users.csv", &people),
        ("/console/tokens", &people),
        ("/console/tokens.csv", &people),
        ("/portal/", &shops),
        ("/portal/history", &shops),
        ("/portal/payments.csv", &shops),
        ("/portal/devices", &shops),
        ("/portal/qr", &shops),
        (&poster, &shops),
        ("/portal/account", &shops),
        ("/portal/live?after=none", &shops),
    ];
    for role in Role::ALL.iter().copied() {
        let of = role.is_of_merchant().then_some(shop.merchant_id);
        let browser = Pages::of(&world, role, of).await;
        for (path, allowed) in pages.iter().copied() {
            let expected = if allowed.contains(&role) { 200 } else { 403 };
            let response = browser
                .request(reqwest::Method::GET, path)
                .send()
                .await
                .unwrap();
            assert_eq!(response.status().as_u16(), expected, "{role} {path}");
        }
    }
    for (path, _) in pages.iter().copied() {
        let status = Pages::open(&world).get(path).await.status;
        assert_eq!(
            status,
            if path.contains("/live") { 401 } else { 303 },
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_merchant_sees_and_moves_its_own_and_nothing_else() {
    let (world, shop, device) = fixture::device().await;
    let other = Shop::open(&world, "Kopi Fajar", 1).await;
    let foreign = Credentials::at(&world, other.terminal().id).await;
    device.sell(&world, 10_000).await;
    foreign.sell(&world, 20_000).await;
    let own = Pages::of(&world, Role::MerchantOwner, Some(shop.merchant_id)).await;
    let home = own.get("/portal/").await;
    let mut live = own.stream(&home.live(), None).await;
    for path in ["/portal/", "/portal/history", "/portal/payments.csv"] {
        let html = own.get(path).await.html;
        assert!(
            html.contains("10.000") || html.contains("10000"),
            "{path}: {html}"
        );
        assert!(
            !html.contains("20.000") && !html.contains("20000"),
            "{path}: {html}"
        );
    }
    let listed = own.get("/portal/devices").await;
    assert!(!listed.html.contains(&foreign.device_id.to_string()));
    let csrf = listed.csrf();
    let sent = [("csrf", csrf.as_str()), ("volume", "3")];
    let path = |id: wire::DeviceId, what: &str| format!("/portal/devices/{id}/{what}");
    for what in ["test", "volume"] {
        assert_eq!(
            own.post(&path(foreign.device_id, what), &sent).await.status,
            404
        );
        assert_eq!(
            own.post(&path(device.device_id, what), &sent).await.status,
            303
        );
    }
    let loud = [("csrf", csrf.as_str()), ("volume", "11")];
    assert_eq!(
        own.post(&path(device.device_id, "volume"), &loud)
            .await
            .status,
        422
    );
    let code = format!("/portal/qr/{}", other.terminal().id);
    for path in [
        code.clone(),
        format!("{code}/code.svg"),
        format!("{code}/code.png"),
        format!("/portal/devices/{}", foreign.device_id),
    ] {
        assert_eq!(own.get(&path).await.status, 404, "{path}");
    }
    let commands = |id| format!("/admin/devices/{id}/commands");
    assert!(
        world
            .admin()
            .list(&commands(foreign.device_id))
            .await
            .is_empty()
    );
    let kinds = texts(
        &world.admin().list(&commands(device.device_id)).await,
        "type",
    );
    assert_eq!(kinds, ["set_volume", "play_test"]);
    // What the other shop is paid does not come by the stream; one's own does.
    foreign.sell(&world, 30_000).await;
    device.sell(&world, 40_000).await;
    let seen = loop {
        let (_, data) = live.next().await.unwrap();
        assert!(
            !data.contains("Rp30.000") && !data.contains("Rp20.000"),
            "{data}"
        );
        if data.contains("Rp40.000") {
            break data;
        }
    };
    assert!(seen.contains("empat puluh ribu rupiah"), "{seen}");
    live.until("part", "Rp50.000").await;
}

#[tokio::test]
async fn a_payment_comes_to_an_open_page_and_its_marks_after_it() {
    let (world, _, mut soundbox) = fixture::soundbox().await;
    let pages = Pages::of(&world, Role::Support, None).await;
    let now = pages.get("/console/").await;
    assert_eq!(now.status, 200);
    let mut live = pages.stream(&now.live(), None).await;
    let id = soundbox.credentials.sell(&world, 75_000).await;
    let first = live.until("payment", &format!("id=\"p-{id}\"")).await;
    assert!(
        first.contains("Rp75.000") && first.contains("waiting"),
        "{first}"
    );
    soundbox.play().await;
    let heard = live.until("payment", "heard").await;
    assert!(
        heard.contains(&format!("id=\"p-{id}\"")) && heard.contains(" ms"),
        "{heard}"
    );
    // A page that was just read has it too.
    assert!(
        pages
            .get("/console/")
            .await
            .html
            .contains(&format!("id=\"p-{id}\""))
    );
    let life = pages.get(&format!("/console/payments/{id}")).await.html;
    for step in [
        "code made",
        "callback committed",
        "handed to the box",
        "the box said it",
    ] {
        assert!(life.contains(step), "{step}: {life}");
    }
    // The callback's bytes, and the ledger's lines.
    assert!(
        life.contains("partner_reference") && life.contains("merchant_payable"),
        "{life}"
    );
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_cut_off() {
    let (world, _, device) = fixture::device().await;
    let pages = Pages::of(&world, Role::Finance, None).await;
    let page = pages.get("/console/").await.live();
    let mut live = pages.stream(&page, None).await;
    let first = device.sell(&world, 1_000).await;
    live.until("payment", &first.to_string()).await;
    live.until("place", "").await;
    let place = live.last_id.clone().unwrap();
    drop(live);
    let mut watching = pages.stream(&page, Some(&place)).await;
    let second = device.sell(&world, 2_000).await;
    watching.until("payment", &second.to_string()).await;
    let mut again = pages.stream(&page, Some(&place)).await;
    again.until("payment", &second.to_string()).await;
    // A place that is not known: the page is read again.
    let mut lost = pages.stream(&page, Some("1-1")).await;
    assert_eq!(lost.next().await.unwrap().0, "resync");
}

#[tokio::test]
async fn a_session_that_ends_takes_its_streams_with_it() {
    let (world, shop) = fixture::shop().await;
    let email = person(&world, Role::MerchantOwner, Some(shop.merchant_id)).await;
    let pages = Pages::open(&world);
    pages.log_in(&email, PASSWORD).await;
    let live = pages.get("/portal/").await.live();
    let mut stream = pages.stream(&live, None).await;
    let users = world
        .admin()
        .list(&format!("/admin/users?email={email}"))
        .await;
    let user = format!("/admin/users/{}", text(&users[0], "id"));
    world
        .admin()
        .change(&user, &json!({ "status": "disabled" }))
        .await;
    stream.until("ended", "").await;
    assert_eq!(stream.next().await, None);
    assert_eq!(pages.get("/portal/").await.status, 303);
    assert_eq!(pages.log_in(&email, PASSWORD).await.status, 401);
}

#[tokio::test]
async fn a_stopping_platform_does_not_wait_for_open_streams() {
    let (mut world, _) = fixture::shop().await;
    let pages = Pages::of(&world, Role::Admin, None).await;
    let live = pages.get("/console/").await.live();
    let mut stream = pages.stream(&live, None).await;
    let began = std::time::Instant::now();
    world.stop().await;
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    while stream.next().await.is_some() {}
}

#[tokio::test]
async fn ones_own_password_is_changed_and_other_sessions_end() {
    let (world, shop) = fixture::shop().await;
    let email = person(&world, Role::MerchantOwner, Some(shop.merchant_id)).await;
    let (pages, other) = (Pages::open(&world), Pages::open(&world));
    pages.log_in(&email, PASSWORD).await;
    other.log_in(&email, PASSWORD).await;
    let path = "/portal/account";
    let new = "a quite different one";
    let wrong = [("current_password", "wrong"), ("new_password", new)];
    let refused = pages.press(path, path, &wrong).await;
    assert_eq!(refused.status, 422);
    assert!(
        refused.html.contains("current_password: is wrong"),
        "{}",
        refused.html
    );
    let right = [("current_password", PASSWORD), ("new_password", new)];
    assert_eq!(pages.press(path, path, &right).await.status, 200);
    assert_eq!(pages.get("/portal/").await.status, 200);
    assert_eq!(other.get("/portal/").await.status, 303);
    assert_eq!(Pages::open(&world).log_in(&email, new).await.status, 303);
}

#[tokio::test]
async fn every_page_is_framed_nowhere_and_runs_nothing_inline() {
    let (world, shop) = fixture::shop().await;
    let nasty = json!({ "name": "<script>alert(1)</script> \"&'" });
    let path = format!("/admin/merchants/{}/outlets", shop.merchant_id);
    world.admin().create(&path, &nasty).await;
    let staff = Pages::of(&world, Role::Admin, None).await;
    let merchant = format!("/console/merchants/{}", shop.merchant_id);
    for path in [
        "/console/",
        "/console/nothing",
        &merchant,
        "/console/devices?q=%3Cscript%3E",
    ] {
        let page = staff.get(path).await;
        if page.status == 200 {
            let policy = page.header("content-security-policy");
            assert!(
                policy.contains("script-src 'self'") && policy.contains("frame-ancestors 'none'")
            );
            assert!(!policy.contains("unsafe"), "{policy}");
            assert!(
                !page.html.contains("style=") && !page.html.contains("onclick"),
                "{path}"
            );
            assert_eq!(
                page.html.matches("<script").count(),
                1,
                "{path}: {}",
                page.html
            );
        }
        assert_eq!(page.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(page.header("cache-control"), "no-store", "{path}");
    }
    assert!(
        staff
            .get(&merchant)
            .await
            .html
            .contains("&lt;script&gt;alert(1)")
    );
    // What is loaded beside is kept by browsers until it changes.
    let html = staff.get("/console/").await.html;
    let (_, rest) = html.split_once("stylesheet\" href=\"").unwrap();
    let style = staff.get(rest.split('"').next().unwrap()).await;
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    assert!(style.header("cache-control").contains("immutable"));
}

#[tokio::test]
async fn the_language_is_chosen_and_kept() {
    let (world, shop) = fixture::shop().await;
    let staff = Pages::of(&world, Role::Ops, None).await;
    assert!(staff.get("/console/").await.html.contains("Needs a person"));
    let fields = [
        ("language", "id"),
        ("back", "/console/devices?online=false"),
    ];
    let changed = staff.press("/console/", "/language", &fields).await;
    assert_eq!(
        changed.location.as_deref(),
        Some("/console/devices?online=false")
    );
    let html = staff.get("/console/").await.html;
    assert!(
        html.contains("lang=\"id\"") && html.contains("Perlu ditangani"),
        "{html}"
    );
    let out = [("language", "en"), ("back", "https://evil.example/")];
    let changed = staff.press("/console/", "/language", &out).await;
    assert_eq!(changed.location.as_deref(), Some("/console/"));
    let owner = Pages::of(&world, Role::MerchantOwner, Some(shop.merchant_id)).await;
    assert!(
        owner
            .get("/portal/")
            .await
            .html
            .contains("Diterima hari ini")
    );
}
