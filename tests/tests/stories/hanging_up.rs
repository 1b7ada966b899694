//! Callers that close the connection before the answer.

use futures_util::poll;
use service::Actor;
use tests::prelude::*;

/// When an HTTP client disconnects, its request is dropped at any await, also during BEGIN.
#[tokio::test]
async fn a_caller_that_hangs_up_leaves_no_transaction_open() {
    let world = World::new().await;
    let context = world.app().context().clone();
    for _ in 0..50 {
        let mut begin = Box::pin(context.begin(Actor::system()));
        // Polled twice at most: BEGIN is sent and not finished.
        assert!(poll!(&mut begin).is_pending());
        tokio::task::yield_now().await;
        let _ = poll!(&mut begin);
        drop(begin);
    }
    let open = "pg_stat_activity
                WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    world.wait_for_rows(open, 0).await;
    // And the connections can be used again.
    let mut unit = context.begin(Actor::system()).await.unwrap();
    let seeded = service::seed::seed(&mut unit, &service::seed::SeedRequest::default()).await;
    seeded.unwrap();
    unit.commit().await.unwrap();
    assert_eq!(world.rows("devices").await, 3);
}
