//! Callers that hang up in the middle.

use futures_util::poll;
use platform::service::Actor;
use tests::World;
use tests::books;
use tests::patience::eventually;

/// An HTTP client that goes away drops whatever its request was doing, also a BEGIN that is on its way.
#[tokio::test]
async fn a_caller_that_hangs_up_leaves_no_transaction_open() {
    let world = World::new().await;
    let context = world.app().context().clone();
    for _ in 0..50 {
        let mut begin = Box::pin(context.begin(Actor::system()));
        // Far enough for BEGIN to be sent, and no further.
        assert!(poll!(&mut begin).is_pending());
        tokio::task::yield_now().await;
        let _ = poll!(&mut begin);
        drop(begin);
    }
    let open = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    eventually(
        "every transaction that was begun to be undone",
        async || (books::count(&world.pool, open).await == 0).then_some(()),
    )
    .await;
    // And the connections are good for work that is to stay.
    let mut unit = context.begin(Actor::system()).await.unwrap();
    let seeded =
        platform::service::seed::seed(&mut unit, &platform::service::seed::SeedRequest::default())
            .await;
    seeded.unwrap();
    unit.commit().await.unwrap();
    assert_eq!(
        books::count(&world.pool, "SELECT count(*) FROM devices").await,
        3
    );
}
