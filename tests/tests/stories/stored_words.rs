//! What stands in the database against the domain: steps that SQL takes by itself, and texts that are no words.

use chrono::{DateTime, TimeDelta, Utc};
use domain::announcement::NotificationStatus;
use domain::transaction::TransactionStatus;
use service::payment::notification;
use sqlx::PgConnection;
use store::Scope;
use store::payment::notification::Ack;
use store::payment::transaction::{self, Cause, Code, expire_overdue};
use tests::prelude::*;
use wire::ids::{DeviceId, EventId, TransactionId};

/// A transaction that takes any status, and any text in its place.
async fn unconstrained(world: &World, shop: &Shop) -> TransactionId {
    sqlx::query(
        "DO $$ DECLARE c text; BEGIN
             FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = 'transactions'::regclass AND contype = 'c' LOOP
                 EXECUTE format('ALTER TABLE transactions DROP CONSTRAINT %I', c);
             END LOOP;
         END $$",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    let id: sqlx::types::Uuid = sqlx::query_scalar(
        "INSERT INTO transactions (id, merchant_id, outlet_id, terminal_id, qr_type, amount, currency, status, partner_id, created_at)
         VALUES (gen_random_uuid(), $1, $2, $3, 'dynamic', 1000, 'IDR', 'initiated', 'acme', $4) RETURNING id",
    )
    .bind(shop.merchant_id.as_uuid())
    .bind(shop.outlet_id.as_uuid())
    .bind(shop.terminal().id.as_uuid())
    .bind(world.clock.now())
    .fetch_one(&world.pool)
    .await
    .unwrap();
    TransactionId::from_uuid(id)
}

async fn put(conn: &mut PgConnection, id: TransactionId, status: &str, expires_at: DateTime<Utc>) {
    sqlx::query(
        "WITH put AS (UPDATE transactions SET status = $2, expires_at = $3 WHERE id = $1)
         INSERT INTO open_codes (expires_at, transaction_id) VALUES ($3, $1) ON CONFLICT DO NOTHING",
    )
        .bind(id.as_uuid())
        .bind(status)
        .bind(expires_at)
        .execute(conn)
        .await
        .unwrap();
}

async fn status(conn: &mut PgConnection, id: TransactionId) -> TransactionStatus {
    let found = transaction::find(conn, Scope::All, id).await.unwrap();
    found.unwrap().status
}

#[tokio::test]
async fn the_steps_that_sql_takes_are_those_of_the_domain() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let id = unconstrained(&world, &shop).await;
    let now = world.clock.now();
    let mut conn = world.pool.acquire().await.unwrap();
    for before in TransactionStatus::ALL {
        put(&mut conn, id, before.as_str(), now - TimeDelta::seconds(1)).await;
        expire_overdue(&mut conn, now, Some(&[id]), 10)
            .await
            .unwrap();
        let expired = before.expire().unwrap_or(*before);
        assert_eq!(status(&mut conn, id).await, expired, "{before} expires");

        put(&mut conn, id, before.as_str(), now + TimeDelta::hours(1)).await;
        expire_overdue(&mut conn, now, Some(&[id]), 10)
            .await
            .unwrap();
        assert_eq!(status(&mut conn, id).await, *before, "{before} in time");
        let code = Code {
            qr_payload: "000201",
            qr_reference: None,
            tip_mode: None,
            amount_due: None,
        };
        let cause = Cause {
            at: now,
            cause: "partner",
            callback_id: None,
        };
        transaction::show(&mut conn, id, code, cause).await.unwrap();
        let shown = before.await_payment().unwrap_or(*before);
        assert_eq!(status(&mut conn, id).await, shown, "{before} is shown");
    }
}

#[tokio::test]
async fn no_index_mentions_what_a_payment_changes() {
    let world = World::new().await;
    let mention = "pg_indexes WHERE tablename = 'transactions' AND indexdef ~ 'status|qr_payload|qr_reference'";
    assert_eq!(world.rows(mention).await, 0);
}

#[tokio::test]
async fn what_is_known_of_an_announcement_rises_as_the_domain_says() {
    let (world, shop, device) = fixture::device().await;
    let other = Credentials::at(&world, shop.terminal().id).await;
    device.sell(&world, 1_000).await;
    let of_device = format!(
        "SELECT event_id FROM notifications WHERE device_id = '{}'",
        device.device_id.as_uuid()
    );
    let event_id = EventId::from_uuid(world.value(&of_device).await);
    let ack = |device_id: DeviceId, status: NotificationStatus| Ack {
        is_final: false,
        event_id,
        device_id,
        status,
        played_at: None,
        reason: Some(status.to_string()),
    };
    let known = async || -> (String, Option<String>) {
        let known = format!(
            "SELECT status, reason FROM notifications WHERE event_id = '{}'",
            event_id.as_uuid()
        );
        world.table(&known).await.remove(0)
    };
    for before in NotificationStatus::ALL {
        for first in NotificationStatus::ALL {
            for second in NotificationStatus::ALL {
                let put = format!(
                    "UPDATE notifications SET status = '{before}', reason = 'before' WHERE device_id = '{}'",
                    device.device_id.as_uuid()
                );
                world.execute(&put).await;
                let mut expected = (*before, "before".to_owned());
                for reported in [first, second] {
                    if let Some(raised) = expected.0.raised_to(*reported) {
                        expected = (raised, reported.to_string());
                    }
                }
                // The acknowledgement of a box that it does not belong to, in the same batch, counts for nothing.
                let acks = [
                    ack(other.device_id, NotificationStatus::Played),
                    ack(device.device_id, *first),
                    ack(device.device_id, *second),
                ];
                let context = world.app().context();
                let owned = notification::acknowledge(context, context.pool(), &acks)
                    .await
                    .unwrap();
                assert_eq!(owned, [false, true, true]);
                let (status, reason) = known().await;
                assert_eq!(
                    (status.as_str(), reason),
                    (expected.0.as_str(), Some(expected.1)),
                    "{before}, then {first} and {second}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_text_that_is_no_word_is_an_error_that_names_its_column() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let id = unconstrained(&world, &shop).await;
    let mut conn = world.pool.acquire().await.unwrap();
    put(&mut conn, id, "payed", world.clock.now()).await;
    let error = store::payment::transaction::find(&mut conn, Scope::All, id)
        .await
        .unwrap_err();
    assert!(matches!(error, sqlx::Error::ColumnDecode { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("column"), "{text}");
    assert!(
        text.contains("\"payed\" is not a transaction status"),
        "{text}"
    );
}
