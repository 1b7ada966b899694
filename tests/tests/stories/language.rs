//! What a box says, in the language that it is set to.

use std::collections::BTreeSet;
use std::path::Path;

use tests::database::TestDatabase;
use tests::prelude::*;
use wire::message::PaymentSuccess;
use wire::speech::{Kind, sentence};
use wire::{DeviceId, Language, Rupiah};

async fn set(world: &World, device_id: DeviceId, change: Value) -> Value {
    let path = format!("/admin/devices/{device_id}/config");
    world.admin().change(&path, &change).await
}

/// A payment of 50,000 rupiah, as the box receives it.
async fn payment(world: &World, soundbox: &mut Soundbox) -> PaymentSuccess {
    soundbox.credentials.sell(world, 50_000).await;
    soundbox.play().await
}

#[tokio::test]
async fn a_box_set_to_javanese_announces_the_next_payment_in_javanese() {
    let (world, shop, mut soundbox) = fixture::soundbox().await;
    let mut neighbour = Soundbox::at(&world, shop.terminal().id).await;
    let device_id = soundbox.credentials.device_id;
    let before = payment(&world, &mut soundbox).await;
    assert_eq!(before.speech.language, "id");
    neighbour.play().await;

    let view = set(&world, device_id, json!({ "language": "jv" })).await;
    assert_fields!(view["config"], { "language": "jv" });
    let heard = payment(&world, &mut soundbox).await;
    assert_eq!(heard.speech.language, "jv");
    assert_eq!(
        heard.speech.text,
        "Pambayaran QRIS ditampa, seket ewu rupiah"
    );
    assert_eq!(
        heard.speech.delayed_text,
        "Pambayaran kasep ditampa, seket ewu rupiah"
    );
    // Each box at a terminal has its own language.
    let other = neighbour.play().await;
    assert_eq!(other.transaction_id, heard.transaction_id);
    assert_eq!(other.speech.language, "id");

    // A payment that waits for a box comes in the language that it has then.
    let away = soundbox.switch_off().await;
    away.wait_until_offline(&world).await;
    away.credentials.sell(&world, 25_000).await;
    set(&world, device_id, json!({ "language": "en" })).await;
    let mut soundbox = away.reconnect(&world).await;
    let heard = soundbox.play().await;
    assert_eq!(
        heard.speech.text,
        "QRIS payment received, twenty-five thousand rupiah"
    );
}

#[tokio::test]
async fn a_layer_above_decides_for_all_of_its_boxes() {
    let (world, shop, mut soundbox) = fixture::soundbox().await;
    let path = format!("/admin/merchants/{}/config", shop.merchant_id);
    world
        .admin()
        .change(&path, &json!({ "language": "su-ID" }))
        .await;
    eventually("the merchant's language at its box", || async {
        let query = "SELECT count(*) FROM device_configs WHERE language = 'su'";
        (world.number(query).await == 1).then_some(())
    })
    .await;
    let heard = payment(&world, &mut soundbox).await;
    assert_eq!(heard.speech.language, "su");
    assert_eq!(
        heard.speech.text,
        "Pamayaran QRIS ditarima, lima puluh rebu rupiah"
    );
}

#[tokio::test]
async fn a_language_that_no_box_speaks_is_refused_wherever_it_is_set() {
    let (world, shop, mut soundbox) = fixture::soundbox().await;
    let admin = world.admin();
    let paths = [
        "/admin/config/fleet".to_owned(),
        format!("/admin/merchants/{}/config", shop.merchant_id),
        format!("/admin/outlets/{}/config", shop.outlet_id),
        format!("/admin/devices/{}/config", soundbox.credentials.device_id),
    ];
    for path in &paths {
        for language in ["fr", "jv-id", "id-", "Indonesian", "tlh-ID"] {
            let answer = admin.patch(path, &json!({ "language": language })).await;
            answer.refused_field("language");
            let details = answer.json()["details"].to_string();
            assert!(details.contains("id, en, jv, su"), "{path}: {details}");
        }
        let odd = json!({ "announce_merchant_name": "ya" });
        admin
            .patch(path, &odd)
            .await
            .refused_field("announce_merchant_name");
    }
    assert_eq!(payment(&world, &mut soundbox).await.speech.language, "id");
}

