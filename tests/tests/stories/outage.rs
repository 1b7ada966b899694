//! A database without writes: every API answers that the caller should retry, readiness gives the reason, nothing is lost.

use platform::config::NotifySignature::{Asymmetric, Symmetric};
use tests::credentials::new_key;
use tests::payout_partner;
use tests::prelude::*;
use tests::snap::{self, NOTIFY, notification};

use crate::view::state;

/// Every insert and update of these tables fails with this SQLSTATE from now on.
async fn refuse_writes(world: &World, sqlstate: &str, tables: &[&str]) {
    let body = format!(
        "CREATE OR REPLACE FUNCTION refuse_writes() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION 'refused for a story' USING ERRCODE = '{sqlstate}'; END $$"
    );
    world.execute(&body).await;
    for table in tables {
        let trigger = format!(
            "CREATE OR REPLACE TRIGGER refuse_writes BEFORE INSERT OR UPDATE ON {table}
             FOR EACH STATEMENT EXECUTE FUNCTION refuse_writes()"
        );
        world.execute(&trigger).await;
    }
}

async fn take_writes(world: &World, tables: &[&str]) {
    for table in tables {
        let drop = format!("DROP TRIGGER refuse_writes ON {table}");
        world.execute(&drop).await;
    }
}

/// What /readyz answers.
async fn readiness(world: &World) -> (u16, String) {
    let url = format!("http://{}/readyz", world.app().metrics_addr());
    let answer = reqwest::get(url).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn becomes_ready(world: &World) {
    eventually("readiness", || async {
        (readiness(world).await.0 == 200).then_some(())
    })
    .await;
}

/// Expects 503 with a Retry-After.
fn come_again(answer: &Answer) {
    answer.refused(UNAVAILABLE);
    let wait: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!(wait >= 1);
}

#[tokio::test]
async fn whatever_the_server_lacks_a_callback_is_asked_to_come_again_and_is_taken_then() {
    let (world, _, credentials) = fixture::device().await;
    becomes_ready(&world).await;
    let acquirer = world.acquirer();
    // No disk, no memory, no connections, stopping, failing storage, a standby.
    for (sqlstate, reason) in [
        ("53100", "disk is full"),
        ("53200", "memory"),
        ("53300", "no free connection"),
        ("57P01", "starting or stopping"),
        ("57P03", "starting or stopping"),
        ("58030", "storage fails"),
        ("25006", "read-only"),
    ] {
        let id = credentials.qr(&world, 10_000).await.transaction_id;
        refuse_writes(&world, sqlstate, &["callbacks"]).await;
        let body = success(id, 10_000, &reference(), world.clock.now());
        come_again(&acquirer.send(&body).await);
        let (status, text) = readiness(&world).await;
        assert_eq!(status, 503, "{sqlstate}: {text}");
        assert!(text.contains(reason), "{sqlstate}: {text}");
        assert_eq!(state(&world, id).await.0, "awaiting_payment");
        take_writes(&world, &["callbacks"]).await;
        let _ = acquirer.send(&body).await.expect(200);
        assert_eq!(state(&world, id).await.0, "paid");
    }
    becomes_ready(&world).await;
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn every_api_answers_unavailable_with_retry_after() {
    let payout_partner = PayoutPartner::open(payout_partner::Behaviour::Accepts).await;
    let (world, acquirer) =
        snap::world_with(Symmetric, |config| payout_partner.configure(config)).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.terminal().id).await;
    let id = credentials.qr(&world, 10_000).await.transaction_id;
    let registered = register(&world).await;
    let token = acquirer.token().await;
    let email = "sari@example.id";
    let user = json!({ "email": email, "role": "ops", "password": "kopi tubruk panas" });
    world.admin().create("/admin/users", &user).await;
    let tables = [
        "callbacks",
        "partner_tokens",
        "login_attempts",
        "devices",
        "merchants",
        "heartbeats",
    ];
    refuse_writes(&world, "53100", &tables).await;

    let body = notification(id, 10_000, "ref-1", "00").to_string();
    let request = acquirer.sign(NOTIFY, body.as_bytes(), &token, world.clock.now());
    let refused = acquirer.post(&request).await;
    assert_eq!(snap::code(&refused), "5035200");
    assert!(refused.header("retry-after").is_some(), "{refused}");
    let now = snap::timestamp(world.clock.now());
    let signature = acquirer.sign_token(snap::BANK, &now);
    let grant = json!({ "grantType": "client_credentials" });
    let refused = acquirer.ask_token(&now, &signature, &grant).await;
    assert_eq!(snap::code(&refused), "5037300");
    assert!(refused.header("retry-after").is_some(), "{refused}");

    let login = json!({ "email": email, "password": "kopi tubruk panas" });
    come_again(&world.anonymous().post("/admin/login", &login).await);
    let merchant = json!({
        "legal_name": "PT Sari", "brand_name": "Sari", "settlement_account_type": "merchant_bank_account",
        "settlement_account_reference": "bank:1", "payout_mode": "merchant_direct", "fee_profile_id": "fee_basic",
    });
    come_again(&world.admin().post("/admin/merchants", &merchant).await);
    let key = new_key();
    let code = registered.activation_code.clone();
    come_again(&registered.try_code(&world, &code, &key).await);

    take_writes(&world, &tables).await;
    // The same message, byte for byte, as the partner repeats it.
    assert_eq!(snap::code(&acquirer.post(&request).await), "2005200");
    assert_eq!(state(&world, id).await.0, "paid");
    world.anonymous().act("/admin/login", &login).await;
    let _ = registered.try_code(&world, &code, &key).await.expect(200);
}

#[tokio::test]
async fn a_read_only_database_makes_unready_without_a_write() {
    let (world, partner) = snap::world(Asymmetric).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.terminal().id).await;
    let id = credentials.qr(&world, 10_000).await.transaction_id;
    becomes_ready(&world).await;
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND application_name LIKE 'soundbox-platform %'";
    let database: String = world.value("SELECT quote_ident(current_database())").await;
    let alter = format!("ALTER DATABASE {database}");
    let read_only = format!("{alter} SET default_transaction_read_only = on; {others}");
    world.execute(&read_only).await;
    let text = eventually("unreadiness", || async {
        let (status, text) = readiness(&world).await;
        (status == 503 && text.contains("read-only")).then_some(text)
    })
    .await;
    assert_eq!(text, "the database is read-only\n");
    let body = notification(id, 10_000, "ref-1", "00");
    assert_eq!(partner.send(&body).await, "5035200");
    let writable = format!("{alter} RESET default_transaction_read_only; {others}");
    world.execute(&writable).await;
    becomes_ready(&world).await;
    eventually("the payment", || async {
        (partner.send(&body).await == "2005200").then_some(())
    })
    .await;
    assert_eq!(state(&world, id).await.0, "paid");
    ledger::must_balance(&world.pool).await;
}
