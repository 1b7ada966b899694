//! The pages of the fleet, by plain HTTP: roll-outs, firmware, a box, what boxes are set to.

use chrono::{DurationRound as _, TimeDelta};
use tests::pages::{Pages, Shown};
use tests::prelude::*;

use crate::view::bulk_command_becomes as becomes;

/// The value that a page has in a field.
fn field(page: &Shown, name: &str) -> String {
    let (_, rest) = page
        .html
        .split_once(&format!("name=\"{name}\" value=\""))
        .unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// What a page says is wrong.
fn complaint(page: &Shown) -> String {
    let (_, rest) = page.html.split_once("role=\"alert\"").unwrap();
    rest.split("</p>").next().unwrap().to_owned()
}

/// The fields of a roll-out to every box at once.
fn quick<'a>(key: &'a str, kind: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("key", key),
        ("kind", kind),
        ("volume", "4"),
        ("rate", "60000"),
        ("canary", "1"),
        ("phases", "50"),
        ("threshold", "100"),
        ("sample", "1"),
    ]
}

#[tokio::test]
async fn a_rollout_is_started_once_however_often_its_form_is_sent() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let device = Credentials::at(&world, shop.terminal().id).await;
    let ops = Pages::of(&world, Role::Ops, None).await;
    let form = ops.get("/console/rollouts/new").await;
    let key = field(&form, "key");
    let csrf = form.csrf();
    // What is refused is shown again with what was typed.
    for (name, value, about) in [
        ("rate", "fast", "rollout.rate_per_minute"),
        ("rate", "0", "rollout.rate_per_minute"),
        ("phases", "50, 10", "rollout.phases"),
        ("tag", "no such tag", "query.tag"),
        ("tag", "nobody-has-this", "query"),
        ("device_ids", "sbx_1 <b>", "query.device_ids"),
        ("merchant_id", "somebody", "query.merchant_id"),
    ] {
        let mut fields = quick(&key, "set_volume");
        fields.retain(|(field, _)| *field != name);
        fields.extend([(name, value), ("text", "keep <me>"), ("csrf", &csrf)]);
        let refused = ops.post("/console/rollouts", &fields).await;
        assert_eq!(refused.status, 422, "{name}={value}");
        assert!(
            complaint(&refused).contains(&format!("{about}: ")),
            "{name}: {}",
            complaint(&refused)
        );
        assert_eq!(field(&refused, "text"), "keep &lt;me&gt;");
        assert!(!refused.html.contains("<b>"), "{}", refused.html);
        assert_eq!(field(&refused, "key"), key);
    }
    assert_eq!(world.rows("bulk_commands").await, 0);
    let mut fields = quick(&key, "set_volume");
    fields.push(("csrf", &csrf));
    let first = ops.post("/console/rollouts", &fields).await;
    let second = ops.post("/console/rollouts", &fields).await;
    assert_eq!(first.status, 303);
    assert_eq!(first.location, second.location);
    assert_eq!(world.rows("bulk_commands").await, 1);
    let path = first.location.unwrap();
    let page = ops.get(&path).await.html;
    for shown in [
        "Set the volume",
        "0 of 1 done",
        &device.device_id.to_string(),
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let list = ops.get("/console/rollouts?status=running").await.html;
    assert!(list.contains(&path), "{list}");
    let csv = ops.get(&format!("{path}/devices.csv")).await.html;
    assert!(csv.contains(&device.device_id.to_string()), "{csv}");
    // Pause, go on, cancel; what its state does not have is refused.
    let id = path.rsplit('/').next().unwrap();
    for (action, status) in [
        ("pause", "paused"),
        ("resume", "running"),
        ("cancel", "cancelled"),
    ] {
        let done = ops.press(&path, &format!("{path}/{action}"), &[]).await;
        assert_eq!(done.location.as_deref(), Some(path.as_str()), "{action}");
        becomes(&world, id, status).await;
    }
    let csrf = [("csrf", csrf.as_str())];
    assert_eq!(ops.post(&format!("{path}/resume"), &csrf).await.status, 409);
    assert_eq!(
        ops.post(&format!("{path}/explode"), &csrf).await.status,
        404
    );
    // Those who may only look have no buttons, and may not press them.
    let support = Pages::of(&world, Role::Support, None).await;
    let seen = support.get(&path).await;
    assert!(!seen.html.contains("/cancel"), "{}", seen.html);
    let theirs = [("csrf", seen.csrf())];
    let theirs = [("csrf", theirs[0].1.as_str())];
    assert_eq!(
        support
            .post(&format!("{path}/cancel"), &theirs)
            .await
            .status,
        403
    );
    assert_eq!(support.get("/console/rollouts/new").await.status, 403);
}