#[tokio::test]
async fn the_merchants_name_is_said_where_that_is_wanted() {
    let (world, _, mut soundbox) = fixture::soundbox().await;
    let device_id = soundbox.credentials.device_id;
    let plain = "Pembayaran QRIS diterima, lima puluh ribu rupiah";
    assert_eq!(payment(&world, &mut soundbox).await.speech.text, plain);
    set(&world, device_id, json!({ "announce_merchant_name": true })).await;
    let named = payment(&world, &mut soundbox).await;
    assert_eq!(named.speech.text, format!("{plain}, untuk Warung Sari"));
    set(
        &world,
        device_id,
        json!({ "announce_merchant_name": false }),
    )
    .await;
    assert_eq!(payment(&world, &mut soundbox).await.speech.text, plain);
}

#[tokio::test]
async fn the_clips_of_every_sentence_are_listed() {
    let world = World::new().await;
    let all = world.admin().read("/admin/audio/clips.json").await;
    let languages = all["languages"].as_array().unwrap();
    assert_eq!(texts(languages, "language"), ["id", "en", "jv", "su"]);
    for (language, listed) in Language::ALL.into_iter().zip(languages) {
        let clips = listed["clips"].as_array().unwrap();
        let names: BTreeSet<String> = texts(clips, "name").into_iter().collect();
        assert_eq!(names.len(), clips.len());
        let amount = Rupiah::from_i64(9_876_543);
        for kind in [
            Kind::Paid(amount),
            Kind::Delayed(amount),
            Kind::Repeated(amount),
            Kind::Total(amount),
            Kind::Test,
            Kind::NothingToRepeat,
        ] {
            for clip in sentence(language, kind, None).unwrap().clips() {
                assert!(names.contains(clip), "{language}: {clip}");
            }
        }
    }
    let fifty = json!({ "name": "50", "text": "seket" });
    let javanese = world
        .admin()
        .read("/admin/audio/clips.json?language=jv")
        .await;
    let clips = javanese["languages"][0]["clips"].as_array().unwrap();
    assert!(clips.contains(&fifty));
    let answer = world
        .admin()
        .get("/admin/audio/clips.json?language=fr")
        .await;
    answer.refused_field("language");
}

/// Executes the migrations whose file names `chosen` takes, in their order.
async fn migrate(connection: &mut sqlx::PgConnection, chosen: impl Fn(&str) -> bool) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let files = std::fs::read_dir(&directory).unwrap();
    let mut names: Vec<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| chosen(name))
        .collect();
    names.sort();
    for name in names {
        let statements = std::fs::read_to_string(directory.join(&name)).unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
            .execute(&mut *connection)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[tokio::test]
async fn a_stored_language_that_no_box_speaks_becomes_indonesian() {
    let database = TestDatabase::empty().await.unwrap();
    let mut connection = database.connect().await.unwrap();
    migrate(&mut connection, |name| name < "0092").await;
    let stored = r#"
        INSERT INTO devices (id, serial_number, model, capabilities, communication_mode, status, payload_encoding, created_at, updated_at)
        SELECT md5(language)::uuid, language, 'SB-1', '{speaker}', 'mqtt', 'active', 'json', now(), now()
        FROM unnest(ARRAY['fr', 'en-GB', 'id']) AS language;
        INSERT INTO device_configs (device_id, version, config, layer, updated_at, next_attempt_at, applied_version)
        SELECT id, 4, jsonb_build_object('language', serial_number, 'volume', 8), jsonb_build_object('language', serial_number),
            now(), now(), 4
        FROM devices;
        UPDATE config_layers SET config = '{"language": "tlh", "volume": 3}', version = 2 WHERE kind = 'fleet';
    "#;
    sqlx::raw_sql(stored)
        .execute(&mut connection)
        .await
        .unwrap();
    migrate(&mut connection, |name| name.starts_with("0092")).await;

    let rows: Vec<(String, String, i64, Value, Value)> = sqlx::query_as(
        "SELECT serial_number, language, version, config, layer FROM device_configs JOIN devices ON id = device_id
         ORDER BY serial_number",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let row = |was: &str, language: &str, version: i64, tag: &str| {
        let config = json!({ "language": tag, "volume": 8 });
        (
            was.to_owned(),
            language.to_owned(),
            version,
            config,
            json!({ "language": tag }),
        )
    };
    let expected = [
        row("en-GB", "en", 4, "en-GB"),
        // Another version: the box is sent it.
        row("fr", "id", 5, "id"),
        row("id", "id", 4, "id"),
    ];
    assert_eq!(rows, expected);
    let fleet: (i64, Value) =
        sqlx::query_as("SELECT version, config FROM config_layers WHERE kind = 'fleet'")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!(fleet, (3, json!({ "language": "id", "volume": 3 })));
}
