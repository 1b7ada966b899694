//! Codes that ask for a tip: what is paid is what is booked, announced, settled and shown.

use platform::config::NotifySignature::Symmetric;
use tests::prelude::*;
use tests::snap::{self, SnapPartner, notification};
use tests::snap_partner_api::{SnapPartnerApi, terminal};
use wire::{Rupiah, TransactionId};

use crate::view::transaction;

/// The amount of every code.
const ASKED: i64 = 21_004;

struct Scene {
    world: World,
    partner: SnapPartner,
    api: SnapPartnerApi,
    soundbox: Soundbox,
}

impl Scene {
    /// A partner whose codes have these tags, and a box at a terminal.
    async fn open(tags: &str) -> Self {
        let api = SnapPartnerApi::open().await;
        let (world, partner) = snap::world_with(Symmetric, |config| api.configure(config)).await;
        let terminal = terminal(&world).await;
        let soundbox = Soundbox::at(&world, terminal).await;
        api.set_tip(tags);
        Self {
            world,
            partner,
            api,
            soundbox,
        }
    }

    async fn code(&self, request_id: &str) -> TransactionId {
        let wanted = json!({ "amount": ASKED, "currency": "IDR", "request_id": request_id });
        let credentials = &self.soundbox.credentials;
        let shown = credentials.ask_qr(&self.world, request_id, &wanted).await;
        text(&shown.expect(201).json(), "transaction_id")
            .parse()
            .unwrap()
    }

    async fn pay(&self, id: TransactionId, amount: i64) -> String {
        let body = notification(id, amount, &reference(), "00");
        self.partner.send(&body).await
    }
}

/// Pays `paid`, and follows it from the callback to the settlement.
async fn is_paid_with_a_tip(tags: &str, mode: &str, due: i64, paid: i64) {
    let mut scene = Scene::open(tags).await;
    let id = scene.code("r1").await;
    let asked = transaction(&scene.world, id).await;
    assert_fields!(asked, { "amount": ASKED, "amount_due": due, "tip": null, "tip_mode": mode });
    assert_eq!(scene.pay(id, paid).await, "2005200");
    let heard = scene.soundbox.play().await;
    assert_eq!((heard.transaction_id, heard.amount.to_i64()), (id, paid));
    let spoken = wire::speech::payment(wire::Language::Id, Rupiah::from_i64(paid), None).unwrap();
    assert_eq!(heard.speech.text, spoken.text);

    let after = transaction(&scene.world, id).await;
    // 0.7 % of what was paid, half up.
    let fee = (paid * 7 + 500) / 1_000;
    assert_fields!(after, { "status": "paid", "fee": fee, "net": paid - fee });
    assert_fields!(after, { "amount": paid, "amount_due": due, "tip": paid - ASKED, "tip_mode": mode });
    let booked = ledger::ledger_of(&scene.world.pool, id).await;
    let debits: i64 = booked.iter().map(|(_, _, debit, _)| debit).sum();
    assert_eq!(debits, paid, "{booked:?}");

    // The box repeats its request: the same code with the same amount.
    assert_eq!(scene.code("r1").await, id);
    assert_eq!(scene.api.requests("qr-mpm-generate").len(), 1);

    let merchant = format!("/admin/merchants/{}", text(&after, "merchant_id"));
    let by_hand = json!({ "payout_mode": "manual" });
    scene.world.admin().change(&merchant, &by_hand).await;
    scene.world.later(1);
    let finance = scene.world.staff(Role::Finance).await;
    let settlement = settle(&finance).await;
    let path = format!("/admin/settlements/{settlement}");
    let settled = finance.read(&path).await;
    assert_fields!(settled, { "gross": paid, "net": paid - fee });
    let statement = finance.get(&format!("{path}/statement.csv")).await;
    let statement = String::from_utf8(statement.expect(200).body.to_vec()).unwrap();
    let line = format!(",{paid},{fee},{}", paid - fee);
    assert!(statement.contains(&line), "{statement}");

    // All of it is refunded, tip included.
    let refund = json!({ "reason": "the wrong coffee" });
    let path = format!("/admin/transactions/{id}/refund");
    let refunded = finance.post_once(&path, &refund).await.expect(200);
    assert_eq!(refunded.data()["status"], "reversed");
    let asked = scene.api.requests("qr-mpm-refund");
    assert_eq!(asked[0]["refundAmount"]["value"], format!("{paid}.00"));
    ledger::must_balance(&scene.world.pool).await;
}

#[tokio::test]
async fn a_fixed_tip_is_paid_booked_announced_and_settled() {
    is_paid_with_a_tip("5502025603500", "fixed", 21_504, 21_504).await;
}

#[tokio::test]
async fn a_percentage_is_paid_booked_announced_and_settled() {
    // 2.5 % of 21,004 are 525.1.
    is_paid_with_a_tip("55020357032.5", "percentage", 21_529, 21_529).await;
}

#[tokio::test]
async fn a_free_tip_is_paid_booked_announced_and_settled() {
    is_paid_with_a_tip("550201", "free", ASKED, 25_000).await;
}

#[tokio::test]
async fn a_free_tip_may_be_nothing() {
    is_paid_with_a_tip("550201", "free", ASKED, ASKED).await;
}

#[tokio::test]
async fn an_amount_that_the_tip_does_not_explain_changes_nothing() {
    for (tags, wrong) in [
        ("5502025603500", &[ASKED, 500, 21_503, 21_505][..]),
        ("55020357032.5", &[ASKED, 21_528, 21_530]),
        ("550201", &[ASKED - 1, 1]),
    ] {
        let scene = Scene::open(tags).await;
        let id = scene.code("r1").await;
        let before = Snapshot::take(&scene.world.pool).await;
        for amount in wrong {
            let answer = scene.pay(id, *amount).await;
            assert_eq!(answer, "4095200", "{tags}: {amount}");
        }
        let changes = before.changes(&scene.world.pool).await;
        for untouched in ["transactions", "postings", "notifications"] {
            assert!(!changes.contains_key(untouched), "{tags}: {changes:?}");
        }
        let wrong = i64::try_from(wrong.len()).unwrap();
        assert_eq!(changes.get("incidents"), Some(&wrong), "{tags}");
    }
}

#[tokio::test]
async fn a_refusal_may_name_what_was_asked_or_what_was_due() {
    let scene = Scene::open("5502025603500").await;
    for (request, amount) in [("r1", ASKED), ("r2", 21_504)] {
        let id = scene.code(request).await;
        let refused = notification(id, amount, &reference(), "06");
        scene.partner.send_ok(&refused).await;
        assert_eq!(transaction(&scene.world, id).await["status"], "failed");
    }
}

#[tokio::test]
async fn a_code_whose_tip_cannot_be_understood_is_never_shown() {
    for tags in [
        "550204",
        "550202",
        "55020256010",
        "5502035703100",
        "5603500",
        // Within the limit of a payment without its tip, and beyond it with it.
        "55020256079980000",
        "550202560899800000",
    ] {
        let scene = Scene::open(tags).await;
        let wanted = json!({ "amount": ASKED, "currency": "IDR", "request_id": "r1" });
        let credentials = &scene.soundbox.credentials;
        let answer = credentials.ask_qr(&scene.world, "r1", &wanted).await;
        assert!(answer.status >= 400, "{tags}: {answer}");
        let shown = "transactions WHERE qr_payload IS NOT NULL";
        assert_eq!(scene.world.rows(shown).await, 0, "{tags}");
    }
}
