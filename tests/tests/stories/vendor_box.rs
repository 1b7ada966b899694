//! Boxes of other makers: they join with user name and password, and each speaks its maker's protocol.

use std::time::Duration;

use rumqttc::SubscribeReasonCode;
use tests::prelude::*;
use tests::vendor_box::{VendorBox, assert_wrong_password, hear, listeners, order};

/// The amount and the text of a payment as a QF100 is sent them.
fn announced(message: &Value) -> (Value, Value) {
    assert_eq!(message["header"]["category"], 1, "{message}");
    let data = &message["data"];
    (data["pay-amount"].clone(), data["text"].clone())
}

async fn shop() -> (World, Shop) {
    let world = World::with(listeners).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    (world, shop)
}

async fn pay(world: &World, shop: &Shop, amount: i64) {
    let paid = shop.printed_payment(world, amount);
    world.acquirer().verdict(&paid).await;
}

#[tokio::test]
async fn a_box_of_another_maker_hears_a_payment_and_the_api_says_what_is_known_of_it() {
    let (world, shop) = shop().await;
    let own = VendorBox::at(&world, "qf100", "QF-1", shop.terminal().id).await;
    assert_fields!(own.mqtt, {
        "client_id": "soundbox-QF-1",
        "username": "QF-1",
        "subscribe_topic": "soundbox/QF-1/down",
        "tls": true,
    });
    let device = world.admin().read(&own.path()).await;
    assert_fields!(device, { "status": "active", "profile": "qf100", "confirmation": "puback", "mqtt_user_name": "QF-1" });

    for by_tls in [false, true] {
        let mut connection = if by_tls {
            let mut connection = own.connect_by_tls(&world).await.unwrap();
            connection.subscribe(&own.down()).await;
            connection
        } else {
            own.listen(&world).await
        };
        pay(&world, &shop, 50_000).await;
        let message = connection.receive().await;
        assert_eq!(message.topic, "soundbox/QF-1/down");
        let read: Value = serde_json::from_slice(&message.payload).unwrap();
        let sentence = "Pembayaran QRIS diterima, lima puluh ribu rupiah";
        assert_eq!(announced(&read), (json!(50_000), json!(sentence)));
        // Nothing is claimed before the PUBACK.
        let before = own.notifications(&world).await;
        assert_fields!(before[0], { "status": "sent", "confirmation": "puback" });
        connection.confirm(&message).await;
        eventually("the PUBACK is stored", async || {
            (own.notifications(&world).await[0]["status"] == "received").then_some(())
        })
        .await;
        let after = own.notifications(&world).await;
        assert_fields!(after[0], { "reason": "puback", "played_at": null });
        connection.disconnect().await;
    }
    assert_eq!(own.notifications(&world).await.len(), 2);
}

#[tokio::test]
async fn what_came_while_it_was_away_is_heard_once_each_in_order() {
    let (world, shop) = shop().await;
    let own = VendorBox::at(&world, "qf100", "QF-1", shop.terminal().id).await;
    own.listen(&world).await.abort().await;
    for amount in [1_000, 2_000, 3_000] {
        pay(&world, &shop, amount).await;
    }
    let mut connection = own.listen(&world).await;
    for amount in [1_000, 2_000, 3_000] {
        assert_eq!(announced(&hear(&mut connection).await).0, amount);
    }
    eventually("all are stored", async || {
        let known = own.notifications(&world).await;
        let all = known.iter().all(|one| one["status"] == "received");
        all.then_some(())
    })
    .await;
    connection.disconnect().await;
    // Another connection brings nothing again; the next message is the next payment.
    let mut connection = own.listen(&world).await;
    pay(&world, &shop, 4_000).await;
    assert_eq!(announced(&hear(&mut connection).await).0, 4_000);
}

