//! Transactions that conflict are retried inside; callers do not see it, and each has its effect once.

use tests::prelude::*;
use wire::Channel;
use wire::message::AckStatus;

/// From here on the first `times` statements on `table` fail with this SQLSTATE.
async fn conflicts(world: &World, table: &str, event: &str, code: &str, times: u32) {
    let statement = format!(
        "DROP SEQUENCE IF EXISTS conflicts_{table}; CREATE SEQUENCE conflicts_{table};
         CREATE OR REPLACE FUNCTION conflict_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF nextval('conflicts_{table}') <= {times} THEN
                 RAISE EXCEPTION 'made to conflict' USING ERRCODE = '{code}';
             END IF;
             RETURN NEW;
         END $$;
         CREATE OR REPLACE TRIGGER conflict_{table} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION conflict_{table}();"
    );
    world.execute(&statement).await;
}

/// How many statements there were.
async fn tries(world: &World, table: &str) -> i64 {
    let read = format!("SELECT last_value FROM conflicts_{table}");
    world.value(&read).await
}

#[tokio::test]
async fn a_request_that_conflicts_is_done_again() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let device = Credentials::at(&world, shop.terminal().id).await;
    let admin = world.admin();
    for code in ["40P01", "40001"] {
        conflicts(&world, "audit_logs", "INSERT", code, 3).await;
        let merchant = json!({ "legal_name": "PT Fajar", "brand_name": "Kopi Fajar" });
        let key = format!("key-{code}");
        let headers = [("idempotency-key", key.as_str())];
        let make = async || {
            let made = admin
                .post_with("/admin/merchants", &headers, &merchant)
                .await;
            made.expect(201)
        };
        let made = make().await;
        assert_eq!(tries(&world, "audit_logs").await, 4);
        let again = make().await;
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        assert_eq!(again.body, made.body);
    }
    let made = "merchants WHERE brand_name = 'Kopi Fajar'";
    assert_eq!(world.rows(made).await, 2);

    conflicts(&world, "bindings", "INSERT", "40P01", 2).await;
    let path = format!("/admin/devices/{}/bind", device.device_id);
    let place = json!({ "terminal_id": shop.terminals[1].id });
    admin.act(&path, &place).await;
    assert_eq!(tries(&world, "bindings").await, 3);
}

#[tokio::test]
async fn a_callback_that_conflicts_is_taken_once() {
    let (world, _, mut soundbox) = fixture::soundbox().await;
    conflicts(&world, "notifications", "INSERT", "40P01", 4).await;
    let id = soundbox.credentials.sell(&world, 10_000).await;
    assert_eq!(tries(&world, "notifications").await, 5);
    assert_eq!(soundbox.play().await.transaction_id, id);
    assert_eq!(world.rows("callbacks").await, 1);
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn a_conflict_that_does_not_end_is_an_answer_and_not_an_endless_wait() {
    let world = World::new().await;
    let admin = world.admin();
    conflicts(&world, "audit_logs", "INSERT", "40P01", 1_000).await;
    let merchant = json!({ "legal_name": "PT Fajar", "brand_name": "Kopi Fajar" });
    let refused = admin.post("/admin/merchants", &merchant).await;
    refused.refused(UNAVAILABLE);
    assert!(refused.header("retry-after").is_some());
    let tries = tries(&world, "audit_logs").await;
    assert!((2..=20).contains(&tries), "{tries}");
    assert_eq!(world.rows("merchants").await, 0);
}

#[tokio::test]
async fn uplinks_that_conflict_are_stored_again() {
    let (world, _, mut soundbox) = fixture::soundbox().await;
    soundbox.credentials.sell(&world, 10_000).await;
    let heard = soundbox.hear().await;
    conflicts(&world, "heartbeats", "INSERT", "40P01", 2).await;
    soundbox.heartbeat("2026-05-23T10:00:00Z").await;
    assert_eq!(tries(&world, "heartbeats").await, 3);
    assert_eq!(world.rows("heartbeats").await, 1);
    conflicts(&world, "notifications", "UPDATE", "40001", 2).await;
    let played = AckStatus::Played;
    soundbox.acknowledge(heard.event_id, played).await;
    let played = "notifications WHERE status = 'played'";
    assert_eq!(world.rows(played).await, 1);

    // A command's acknowledgement, outside of the uplink batchers.
    let test = json!({ "type": "play_test" });
    let command = soundbox.credentials.command(&world.admin(), &test).await;
    let id = command.data()["id"].clone();
    let sent = "commands WHERE status = 'sent'";
    world.wait_for_rows(sent, 1).await;
    conflicts(&world, "commands", "UPDATE", "40P01", 2).await;
    let device_id = soundbox.credentials.device_id;
    let ack = json!({ "message_type": "command_ack", "device_id": device_id, "command_id": id, "status": "delivered" });
    let ack = ack.to_string().into_bytes();
    assert!(soundbox.send_raw(Channel::CommandAck, ack).await);
    assert_eq!(world.rows("commands WHERE status = 'delivered'").await, 1);

    // And a box is admitted when its admission conflicts.
    let away = soundbox.switch_off().await;
    away.wait_until_offline(&world).await;
    conflicts(&world, "sessions", "UPDATE", "40P01", 2).await;
    away.reconnect(&world).await;
    assert!(tries(&world, "sessions").await >= 3);
}
