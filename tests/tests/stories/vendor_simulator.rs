//! The simulator's boxes of other makers against the real platform. They were written from what is published about each
//! box, not from the platform's profiles.

use std::path::Path;

use clap::ValueEnum as _;
use device_sim::output::Output;
use device_sim::report::Event;
use device_sim::scenario::plan::Plan;
use device_sim::scenario::{self, outcome};
use device_sim::session::{Control, Options};
use device_sim::vendor::firmware::Model;
use tests::prelude::*;
use tests::simulator::{self, Running};
use tests::vendor_box::listeners;
use tokio_util::sync::CancellationToken;
use wire::{DeviceId, Rupiah};

async fn shop() -> (World, Shop) {
    let world = World::with(listeners).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    (world, shop)
}

async fn pay(world: &World, shop: &Shop, amount: i64) {
    let paid = shop.printed_payment(world, amount);
    world.acquirer().verdict(&paid).await;
}

/// Starts the box, and waits until it listens.
async fn switch_on(dir: &Path) -> Running {
    let mut running = simulator::switch_on(dir, Options::default());
    subscribed(&mut running).await;
    running
}

/// Waits until it has subscribed to all of its topics: one, or two of the EG800AK.
async fn subscribed(running: &mut Running) {
    running
        .until(|event| matches!(event, Event::Subscribed).then_some(()))
        .await;
}

/// What the box announces next: the amount, where it knows it, and what is heard.
async fn hear(running: &mut Running) -> (Option<Rupiah>, String) {
    running
        .until(|event| match event {
            Event::Announced { amount, text, .. } => Some((*amount, text.clone())),
            _ => None,
        })
        .await
}

/// The statuses of the box's notifications, oldest first.
async fn statuses(world: &World, id: DeviceId) -> Vec<String> {
    let path = format!("/admin/devices/{id}/notifications");
    let known = world.admin().list(&path).await;
    known.iter().rev().map(|one| text(one, "status")).collect()
}

async fn all_received(world: &World, id: DeviceId, count: usize) {
    eventually("the platform has them as received", async || {
        let known = statuses(world, id).await;
        (known == vec!["received"; count]).then_some(())
    })
    .await;
}

async fn order(world: &World, id: DeviceId, kind: &str, payload: Value) {
    let path = format!("/admin/devices/{id}/commands");
    let new = json!({ "type": kind, "payload": payload });
    let created = world.admin().post_once(&path, &new).await;
    assert_eq!(created.status, 201, "{created}");
}

fn announcements(events: &[Event]) -> usize {
    let announced = |event: &&Event| matches!(event, Event::Announced { .. });
    events.iter().filter(announced).count()
}

#[tokio::test]
async fn each_box_announces_a_payment_once_and_it_is_confirmed() {
    let (world, shop) = shop().await;
    for (number, model) in Model::value_variants().iter().copied().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let terminal_id = shop.terminal().id;
        let plain = number % 2 == 0;
        let id = simulator::provision_vendor(&world, dir.path(), model, terminal_id, plain).await;
        let mut running = switch_on(dir.path()).await;
        pay(&world, &shop, 50_000).await;
        let (amount, sentence) = hear(&mut running).await;
        match model {
            Model::Q161 => {
                assert_eq!(sentence, "pembayaran qris diterima 50 ribu rupiah");
            }
            _ => assert_eq!(amount, Some(Rupiah::from_i64(50_000)), "{model:?}"),
        }
        all_received(&world, id, 1).await;
        let rest = running.switch_off().await;
        assert_eq!(announcements(&rest), 0, "{model:?} said it again");
    }
}

#[tokio::test]
async fn away_for_three_payments_each_box_announces_them_once_each_in_order() {
    let (world, shop) = shop().await;
    for model in Model::value_variants().iter().copied() {
        let dir = tempfile::tempdir().unwrap();
        let terminal_id = shop.terminal().id;
        let id = simulator::provision_vendor(&world, dir.path(), model, terminal_id, true).await;
        switch_on(dir.path()).await.switch_off().await;
        for amount in [1_000, 2_000, 3_000] {
            pay(&world, &shop, amount).await;
        }
        let mut running = switch_on(dir.path()).await;
        for (amount, word) in [
            (1_000, "diterima 1000 rupiah"),
            (2_000, "diterima 2 ribu rupiah"),
            (3_000, "diterima 3 ribu rupiah"),
        ] {
            let (heard, sentence) = hear(&mut running).await;
            match model {
                Model::Q161 => assert!(sentence.contains(word), "{sentence}"),
                _ => assert_eq!(heard, Some(Rupiah::from_i64(amount)), "{model:?}"),
            }
        }
        all_received(&world, id, 3).await;
        let rest = running.switch_off().await;
        assert_eq!(announcements(&rest), 0, "{model:?} said one again");
        // The terminal's next box is another.
        let unbind = format!("/admin/devices/{id}/unbind");
        world.admin().act(&unbind, &json!({})).await;
    }
}