#[tokio::test]
async fn a_firmware_is_added_and_rolled_out_from_the_catalogue() {
    let world = World::new().await;
    let device = Credentials::unbound(&world).await;
    let ops = Pages::of(&world, Role::Ops, None).await;
    let digest = "ab".repeat(32);
    let with = |url: &'static str| {
        [
            ("version", "1.1.0"),
            ("model", "SB-1"),
            ("url", url),
            ("notes", "<i>Louder</i>"),
        ]
    };
    let mut wrong = with("http://firmware.example/1.bin").to_vec();
    wrong.push(("sha256", &digest));
    let refused = ops
        .press("/console/firmware", "/console/firmware", &wrong)
        .await;
    assert_eq!(refused.status, 422);
    assert!(
        complaint(&refused).contains("url: "),
        "{}",
        complaint(&refused)
    );
    assert_eq!(field(&refused, "notes"), "&lt;i&gt;Louder&lt;/i&gt;");
    let mut right = with("https://firmware.example/1.bin").to_vec();
    right.push(("sha256", &digest));
    let made = ops
        .press("/console/firmware", "/console/firmware", &right)
        .await;
    assert_eq!(made.location.as_deref(), Some("/console/firmware"));
    let list = ops.get("/console/firmware?model=SB-1").await;
    assert!(!list.html.contains("<i>"), "{}", list.html);
    let (_, rest) = list
        .html
        .split_once("href=\"/console/rollouts/new?firmware_id=")
        .unwrap();
    let id = rest.split('"').next().unwrap();
    let form = ops
        .get(&format!("/console/rollouts/new?firmware_id={id}"))
        .await;
    let (key, csrf) = (field(&form, "key"), form.csrf());
    let mut fields = quick(&key, "");
    fields.extend([
        ("firmware_id", id),
        ("rise", "5"),
        ("rise_sample", "20"),
        ("confirm_s", "1800"),
        ("csrf", &csrf),
    ]);
    let started = ops.post("/console/rollouts", &fields).await;
    assert_eq!(started.status, 303, "{}", started.html);
    let page = ops.get(&started.location.unwrap()).await.html;
    assert!(page.contains("Update the firmware 1.1.0"), "{page}");
    assert!(page.contains(&device.device_id.to_string()), "{page}");
    let file = ops.get("/console/firmware.csv?model=SB-1").await.html;
    assert!(file.contains(&digest), "{file}");
    let none = ops.get("/console/firmware.csv?model=SB-2").await.html;
    assert_eq!(none.lines().count(), 1, "{none}");
    // A roll-out is found by its version, by its kind, and not by others; its file has the same filters.
    for (asked, is_there) in [
        ("q=1.1&type=update_firmware", true),
        ("q=1.2", false),
        ("type=reboot", false),
    ] {
        let list = ops.get(&format!("/console/rollouts?{asked}")).await.html;
        assert_eq!(
            list.contains("Update the firmware 1.1.0"),
            is_there,
            "{asked}"
        );
        let file = ops
            .get(&format!("/console/rollouts.csv?{asked}"))
            .await
            .html;
        assert_eq!(file.lines().count(), 1 + usize::from(is_there), "{file}");
    }
}

