//! Sessions that are kept, and for how long.

use service::fleet::session;
use service::housekeeping;
use tests::prelude::*;
use tests::soundbox::connect;
use wire::DownlinkFilter;

const A_MINUTE_AND_A_BIT: i64 = 61;

async fn leave_a_session_behind(world: &World, credentials: &Credentials) {
    let mut connection = connect(world, credentials, false).await.unwrap();
    let filter = DownlinkFilter::All.for_device(credentials.device_id);
    connection.subscribe(&filter).await;
    connection.disconnect().await;
    world.wait_for_rows("sessions WHERE NOT connected", 1).await;
}

#[tokio::test]
async fn a_session_of_3_1_1_is_kept_as_long_as_the_configuration_says_and_no_longer() {
    let world = World::with(|config| config.mqtt.session_expiry_max_s = 60).await;
    let credentials = Credentials::unbound(&world).await;
    leave_a_session_behind(&world, &credentials).await;
    let connection = connect(&world, &credentials, false).await.unwrap();
    assert!(connection.session_present, "in time");
    connection.disconnect().await;
    leave_a_session_behind(&world, &credentials).await;
    world.later(A_MINUTE_AND_A_BIT);
    let connection = connect(&world, &credentials, false).await.unwrap();
    assert!(!connection.session_present, "too late");
}

#[tokio::test]
async fn what_is_kept_of_a_session_is_forgotten_when_its_time_is_over() {
    let world = World::with(|config| config.mqtt.session_expiry_max_s = 60).await;
    let credentials = Credentials::unbound(&world).await;
    leave_a_session_behind(&world, &credentials).await;
    let forget = async || {
        world
            .within(|context| async move { housekeeping::forget_expired(&context, 100).await })
            .await
            .unwrap();
    };
    let kept = "sessions WHERE persistent AND subscriptions <> '[]'";
    forget().await;
    assert_eq!(world.rows(kept).await, 1, "not yet");
    world.later(A_MINUTE_AND_A_BIT);
    forget().await;
    assert_eq!(world.rows(kept).await, 0);
}

#[tokio::test]
async fn the_session_expiry_of_a_disconnect_counts() {
    let world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    let connection = connect(&world, &credentials, false).await.unwrap();
    let (device_id, week) = (credentials.device_id, 7 * 24 * 3_600);
    let expiry = "SELECT session_expiry_s::bigint FROM sessions";
    assert_eq!(world.number(expiry).await, week);
    // What the broker reports when a box of version 5 sends DISCONNECT with another expiry.
    world
        .within(move |context| async move {
            let ending = session::Ending {
                device_id,
                epoch: 1,
                forget: false,
                expiry_s: Some(60),
                reason: "disconnected",
            };
            session::end(&context, &[ending]).await
        })
        .await
        .unwrap();
    let kept_for = "SELECT extract(epoch FROM expires_at - ended_at)::bigint FROM sessions";
    assert_eq!(world.number(kept_for).await, 60);
    connection.abort().await;
}

#[tokio::test]
async fn connects_of_one_moment_are_judged_each_by_itself() {
    let world = World::new().await;
    let new = Credentials::unbound(&world).await;
    let suspended = Credentials::unbound(&world).await;
    let twice = Credentials::unbound(&world).await;
    for one in [&suspended, &twice] {
        drop(connect(&world, one, false).await.unwrap());
    }
    let id = suspended.device_id.as_uuid();
    let suspend = format!("UPDATE devices SET status = 'suspended' WHERE id = '{id}'");
    world.execute(&suspend).await;
    let ask = |one: &Credentials| session::Connect {
        device_id: one.device_id,
        certificate_serial: one.certificate_serial(),
        clean_start: false,
        expiry_s: 60,
    };
    let wrong = session::Connect {
        certificate_serial: ask(&new).certificate_serial,
        ..ask(&twice)
    };
    let connects = [ask(&new), ask(&suspended), ask(&twice), wrong, ask(&twice)];
    let admitted = world
        .within(|context| async move { session::admit(&context, &connects).await })
        .await
        .unwrap();
    let epochs: Vec<Option<i64>> = admitted
        .iter()
        .map(|one| one.as_ref().map(|one| one.epoch))
        .collect();
    // A first use; not active; its next session; with another's certificate; and the one after.
    assert_eq!(epochs, [Some(1), None, Some(2), None, Some(3)]);
}
