//! After a restore from a backup the boxes know more than the database.

use device_sim::report::Event;
use device_sim::session::Options;
use tests::prelude::*;
use tests::simulator;
use wire::message::AckStatus;

/// What a backup has of boxes' configurations and places.
const BACK_UP: &str = "CREATE TABLE saved_configs AS SELECT * FROM device_configs;
    CREATE TABLE saved_bindings AS SELECT * FROM bindings;";
/// Brings that back, on a server with another timeline.
const RESTORE: &str = "UPDATE device_configs c SET version = s.version, config = s.config, layer = s.layer,
        binding_id = s.binding_id, previous = s.previous, applied_version = s.applied_version,
        reported_version = s.reported_version, reported = s.reported, push_requested = s.push_requested
    FROM saved_configs s WHERE c.device_id = s.device_id;
    DELETE FROM bindings b WHERE NOT EXISTS (SELECT FROM saved_bindings s WHERE s.id = b.id);
    UPDATE bindings b SET unbound_at = s.unbound_at FROM saved_bindings s WHERE b.id = s.id;
    UPDATE database_origin SET timeline = timeline - 1;";

#[tokio::test]
async fn a_box_that_was_bound_elsewhere_after_the_backup_hears_the_next_payment() {
    let mut world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let dir = tempfile::tempdir().unwrap();
    let id = simulator::provision(&world, dir.path(), shop.terminals[0].id).await;
    let mut soundbox = simulator::switch_on(dir.path(), Options::default());
    let applied = |least: i64| {
        move |event: &Event| {
            matches!(event, Event::Configured { version, .. } if *version >= least).then_some(())
        }
    };
    soundbox.until(applied(1)).await;
    let path = format!("/admin/devices/{id}/config");
    let version =
        async |world: &World| world.admin().read(&path).await["version"].as_i64().unwrap();
    let before = version(&world).await;
    eventually("the acknowledgement", || async {
        let status = world.admin().read(&format!("{path}/status")).await;
        (status["applied_version"] == before).then_some(())
    })
    .await;
    sqlx::raw_sql(BACK_UP).execute(&world.pool).await.unwrap();

    bind(&world, id, shop.terminals[1].id).await;
    for volume in [3, 4, 5] {
        let _ = world
            .admin()
            .patch(&path, &json!({ "volume": volume }))
            .await
            .expect(200);
    }
    soundbox.until(applied(version(&world).await)).await;
    soundbox.switch_off().await;
    // The box knows these addresses.
    let (mqtt, http) = (world.mqtt(), world.app().http_addr());
    world.stop().await;
    sqlx::raw_sql(RESTORE).execute(&world.pool).await.unwrap();
    world.reconfigure(|config| {
        config.mqtt.listen = mqtt;
        config.http.listen = http;
    });
    world.start().await;

    let mut soundbox = simulator::switch_on(dir.path(), Options::default());
    soundbox.until(applied(before + 1)).await;
    let body = shop.printed_payment(&world, 50_000);
    assert_eq!(world.acquirer().verdict(&body).await, "accepted");
    let ended = soundbox
        .until(|event| match event {
            Event::Acked { status, .. } if *status != AckStatus::Received => Some(*status),
            _ => None,
        })
        .await;
    assert_eq!(ended, AckStatus::Played);
    let audit = world
        .admin()
        .list("/admin/audit-logs?action=database.restored")
        .await;
    assert_eq!(audit.len(), 1, "{audit:?}");

    // Once: another start finds the same server.
    let after = version(&world).await;
    world.stop().await;
    world.start().await;
    assert_eq!(version(&world).await, after);
}
