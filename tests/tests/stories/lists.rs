//! Slow lists do not delay payments.

use std::time::Duration;
use tests::prelude::*;

use sqlx::Executor as _;

#[tokio::test]
async fn payments_go_on_while_lists_have_all_connections_that_they_may_have() {
    let world = World::with(|config| {
        config.database.list_connections_max = 1;
        config.database.acquire_timeout_ms = 300;
    })
    .await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let device = Credentials::at(&world, shop.terminal().id).await;
    let mut held_up = world.pool.acquire().await.unwrap();
    held_up.execute("BEGIN").await.unwrap();
    held_up
        .execute("LOCK TABLE firmwares IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let admin = world.admin();
    let slow = tokio::spawn({
        let admin = admin.clone();
        async move { admin.get("/admin/firmware").await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;

    admin.get("/admin/devices").await.refused(UNAVAILABLE);
    let sold = device.sell(&world, 50_000).await;
    admin.read(&format!("/admin/transactions/{sold}")).await;

    held_up.execute("ROLLBACK").await.unwrap();
    let _ = slow.await.unwrap().expect(200);
    admin.read("/admin/devices").await;
}
