//! The pages of the fleet, of lists and of statements in a real browser.

use std::fmt::Write as _;

use tests::browser::Browser;
use tests::pages::person;
use tests::prelude::*;

use crate::page_fleet::beats;

async fn shows_no_fault(browser: &Browser, pages: &[(&str, &str)]) {
    for (path, name) in pages {
        browser.size(360, 780, true).await;
        browser.goto(path).await;
        assert!(!browser.is_too_wide().await, "{path}");
        browser.pictures(path, name).await;
    }
    browser.size(1280, 900, false).await;
}

#[tokio::test]
async fn a_rollout_is_started_and_watched_until_it_stops_by_itself_and_goes_on() {
    const BOXES: usize = 12;
    let world = World::new().await;
    let Some(browser) = Browser::open(&world).await else {
        return;
    };
    let mut credentials = Vec::new();
    for _ in 0..BOXES {
        credentials.push(Credentials::unbound(&world).await);
    }
    let fleet = Fleet::connect(world.mqtt(), credentials).await;
    fleet.fail_one_of(1);
    browser.log_in(&person(&world, Role::Ops, None).await).await;
    browser.goto("/console/rollouts").await;
    browser.press("a[href='/console/rollouts/new']").await;
    browser.press("option[value=set_volume]").await;
    browser.write("input[name=canary]", "4").await;
    browser.write("input[name=phases]", "50").await;
    browser.write("input[name=rate]", "6000").await;
    browser.write("input[name=threshold]", "50").await;
    browser.press(".sheet-form button.primary").await;
    browser.shows("#rollout h1", "Set the volume").await;
    let page = browser.path().await;
    browser.script("window.same = true").await;
    browser.shows("#rollout h1", "stopped by itself").await;
    browser
        .shows("#rollout .error", "the threshold is 50 %")
        .await;
    assert_eq!(
        browser.script("return window.same").await,
        true,
        "the page was not read again"
    );
    shows_no_fault(&browser, &[(&page, "rollout-stopped")]).await;
    browser.goto(&page).await;
    fleet.fail_one_of(0);
    browser.press("form[action$='/resume'] button").await;
    browser.shows("#rollout h1", "completed").await;
    browser.shows(".tally", "12 of 12 done").await;
    browser.press("option[value=failed]").await;
    browser.press("form.filters button").await;
    browser.shows("#targets", "failed").await;
    assert_eq!(browser.path().await, format!("{page}?status=failed"));
    shows_no_fault(
        &browser,
        &[
            ("/console/rollouts", "rollouts"),
            ("/console/rollouts/new", "rollout-new"),
            (&page, "rollout"),
            ("/console/firmware", "firmware"),
        ],
    )
    .await;
    fleet.disconnect().await;
    browser.close().await;
}

#[tokio::test]
async fn a_box_is_set_by_its_page_and_its_answer_is_seen() {
    let (world, shop, mut soundbox) = fixture::soundbox().await;
    let Some(browser) = Browser::open(&world).await else {
        return;
    };
    let device = soundbox.credentials.clone();
    device.sell(&world, 42_000).await;
    soundbox.play().await;
    beats(&world, &device, 70).await;
    browser
        .log_in(&person(&world, Role::Admin, None).await)
        .await;
    let page = format!("/console/devices/{}", device.device_id);
    browser.goto(&page).await;
    browser.press("#configuration summary").await;
    browser.write("#config-form input[name=volume]", "3").await;
    browser.press("#config-form button").await;
    browser.shows("#settings", "on its way").await;
    browser.script("window.same = true").await;
    let version = loop {
        let push = soundbox.next_config().await;
        if push.config["volume"] == 3 {
            break push.version;
        }
    };
    let ack = wire::message::ConfigAck {
        version,
        status: wire::message::ConfigAckStatus::Applied,
        reason: None,
    };
    soundbox.send(wire::UplinkMessage::ConfigAck(ack)).await;
    browser.shows("#settings h2", "applied").await;
    assert_eq!(
        browser.script("return window.same").await,
        true,
        "the page was not read again"
    );
    let merchant = format!("/console/merchants/{}", shop.merchant_id);
    let layer = format!("/console/configuration/{}", shop.outlet_id);
    shows_no_fault(
        &browser,
        &[
            (&page, "box"),
            ("/console/configuration", "configuration"),
            (&layer, "layer"),
            (&merchant, "merchant"),
            ("/console/", "now-chart"),
        ],
    )
    .await;
    browser.close().await;
}

#[tokio::test]
async fn a_list_is_filtered_and_read_page_by_page() {
    let world = World::new().await;
    let Some(browser) = Browser::open(&world).await else {
        return;
    };
    let mut file = "serial_number,model,capabilities,tags\n".to_owned();
    for number in 0..60 {
        writeln!(file, "L-{number:03},SB-1,speaker,pilot").unwrap();
    }
    file += "OTHER-1,SB-2,speaker,\n";
    let _ = world
        .admin()
        .post_csv("/admin/devices/import", &[], &file)
        .await
        .expect(201);
    browser.log_in(&person(&world, Role::Ops, None).await).await;
    browser.goto("/console/devices").await;
    browser.press("details.more summary").await;
    browser.write("input[name=tag]", "pilot").await;
    browser.press("form.filters > button").await;
    browser.shows("tbody", "L-059").await;
    browser.press("a[rel=next]").await;
    browser.shows("tbody", "L-000").await;
    let path = browser.path().await;
    assert!(
        path.contains("tag=pilot") && path.contains("after="),
        "{path}"
    );
    browser.press("a[rel=first]").await;
    browser.write("input[name=q]", "l-00").await;
    browser.press("form.filters > button").await;
    browser.shows("tbody", "L-009").await;
    let rows = browser
        .script("return document.querySelectorAll('tbody tr').length")
        .await;
    assert_eq!(rows, 10);
    browser.press("a.clear").await;
    browser.shows("tbody", "OTHER-1").await;
    shows_no_fault(
        &browser,
        &[
            ("/console/devices?tag=pilot", "devices-filtered"),
            ("/console/merchants?q=nobody", "merchants-none"),
            ("/console/devices?merchant_id=wrong", "devices-wrong"),
        ],
    )
    .await;
    browser.close().await;
}

#[tokio::test]
async fn an_owner_reads_what_was_paid_out_and_its_statement() {
    let (world, shop, device) = fixture::device().await;
    let Some(browser) = Browser::open(&world).await else {
        return;
    };
    let path = format!("/admin/outlets/{}", shop.outlet_id);
    world
        .admin()
        .change(&path, &json!({ "timezone": "Asia/Makassar" }))
        .await;
    device.sell(&world, 100_000).await;
    world.later(1);
    settle(&world.staff(Role::Finance).await).await;
    browser.size(360, 780, true).await;
    browser
        .log_in(&person(&world, Role::MerchantOwner, Some(shop.merchant_id)).await)
        .await;
    browser.press(".menu a[href='/portal/settlements']").await;
    browser.shows("ol.payments", "Rp99.300").await;
    browser.press("ol.payments a").await;
    browser.shows("h1", "Rp99.300").await;
    browser.shows("ol.payments", "WITA").await;
    let statement = browser.path().await;
    let box_page = format!("/portal/devices/{}", device.device_id);
    shows_no_fault(
        &browser,
        &[
            ("/portal/settlements", "payouts"),
            (&statement, "statement"),
            ("/portal/qr", "codes"),
            ("/portal/devices", "boxes"),
            (&box_page, "own-box"),
            ("/portal/", "portal"),
        ],
    )
    .await;
    browser.close().await;
}
