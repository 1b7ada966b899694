//! Sessions that are kept, and for how long.

use platform::service::fleet::session;
use platform::service::housekeeping;
use tests::soundbox::dial;
use tests::{Credentials, World, books, eventually};
use wire::DownlinkFilter;

const A_MINUTE_AND_A_BIT: i64 = 61;

async fn leave_a_session_behind(world: &World, credentials: &Credentials) {
    let mut line = dial(world, credentials, false).await.unwrap();
    let filter = DownlinkFilter::All.for_device(credentials.device_id);
    line.subscribe(&filter).await;
    line.leave().await;
    let ended = "SELECT count(*) FROM sessions WHERE NOT connected";
    eventually("the session's end is noted", || async {
        (books::count(&world.pool, ended).await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_session_of_3_1_1_is_kept_as_long_as_the_configuration_says_and_no_longer() {
    let world = World::with(|config| config.mqtt.session_expiry_max_s = 60).await;
    let credentials = Credentials::unbound(&world).await;
    leave_a_session_behind(&world, &credentials).await;
    let line = dial(&world, &credentials, false).await.unwrap();
    assert!(line.session_present, "in time");
    line.leave().await;
    leave_a_session_behind(&world, &credentials).await;
    world.later(A_MINUTE_AND_A_BIT);
    let line = dial(&world, &credentials, false).await.unwrap();
    assert!(!line.session_present, "too late");
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
    let kept = "SELECT count(*) FROM sessions WHERE persistent AND subscriptions <> '[]'";
    forget().await;
    assert_eq!(books::count(&world.pool, kept).await, 1, "not yet");
    world.later(A_MINUTE_AND_A_BIT);
    forget().await;
    assert_eq!(books::count(&world.pool, kept).await, 0);
}

#[tokio::test]
async fn a_box_that_changes_its_mind_is_kept_as_long_as_its_last_word_says() {
    let world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    let line = dial(&world, &credentials, false).await.unwrap();
    let (device_id, week) = (credentials.device_id, 7 * 24 * 3_600);
    let expiry = "SELECT session_expiry_s::bigint FROM sessions";
    assert_eq!(books::count(&world.pool, expiry).await, week);
    // What the edge says when a box of version 5 sends DISCONNECT with another expiry.
    world
        .within(move |context| async move {
            let ending = session::Ending {
                device_id,
                epoch: 1,
                forget: false,
                expiry_s: Some(60),
                reason: "disconnected",
            };
            session::end(&context, &ending).await
        })
        .await
        .unwrap();
    let kept_for = "SELECT extract(epoch FROM expires_at - ended_at)::bigint FROM sessions";
    assert_eq!(books::count(&world.pool, kept_for).await, 60);
    line.vanish().await;
}
