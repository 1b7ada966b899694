//! The simulator against the real platform.

use device_sim::cli;
use device_sim::link::Transport;
use device_sim::output::Output;
use device_sim::report::Event;
use device_sim::scenario::plan::Plan;
use device_sim::scenario::{self, outcome};
use device_sim::session::{Control, Options};
use std::process::ExitCode;
use tests::acquirer::{OURS, secret_of};
use tests::prelude::*;
use tests::simulator;
use tokio_util::sync::CancellationToken;
use wire::{DeviceId, TransactionId};

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
async fn the_quick_scenario_passes() {
    let world = World::new().await;
    let quick = include_str!("../../../device-sim/scenarios/quick.toml");
    let report = run_scenario(&world, quick).await;
    assert!(report.passed, "{}", report.summary());
    // 25 payments, each announced by the two boxes of its terminal.
    assert_eq!((report.payments.due, report.payments.once), (50, 50));
    assert_eq!(report.unheard, Some(0));
    assert!(report.payments.reconnect.count >= 6, "{}", report.summary());
}

#[tokio::test]
async fn chaos_with_a_fixed_seed_loses_nothing_and_repeats_nothing() {
    let world = World::new().await;
    let report = run_scenario(
        &world,
        r#"
        name = "chaos"
        seed = 20260524
        boxes = { count = 6, http = 2 }
        faults = { drop_every = "2s", lost_messages = "15%", duplicate_acks = "40%", late_acks = "40%", late_max = "3s", wrong_clocks = "60%" }
        phase = [
            { do = "connect" },
            { do = "pay", payments = 40, rate = 8, beside = true },
            { do = "faults", for = "6s", reboot_storm_every = "2500ms" },
        ]
        "#,
    )
    .await;
    assert!(report.passed, "{}", report.summary());
    assert_eq!((report.payments.due, report.payments.once), (40, 40));
    for fault in ["drop", "lost_message", "duplicate_ack", "late_ack"] {
        assert!(report.faults.contains_key(fault), "{}", report.summary());
    }
}

#[tokio::test]
async fn a_scenario_that_does_not_come_out_as_expected_ends_with_an_error() {
    let world = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    // One of the two boxes is not started, so half of the payments are not announced.
    let scenario = |heard: bool| {
        format!(
            r#"
            name = "deaf"
            boxes = {{ count = 2 }}
            phase = [ {{ do = "connect", boxes = 1 }}, {{ do = "pay", payments = 8, rate = 100 }} ]
            expect = {{ played_exactly_once = {heard}, none_unheard = false, settle_within = "1s" }}
            "#
        )
    };
    let token = world.token(Role::Admin).await;
    let mut args = vec![
        "device-sim".to_owned(),
        "--json".to_owned(),
        "scenario".to_owned(),
    ];
    for (flag, value) in [
        ("--url", world.url()),
        ("--ca", write("ca.pem", world.app().root_pem())),
        ("--admin-token-file", write("token", &token)),
        ("--partner-secret-file", write("secret", &secret_of(OURS))),
        ("--partner-id", OURS.to_owned()),
    ] {
        args.extend([flag.to_owned(), value]);
    }
    for (as_expected, code) in [(false, ExitCode::SUCCESS), (true, ExitCode::FAILURE)] {
        let mut args = args.clone();
        args.push(write("scenario.toml", &scenario(as_expected)));
        let ended = tokio::task::spawn_blocking(|| cli::run_with(args).unwrap());
        assert_eq!(ended.await.unwrap(), code);
    }
}

/// The payment that a box begins to announce.
fn spoken(event: &Event) -> Option<TransactionId> {
    match event {
        Event::Spoken { transaction_id, .. } => Some(*transaction_id),
        _ => None,
    }
}

fn started(event: &Event) -> Option<()> {
    matches!(event, Event::Started { .. }).then_some(())
}

fn clock_set(event: &Event) -> Option<()> {
    matches!(event, Event::ClockSet).then_some(())
}

fn renewed(event: &Event) -> Option<()> {
    matches!(event, Event::Renewed { .. }).then_some(())
}