#[tokio::test]
async fn a_boxs_own_settings_are_changed_by_a_form_that_keeps_what_was_wrong() {
    let (world, shop, device) = fixture::device().await;
    let ops = Pages::of(&world, Role::Ops, None).await;
    let path = format!("/console/devices/{}", device.device_id);
    let action = format!("{path}/configuration");
    for (name, value, about) in [
        ("volume", "11", "volume"),
        ("volume", "loud", "volume"),
        ("language", "<tlh>", "language"),
        ("quiet_start", "22:00", "quiet_hours"),
    ] {
        let refused = ops
            .press(
                &path,
                &action,
                &[(name, value), ("display_brightness", "42")],
            )
            .await;
        assert_eq!(refused.status, 422, "{name}={value}");
        assert!(
            complaint(&refused).contains(&format!("{about}: ")),
            "{}",
            complaint(&refused)
        );
        let typed = value.replace('<', "&lt;").replace('>', "&gt;");
        let kept = format!("name=\"{name}\" value=\"{typed}\"");
        assert!(refused.html.contains(&kept), "{kept}: {}", refused.html);
        assert_eq!(field(&refused, "display_brightness"), "42");
    }
    let set = [
        ("volume", "3"),
        ("quiet_start", "22:00"),
        ("quiet_end", "06:00"),
        ("quiet_volume", "1"),
    ];
    let saved = ops.press(&path, &action, &set).await;
    assert_eq!(
        saved.location,
        Some(format!("{path}?saved=1#configuration"))
    );
    let own = world
        .admin()
        .read(&format!("{}/config", device.path()))
        .await;
    let quiet = json!({ "start": "22:00", "end": "06:00", "volume": 1 });
    assert_eq!(
        own["layers"]["device"],
        json!({ "volume": 3, "quiet_hours": quiet })
    );
    let page = ops.get(&path).await.html;
    assert!(
        page.contains("22:00–06:00 (1)") && page.contains("on its way"),
        "{page}"
    );
    // The layers above, and the boxes that differ.
    for (owner, volume) in [
        ("fleet".to_owned(), "5"),
        (shop.merchant_id.to_string(), "6"),
        (shop.outlet_id.to_string(), "7"),
    ] {
        let action = format!("/console/configuration/{owner}");
        let from = if owner == "fleet" {
            "/console/configuration"
        } else {
            &action
        };
        let refused = ops.press(from, &action, &[("volume", "99")]).await;
        assert_eq!(
            (refused.status, field(&refused, "volume").as_str()),
            (422, "99")
        );
        let saved = ops.press(from, &action, &[("volume", volume)]).await;
        assert_eq!(saved.status, 303, "{owner}");
    }
    let drift = ops.get("/console/configuration?status=pending").await.html;
    assert!(drift.contains(&device.device_id.to_string()), "{drift}");
    let file = ops.get("/console/configuration.csv").await.html;
    assert!(file.contains(&device.device_id.to_string()), "{file}");
    assert_eq!(ops.get("/console/configuration/nobody").await.status, 404);
    let support = Pages::of(&world, Role::Support, None).await;
    let seen = support.get("/console/configuration").await.html;
    assert!(!seen.contains("config-form"), "{seen}");
}

#[tokio::test]
async fn a_boxs_page_has_its_charts_and_the_commands_of_its_kind() {
    let (world, _, device) = fixture::device().await;
    device.sell(&world, 12_000).await;
    let ops = Pages::of(&world, Role::Ops, None).await;
    let path = format!("/console/devices/{}", device.device_id);
    let silent = ops.get(&path).await.html;
    assert!(
        silent.contains("No heartbeat came in the last three days"),
        "{silent}"
    );
    beats(&world, &device, 70).await;
    let page = ops.get(&path).await.html;
    assert_eq!(page.matches("<svg width=").count(), 4, "{page}");
    assert!(page.contains("Rp12.000"), "{page}");
    assert!(!page.contains("style="), "{page}");
    assert!(page.len() < 100 * 1024, "{}", page.len());
    let send = format!("{path}/command");
    let refused = ops
        .press(
            &path,
            &send,
            &[
                ("kind", "announce_text"),
                ("text", "Pembayaran <b> diterima"),
            ],
        )
        .await;
    assert_eq!(refused.status, 422);
    assert_eq!(field(&refused, "text"), "Pembayaran &lt;b&gt; diterima");
    for fields in [
        vec![("kind", "reboot")],
        vec![("kind", "set_volume"), ("volume", "2")],
    ] {
        let done = ops.press(&path, &send, &fields).await;
        assert_eq!(done.location.as_deref(), Some(path.as_str()));
    }
    let commands = world
        .admin()
        .list(&format!("{}/commands", device.path()))
        .await;
    assert_eq!(texts(&commands, "type"), ["set_volume", "reboot"]);
    // A box without a display is offered nothing for one.
    let mute = tests::credentials::register_with(&world, &["speaker"]).await;
    let mute = mute.activate(&world, wire::Encoding::Json).await;
    let page = ops
        .get(&format!("/console/devices/{}", mute.device_id))
        .await
        .html;
    assert!(
        page.contains("play_test") || page.contains("/test"),
        "{page}"
    );
    assert!(!page.contains("clear_display"), "{page}");
}

