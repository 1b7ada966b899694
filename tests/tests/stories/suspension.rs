//! A suspended merchant: no payout is sent, no payments are started, and no money is lost.

use tests::payout_partner::{Behaviour, payout_callback};
use tests::prelude::*;

use crate::view::{confirm, open_alert, open_alerts, open_money};

/// A shop that is owed 99,300.
async fn sold(behaviour: Behaviour) -> Payouts {
    let payouts = Payouts::open(behaviour).await;
    payouts.sell(&[100_000]).await;
    payouts
}

async fn act(scene: &Payouts, action: &str, body: &Value) -> Answer {
    let path = format!("{}/{action}", scene.shop.path());
    scene.world.admin().post(&path, body).await
}

async fn suspend(scene: &Payouts) {
    let reason = json!({ "reason": "a complaint" });
    let suspended = act(scene, "suspend", &reason).await.expect(200).data();
    assert_fields!(suspended, { "status": "suspended", "status_reason": "a complaint" });
}

async fn reactivate(scene: &Payouts) {
    let back = act(scene, "reactivate", &json!({})).await;
    let back = back.expect(200).data();
    assert_fields!(back, { "status": "approved", "status_reason": null });
}

/// Lets the payout worker run several times.
async fn work(scene: &Payouts) {
    for _ in 0..3 {
        scene.world.later(60);
        let context = scene.world.app().context();
        service::money::payout::work(context, 1_000).await.unwrap();
    }
}

#[tokio::test]
async fn payouts_of_a_suspended_merchant_are_held_and_paid_when_that_is_over() {
    let scene = sold(Behaviour::Pays).await;
    suspend(&scene).await;
    // Nothing is held yet.
    assert!(open_alerts(&scene.world, "payout_held").await.is_empty());
    // What it is owed is settled, and not sent.
    let id = scene.run().await;
    work(&scene).await;
    let held = scene.read(&id).await;
    for value in [&held, &held["payouts"][0]] {
        assert_fields!(value, { "status": "pending", "hold_reason": "merchant_suspended" });
    }
    let listed = scene.finance.read("/admin/settlements").await;
    assert_eq!(listed[0]["hold_reason"], "merchant_suspended");
    assert!(scene.partner.transfers().is_empty());
    let alerts = open_alerts(&scene.world, "payout_held").await;
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0]["subject"], json!(scene.shop.merchant_id));

    reactivate(&scene).await;
    assert!(open_alerts(&scene.world, "payout_held").await.is_empty());
    let paid = scene.becomes(&id, "paid").await;
    assert_eq!(paid["hold_reason"], Value::Null);
    assert_eq!(scene.partner.paid(), 99_300);
    tests::ledger::must_verify(&scene.world).await;
}

#[tokio::test]
async fn what_was_sent_to_the_partner_before_goes_on_and_what_failed_waits() {
    let scene = sold(Behaviour::Accepts).await;
    let id = scene.run().await;
    let payout = text(&scene.becomes(&id, "processing").await["payouts"][0], "id");
    eventually("the instruction at the partner", || async {
        scene.partner.transfers().get(&payout).cloned()
    })
    .await;
    suspend(&scene).await;
    let failed = payout_callback(&id, "failed", 99_300, "none");
    let answer = PayoutPartner::send(&scene.world, &failed).await;
    assert_eq!(answer.expect(200).data()["verdict"], "accepted");
    scene.partner.decide("failed");
    scene.partner.set_behaviour(Behaviour::Pays);
    let retried = scene.retry(&id).await.expect(202);
    assert_eq!(retried.data()["hold_reason"], "merchant_suspended");
    assert_eq!(open_alerts(&scene.world, "payout_held").await.len(), 1);
    work(&scene).await;
    assert_eq!(scene.partner.transfers().len(), 1);
    // By PATCH, which is older than the suspend route.
    scene.shop.set_status(&scene.world, "approved").await;
    assert!(open_alerts(&scene.world, "payout_held").await.is_empty());
    scene.becomes(&id, "paid").await;
    tests::ledger::must_verify(&scene.world).await;
}

#[tokio::test]
async fn a_suspended_merchant_cannot_be_marked_as_paid() {
    let scene = sold(Behaviour::Accepts).await;
    let manual = json!({ "payout_mode": "manual" });
    scene.shop.change(&scene.world, manual).await;
    let id = scene.run().await;
    suspend(&scene).await;
    assert_eq!(open_alerts(&scene.world, "payout_held").await.len(), 1);
    assert_eq!(scene.read(&id).await["hold_reason"], "merchant_suspended");
    let mark = format!("/admin/settlements/{id}/mark-paid");
    let body = json!({ "bank_reference": "TRX-1" });
    assert_refused!(scene.finance.post_once(&mark, &body), INVALID_STATE);
    reactivate(&scene).await;
    let _ = scene.finance.post_once(&mark, &body).await.expect(200);
}