#[tokio::test]
async fn without_puback_it_is_sent_again_on_the_next_connection_and_on_no_other() {
    let (world, shop) = shop().await;
    let own = VendorBox::at(&world, "qf100", "QF-1", shop.terminal().id).await;
    let mut connection = own.listen(&world).await;
    pay(&world, &shop, 1_000).await;
    let first = connection.receive().await;
    // Long past the first repetition to a box of our own.
    world.clock.advance(chrono::TimeDelta::seconds(40));
    pay(&world, &shop, 2_000).await;
    let second = connection.receive().await;
    assert_ne!(first.payload, second.payload, "the first was sent again");
    connection.abort().await;
    let mut connection = own.connect(&world).await.unwrap();
    for amount in [1_000, 2_000] {
        assert_eq!(announced(&hear(&mut connection).await).0, amount);
    }
}

#[tokio::test]
async fn anothers_topics_are_refused() {
    let (world, shop) = shop().await;
    let own = VendorBox::at(&world, "qf100", "QF-1", shop.terminal().id).await;
    let other = VendorBox::register(&world, "qf100", "QF-2").await;
    let mut listening = own.listen(&world).await;
    let mut connection = other.connect(&world).await.unwrap();
    for filter in [
        own.down(),
        "soundbox/+/down".to_owned(),
        "#".to_owned(),
        format!("devices/{}/downlink/#", own.device_id),
        format!("devices/{}/downlink/#", other.device_id),
    ] {
        let answer = connection.subscribe(&filter).await;
        assert_eq!(answer, SubscribeReasonCode::Failure, "{filter}");
    }
    assert!(!connection.publish(&own.up(), b"{}".to_vec()).await);
    connection.ended().await;
    // The payment is heard by the box at the terminal.
    pay(&world, &shop, 7_000).await;
    assert_eq!(announced(&hear(&mut listening).await).0, 7_000);
}

#[tokio::test]
async fn a_suspended_box_is_gone_within_a_second_and_needs_a_new_password() {
    let (world, _) = shop().await;
    let own = VendorBox::register(&world, "qf100", "QF-1").await;
    let connection = own.listen(&world).await;
    own.set_status(&world, "suspended").await;
    tokio::time::timeout(Duration::from_secs(1), connection.ended())
        .await
        .expect("it is gone within a second");
    assert_wrong_password(own.connect(&world).await);
    own.set_status(&world, "active").await;
    assert_wrong_password(own.connect(&world).await);
    let path = format!("{}/mqtt-credential", own.path());
    let renewed = VendorBox {
        mqtt: world.admin().create(&path, &json!({})).await,
        ..own.clone()
    };
    renewed.listen(&world).await.disconnect().await;
    assert_wrong_password(own.connect(&world).await);
}

#[tokio::test]
async fn a_profile_says_what_it_needs_and_is_changed_only_without_credentials() {
    let (world, _) = shop().await;
    let admin = world.admin();
    let new = |profile: &str| json!({ "serial_number": "X-1", "model": "X", "capabilities": ["speaker"], "profile": profile });
    for (profile, field) in [
        ("telepathy", "profile"),
        ("morefun-et389", "profile"),
        ("eg800ak", "profile"),
    ] {
        let refused = admin.post("/admin/devices", &new(profile)).await;
        refused.refused_field(field);
    }
    let mut on_http = new("qf100");
    on_http["communication_mode"] = json!("http");
    assert_refused!(admin.post("/admin/devices", &on_http), VALIDATION_FAILED);

    let own = VendorBox::register(&world, "qf100", "QF-1").await;
    let change = json!({ "profile": "quecpython" });
    assert_refused!(admin.patch(&own.path(), &change), INVALID_STATE);
    let code = format!("{}/activation-code", own.path());
    assert_refused!(admin.post(&code, &json!({})), INVALID_STATE);
    own.set_status(&world, "suspended").await;
    let changed = admin.change(&own.path(), &change).await;
    assert_fields!(changed, { "profile": "quecpython", "status": "suspended" });
    own.set_status(&world, "active").await;
    let native = Credentials::unbound(&world).await;
    let password = format!("{}/mqtt-credential", native.path());
    assert_refused!(admin.post(&password, &json!({})), INVALID_STATE);
}