/// Waits until the platform records all of this box's notifications as played.
async fn all_played(world: &World, device_id: DeviceId, payments: usize) {
    let path = format!("/admin/devices/{device_id}/notifications");
    eventually("all notifications to be played", async || {
        let list = world.admin().list(&path).await;
        (list.len() == payments && list.iter().all(|one| one["status"] == "played")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_box_on_http_and_one_on_mqtt_each_play_each_payment_once() {
    let (world, shop) = fixture::shop().await;
    let seller = Credentials::at(&world, shop.terminal().id).await;
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut boxes = Vec::new();
    for (dir, transport) in dirs.iter().zip([Transport::Http, Transport::Mqtt]) {
        let id = simulator::provision(&world, dir.path(), shop.terminal().id).await;
        let options = Options {
            transport,
            heartbeat: Some(std::time::Duration::from_millis(200)),
            ..Options::default()
        };
        let running = simulator::switch_on(dir.path(), options);
        boxes.push((id, running, transport));
    }
    let mut paid = Vec::new();
    for amount in [10_000, 10_000, 25_000] {
        paid.push(seller.sell(&world, amount).await);
    }
    let mut after = Vec::new();
    for (id, mut running, transport) in boxes {
        let mut heard = Vec::new();
        for _ in 0..paid.len() {
            heard.push(running.until(spoken).await);
        }
        assert_eq!(heard, paid, "{transport:?}");
        all_played(&world, id, paid.len()).await;
        // After a power cut it neither forgets nor repeats.
        running.controls.send(Control::PowerCut).await.unwrap();
        running.until(started).await;
        running.until(clock_set).await;
        after.push((id, running));
    }
    let last = seller.sell(&world, 5_000).await;
    for (id, mut running) in after {
        assert_eq!(running.until(spoken).await, last);
        all_played(&world, id, paid.len() + 1).await;
        let rest = running.switch_off().await;
        assert_eq!(rest.iter().find_map(spoken), None, "announced again");
    }
}

/// Sends a command to a box, and waits until it has ended.
async fn command(world: &World, device_id: DeviceId, kind: &str, payload: Value) -> Value {
    let body = json!({ "type": kind, "payload": payload });
    let given = crate::view::command(&world.admin(), device_id, &body).await;
    let given = given.expect(201).data();
    eventually("the command to end", async || {
        let command = crate::view::command_now(world, &given).await;
        let ended = !matches!(command["status"].as_str(), Some("queued" | "sent"));
        ended.then_some(command)
    })
    .await
}

fn firmware(version: &str) -> Value {
    json!({ "url": "https://firmware.example/2.bin", "sha256": "ab".repeat(32), "version": version })
}

#[tokio::test]
async fn a_box_carries_out_commands_and_starts_with_new_firmware() {
    let (world, shop) = fixture::shop().await;
    let dir = tempfile::tempdir().unwrap();
    let id = simulator::provision(&world, dir.path(), shop.terminal().id).await;
    let mut running = simulator::switch_on(dir.path(), Options::default());
    running.until(clock_set).await;

    let greeting = json!({ "text": "Selamat pagi" });
    let spoken_text = command(&world, id, "announce_text", greeting).await;
    assert_eq!(spoken_text["status"], "delivered");
    let text = running
        .until(|event| match event {
            Event::CommandSpoken { text, .. } => Some(text.clone()),
            _ => None,
        })
        .await;
    assert_eq!(text, "Selamat pagi");
    let louder = command(&world, id, "set_volume", json!({ "volume": 3 })).await;
    assert_eq!(louder["status"], "delivered");
    let diagnosed = command(&world, id, "collect_diagnostics", json!({})).await;
    assert_fields!(diagnosed["result_payload"], { "settings/volume": 3, "counters/refused": 0 });
    let synced = command(&world, id, "sync_config", json!({})).await;
    assert_eq!(synced["status"], "delivered", "{synced}");

    let updated = command(&world, id, "update_firmware", firmware("2.0.0")).await;
    assert_eq!(updated["status"], "delivered");
    eventually("the new firmware to be seen", async || {
        let path = format!("/admin/devices/{id}");
        let device = world.admin().read(&path).await;
        (device["firmware_version"] == "2.0.0").then_some(())
    })
    .await;
    running.switch_off().await;

    let failing = Options {
        firmware_failures: "100%".parse().unwrap(),
        ..Options::default()
    };
    let running = simulator::switch_on(dir.path(), failing);
    let failed = command(&world, id, "update_firmware", firmware("3.0.0")).await;
    assert_fields!(failed, { "status": "failed", "reason": "checksum_mismatch" });
    running.switch_off().await;
}

#[tokio::test]
async fn a_box_renews_its_credentials_before_they_end() {
    let (world, shop) = fixture::shop().await;
    let seller = Credentials::at(&world, shop.terminal().id).await;
    let dir = tempfile::tempdir().unwrap();
    let id = simulator::provision(&world, dir.path(), shop.terminal().id).await;
    let serial = async || {
        let path = format!("/admin/devices/{id}");
        world.admin().read(&path).await["certificate"]["serial"].clone()
    };
    let file = dir.path().join("device.json");
    let mut device: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let due: chrono::DateTime<chrono::Utc> =
        serde_json::from_value(device["renew_after"].clone()).unwrap();
    assert!(due > world.clock.now(), "not due right after provisioning");
    device["renew_after"] = json!("2020-01-01T00:00:00Z");
    std::fs::write(&file, device.to_string()).unwrap();

    let old = serial().await;
    let mut running = simulator::switch_on(dir.path(), Options::default());
    running.until(renewed).await;
    running.until(clock_set).await;
    assert_ne!(serial().await, old);
    let paid = seller.sell(&world, 12_000).await;
    assert_eq!(running.until(spoken).await, paid);
    let rest = running.switch_off().await;
    assert_eq!(rest.iter().find_map(renewed), None, "once is enough");
}
