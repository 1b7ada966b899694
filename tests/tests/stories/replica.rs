//! Lists are read from a streaming replica while it is fresh, and from the primary while it is behind, away or promoted.

use tests::pages::Pages;
use tests::postgres_server::{Disk, PostgresServer};
use tests::prelude::*;

/// The cookie of a browser that has just changed something.
const CHANGED: &str = "soundbox_changed";

/// Whether the replica is read, as the metrics say.
async fn wait_for_use(world: &World, usable: bool) {
    let line = format!("database_replica_usable {}", u8::from(usable));
    eventually(&line, || async {
        let metrics = world.metrics().await;
        metrics.lines().any(|one| one == line).then_some(())
    })
    .await;
}

/// A new merchant of this name; its path.
async fn register_merchant(world: &World, name: &str) -> String {
    let merchant = json!({
        "legal_name": format!("PT {name}"), "brand_name": name, "settlement_account_type": "merchant_bank_account",
        "settlement_account_reference": "bank:1", "payout_mode": "merchant_direct", "fee_profile_id": "fee_basic",
    });
    let created = world.admin().create("/admin/merchants", &merchant).await;
    format!("/admin/merchants/{}", text(&created, "id"))
}

/// Whether the list of merchants has this name.
async fn is_listed(world: &World, name: &str) -> bool {
    let listed = world.admin().list("/admin/merchants").await;
    listed.iter().any(|one| one["brand_name"] == name)
}

#[tokio::test]
async fn lists_come_from_the_replica_while_it_is_fresh_and_from_the_primary_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let primary = PostgresServer::create(dir.path(), Disk::ThrownAway, &[])
        .await
        .unwrap();
    let mut replica = primary.replica(dir.path(), &[]).await.unwrap();
    let mut world = World::with(|config| {
        config.database.url = primary.url();
        config.database.lists_url = replica.url();
        config.database.lists_max_lag_s = 3600;
    })
    .await;
    wait_for_use(&world, true).await;

    // It stands still: what is new is not in lists, and is found by its id.
    let pages = Pages::of(&world, Role::Admin, None).await;
    replica
        .execute(&["SELECT pg_wal_replay_pause()"])
        .await
        .unwrap();
    let warung = register_merchant(&world, "Warung Baru").await;
    assert!(!is_listed(&world, "Warung Baru").await);
    assert_eq!(
        world.admin().read(&warung).await["brand_name"],
        "Warung Baru"
    );
    // Whoever has just changed something on a page sees it in the next list.
    let listed = async |pages: &Pages| {
        let shown = pages.get("/console/merchants").await;
        assert_eq!(shown.status, 200);
        shown.html.contains("Warung Baru")
    };
    assert!(listed(&pages).await, "the login was a change");
    pages.keep(CHANGED, "");
    assert!(!listed(&pages).await);

    // It dies: nobody waits for it. It returns.
    replica.kill().await.unwrap();
    assert!(is_listed(&world, "Warung Baru").await);
    wait_for_use(&world, false).await;
    replica.start().await.unwrap();
    wait_for_use(&world, true).await;
    let behind = "database_replica_lag_seconds";
    assert!(world.metrics().await.contains(behind));

    // A limit that it exceeds while it stands still.
    world.stop().await;
    world.reconfigure(|config| config.database.lists_max_lag_s = 1);
    world.start().await;
    wait_for_use(&world, true).await;
    replica
        .execute(&["SELECT pg_wal_replay_pause()"])
        .await
        .unwrap();
    register_merchant(&world, "Toko Lama").await;
    wait_for_use(&world, false).await;
    assert!(is_listed(&world, "Toko Lama").await);
    replica
        .execute(&["SELECT pg_wal_replay_resume()"])
        .await
        .unwrap();
    wait_for_use(&world, true).await;

    // Promoted by mistake, it is another database from then on.
    replica.promote().await.unwrap();
    wait_for_use(&world, false).await;
    register_merchant(&world, "Toko Baru").await;
    assert!(is_listed(&world, "Toko Baru").await);
}