#[tokio::test]
async fn without_a_listener_no_such_box_is_registered() {
    let world = World::new().await;
    let new = json!({ "serial_number": "QF-1", "model": "QF100", "capabilities": ["speaker"], "profile": "qf100" });
    let refused = world.admin().post("/admin/devices", &new).await;
    let message = refused.json().to_string();
    assert!(message.contains("mqtt.vendor.listen"), "{message}");
}

#[tokio::test]
async fn a_box_of_another_maker_shows_a_code_and_restarts_and_refuses_what_it_has_not() {
    let (world, shop) = shop().await;
    let own = VendorBox::at(&world, "qf100", "QF-1", shop.terminal().id).await;
    let mut connection = own.listen(&world).await;
    let code = json!({ "qr_payload": shop.terminal().static_qr_payload, "expires_in": 60 });
    order(&world, &own, "display_qr", code).await;
    let shown = hear(&mut connection).await;
    assert_eq!(shown["header"]["category"], 4);
    assert_fields!(shown["data"], { "qr-url": shop.terminal().static_qr_payload, "expire-seconds": 60 });
    let reboot = order(&world, &own, "reboot", json!({})).await;
    let message = hear(&mut connection).await;
    assert_eq!(message["header"]["category"], 5);
    assert_eq!(message["data"]["command"], "reboot");
    let path = format!("{}/commands/{reboot}", own.path());
    eventually("the command is delivered, by PUBACK", async || {
        let command = world.admin().read(&path).await;
        (command["status"] == "delivered" && command["reason"] == "puback").then_some(())
    })
    .await;
    let commands = format!("{}/commands", own.path());
    for (kind, payload) in [
        ("set_volume", json!({ "volume": 3 })),
        ("collect_diagnostics", json!({})),
    ] {
        let new = json!({ "type": kind, "payload": payload });
        assert_refused!(
            world.admin().post_once(&commands, &new),
            DEVICE_CAPABILITY_NOT_SUPPORTED
        );
    }
    let bulk = json!({ "type": "set_volume", "payload": { "volume": 3 }, "query": { "device_ids": [own.device_id] },
        "rollout": { "rate_per_minute": 60, "abort_threshold_percent": 50, "min_sample": 1 } });
    assert_refused!(
        world.admin().post_once("/admin/bulk-commands", &bulk),
        DEVICE_CAPABILITY_NOT_SUPPORTED
    );
}

#[tokio::test]
async fn a_box_that_gives_feedback_ends_with_received_and_a_request_of_a_box_gets_a_code() {
    let (world, mut shop) = shop().await;
    let own = VendorBox::at(&world, "morefun-et389", "ET-1", shop.terminal().id).await;
    let mut connection = own.listen(&world).await;
    pay(&world, &shop, 12_000).await;
    let message = hear(&mut connection).await;
    assert_eq!(message["money"], "12000.00", "{message}");
    assert_fields!(own.notifications(&world).await[0], { "status": "sent", "confirmation": "received" });
    let feedback = json!({ "request_id": message["request_id"], "money": message["money"] });
    let topic = "/ota/PK7/ET-1/user/log";
    assert!(
        connection
            .publish(topic, feedback.to_string().into_bytes())
            .await
    );
    assert_fields!(own.notifications(&world).await[0], { "status": "received", "reason": null });
    let stats = world.admin().read("/admin/stats").await;
    assert_fields!(stats, { "announced": 1, "played": 0, "received": 1, "open": 0, "unheard": 0 });

    let terminal = shop.add_terminal(&world, "Kasir 2").await.id;
    let asking = VendorBox::at(&world, "q161", "Q1", terminal).await;
    let mut connection = asking.listen(&world).await;
    // The serial number in the message must be its own; the device is the session's.
    assert!(
        connection
            .publish("qris/request", b"ET-1|2500000".to_vec())
            .await
    );
    assert!(
        connection
            .publish("qris/request", b"Q1|2500000".to_vec())
            .await
    );
    let message = connection.receive().await;
    let shown = String::from_utf8(message.payload.to_vec()).unwrap();
    let payload = shown.strip_prefix("QR:").expect("a code");
    assert!(payload.contains("540525000"), "{payload}");
    let codes = world.rows("transactions WHERE qr_type = 'dynamic'").await;
    assert_eq!(codes, 1);
}

