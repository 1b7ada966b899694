//! The pages of people in a real browser.

use std::time::Duration;

use tests::browser::Browser;
use tests::pages::person;
use tests::prelude::*;

/// A payment is to be seen this soon after its callback was answered.
const SEEN_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test]
async fn staff_see_a_payment_come_and_be_heard_and_let_a_box_be_heard() {
    let (world, _, mut soundbox) = fixture::soundbox().await;
    let Some(browser) = Browser::open(&world).await else {
        return;
    };
    let email = person(&world, Role::Admin, None).await;
    browser.log_in(&email).await;
    assert_eq!(browser.path().await, "/console/");
    browser.shows(".live-state", "Live").await;
    browser.script("window.same = true").await;
    let id = soundbox.credentials.sell(&world, 125_000).await;
    let row = format!("#p-{id}");
    let took = browser.shows(&row, "Rp125.000").await;
    assert!(took < SEEN_WITHIN, "{took:?}");
    soundbox.play().await;
    let took = browser.shows(&row, "heard").await;
    assert!(took < SEEN_WITHIN, "{took:?}");
    assert_eq!(
        browser.script("return window.same").await,
        true,
        "the page was not read again"
    );
    browser.press(&format!("{row} a")).await;
    browser.shows(".timeline", "the box said it").await;
    // A press of the button, and its way to the box and back, without another press.
    let page = format!("/console/devices/{}", soundbox.credentials.device_id);
    browser.goto(&page).await;
    browser.press("form[action$='/test'] button").await;
    browser.shows("#orders", "sent").await;
    let command = soundbox.next_command().await;
    assert_eq!(command.kind, "play_test");
    let ack = wire::message::CommandAck {
        device_id: soundbox.credentials.device_id,
        command_id: command.command_id,
        status: wire::message::CommandAckStatus::Delivered,
        reason: None,
        result_payload: None,
    };
    soundbox.send(wire::UplinkMessage::CommandAck(ack)).await;
    browser.shows("#orders", "delivered").await;
    for (path, name) in [
        ("/console/", "now"),
        ("/console/payments", "payments"),
        (&format!("/console/payments/{id}"), "payment"),
        ("/console/devices", "devices"),
        (&page, "device"),
        ("/console/merchants", "merchants"),
        ("/console/alerts", "alerts"),
    ] {
        browser.size(360, 780, true).await;
        browser.goto(path).await;
        assert!(!browser.is_too_wide().await, "{path}");
        browser.pictures(path, name).await;
    }
    browser.size(1280, 900, false).await;
    browser.goto("/console/").await;
    browser.press("form[action='/language'] button").await;
    browser.shows("#attention", "Perlu ditangani").await;
    browser.press("form[action='/logout'] button").await;
    browser.find("input[name=password]").await;
    browser.goto("/console/").await;
    assert!(browser.path().await.starts_with("/login"));
    browser.pictures("/login", "login").await;
    browser.close().await;
}

#[tokio::test]
async fn a_shops_phone_shows_and_says_each_payment_once() {
    let (world, shop, device) = fixture::device().await;
    let Some(browser) = Browser::open(&world).await else {
        return;
    };
    let old = device.sell(&world, 15_000).await;
    let email = person(&world, Role::MerchantOwner, Some(shop.merchant_id)).await;
    browser.size(360, 780, true).await;
    browser.log_in(&email).await;
    assert_eq!(browser.path().await, "/portal/");
    browser.shows(&format!("#p-{old}"), "Rp15.000").await;
    browser.shows(".live-state", "Langsung").await;
    browser.press(".speaker input").await;
    let id = device.sell(&world, 50_000).await;
    let took = browser.shows(&format!("#p-{id}"), "Rp50.000").await;
    assert!(took < SEEN_WITHIN, "{took:?}");
    browser.shows("#takings .big", "Rp65.000").await;
    // Its marks change, and a page that lost its stream reads itself again: it stays said once, and the old one never is.
    let next = device.sell(&world, 7_000).await;
    browser.shows(&format!("#p-{next}"), "Rp7.000").await;
    let spoken = browser.script("return window.spoken").await;
    let sentence = |words: &str| format!("Pembayaran QRIS diterima, {words} rupiah");
    assert_eq!(
        spoken,
        json!([sentence("lima puluh ribu"), sentence("tujuh ribu")])
    );
    browser.goto("/portal/").await;
    browser.shows(&format!("#p-{next}"), "Rp7.000").await;
    assert_eq!(browser.script("return window.spoken").await, json!([]));
    let poster = format!("/portal/qr/{}", shop.terminal().id);
    for (path, name) in [
        ("/portal/", "portal"),
        ("/portal/history", "history"),
        ("/portal/devices", "boxes"),
        ("/portal/qr", "codes"),
        (&poster, "poster"),
        ("/portal/account", "account"),
    ] {
        browser.size(360, 780, true).await;
        browser.goto(path).await;
        assert!(!browser.is_too_wide().await, "{path}");
        browser.pictures(path, name).await;
    }
    browser.close().await;
}
