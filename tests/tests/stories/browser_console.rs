//! The console's pages of money and people in a real browser.

use std::io::Write as _;

use tests::acquirer::OURS;
use tests::browser::Browser;
use tests::pages::person;
use tests::payout_partner::Behaviour;
use tests::prelude::*;

/// Looks at a page on a phone, which it must fit, and keeps its pictures.
async fn fits(browser: &Browser, path: &str, name: &str) {
    browser.size(360, 780, true).await;
    browser.goto(path).await;
    assert!(!browser.is_too_wide().await, "{path}");
    browser.pictures(path, name).await;
    browser.size(1280, 900, false).await;
}

#[tokio::test]
async fn finance_reconciles_a_file_and_closes_an_incident() {
    let (world, shop, device) = fixture::device().await;
    let Some(browser) = Browser::open(&world).await else {
        return;
    };
    let id = device.qr(&world, 20_000).await.transaction_id;
    let own = reference();
    let paid = success(id, 20_000, &own, world.clock.now());
    let _ = world.acquirer().send(&paid).await.expect(200);
    let wrong = success(id, 20_001, &reference(), world.clock.now());
    let _ = world.acquirer().send(&wrong).await.expect(409);
    let email = person(&world, Role::Finance, None).await;
    browser.log_in(&email).await;

    let path = "/console/reconciliations";
    browser.goto(path).await;
    let mut file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    write!(file, "partner_reference,amount\n{own},lima\n").unwrap();
    let chosen = file.path().display().to_string();
    let send = "form[data-upload] button";
    browser.type_into("input[type=file]", &chosen).await;
    browser.press(send).await;
    browser.shows("#upload-wrong", "line 2: the amount").await;
    // It stays chosen; mended, it is compared.
    let left = "return document.querySelector('input[type=file]').files.length";
    assert_eq!(browser.script(left).await, 1);
    fits(&browser, path, "reconciliations").await;
    std::fs::write(
        &chosen,
        format!("partner_reference,amount\n{own},20000\nlain,5000\n"),
    )
    .unwrap();
    browser.goto(path).await;
    browser.type_into("input[type=file]", &chosen).await;
    browser.press(send).await;
    browser.shows(".classes", "only theirs").await;
    let page = browser.path().await;
    assert!(page.starts_with("/console/reconciliations/rec_"), "{page}");
    browser
        .press(".classes a.tile[href$='class=theirs_only']")
        .await;
    browser.shows("#lines", "lain").await;
    let taken = browser
        .script("return fetch(document.querySelector(\".classes a.file[href$='class=theirs_only']\").href).then((it) => it.text())")
        .await;
    assert!(
        taken.as_str().unwrap().contains("theirs_only,lain,5000"),
        "{taken}"
    );
    fits(&browser, &page, "reconciliation").await;

    browser.goto("/console/incidents?state=open").await;
    browser.press("tbody a").await;
    let incident = browser.path().await;
    fits(&browser, &incident, "incident-open").await;
    browser.goto(&incident).await;
    browser
        .write("textarea", "The acquirer has corrected it.")
        .await;
    browser.press("form[action$='/resolve'] button").await;
    browser
        .shows("dl.facts", "The acquirer has corrected it.")
        .await;
    let partner = format!("/console/partners/{OURS}");
    let message = browser
        .script("return document.querySelector(\"a[href*='/console/callbacks/']\").getAttribute('href').replace('/body.bin', '')")
        .await;
    let ledger = format!("/console/ledger?merchant_id={}", shop.merchant_id);
    for (path, name) in [
        (incident.as_str(), "incident"),
        ("/console/incidents", "incidents"),
        ("/console/partners", "partners"),
        (&partner, "partner"),
        ("/console/callbacks", "callbacks"),
        (message.as_str().unwrap(), "callback"),
        (&ledger, "ledger"),
    ] {
        fits(&browser, path, name).await;
    }
    browser.close().await;
}

#[tokio::test]
async fn a_user_is_made_and_logs_in() {
    let (world, _, _) = fixture::device().await;
    let Some(browser) = Browser::open(&world).await else {
        return;
    };
    let email = person(&world, Role::Admin, None).await;
    browser.log_in(&email).await;
    browser.goto("/console/users").await;
    browser
        .write("#new input[name=email]", "ani@example.id")
        .await;
    browser.press("#new option[value=support]").await;
    browser.press("#new button").await;
    browser.find("#secret").await;
    let password = browser
        .script("return document.querySelector('#secret').textContent")
        .await;
    browser.pictures_here("secret").await;
    for (path, name) in [
        ("/console/users", "users"),
        ("/console/tokens", "tokens"),
        ("/console/audit", "audit"),
        ("/console/payouts", "console-payouts-none"),
    ] {
        fits(&browser, path, name).await;
    }
    browser.goto("/console/users?email=ani%40example.id").await;
    browser.press("tbody a").await;
    let page = browser.path().await;
    fits(&browser, &page, "user").await;
    browser.goto("/console/audit?action=user.create").await;
    browser.press(".log summary").await;
    browser.shows(".log .comparison", "ani@example.id").await;
    browser.picture("audit-open").await;
    browser.press("form[action='/logout'] button").await;
    browser.write("input[name=email]", "ani@example.id").await;
    browser
        .write("input[name=password]", password.as_str().unwrap())
        .await;
    browser.press("button.primary").await;
    browser.find("nav.menu").await;
    assert_eq!(browser.path().await, "/console/");
    browser.goto("/console/users").await;
    browser.shows("table", "ani@example.id").await;
    browser.press("form[action='/logout'] button").await;
    browser.find("input[name=password]").await;
    fits(&browser, "/password", "password").await;
    browser.close().await;
}

#[tokio::test]
async fn a_second_person_sees_what_would_change_and_confirms_it() {
    let payouts = Payouts::with(Behaviour::Refuses, PayoutPartner::configure_two_people).await;
    let world = &payouts.world;
    let Some(browser) = Browser::open(world).await else {
        return;
    };
    let maker = world.person(Role::Admin).await;
    let merchant = format!("/admin/merchants/{}", payouts.shop.merchant_id);
    let change = json!({ "payout_account_reference": "bank:555" });
    let _ = maker.patch(&merchant, &change).await.expect(202);
    let email = person(world, Role::Finance, None).await;
    world
        .execute("UPDATE users SET access_changed_at = access_changed_at - interval '30 days'")
        .await;
    browser.log_in(&email).await;
    browser.goto("/console/approvals?status=pending").await;
    browser.press("ul.cards h2 a").await;
    browser.shows(".comparison .changed", "bank:555").await;
    let page = browser.path().await;
    fits(&browser, &page, "approval").await;
    browser.goto(&page).await;
    browser.press("form[action$='/approve'] button").await;
    browser.shows("main", "Approvals").await;
    browser.goto(&page).await;
    browser.shows("h1", "approved").await;
    let now = maker.read(&merchant).await;
    assert_eq!(now["payout_account_reference"], "bank:555");
    fits(&browser, "/console/payouts", "console-payouts").await;
    fits(&browser, "/console/approvals", "approvals").await;
    browser.close().await;
}