#[tokio::test]
async fn a_puback_is_no_unheard_payment_and_its_absence_is_one() {
    let (world, shop) = shop().await;
    let own = VendorBox::at(&world, "qf100", "QF-1", shop.terminal().id).await;
    let mut connection = own.listen(&world).await;
    pay(&world, &shop, 1_000).await;
    hear(&mut connection).await;
    eventually("the PUBACK is stored", async || {
        let known = own.notifications(&world).await;
        (known[0]["status"] == "received").then_some(())
    })
    .await;
    world.clock.advance(chrono::TimeDelta::minutes(6));
    let unheard = async || {
        let context = world.app().context();
        service::payment::notification::end_stale(context, 100)
            .await
            .unwrap();
        service::alert::check(context, 100).await.unwrap();
        world
            .rows("alerts WHERE kind = 'unheard_payment' AND closed_at IS NULL")
            .await
    };
    assert_eq!(unheard().await, 0);
    assert_fields!(own.notifications(&world).await[0], { "status": "received", "reason": "puback" });
    pay(&world, &shop, 2_000).await;
    connection.receive().await;
    world.clock.advance(chrono::TimeDelta::minutes(6));
    assert_eq!(unheard().await, 1);
    let plain = world
        .rows("alerts WHERE kind = 'plain_mqtt' AND closed_at IS NULL")
        .await;
    assert_eq!(plain, 1);
}

#[tokio::test]
async fn a_box_asks_for_its_settings_only_while_an_operator_lets_it() {
    let (world, _) = shop().await;
    let own = VendorBox::register(&world, "qf100", "QF-1").await;
    let asking = |serial: &str, imei: &str| {
        json!({
            "dev-model": "EDOTF1", "item-number": "1", "dev-sn": serial, "hardware-config": "A", "fw-version": "1.0",
            "fw-build": "7", "app-config-version": "1", "imei": imei, "imsi": "510", "iccid": "8962",
        })
    };
    let (imei, box_api) = ("860000000000017", world.anonymous());
    let ask = async |serial: &str, imei: &str| {
        box_api
            .post("/speaker/dev-config", &asking(serial, imei))
            .await
    };
    let refused = json!({ "error-code": 1, "mqtt": null });
    assert_eq!(ask("QF-1", imei).await.expect(401).json(), refused);
    let open = format!("{}/bootstrap", own.path());
    world
        .admin()
        .act(&open, &json!({ "minutes": 30, "calls": 2 }))
        .await;
    for (serial, imei) in [("QF-1", "860000000000018"), ("QF-2", imei), ("QF-1", "")] {
        assert_eq!(ask(serial, imei).await.expect(401).json(), refused);
    }
    let live = own.listen(&world).await;
    let told = ask("QF-1", imei).await.expect(200).json();
    assert_fields!(told, { "error-code": 0 });
    let port = world.app().edge().plain_addr().unwrap().port();
    assert_fields!(told["mqtt"], {
        "broker-port": port, "client-id": "soundbox-QF-1", "user-name": "QF-1",
        "subscribe-topic": "soundbox/QF-1/down", "keep-alive": 60,
    });
    let password = text(&told["mqtt"], "password");
    // Its earlier password is good until the new one is used.
    let mut joined = VendorBox::connect_as(&world, "QF-1", &password)
        .await
        .unwrap();
    joined.subscribe(&own.down()).await;
    live.ended().await;
    assert_wrong_password(own.connect(&world).await);
    // The second of two calls, and no third.
    ask("QF-1", imei).await.expect(200).json();
    assert_eq!(ask("QF-1", imei).await.expect(401).json(), refused);
    world.admin().act(&open, &json!({})).await;
    world.clock.advance(chrono::TimeDelta::minutes(61));
    assert_eq!(ask("QF-1", imei).await.expect(401).json(), refused);
    let audited = "audit_logs WHERE action = 'device.bootstrap'";
    assert_eq!(world.rows(audited).await, 2);
    // A box that is told its settings by hand does not ask.
    let typed_in = VendorBox::register(&world, "q161", "Q-1").await;
    let path = format!("{}/bootstrap", typed_in.path());
    assert_refused!(world.admin().post(&path, &json!({})), INVALID_STATE);
}

