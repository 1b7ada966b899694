//! One rule for amounts, in every API that takes them.

use platform::config::NotifySignature::Symmetric;
use tests::payout_partner::Behaviour;
use tests::prelude::*;
use tests::snap::{self, notification};
use wire::Channel;
use wire::message::QrOutcome;

/// Texts that are not amounts.
const NO_AMOUNTS: [&str; 16] = [
    "50.000",
    "50,000",
    "50.000,00",
    "50000.000",
    "5e4",
    " 50000",
    "50000 ",
    "+50000",
    "-50000",
    "",
    "Rp50000",
    "50000.",
    ".50",
    "50000.50",
    "0x10",
    "NaN",
];

/// Texts that are fifty thousand rupiah.
const FIFTY_THOUSAND: [&str; 4] = ["50000", "50000.0", "50000.00", "050000"];

#[tokio::test]
async fn amounts_of_a_code_request_by_http() {
    let (world, _, credentials) = fixture::device().await;
    let ask = async |number: usize, amount: Value| {
        let key = format!("r-{number}");
        let body = json!({ "amount": amount, "currency": "IDR", "request_id": key });
        credentials.ask_qr(&world, &key, &body).await
    };
    for (number, text) in NO_AMOUNTS.iter().enumerate() {
        ask(number, json!(text)).await.refused(INVALID_AMOUNT);
    }
    assert_eq!(world.rows("transactions").await, 0);
    for (number, text) in FIFTY_THOUSAND.iter().enumerate() {
        let _ = ask(100 + number, json!(text)).await.expect(201);
    }
    assert_eq!(world.rows("transactions WHERE amount = 50000").await, 4);
}

#[tokio::test]
async fn amounts_of_a_code_request_by_mqtt() {
    let (_world, _, mut soundbox) = fixture::soundbox().await;
    for (number, text) in NO_AMOUNTS.iter().chain(&FIFTY_THOUSAND).enumerate() {
        let body = json!({
            "message_type": "dynamic_qr_request", "request_id": format!("r-{number}"),
            "device_id": soundbox.credentials.device_id, "amount": text, "currency": "IDR",
        });
        let request = body.to_string().into_bytes();
        assert!(soundbox.send_raw(Channel::DynamicQrRequest, request).await);
        let outcome = soundbox.next_qr().await.outcome;
        match outcome {
            QrOutcome::Ready { amount, .. } => {
                assert!(FIFTY_THOUSAND.contains(text), "{text:?}");
                assert_eq!(amount.to_i64(), 50_000);
            }
            QrOutcome::Refused(error) => {
                assert!(NO_AMOUNTS.contains(text), "{text:?}");
                assert_eq!(error.code, "INVALID_AMOUNT", "{text:?}");
            }
        }
    }
}

/// Tables that money changes.
const MONEY: [&str; 4] = ["transactions", "postings", "notifications", "payouts"];

#[tokio::test]
async fn amounts_of_an_acquirers_callback() {
    let (world, shop, mut soundbox) = fixture::soundbox().await;
    let printed = |amount: &str| {
        let mut body = shop.printed_payment(&world, 1);
        body["amount"] = json!(amount);
        body
    };
    let before = Snapshot::take(&world.pool).await;
    for text in NO_AMOUNTS {
        let _ = world.acquirer().send(&printed(text)).await;
    }
    let changes = before.changes(&world.pool).await;
    assert!(
        MONEY.iter().all(|table| !changes.contains_key(*table)),
        "{changes:?}"
    );
    for text in FIFTY_THOUSAND {
        let _ = world.acquirer().send(&printed(text)).await.expect(200);
        assert_eq!(soundbox.play().await.amount.to_i64(), 50_000, "{text}");
    }
}

#[tokio::test]
async fn amounts_of_a_snap_notification() {
    let (world, partner) = snap::world(Symmetric).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.terminal().id).await;
    let id = soundbox.credentials.qr(&world, 50_000).await.transaction_id;
    let before = Snapshot::take(&world.pool).await;
    for text in NO_AMOUNTS {
        let mut body = notification(id, 50_000, &reference(), "00");
        body["amount"]["value"] = json!(text);
        let _ = partner.send(&body).await;
    }
    let changes = before.changes(&world.pool).await;
    assert!(
        MONEY.iter().all(|table| !changes.contains_key(*table)),
        "{changes:?}"
    );
    for value in FIFTY_THOUSAND
        .map(Value::from)
        .into_iter()
        .chain([json!(50_000), json!(50_000.0)])
    {
        let id = soundbox.credentials.qr(&world, 50_000).await.transaction_id;
        let mut body = notification(id, 50_000, &reference(), "00");
        body["amount"]["value"] = value.clone();
        partner.send_ok(&body).await;
        assert_eq!(soundbox.play().await.transaction_id, id);
    }
}

#[tokio::test]
async fn amounts_of_a_payout_callback() {
    let scene = Payouts::open(Behaviour::Accepts).await;
    let (world, finance) = (&scene.world, &scene.finance);
    scene.sell(&[50_000]).await;
    let settlement = scene.run().await;
    let path = format!("/admin/settlements/{settlement}");
    let net = finance.read(&path).await["net"].as_i64().unwrap();
    eventually("the instruction at the partner", || async {
        world.later(1);
        (!scene.partner.transfers().is_empty()).then_some(())
    })
    .await;
    let tell = async |number: usize, amount: String| {
        let body = json!({
            "event_id": format!("e-{number}"), "settlement_id": settlement, "status": "paid",
            "amount": amount, "bank_reference": "B-1", "occurred_at": world.clock.now(),
        });
        PayoutPartner::send(world, &body).await
    };
    let forms = [
        format!("{}.{:03}", net / 1_000, net % 1_000),
        format!("{net}.000"),
        format!("+{net}"),
        format!(" {net}"),
        format!("{net}e0"),
    ];
    for (number, text) in forms.into_iter().enumerate() {
        let answer = tell(number, text.clone()).await;
        assert!(answer.status >= 400, "{text}: {answer}");
        let status = finance.read(&path).await["status"].clone();
        assert_ne!(status, "paid", "{text}");
    }
    let _ = tell(100, format!("{net}.00")).await.expect(200);
    let status = finance.read(&path).await["status"].clone();
    assert_eq!(status, "paid");
}
