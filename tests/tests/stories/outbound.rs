//! Acquirers are called as each wants to be called, and name our orders back to us. The simulator's acquirers refuse what
//! is not of their form.

use std::time::Duration;

use device_sim::callback_faults::CallbackFaults;
use device_sim::partner::dialect::{Acquirer, Message};
use device_sim::partner::issuer_api::IssuerApi;
use device_sim::partner::{Callback, Partner, Target};
use tests::dialects::{self, PARTNER, SECRET};
use tests::issuing_acquirer::{
    Customers, OUR_MERCHANT, OUR_TERMINAL, configure_api, world, world_with_key,
};
use tests::made_up_acquirer::{DIALECT, MadeUpAcquirer, signature};
use tests::prelude::*;
use tests::simulator;
use tests::snap::{new_key, private_pem};
use tests::snap_partner_api::terminal;
use wire::TransactionId;

use crate::view::state;

/// Asks for a code of 50,000; its transaction.
async fn shown(world: &World, credentials: &Credentials, request: &str) -> TransactionId {
    let wanted = json!({ "amount": 50_000, "currency": "IDR", "request_id": request });
    let answer = credentials.ask_qr(world, request, &wanted).await;
    let answer = answer.expect(201);
    text(&answer.json(), "transaction_id").parse().unwrap()
}

/// Customers who pay at once; the callback of the first is lost, that of the second arrives.
fn the_first_is_lost() -> Customers {
    let faults = CallbackFaults {
        lost: 50,
        ..CallbackFaults::default()
    };
    let is_it = |seed: &u64| faults.plan(*seed, 0).is_empty() && !faults.plan(*seed, 1).is_empty();
    Customers {
        pay_after: Some(Duration::from_millis(20)),
        faults,
        seed: (1..).find(is_it).unwrap(),
    }
}

async fn is_called_in_its_dialect(name: &str) {
    let (world, acquirer) = world(name, the_first_is_lost()).await;
    let terminal = terminal(&world).await;
    let credentials = Credentials::at(&world, terminal).await;
    let mut soundbox = Soundbox::switch_on(&world, credentials).await;
    let lost = shown(&world, &soundbox.credentials, "r1").await;
    let told = shown(&world, &soundbox.credentials, "r2").await;
    let heard = soundbox.play().await;
    assert_eq!(
        (heard.transaction_id, heard.amount.to_i64()),
        (told, 50_000)
    );
    // Its callback is lost, and it is asked about before the code runs out.
    assert_eq!(state(&world, lost).await.0, "awaiting_payment");
    world.later(275);
    assert_eq!(soundbox.play().await.transaction_id, lost, "{name}");
    assert_eq!(world.rows("payments").await, 2);
    assert_eq!(world.rows("incidents").await, 0);
    ledger::must_balance(&world.pool).await;

    let api = IssuerApi::of(name).unwrap();
    let path = format!("/admin/transactions/{told}/refund");
    let finance = world.staff(Role::Finance).await;
    let refund = finance
        .post(&path, &json!({ "reason": "the wrong coffee" }))
        .await;
    if api.refund_and_cancel.is_none() {
        refund.refused(INVALID_STATE);
        return;
    }
    assert_eq!(refund.expect(200).data()["status"], "reversed", "{name}");
    ledger::must_balance(&world.pool).await;
    drop(acquirer);
    is_withdrawn_in_its_dialect(name).await;
}

async fn is_withdrawn_in_its_dialect(name: &str) {
    let nobody = Customers {
        pay_after: None,
        faults: CallbackFaults::default(),
        seed: 1,
    };
    let (world, _acquirer) = world(name, nobody).await;
    let terminal = terminal(&world).await;
    let credentials = Credentials::at(&world, terminal).await;
    let id = shown(&world, &credentials, "r1").await;
    let path = format!("/admin/transactions/{id}/cancel");
    let why = json!({ "reason": "the customer left" });
    let cancelled = world.admin().act(&path, &why).await;
    assert_eq!(cancelled["status"], "failed", "{name}");
}

macro_rules! each {
    ($($story:ident $name:literal;)+) => {
        $(#[tokio::test]
        async fn $story() {
            is_called_in_its_dialect($name).await;
        })+

        #[test]
        fn there_is_a_story_of_every_dialect_that_is_called() {
            let called = domain::dialect::NAMES.iter().filter(|name| {
                let dialect = domain::dialect::built_in(name).unwrap().unwrap();
                dialect.outbound.is_some()
            });
            let mut called: Vec<_> = called.copied().collect();
            called.sort_unstable();
            let mut simulated: Vec<_> = IssuerApi::names().collect();
            simulated.sort_unstable();
            assert_eq!(simulated, called);
            let mut told = vec![$($name),+];
            told.sort_unstable();
            assert_eq!(told, called);
        }
    };
}

