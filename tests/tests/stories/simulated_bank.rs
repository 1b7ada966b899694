//! The simulator's QR issuer against the platform, with every callback fault: the two share no code but the contract.

use std::time::Duration;

use device_sim::api::Api;
use device_sim::api_faults::ApiFaults;
use device_sim::callback_faults::CallbackFaults;
use device_sim::issuer_orders::Orders;
use device_sim::output::Output;
use device_sim::partner::Partner;
use device_sim::partner::issuer_api::IssuerApi;
use device_sim::partner::snap::{PublicKey, Snap, key};
use device_sim::qr_issuer::{self, QrIssuer};
use platform::config::NotifySignature::Symmetric;
use platform::config::QrisPartnerApi;
use tests::issuing_acquirer::free_address;
use tests::prelude::*;
use tests::snap::{self, BANK, SECRET};
use tests::snap_partner_api::terminal;
use tokio_util::sync::CancellationToken;

const PAYMENTS: u64 = 24;
const SEED: u64 = 11;
const PAID: &str = "transactions WHERE status = 'paid'";

#[tokio::test]
async fn whatever_goes_wrong_on_the_way_every_payment_is_booked_and_announced_once() {
    let address = free_address();
    let (bank_key, bank_pem) = snap::new_key();
    let (our_key, our_pem) = snap::new_key();
    let world = World::with(|config| {
        snap::configure(config, &bank_pem, Symmetric);
        let write = |name: &str, text: &str| {
            let file = config.data_dir.join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let api = QrisPartnerApi {
            url: format!("http://{address}"),
            client_id: "soundbox".to_owned(),
            private_key_file: write("our.pem", &snap::private_pem(&our_key)),
            secret_files: vec![write("our.secret", SECRET)],
            secret_envs: Vec::new(),
            channel_id: "95221".to_owned(),
            ..QrisPartnerApi::default()
        };
        config.qris_partners.get_mut(BANK).unwrap().api = Some(api);
        config.payments.partner_timeout_ms = 20_000;
    })
    .await;
    let faults = CallbackFaults {
        lost: 25,
        duplicated: 40,
        wrong_amount: 25,
        reordered: 25,
        delay_s_max: 1,
    };
    let api = Api::new(&world.url(), world.app().root_pem()).unwrap();
    let voice = Snap::new(SECRET, &snap::private_pem(&bank_key)).unwrap();
    let issuer = QrIssuer {
        partner: Partner::snap(api, BANK.to_owned(), voice),
        api: IssuerApi::of("snap").unwrap(),
        secret: key(SECRET),
        platform_key: PublicKey::from_pem(&our_pem).unwrap(),
        pay_after: Some(Duration::from_millis(20)),
        faults,
        api_faults: ApiFaults::none(),
        orders: Orders::default(),
        seed: SEED,
        output: Output::new(true),
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(qr_issuer::run(issuer, address, stop.clone()));

    let terminal = terminal(&world).await;
    let credentials = Credentials::at(&world, terminal).await;
    for number in 0..PAYMENTS {
        let request = format!("r{number}");
        let wanted = json!({ "amount": 1_000 + number, "currency": "IDR", "request_id": request });
        let shown = credentials.ask_qr(&world, &request, &wanted).await;
        let _ = shown.expect(201);
    }
    let has_callback = |number: &u64| !faults.plan(SEED, *number).is_empty();
    let delivered = (0..PAYMENTS).filter(has_callback).count();
    let delivered = i64::try_from(delivered).unwrap();
    let all = i64::try_from(PAYMENTS).unwrap();
    assert!(delivered < all, "some callbacks are lost");
    world.wait_for_rows(PAID, delivered).await;
    // The rest is queried before the codes expire.
    world.later(275);
    world.wait_for_rows(PAID, all).await;
    ledger::must_balance(&world.pool).await;
    let announced = "SELECT count(DISTINCT transaction_id) FROM notifications";
    assert_eq!(world.number(announced).await, all);
    assert_eq!(world.rows("notifications").await, all);
    let sales = "SELECT count(DISTINCT posting_id) FROM ledger_entries WHERE kind = 'sale'";
    assert_eq!(world.number(sales).await, all);
    let wrong = "incidents WHERE kind = 'amount_mismatch'";
    assert!(world.rows(wrong).await > 0);
    stop.cancel();
    running.await.unwrap().unwrap();
}
