//! Heartbeats by the hour, and heartbeats that are deleted.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use service::partition::{self, Retention};
use tests::prelude::*;

async fn heartbeat(world: &World, soundbox: &HttpBox, battery_level: u8, network_strength: u8) {
    let mut heartbeat = soundbox.heartbeat_body();
    heartbeat["battery_level"] = json!(battery_level);
    heartbeat["network_strength"] = json!(network_strength);
    let api = soundbox.credentials.api(world);
    api.act("/device/heartbeat", &heartbeat).await;
}

async fn hours(world: &World, soundbox: &HttpBox, query: &str) -> Vec<Value> {
    let path = soundbox.credentials.path();
    let path = format!("{path}/heartbeats?resolution=hour{query}");
    world.admin().list(&path).await
}

/// The numbers of an hour, without the seconds that the test itself took.
fn figures(hour: &Value) -> (i64, i64, i64, i64, i64, i64) {
    let number = |name: &str| hour[name].as_i64().unwrap();
    (
        number("beats"),
        number("battery_min"),
        number("battery_avg"),
        number("signal_min"),
        number("signal_avg"),
        number("longest_gap_s") / 60,
    )
}

#[tokio::test]
async fn an_hour_of_heartbeats_is_rolled_up_when_it_is_over() {
    let world = World::new().await;
    let soundbox = HttpBox::with(&world, Credentials::unbound(&world).await);
    let now = world.clock.now();
    let hour: DateTime<Utc> =
        now.duration_trunc(TimeDelta::hours(1)).unwrap() + TimeDelta::hours(1);
    world.later((hour - now).num_seconds() + 2);
    heartbeat(&world, &soundbox, 90, 40).await;
    world.later(600);
    heartbeat(&world, &soundbox, 80, 50).await;
    world.later(1_200);
    heartbeat(&world, &soundbox, 70, 90).await;
    // The hour is not over: the numbers so far.
    let present = hours(&world, &soundbox, "").await;
    assert_eq!(figures(&present[0]), (3, 70, 80, 40, 60, 20));
    assert_eq!(present[0]["hour"], json!(hour));
    world.later(1_800 + 62);
    let rolled = || async {
        let last: Option<DateTime<Utc>> =
            world.value("SELECT max(hour) FROM heartbeat_rollups").await;
        (last == Some(hour)).then_some(())
    };
    eventually("the roll-up", rolled).await;
    // Rolled up again, it has the same numbers.
    let again = format!("DELETE FROM heartbeat_rollups WHERE hour = '{hour}'");
    world.execute(&again).await;
    eventually("the roll-up, again", rolled).await;
    world.execute("DELETE FROM heartbeats").await;
    let kept = hours(&world, &soundbox, "").await;
    assert_eq!(kept.len(), 1);
    // The last half of the hour had no heartbeats.
    assert_eq!(figures(&kept[0]), (3, 70, 80, 40, 60, 29));
    let at = |time: DateTime<Utc>| time.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let none = format!("&from={}", at(hour + TimeDelta::seconds(1)));
    assert_eq!(hours(&world, &soundbox, &none).await, [] as [Value; 0]);
    let all = format!("&from={}&to={}", at(hour), at(hour + TimeDelta::hours(1)));
    assert_eq!(hours(&world, &soundbox, &all).await.len(), 1);
    let path = format!("{}/heartbeats?resolution=year", soundbox.credentials.path());
    assert_refused!(world.admin().get(&path), VALIDATION_FAILED);
}

#[tokio::test]
async fn partitions_of_heartbeats_are_made_ahead_and_dropped_in_time() {
    const DAYS: &str = "pg_inherits JOIN pg_class parent ON parent.oid = inhparent \
                        WHERE parent.relname = 'heartbeats'";
    const BEATS: &str = "heartbeats";
    let world = World::new().await;
    let soundbox = HttpBox::with(&world, Credentials::unbound(&world).await);
    heartbeat(&world, &soundbox, 90, 40).await;
    assert_eq!(world.rows(DAYS).await, 5);
    // In a partition that was made ahead.
    world.later(2 * 86_400);
    heartbeat(&world, &soundbox, 90, 40).await;
    assert_eq!(world.rows(BEATS).await, 2);
    world.later(29 * 86_400);
    // As the job does once an hour, and the platform when it starts.
    let days = 30;
    let retention = Retention {
        heartbeat_days: days,
        callback_body_days: days,
        rejected_callback_days: days,
        rejected_uplink_days: days,
    };
    let maintained = partition::maintain(world.app().context(), retention).await;
    maintained.unwrap();
    heartbeat(&world, &soundbox, 90, 40).await;
    assert_eq!(world.rows(BEATS).await, 2, "the first is forgotten");
}