#[tokio::test]
async fn boxes_with_a_display_show_a_code() {
    let (world, shop) = shop().await;
    let code = text_of(&shop);
    for model in [Model::Qf100, Model::MorefunEt389, Model::Q161] {
        let dir = tempfile::tempdir().unwrap();
        let terminal_id = shop.terminal().id;
        let id = simulator::provision_vendor(&world, dir.path(), model, terminal_id, true).await;
        let mut running = switch_on(dir.path()).await;
        let shown = json!({ "qr_payload": code, "amount": 25_000, "expires_in": 60 });
        order(&world, id, "display_qr", shown).await;
        assert_eq!(shown_code(&mut running).await, code, "{model:?}");
        running.switch_off().await;
    }
}

fn text_of(shop: &Shop) -> String {
    shop.terminal().static_qr_payload.clone()
}

async fn shown_code(running: &mut Running) -> String {
    running
        .until(|event| match event {
            Event::Qr { qr_payload, .. } => qr_payload.clone(),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn a_q161_asks_for_a_code_and_is_paid() {
    let (world, shop) = shop().await;
    let dir = tempfile::tempdir().unwrap();
    let terminal_id = shop.terminal().id;
    simulator::provision_vendor(&world, dir.path(), Model::Q161, terminal_id, false).await;
    let mut running = switch_on(dir.path()).await;
    let amount = Rupiah::from_i64(25_000);
    let asked = running.controls.send(Control::RequestQr { amount });
    asked.await.unwrap();
    let code = shown_code(&mut running).await;
    assert!(code.contains("540525000"), "{code}");
}

#[tokio::test]
async fn a_box_does_the_commands_that_it_has() {
    let (world, shop) = shop().await;
    let terminal_id = shop.terminal().id;

    let dir = tempfile::tempdir().unwrap();
    let id = simulator::provision_vendor(&world, dir.path(), Model::Qf100, terminal_id, true).await;
    let mut running = switch_on(dir.path()).await;
    order(&world, id, "reboot", json!({})).await;
    running
        .until(|event| matches!(event, Event::Rebooting).then_some(()))
        .await;
    subscribed(&mut running).await;
    // The command was confirmed before the restart: it does not come again.
    let rest = running.switch_off().await;
    assert!(!rest.iter().any(|event| matches!(event, Event::Rebooting)));

    let dir = tempfile::tempdir().unwrap();
    let id =
        simulator::provision_vendor(&world, dir.path(), Model::Eg800ak, terminal_id, true).await;
    let mut running = switch_on(dir.path()).await;
    order(&world, id, "set_volume", json!({ "volume": 7 })).await;
    let volume = running
        .until(|event| match event {
            Event::VolumeSet { volume_percent } => Some(*volume_percent),
            _ => None,
        })
        .await;
    assert_eq!(volume, 70);
    eventually(
        "the command is delivered, by its acknowledgement",
        async || {
            let path = format!("/admin/devices/{id}/commands");
            let commands = world.admin().list(&path).await;
            (commands[0]["status"] == "delivered" && commands[0]["reason"].is_null()).then_some(())
        },
    )
    .await;
    running.switch_off().await;

    let dir = tempfile::tempdir().unwrap();
    let id = simulator::provision_vendor(&world, dir.path(), Model::Q161, terminal_id, true).await;
    let mut running = switch_on(dir.path()).await;
    order(
        &world,
        id,
        "announce_text",
        json!({ "text": "Selamat pagi" }),
    )
    .await;
    let said = running
        .until(|event| match event {
            Event::VendorSaid { text } => Some(text.clone()),
            _ => None,
        })
        .await;
    assert_eq!(said, "Selamat pagi");
}

/// Runs a scenario against this platform.
async fn run_scenario(world: &World, text: &str) -> outcome::Report {
    let plan = Plan::read(text).unwrap();
    let environment = simulator::environment(world).await;
    let (options, output) = (Options::default(), Output::new(true));
    let stop = CancellationToken::new();
    let run = scenario::run(&plan, environment, options, output, stop);
    run.await.unwrap()
}

#[tokio::test]
async fn lost_connections_cost_no_box_a_payment() {
    let world = World::with(listeners).await;
    for profile in ["morefun-et389", "q161"] {
        let report = run_scenario(
            &world,
            &format!(
                r#"
                name = "vendor"
                seed = 20260524
                boxes = {{ count = 4, profile = "{profile}", plain = true }}
                faults = {{ drop_every = "2s", lost_messages = "15%", duplicate_acks = "40%", late_acks = "40%", late_max = "1s" }}
                phase = [
                    {{ do = "connect" }},
                    {{ do = "pay", payments = 20, rate = 8, qr = "static", beside = true }},
                    {{ do = "faults", for = "5s" }},
                ]
                expect = {{ played_exactly_once = false, none_lost = true }}
                "#
            ),
        )
        .await;
        assert!(report.passed, "{profile}: {}", report.summary());
        assert_eq!(report.payments.due, 20);
        assert!(
            report.faults.contains_key("lost_message"),
            "{}",
            report.summary()
        );
        // A MoreFun recognises what comes again as long as it has power.
        if profile == "morefun-et389" {
            assert_eq!(report.payments.once, 20, "{}", report.summary());
        }
    }
}