each! {
    a_code_of_a_snap_partner_is_paid_asked_about_and_taken_back "snap";
    a_code_of_bri_is_paid_and_asked_about "bri";
    a_code_of_manjo_is_paid_asked_about_and_taken_back "manjo";
    a_code_of_speedcash_is_paid_asked_about_and_taken_back "speedcash";
    a_code_of_bjb_is_paid_asked_about_and_taken_back "bjb";
    a_code_of_ocbc_is_paid_and_asked_about "ocbc";
    a_code_of_yokke_is_paid_asked_about_and_taken_back "yokke";
    a_code_of_dana_is_paid_asked_about_and_taken_back "dana";
    a_code_of_shopeepay_is_paid_asked_about_and_taken_back "shopeepay";
    a_code_of_midtrans_snap_is_paid_asked_about_and_taken_back "midtrans_snap";
    a_code_of_faspay_is_paid_asked_about_and_taken_back "faspay";
    a_code_of_winpay_is_paid_asked_about_and_taken_back "winpay";
}

#[tokio::test]
async fn a_success_without_an_amount_is_asked_about_and_then_heard() {
    let faults = CallbackFaults {
        lost: 100,
        ..CallbackFaults::default()
    };
    let paying = Customers {
        pay_after: Some(Duration::ZERO),
        faults,
        seed: 1,
    };
    let (world, _issuer, key) = world_with_key("shopeepay", paying).await;
    let terminal = terminal(&world).await;
    let credentials = Credentials::at(&world, terminal).await;
    let mut soundbox = Soundbox::switch_on(&world, credentials).await;
    let id = shown(&world, &soundbox.credentials, "r1").await;
    let acquirer = Acquirer::new("shopeepay", SECRET, Some(&key)).unwrap();
    let partner = Partner::speaking(simulator::api(&world), PARTNER.to_owned(), acquirer);
    let unstated = Callback::new(
        Target::Transaction(id),
        wire::Rupiah::ZERO,
        "success",
        world.clock.now(),
    );
    partner.post(&unstated).await.unwrap();
    let held = "callbacks WHERE verdict = 'held' AND reason = 'amount_not_stated'";
    assert_eq!(world.rows(held).await, 1);
    // The acquirer is asked at once, without waiting for the end of the code.
    let heard = soundbox.play().await;
    assert_eq!((heard.transaction_id, heard.amount.to_i64()), (id, 50_000));
    assert_eq!(world.rows("incidents").await, 0);
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn a_short_name_of_an_order_is_its_own_and_nobody_elses() {
    let customers = Customers {
        pay_after: None,
        ..the_first_is_lost()
    };
    let (world, _acquirer, _) = world_with_key("ocbc", customers).await;
    let terminal = terminal(&world).await;
    let credentials = Credentials::at(&world, terminal).await;
    let mut soundbox = Soundbox::switch_on(&world, credentials).await;
    let id = shown(&world, &soundbox.credentials, "r1").await;
    let name: String = world.value("SELECT order_name FROM partner_orders").await;
    assert_eq!(name.len(), 20);
    let acquirer = Acquirer::new("ocbc", SECRET, None).unwrap();
    let partner = Partner::speaking(simulator::api(&world), PARTNER.to_owned(), acquirer);
    let say = |order: &str, reference: &str| {
        let target = Target::Order(order.to_owned());
        let now = world.clock.now();
        Callback {
            partner_reference: reference.to_owned(),
            ..Callback::new(target, wire::Rupiah::from_i64(50_000), "success", now)
        }
    };
    // A name of the same form that is no order's: refused, kept, and an incident.
    partner
        .post(&say("00000000000000000000", "R-0"))
        .await
        .unwrap_err();
    assert_eq!(state(&world, id).await.0, "awaiting_payment");
    assert_eq!(
        world
            .rows("incidents WHERE kind = 'unreadable_message'")
            .await,
        1
    );
    partner.post(&say(&name, "R-1")).await.unwrap();
    assert_eq!(soundbox.play().await.transaction_id, id);
    // Its full name is read as well, and is the same payment.
    partner.post(&say(&id.to_string(), "R-1")).await.unwrap();
    assert_eq!(world.rows("payments").await, 1);
    ledger::must_balance(&world.pool).await;
}

/// A platform that has its codes from an acquirer which nobody has heard of.
async fn made_up() -> (World, MadeUpAcquirer, Soundbox, TransactionId) {
    let acquirer = MadeUpAcquirer::open().await;
    let (key, _) = new_key();
    let world = World::with(|config| {
        let file = config.data_dir.join("kiospay.toml");
        std::fs::write(&file, DIALECT).unwrap();
        dialects::configure(config, &file.display().to_string(), "");
        let partner = config.qris_partners.get_mut(PARTNER).unwrap();
        partner.public_key_files.clear();
        configure_api(config, acquirer.url(), &private_pem(&key));
    })
    .await;
    let terminal = terminal(&world).await;
    let credentials = Credentials::at(&world, terminal).await;
    let soundbox = Soundbox::switch_on(&world, credentials).await;
    let id = shown(&world, &soundbox.credentials, "r1").await;
    (world, acquirer, soundbox, id)
}

#[tokio::test]
async fn a_made_up_acquirer_is_called_by_a_file_alone() {
    let (world, acquirer, mut soundbox, id) = made_up().await;
    let (headers, _) = acquirer.asked("/gerbang/masuk").remove(0);
    assert_eq!(headers["x-client-key"], "our-client-key");
    let (headers, asked) = acquirer.asked("/gerbang/buat").remove(0);
    // We have four names there, and none stands for another.
    assert_eq!(headers["x-partner-id"], "our-partner-id");
    assert_eq!(headers["x-mitra"], "our-partner-id/our-client-key");
    assert_fields!(asked, { "merchantId": OUR_MERCHANT, "terminalId": OUR_TERMINAL });
    let name = text(&asked, "order").to_owned();
    assert_eq!(
        (name.len(), &asked["partnerReferenceNo"]),
        (16, &json!(name))
    );
    assert_fields!(asked["additionalInfo"], { "kind": "DYNAMIC", "copies": 1 });
    // The outlet has no name there: a field that is a name without a value is left out.
    assert_eq!(asked.get("toko"), None);
    let seconds: u32 = text(&asked, "validityPeriod").parse().unwrap();
    assert!((1..=300).contains(&seconds), "{seconds}");

    // It is asked under the names of the order, and answers by them.
    world.later(275);
    eventually("a question", || async {
        (!acquirer.asked("/gerbang/tanya").is_empty()).then_some(())
    })
    .await;
    let (_, question) = acquirer.asked("/gerbang/tanya").remove(0);
    assert_fields!(question, {
        "originalPartnerReferenceNo": name, "originalReferenceNo": "K-1", "serviceCode": "01",
    });
    let sent = headers["x-external-id"].to_str().unwrap();
    assert_eq!(question["originalExternalId"], sent);

    // Its callback names the order as we named it.
    let body = json!({ "order": name, "payment": "K-1", "paid": "50000", "state": "lunas" });
    let body = body.to_string().into_bytes();
    let time = domain::snap::timestamp(world.clock.now());
    let message = Message {
        path: "/hooks/kiospay".to_owned(),
        headers: vec![
            ("x-timestamp", time.clone()),
            ("x-signature", signature("/hooks/kiospay", &body, &time)),
        ],
        body,
    };
    assert_eq!(dialects::post(&world, &message).await.status, 200);
    assert_eq!(soundbox.play().await.transaction_id, id);

    let path = format!("/admin/transactions/{id}/refund");
    let finance = world.staff(Role::Finance).await;
    let refund = finance.post(&path, &json!({ "reason": "cold" })).await;
    assert_eq!(refund.expect(200).data()["status"], "reversed");
    let (_, refund) = acquirer.asked("/gerbang/kembali").remove(0);
    assert_fields!(refund, { "originalReferenceNo": "K-1", "reason": "cold" });
    // A refund has a name of its own, as long as that of an order.
    let refund = text(&refund, "partnerRefundNo");
    assert_eq!((refund.len(), refund == name), (16, false));
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn a_refusal_of_a_question_is_an_answer_when_the_table_says_what_it_means() {
    let (world, acquirer, mut soundbox, id) = made_up().await;
    acquirer.set_answer(json!({ "kode": "4049999", "state": "4049999" }));
    world.later(275);
    eventually("an order that has expired", || async {
        (state(&world, id).await.0 == "expired").then_some(())
    })
    .await;
    // What it says of another order is not taken for this one.
    let other = shown(&world, &soundbox.credentials, "r2").await;
    let foreign =
        json!({ "state": "LUNAS", "order": "somebodyelse0001", "payment": "K-9", "paid": "50000" });
    acquirer.set_answer(foreign);
    world.later(275);
    let asked = || acquirer.asked("/gerbang/tanya").len();
    let before = asked();
    eventually("a question", || async { (asked() > before).then_some(()) }).await;
    assert_eq!(state(&world, other).await.0, "awaiting_payment");
    let (_, question) = acquirer.asked("/gerbang/tanya").pop().unwrap();
    let name = text(&question, "originalPartnerReferenceNo").to_owned();
    acquirer
        .set_answer(json!({ "state": "LUNAS", "order": name, "payment": "K-2", "paid": "50000" }));
    world.later(40);
    assert_eq!(soundbox.play().await.transaction_id, other);
}
