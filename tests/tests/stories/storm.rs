//! When the database is slow or a whole fleet reconnects, payments go first.

use sqlx::PgConnection;
use tests::prelude::*;
use tests::soundbox::connect;
use wire::Channel;

/// More boxes than the platform has connections to its database.
const BOXES: usize = 12;
/// Statements that wait for a lock in this database.
const WAITING: &str = "pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// A transaction that holds a lock until it is rolled back.
async fn hold(world: &World, lock: &'static str) -> impl AsMut<PgConnection> {
    let mut holder = world.pool.acquire().await.unwrap();
    sqlx::query("BEGIN").execute(&mut *holder).await.unwrap();
    sqlx::query(lock).execute(&mut *holder).await.unwrap();
    holder
}

async fn release(mut holder: impl AsMut<PgConnection>) {
    sqlx::query("ROLLBACK")
        .execute(holder.as_mut())
        .await
        .unwrap();
}

async fn wait_for_waiting(world: &World, count: i64) {
    eventually("so many wait for the lock", || async {
        (world.rows(WAITING).await >= count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_payment_is_heard_and_acknowledged_while_heartbeats_wait_for_the_database() {
    let (world, _, mut soundbox) = fixture::soundbox().await;
    let mut beating = Soundbox::unbound(&world).await;
    // Rows can be read, and not inserted.
    let holder = hold(&world, "LOCK TABLE heartbeats IN SHARE MODE").await;
    let mut heartbeat = beating.credentials.heartbeat_body();
    heartbeat["message_type"] = json!("heartbeat");
    let waiting = tokio::spawn(async move {
        let payload = heartbeat.to_string().into_bytes();
        beating.send_raw(Channel::Heartbeat, payload).await
    });
    wait_for_waiting(&world, 1).await;

    let sold = soundbox.credentials.sell(&world, 10_000).await;
    // Returns when the acknowledgement is durable.
    assert_eq!(soundbox.play().await.transaction_id, sold);

    assert!(!waiting.is_finished(), "the heartbeat was stored meanwhile");
    release(holder).await;
    assert!(waiting.await.unwrap(), "and is acknowledged in the end");
}

#[tokio::test]
async fn a_payment_is_heard_while_a_fleet_waits_to_be_let_in() {
    let world = World::new().await;
    let mut boxes = Vec::new();
    for _ in 0..BOXES {
        let credentials = Credentials::unbound(&world).await;
        let connection = connect(&world, &credentials, false).await.unwrap();
        connection.disconnect().await;
        boxes.push(credentials);
    }
    world.wait_for_rows("sessions WHERE connected", 0).await;
    let holder = hold(&world, "SELECT 1 FROM sessions FOR UPDATE").await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.terminal().id).await;
    let coming = async {
        let dials = boxes
            .iter()
            .map(|credentials| connect(&world, credentials, false));
        futures_util::future::join_all(dials).await
    };
    let paying = async {
        // CONNECTs are stored in batches, one at a time.
        wait_for_waiting(&world, 1).await;
        let sold = soundbox.credentials.sell(&world, 10_000).await;
        assert_eq!(soundbox.play().await.transaction_id, sold);
        release(holder).await;
    };
    let (connections, ()) = tokio::join!(coming, paying);
    for connection in connections {
        connection.unwrap().disconnect().await;
    }
}