#[tokio::test]
async fn a_box_of_a_made_up_maker_joins_by_a_file_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kotak.toml");
    std::fs::write(&file, MADE_UP).unwrap();
    let world = World::with(|config| {
        listeners(config);
        config.box_profiles.insert("kotak".to_owned(), file.clone());
    })
    .await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let own = VendorBox::at(&world, "kotak", "K-1", shop.terminal().id).await;
    assert_eq!(own.mqtt["username"], "kotak-K-1");
    let mut connection = own.listen(&world).await;
    pay(&world, &shop, 3_500).await;
    let message = connection.receive().await;
    connection.confirm(&message).await;
    let said = String::from_utf8(message.payload.to_vec()).unwrap();
    let (id, rest) = said.split_once('#').unwrap();
    assert_eq!(
        rest,
        "3500#Pembayaran QRIS diterima, tiga ribu lima ratus rupiah"
    );
    assert!(
        connection
            .publish("kotak/K-1/said", id.as_bytes().to_vec())
            .await
    );
    assert_fields!(own.notifications(&world).await[0], { "status": "played", "confirmation": "played" });

    std::fs::write(&file, format!("{MADE_UP}\ncolour = \"red\"\n")).unwrap();
    let mut world = world;
    world.stop().await;
    let refused = world.try_start().await.unwrap_err();
    let refused = format!("{refused:#}");
    assert!(
        refused.contains("kotak.toml") && refused.contains("colour"),
        "{refused}"
    );
    // A password of fewer than 128 bits, of which the file does not say that the maker wants it so.
    let weak = MADE_UP.replace("chars = 24", "chars = 16");
    std::fs::write(&file, &weak).unwrap();
    let refused = format!("{:#}", world.try_start().await.unwrap_err());
    let line = MADE_UP[..MADE_UP.find("chars = 24").unwrap()]
        .matches('\n')
        .count()
        + 1;
    for part in [
        "kotak.toml",
        &format!("line {line}"),
        "transport.password",
        "128",
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let said = weak.replace(
        "chars = 16",
        "chars = 16, weaker = \"16 keys on its keypad\"",
    );
    std::fs::write(&file, said).unwrap();
    world.start().await;
    let known = world.admin().read("/admin/box-profiles").await;
    let profiles = known["profiles"].as_array().unwrap();
    let kotak = profiles.iter().find(|one| one["name"] == "kotak").unwrap();
    assert_fields!(kotak, { "password_bits": 95, "weaker": "16 keys on its keypad" });
}

/// The profile of no real box.
const MADE_UP: &str = r#"
title = "Kotak"
speaks = "own_protocol"
sources = ["nobody"]
confirmation = "played"
deduplicates = true
capabilities = ["speaker"]

[transport]
bootstrap = "typed_in"
client_id = "kotak-{serial}"
username = "kotak-{serial}"
password = { rule = "random", chars = 24 }
keep_alive_s = 60
clean_session = false

[topics.subscribe]
say = "kotak/{serial}/say"

[topics.publish]
said = "kotak/{serial}/said"

[ids]
form = "hex"

[messages]
bytes_max = 512

[messages.payment]
topic = "say"
text = "{id}#{amount}#{text}"

[[uplinks]]
topic = "said"
means = "played"
text = "{id}"
"#;