/// So many hours of heartbeats of a box, until the last hour.
pub(crate) async fn beats(world: &World, device: &Credentials, hours: u32) {
    let id = device.device_id.as_uuid();
    let hour = world
        .clock
        .now()
        .duration_trunc(TimeDelta::hours(1))
        .unwrap();
    let hour = format!("'{hour}'::timestamptz");
    world
        .execute(&format!(
            "INSERT INTO heartbeat_hours (device_id, hour, beats, battery_min, battery_avg, signal_min, signal_avg, longest_gap_s)
             SELECT '{id}', {hour} - n * interval '1 hour', 60 - n % 7, 40 + n % 50, 45 + n % 50, 50 + n % 20, 60 + n % 20, 60 + n * 3
             FROM generate_series(1, {hours}) n WHERE n % 17 <> 0"
        ))
        .await;
    let rolled = format!(
        "INSERT INTO heartbeat_rollups (hour, rolled_at) VALUES ({hour} - interval '1 hour', now()) ON CONFLICT DO NOTHING"
    );
    world.execute(&rolled).await;
}

#[tokio::test]
async fn a_merchant_reads_its_own_statements_and_what_its_own_payments_told_a_box() {
    let (world, shop, device) = fixture::device().await;
    let other = Shop::open(&world, "Kopi Fajar", 1).await;
    let outlet = format!("/admin/outlets/{}", shop.outlet_id);
    world
        .admin()
        .change(&outlet, &json!({ "timezone": "Asia/Jayapura" }))
        .await;
    device.sell(&world, 100_000).await;
    world.later(1);
    let id = settle(&world.staff(Role::Finance).await).await;
    let own = Pages::of(&world, Role::MerchantOwner, Some(shop.merchant_id)).await;
    let foreign = Pages::of(&world, Role::MerchantOwner, Some(other.merchant_id)).await;
    let path = format!("/portal/settlements/{id}");
    assert!(
        own.get("/portal/settlements")
            .await
            .html
            .contains("Rp99.300")
    );
    assert!(
        !foreign
            .get("/portal/settlements")
            .await
            .html
            .contains("Rp99.300")
    );
    assert!(own.get("/portal/settlements.csv").await.html.contains(&id));
    for (path, shows) in [
        (path.clone(), " WIT"),
        (format!("{path}/statement.csv"), " WIT"),
        (format!("{path}/statement.html"), " WIT"),
    ] {
        let page = own.get(&path).await;
        assert!(page.html.contains(shows), "{path}: {}", page.html);
        assert_eq!(foreign.get(&path).await.status, 404, "{path}");
    }
    // The box goes to another shop: what it said before is not told there.
    let box_page = format!("/portal/devices/{}", device.device_id);
    assert!(own.get(&box_page).await.html.contains("Rp100.000"));
    world
        .admin()
        .act(&format!("{}/unbind", device.path()), &json!({}))
        .await;
    tests::credentials::bind(&world, device.device_id, other.terminal().id).await;
    assert_eq!(own.get(&box_page).await.status, 404);
    let moved = foreign.get(&box_page).await;
    assert_eq!(moved.status, 200);
    assert!(!moved.html.contains("Rp100.000"), "{}", moved.html);
    let api = format!("/merchant/devices/{}/notifications", device.device_id);
    assert!(
        world
            .owner(other.merchant_id)
            .await
            .list(&api)
            .await
            .is_empty()
    );
}
