//! Passwords of other makers' boxes: how they are made, given, replaced and kept.

use tests::prelude::*;
use tests::vendor_box::{VendorBox, assert_wrong_password, listeners};

#[tokio::test]
async fn a_wrong_password_is_refused_and_never_keeps_out_the_right_one() {
    let world = World::with(listeners).await;
    let own = VendorBox::register(&world, "qf100", "QF-1").await;
    let live = own.listen(&world).await;
    for (user_name, password) in [
        ("QF-1", "0123456789abcdefghijklmn"),
        ("QF-2", &text(&own.mqtt, "password")),
        ("QF-1", ""),
    ] {
        assert_wrong_password(VendorBox::connect_as(&world, user_name, password).await);
    }
    assert!(
        world
            .metrics()
            .await
            .contains("mqtt_connects_total{outcome=\"bad_credentials\"} 3")
    );
    // The session is still there: only a right password takes it over.
    let newer = own.listen(&world).await;
    live.ended().await;
    newer.disconnect().await;
}

#[tokio::test]
async fn an_old_password_is_good_until_the_new_one_is_used_or_a_day_has_passed() {
    let world = World::with(listeners).await;
    let old = VendorBox::register(&world, "qf100", "QF-1").await;
    let path = format!("{}/mqtt-credential", old.path());
    let renew = async || VendorBox {
        mqtt: world.admin().create(&path, &json!({})).await,
        ..old.clone()
    };
    let lost = renew().await;
    let live = old.listen(&world).await;
    let new = renew().await;
    // The first use of the new one ends the sessions of the others.
    let newer = new.listen(&world).await;
    live.ended().await;
    assert_wrong_password(old.connect(&world).await);
    assert_wrong_password(lost.connect(&world).await);
    newer.disconnect().await;
    renew().await;
    new.listen(&world).await.disconnect().await;
    world.clock.advance(chrono::TimeDelta::hours(25));
    assert_wrong_password(new.connect(&world).await);
}

#[tokio::test]
async fn the_password_is_shown_once_and_kept_as_a_hash() {
    let world = World::with(listeners).await;
    let new = json!({ "serial_number": "QF-1", "model": "QF100", "capabilities": ["speaker"], "profile": "qf100" });
    let admin = world.admin();
    let key = [("idempotency-key", "one")];
    let first = admin.post_with("/admin/devices", &key, &new).await;
    let again = admin.post_with("/admin/devices", &key, &new).await;
    let password = text(&first.expect(201).data()["mqtt"], "password");
    let repeated = again.expect(201).data();
    assert_eq!(repeated["mqtt"]["password"], Value::Null);
    assert_eq!(repeated["mqtt"]["username"], "QF-1");
    assert!(password.len() >= 22);
    for table in [
        "device_credentials",
        "devices",
        "audit_logs",
        "idempotency_keys",
    ] {
        let with_it = format!("{table} t WHERE t::text LIKE '%{password}%'");
        assert_eq!(world.rows(&with_it).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_file_registers_boxes_of_several_makers_and_answers_with_their_passwords_once() {
    let world = World::with(listeners).await;
    let file = "serial_number,model,capabilities,profile,imei,product_key\n\
                N-1,SB-1,speaker,,,\nQF-1,QF100,speaker;display,qf100,860000000000017,\nET-1,ET389,speaker,morefun-et389,,PK7\n";
    let key = [("idempotency-key", "one")];
    let admin = world.admin();
    let first = admin.post_csv("/admin/devices/import", &key, file).await;
    let first = first.expect(201).data();
    let devices = first["devices"].as_array().unwrap().clone();
    assert!(devices[0]["activation_code"].is_string() && devices[0]["mqtt"].is_null());
    for device in &devices[1..] {
        assert!(device["activation_code"].is_null());
        let (user_name, password) = (
            text(&device["mqtt"], "username"),
            text(&device["mqtt"], "password"),
        );
        VendorBox::connect_as(&world, &user_name, &password)
            .await
            .unwrap();
    }
    assert!(devices[2]["mqtt"]["product_secret"].is_string());
    let again = admin.post_csv("/admin/devices/import", &key, file).await;
    let again = again.expect(201).data();
    assert!(again["devices"][1]["mqtt"]["password"].is_null());
    let wrong = "serial_number,model,capabilities,profile\nX-1,X,speaker,morefun-et389\n";
    let refused = admin.post_csv("/admin/devices/import", &[], wrong).await;
    refused.refused_field("row 2.profile");
}

#[tokio::test]
async fn each_kind_of_box_and_each_password_says_how_strong_it_is() {
    let world = World::with(listeners).await;
    let known = world.staff(Role::Support).await;
    let known = known.read("/admin/box-profiles").await;
    let profiles = known["profiles"].as_array().unwrap();
    let names = texts(profiles, "name");
    let expected = [
        "native",
        "eg800ak",
        "morefun-et389",
        "q161",
        "qf100",
        "quecpython",
    ];
    assert_eq!(names, expected);
    assert_fields!(profiles[0], { "confirmation": "played", "password_bits": null, "speech": "text" });
    for profile in &profiles[1..] {
        let bits = profile["password_bits"].as_u64().unwrap();
        assert_eq!(bits < 128, profile["weaker"].is_string(), "{profile}");
        let name = text(profile, "name");
        let own = VendorBox::register(&world, &name, &format!("{name}-1")).await;
        assert_eq!(own.mqtt["password_bits"], profile["password_bits"]);
        assert_eq!(own.mqtt["weaker"], profile["weaker"]);
    }
    assert_fields!(profiles[2], { "password_bits": 95, "confirmation": "received", "deduplicates": true });
    assert_fields!(profiles[3], { "speech": "clips", "commands": ["play_test", "announce_text", "display_qr"] });
}