#[tokio::test]
async fn it_starts_no_payments_and_its_printed_codes_money_is_kept() {
    let scene = sold(Behaviour::Accepts).await;
    let (world, shop) = (&scene.world, &scene.shop);
    let before = scene.device.qr(world, 25_000).await.transaction_id;
    let heard = scene.device.notifications(world).await.len();
    suspend(&scene).await;
    for reason in [json!({}), json!({ "reason": " " })] {
        assert_eq!(act(&scene, "suspend", &reason).await.status, 422);
    }
    act(&scene, "suspend", &json!({ "reason": "again" }))
        .await
        .refused(INVALID_STATE);
    let request = json!({ "request_id": "after", "terminal_id": shop.terminal().id, "amount": 5_000, "currency": "IDR" });
    assert_refused!(scene.device.ask_qr(world, "after", &request), INVALID_STATE);

    let printed = shop.printed_payment(world, 40_000);
    assert_eq!(world.acquirer().verdict(&printed).await, "unmatched");
    let money = open_money(world).await.remove(0);
    assert_fields!(money, { "reason": "merchant_suspended", "amount": 40_000 });
    let assign = format!("/admin/unmatched-payments/{}/assign", text(&money, "id"));
    let terminal = json!({ "terminal_id": shop.terminal().id });
    assert_refused!(scene.finance.post(&assign, &terminal), INVALID_STATE);

    // A payment of an earlier code is booked, and not announced.
    let paid = world.acquirer().pay(before, 25_000).await;
    assert_eq!(paid.expect(200).data()["status"], "paid");
    assert_eq!(scene.device.notifications(world).await.len(), heard);
    let alerts = open_alerts(&scene.world, "unannounced_payment").await;
    let (reason, id) = (json!("merchant_suspended"), json!(before));
    let mut details = alerts.iter().map(|alert| &alert["details"]);
    assert!(
        details.any(|details| details["reason"] == reason && details["transaction_id"] == id),
        "{alerts:?}"
    );

    let again = format!("/admin/transactions/{before}/retry-notification");
    assert_refused!(world.admin().post(&again, &json!({})), INVALID_STATE);
    assert_eq!(scene.device.notifications(world).await.len(), heard);

    reactivate(&scene).await;
    let assigned = scene.finance.act(&assign, &terminal).await;
    assert_eq!(assigned["status"], "assigned");
    scene.device.qr(world, 5_000).await;
    tests::ledger::must_verify(world).await;
}

#[tokio::test]
async fn suspending_is_for_operators_and_is_audited() {
    let scene = sold(Behaviour::Accepts).await;
    let path = format!("/admin/merchants/{}/suspend", scene.shop.merchant_id);
    let reason = json!({ "reason": "a complaint" });
    for role in [Role::Finance, Role::Support] {
        let api = scene.world.staff(role).await;
        assert_refused!(api.post(&path, &reason), FORBIDDEN);
    }
    let ops = scene.world.staff(Role::Ops).await;
    ops.act(&path, &reason).await;
    reactivate(&scene).await;
    let path = format!("/admin/audit-logs?entity={}", scene.shop.merchant_id);
    let log = scene.world.admin().list(&path).await;
    let actions = texts(&log, "action");
    assert_eq!(actions[..2], ["merchant.reactivate", "merchant.suspend"]);
    assert_eq!(log[1]["after"]["status_reason"], "a complaint");
}

#[tokio::test]
async fn the_alert_of_held_payouts_stays_open_until_none_is_held() {
    let Payouts {
        world,
        partner: _partner,
        shop,
        device,
        ..
    } = Payouts::with(Behaviour::Pays, PayoutPartner::configure_two_people).await;
    let ani = world.person(Role::Admin).await;
    let budi = world.person(Role::Admin).await;
    let act = async |action: &str| {
        let path = format!("/admin/merchants/{}/{action}", shop.merchant_id);
        let body = match action {
            "suspend" => json!({ "reason": "a complaint" }),
            _ => json!({}),
        };
        ani.act(&path, &body).await;
    };
    let open_alerts = async || open_alerts(&world, "payout_held").await.len();
    device.sell(&world, 10_000).await;
    world.later(1);
    let first = tests::ledger::settle(&ani).await;
    assert_eq!(open_alerts().await, 1, "the account is not confirmed");
    let held = open_alert(&world, "payout_held").await;
    let path = format!("/admin/alerts/{}/acknowledge", text(&held, "id"));
    let _ = ani.post(&path, &json!({})).await.expect(200);
    let context = world.app().context();
    service::alert::check(context, 100).await.unwrap();
    assert_eq!(open_alerts().await, 1, "an acknowledgement does not end it");

    act("suspend").await;
    act("reactivate").await;
    assert_eq!(open_alerts().await, 1, "it is still not confirmed");
    act("suspend").await;
    let pending = "/admin/approvals?status=pending&kind=payout.account";
    let proposal = &ani.list(pending).await[0];
    let _ = confirm(&budi, proposal).await.expect(200);
    assert_eq!(open_alerts().await, 1, "the merchant is still suspended");
    act("reactivate").await;
    assert_eq!(open_alerts().await, 0);
    eventually("the payout paid", || async {
        world.later(1);
        let path = format!("/admin/settlements/{first}");
        let settlement = ani.read(&path).await;
        (settlement["status"] == "paid").then_some(())
    })
    .await;
}
