//! When the fleet's certificates expire.

use tests::credentials;
use tests::prelude::*;

const PATH: &str = "/admin/certificates/expiry";
const DAY_S: i64 = 86_400;

async fn forecast(world: &World, query: &str) -> Value {
    let path = format!("{PATH}{query}");
    world.admin().read(&path).await
}

/// How many certificates the buckets hold in all, and the first bucket with one.
fn bars(forecast: &Value) -> (i64, Option<usize>) {
    let counts: Vec<i64> = forecast["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bucket| bucket["count"].as_i64().unwrap())
        .collect();
    let first = counts.iter().position(|count| *count > 0);
    (counts.iter().sum(), first)
}

#[tokio::test]
async fn every_active_box_is_counted_once_where_its_certificate_ends() {
    let world = World::with(|config| config.pki.device_certificate_days = 40).await;
    // Noon, so that no midnight passes while the boxes are activated.
    let second_of_day = world.clock.now().timestamp().rem_euclid(DAY_S);
    world.later(DAY_S + DAY_S / 2 - second_of_day);
    let early = Credentials::unbound(&world).await;
    let retired = Credentials::unbound(&world).await;
    let revoked = Credentials::unbound(&world).await;
    let _ = credentials::register(&world).await;
    world.later(20 * DAY_S);
    let late = Credentials::unbound(&world).await;
    retired.set_status(&world, "retired").await;
    let path = format!("/admin/devices/{}/credentials/revoke", revoked.device_id);
    world.admin().act(&path, &json!({})).await;

    let days = forecast(&world, "?by=day").await;
    // Neither the retired nor the one that was never activated is an active box.
    assert_fields!(days, { "devices": 3, "without_certificate": 1 });
    assert_fields!(days, { "expired": 0, "in_grace": 0 });
    assert_eq!(bars(&days), (2, Some(20)));
    assert_eq!(days["buckets"][40]["count"], 1);
    let weeks = forecast(&world, "").await;
    assert_eq!(weeks["by"], "week");
    assert_eq!(bars(&weeks), (2, Some(2)));

    // A renewed box is counted where its new certificate ends.
    let _renewed = early.renew(&world, &early.api(&world)).await;
    assert_eq!(bars(&forecast(&world, "?by=day").await), (2, Some(40)));

    world.later(41 * DAY_S);
    let graced = forecast(&world, "").await;
    assert_fields!(graced, { "expired": 0, "in_grace": 2 });
    world.later(30 * DAY_S);
    let over = forecast(&world, "").await;
    assert_fields!(over, { "expired": 2, "in_grace": 0 });
    assert_eq!(bars(&over), (0, None));
    let _ = late;

    let wrong = world.admin().get(&format!("{PATH}?by=year")).await;
    wrong.refused(VALIDATION_FAILED);
}
