//! Demonstration data.

use tests::prelude::*;

#[tokio::test]
async fn seeding_again_changes_nothing() {
    let world = World::new().await;
    let admin = world.admin();
    let first = admin.act("/admin/seed", &json!({})).await;
    assert_eq!(first["devices"].as_array().unwrap().len(), 3);
    for device in first["devices"].as_array().unwrap() {
        assert!(device["activation_code"].is_string() && device["terminal_id"].is_string());
    }
    let counts = "SELECT (SELECT count(*) FROM merchants) * 1000000 + (SELECT count(*) FROM terminals) * 1000
                  + (SELECT count(*) FROM devices)";
    let before = world.number(counts).await;
    let again = admin.act("/admin/seed", &json!({})).await;
    assert_eq!(world.number(counts).await, before);
    assert_eq!(again["merchants"], first["merchants"]);
    let ids = |seeded: &Value| texts(seeded["devices"].as_array().unwrap(), "device_id");
    assert_eq!(ids(&again), ids(&first));
    let more = admin.act("/admin/seed", &json!({ "devices": 5 })).await;
    assert_eq!(ids(&more)[..3], ids(&first)[..]);
    assert_eq!(ids(&more).len(), 5);
}

#[tokio::test]
async fn seeding_at_the_same_time_is_seeding_once() {
    let world = World::new().await;
    let admin = world.admin();
    let body = json!({});
    let answers =
        futures_util::future::join_all((0..5).map(|_| admin.post("/admin/seed", &body))).await;
    let mut merchants = answers.into_iter().map(|answer| {
        let seeded = answer.expect(200).data();
        seeded["merchants"].clone()
    });
    let first = merchants.next().unwrap();
    assert!(merchants.all(|other| other == first));
}

#[tokio::test]
async fn outside_of_a_demonstration_nothing_is_seeded() {
    let world = World::with(|config| config.demo.enabled = false).await;
    assert_refused!(world.admin().post("/admin/seed", &json!({})), FORBIDDEN);
    assert_eq!(world.rows("merchants").await, 0);
}
