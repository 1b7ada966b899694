//! Every page that links lead to can be used by everybody: with a keyboard, a screen reader, a phone.

use tests::acquirer::static_success;
use tests::browser::Browser;
use tests::page_kind::{Walk, kind};
use tests::pages::person;
use tests::payout_partner::Behaviour;
use tests::prelude::*;

/// Something in every list: a payment, money without an owner, an incident, an alert, a settlement and its payout, a change
/// that waits.
async fn busy_world() -> Payouts {
    let payouts = Payouts::with(Behaviour::Accepts, PayoutPartner::configure_two_people).await;
    let (world, shop, device) = (&payouts.world, &payouts.shop, &payouts.device);
    let id = device.sell(world, 50_000).await;
    let stray = static_success(&shop.nmid, "T99", 40_000, "stray-1", world.clock.now());
    assert_eq!(world.acquirer().verdict(&stray).await, "unmatched");
    let more = success(id, 60_000, &reference(), world.clock.now());
    world.acquirer().send(&more).await.refused(INVALID_STATE);
    world.later(1);
    settle(&world.person(Role::Finance).await).await;
    let maker = world.person(Role::Admin).await;
    let account = json!({ "payout_account_reference": "bank:555" });
    let _ = maker.patch(&shop.path(), &account).await.expect(202);
    payouts
}

/// Follows links from `start` to one page of each kind, and looks at each; the kinds.
async fn look_at_all(
    browser: &Browser,
    start: &'static str,
    faults: &mut Vec<String>,
) -> Vec<String> {
    let links = "return [...document.querySelectorAll('a[href]')].map((a) => new URL(a.href))
        .filter((url) => url.origin === location.origin).map((url) => url.pathname)";
    let mut walk = Walk::from(start);
    while let Some(path) = walk.next() {
        // Both widths and both shades, in two looks.
        for is_phone in [false, true] {
            let (width, height) = if is_phone { (360, 780) } else { (1280, 900) };
            browser.size(width, height, is_phone).await;
            browser.dark(is_phone).await;
            browser.goto(&path).await;
            let found = browser.violations().await;
            let at = format!("{path} at {width}");
            faults.extend(found.into_iter().map(|fault| format!("{at}: {fault}")));
            if is_phone && browser.is_too_wide().await {
                faults.push(format!("{path} is wider than a phone"));
            }
        }
        let name = kind(&path).replace('/', "-").replace(['{', '}'], "");
        browser.pictures(&path, name.trim_matches('-')).await;
        let found = browser.script(links).await;
        walk.add(found.as_array().unwrap().iter().filter_map(Value::as_str));
    }
    walk.kinds()
}

#[tokio::test]
async fn no_page_of_the_console_that_links_lead_to_has_a_serious_fault() {
    let world = &busy_world().await.world;
    let Some(browser) = Browser::open(world).await else {
        return;
    };
    browser.goto("/login").await;
    let mut faults = browser.violations().await;
    browser
        .log_in(&person(world, Role::Admin, None).await)
        .await;
    let found = look_at_all(&browser, "/console/", &mut faults).await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    println!("looked at {found:?}");
    for page in [
        "/console/payments/{id}",
        "/console/devices/{id}",
        "/console/settlements/{id}",
    ] {
        assert!(found.contains(&page.to_owned()), "{page}: {found:?}");
    }
    browser.close().await;
}

#[tokio::test]
async fn no_page_of_the_portal_that_links_lead_to_has_a_serious_fault() {
    let Payouts { world, shop, .. } = &busy_world().await;
    let Some(browser) = Browser::open(world).await else {
        return;
    };
    let owner = person(world, Role::MerchantOwner, Some(shop.merchant_id)).await;
    browser.log_in(&owner).await;
    let mut faults = Vec::new();
    let found = look_at_all(&browser, "/portal/", &mut faults).await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    println!("looked at {found:?}");
    assert!(found.contains(&"/portal/qr/{id}".to_owned()), "{found:?}");
    browser.close().await;
}
