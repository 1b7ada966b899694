//! A suspended merchant: nobody is told to pay it, it starts no payments, and no money is lost.

use domain::role::Role;
use platform::config::Switch;
use serde_json::{Value, json};
use tests::acquirer::reference;
use tests::bank::{Mood, word};
use tests::shop::text;
use tests::{Answer, Api, Bank, Credentials, Shop, World, eventually};

/// A shop that is owed 99,300, and the bank that pays it.
struct Stage {
    world: World,
    bank: Bank,
    shop: Shop,
    till: Credentials,
    finance: Api,
}

impl Stage {
    async fn new(mood: Mood) -> Self {
        let bank = Bank::open(mood).await;
        let world = World::with(|config| bank.configure(config)).await;
        let shop = Shop::open(&world, "Warung Sari", 1).await;
        let till = Credentials::at(&world, shop.till().id).await;
        till.sell(&world, 100_000).await;
        world.later(1);
        let finance = world.staff(Role::Finance).await;
        Self {
            world,
            bank,
            shop,
            till,
            finance,
        }
    }

    async fn act(&self, action: &str, body: &Value) -> Answer {
        let path = format!("/admin/merchants/{}/{action}", self.shop.merchant_id);
        self.world.admin().post(&path, body).await
    }

    async fn suspend(&self) {
        let reason = json!({ "reason": "a complaint" });
        let suspended = self.act("suspend", &reason).await.expect(200).data();
        assert_eq!(
            (&suspended["status"], &suspended["status_reason"]),
            (&json!("suspended"), &json!("a complaint"))
        );
    }

    async fn reactivate(&self) {
        let back = self.act("reactivate", &json!({})).await.expect(200).data();
        assert_eq!(
            (&back["status"], &back["status_reason"]),
            (&json!("approved"), &Value::Null)
        );
    }

    async fn read(&self, id: &str) -> Value {
        let path = format!("/admin/settlements/{id}");
        self.finance.get(&path).await.expect(200).data()
    }

    async fn becomes(&self, id: &str, status: &str) -> Value {
        eventually(status, || async {
            self.world.later(1);
            let settlement = self.read(id).await;
            (settlement["status"] == status).then_some(settlement)
        })
        .await
    }

    /// Gives the worker every reason to pay.
    async fn work(&self) {
        for _ in 0..3 {
            self.world.later(60);
            platform::service::money::payout::work(self.world.app().context(), 1_000)
                .await
                .unwrap();
        }
    }

    async fn alerts(&self, kind: &str) -> Vec<Value> {
        let path = format!("/admin/alerts?state=open&kind={kind}");
        let list = self.world.admin().get(&path).await.expect(200).data();
        list.as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn payouts_of_a_suspended_merchant_are_held_and_paid_when_that_is_over() {
    let stage = Stage::new(Mood::Prompt).await;
    stage.suspend().await;
    assert!(
        stage.alerts("payout_held").await.is_empty(),
        "nothing is held yet"
    );
    // What it is owed is settled, and goes nowhere.
    let id = tests::books::settle(&stage.finance).await;
    stage.work().await;
    let held = stage.read(&id).await;
    for value in [&held, &held["payouts"][0]] {
        assert_eq!(
            (&value["status"], &value["hold_reason"]),
            (&json!("pending"), &json!("merchant_suspended"))
        );
    }
    let listed = stage
        .finance
        .get("/admin/settlements")
        .await
        .expect(200)
        .data();
    assert_eq!(listed[0]["hold_reason"], "merchant_suspended");
    assert!(stage.bank.transfers().is_empty());
    let alerts = stage.alerts("payout_held").await;
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0]["subject"], json!(stage.shop.merchant_id));

    stage.reactivate().await;
    assert!(stage.alerts("payout_held").await.is_empty());
    let paid = stage.becomes(&id, "paid").await;
    assert_eq!(paid["hold_reason"], Value::Null);
    assert_eq!(stage.bank.paid(), 99_300);
    crate::money::adds_up(&stage.world).await;
}

#[tokio::test]
async fn what_the_bank_was_told_of_before_goes_its_way_and_what_failed_waits() {
    let stage = Stage::new(Mood::Busy).await;
    let id = tests::books::settle(&stage.finance).await;
    let payout = text(&stage.becomes(&id, "processing").await["payouts"][0], "id");
    eventually("the bank is told", || async {
        stage.bank.transfers().get(&payout).cloned()
    })
    .await;
    stage.suspend().await;
    let failed = word(&id, "failed", 99_300, "none");
    let answer = Bank::tell(&stage.world, &failed).await.expect(200).data();
    assert_eq!(answer["verdict"], "accepted");
    stage.bank.decides("failed");
    stage.bank.becomes(Mood::Prompt);
    let retry = format!("/admin/settlements/{id}/retry-payout");
    let retried = stage
        .finance
        .post_once(&retry, &json!({}))
        .await
        .expect(202);
    assert_eq!(retried.data()["hold_reason"], "merchant_suspended");
    assert_eq!(stage.alerts("payout_held").await.len(), 1);
    stage.work().await;
    assert_eq!(stage.bank.transfers().len(), 1);
    // By the way that an operator knew before.
    let path = format!("/admin/merchants/{}", stage.shop.merchant_id);
    let again = json!({ "status": "approved" });
    let _ = stage.world.admin().patch(&path, &again).await.expect(200);
    assert!(stage.alerts("payout_held").await.is_empty());
    stage.becomes(&id, "paid").await;
    crate::money::adds_up(&stage.world).await;
}

#[tokio::test]
async fn nobody_notes_by_hand_that_a_suspended_merchant_was_paid() {
    let stage = Stage::new(Mood::Busy).await;
    let path = format!("/admin/merchants/{}", stage.shop.merchant_id);
    let manual = json!({ "payout_mode": "manual" });
    let _ = stage.world.admin().patch(&path, &manual).await.expect(200);
    let id = tests::books::settle(&stage.finance).await;
    stage.suspend().await;
    assert_eq!(stage.alerts("payout_held").await.len(), 1);
    assert_eq!(stage.read(&id).await["hold_reason"], "merchant_suspended");
    let mark = format!("/admin/settlements/{id}/mark-paid");
    let body = json!({ "bank_reference": "TRX-1" });
    stage
        .finance
        .post_once(&mark, &body)
        .await
        .refused(409, "INVALID_STATE");
    stage.reactivate().await;
    let _ = stage.finance.post_once(&mark, &body).await.expect(200);
}

#[tokio::test]
async fn it_starts_no_payments_and_its_printed_codes_money_is_kept() {
    let stage = Stage::new(Mood::Busy).await;
    let (world, shop) = (&stage.world, &stage.shop);
    let before = stage.till.qr(world, 25_000).await.transaction_id;
    let heard = stage.till.notifications(world).await.len();
    stage.suspend().await;
    for reason in [json!({}), json!({ "reason": " " })] {
        assert_eq!(stage.act("suspend", &reason).await.status, 422);
    }
    stage
        .act("suspend", &json!({ "reason": "again" }))
        .await
        .refused(409, "INVALID_STATE");
    let request = json!({ "request_id": "after", "terminal_id": shop.till().id, "amount": 5_000, "currency": "IDR" });
    stage
        .till
        .ask_qr(world, "after", &request)
        .await
        .refused(409, "INVALID_STATE");

    let printed = json!({
        "event_id": "e-printed", "nmid": shop.nmid, "terminal_label": shop.till().label, "partner_reference": reference(),
        "amount": 40_000, "currency": "IDR", "status": "success", "paid_at": world.clock.now(),
    });
    let kept = world.acquirer().tell(&printed).await.expect(200).data();
    assert_eq!(kept["verdict"], "unmatched");
    let open = "/admin/unmatched-payments?status=open";
    let money = world.admin().get(open).await.expect(200).data()[0].take();
    assert_eq!(
        (&money["reason"], &money["amount"]),
        (&json!("merchant_suspended"), &json!(40_000))
    );
    let assign = format!("/admin/unmatched-payments/{}/assign", text(&money, "id"));
    let terminal = json!({ "terminal_id": shop.till().id });
    stage
        .finance
        .post(&assign, &terminal)
        .await
        .refused(409, "INVALID_STATE");

    // Money for a code of the time before is booked; nothing new is said of it.
    let paid = world
        .acquirer()
        .pays(before, 25_000)
        .await
        .expect(200)
        .data();
    assert_eq!(paid["status"], "paid");
    assert_eq!(stage.till.notifications(world).await.len(), heard);
    let alerts = stage.alerts("unannounced_payment").await;
    assert!(
        alerts
            .iter()
            .any(|alert| alert["details"]["reason"] == "merchant_suspended"
                && alert["details"]["transaction_id"] == json!(before)),
        "{alerts:?}"
    );

    let again = format!("/admin/transactions/{before}/retry-notification");
    world
        .admin()
        .post(&again, &json!({}))
        .await
        .refused(409, "INVALID_STATE");
    assert_eq!(stage.till.notifications(world).await.len(), heard);

    stage.reactivate().await;
    let assigned = stage
        .finance
        .post(&assign, &terminal)
        .await
        .expect(200)
        .data();
    assert_eq!(assigned["status"], "assigned");
    stage.till.qr(world, 5_000).await;
    crate::money::adds_up(world).await;
}

#[tokio::test]
async fn suspending_is_for_operators_and_is_audited() {
    let stage = Stage::new(Mood::Busy).await;
    let path = format!("/admin/merchants/{}/suspend", stage.shop.merchant_id);
    let reason = json!({ "reason": "a complaint" });
    for role in [Role::Finance, Role::Support] {
        stage
            .world
            .staff(role)
            .await
            .post(&path, &reason)
            .await
            .refused(403, "FORBIDDEN");
    }
    let ops = stage.world.staff(Role::Ops).await;
    let _ = ops.post(&path, &reason).await.expect(200);
    stage.reactivate().await;
    let path = format!("/admin/audit-logs?entity={}", stage.shop.merchant_id);
    let log = stage.world.admin().get(&path).await.expect(200).data();
    let actions: Vec<_> = log
        .as_array()
        .unwrap()
        .iter()
        .map(|row| text(row, "action"))
        .collect();
    assert_eq!(actions[..2], ["merchant.reactivate", "merchant.suspend"]);
    assert_eq!(log[1]["after"]["status_reason"], "a complaint");
}

#[tokio::test]
async fn the_alert_of_held_payouts_stays_open_until_none_is_held() {
    let bank = Bank::open(Mood::Prompt).await;
    let world = World::with(|config| {
        bank.configure(config);
        config.money.maker_checker = Switch::On;
    })
    .await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let till = Credentials::at(&world, shop.till().id).await;
    let (ani, budi) = (
        world.person(Role::Admin).await,
        world.person(Role::Admin).await,
    );
    let act = async |action: &str| {
        let path = format!("/admin/merchants/{}/{action}", shop.merchant_id);
        let body = match action {
            "suspend" => json!({ "reason": "a complaint" }),
            _ => json!({}),
        };
        let _ = ani.post(&path, &body).await.expect(200);
    };
    let open_alerts = async || {
        let path = "/admin/alerts?state=open&kind=payout_held";
        let list = ani.get(path).await.expect(200).data();
        list.as_array().unwrap().len()
    };
    let confirm = async || {
        let pending = "/admin/approvals?status=pending&kind=payout.account";
        let proposal = text(&ani.get(pending).await.expect(200).data()[0], "id");
        let path = format!("/admin/approvals/{proposal}/approve");
        let _ = budi.post(&path, &json!({})).await.expect(200);
    };
    till.sell(&world, 10_000).await;
    world.later(1);
    let first = tests::books::settle(&ani).await;
    assert_eq!(open_alerts().await, 1, "the account is not confirmed");
    let held = ani.get("/admin/alerts?state=open&kind=payout_held").await;
    let path = format!(
        "/admin/alerts/{}/acknowledge",
        text(&held.expect(200).data()[0], "id")
    );
    let _ = ani.post(&path, &json!({})).await.expect(200);
    platform::service::alert::check(world.app().context(), 100)
        .await
        .unwrap();
    assert_eq!(open_alerts().await, 1, "an acknowledgement does not end it");

    act("suspend").await;
    act("reactivate").await;
    assert_eq!(open_alerts().await, 1, "it is still not confirmed");
    act("suspend").await;
    confirm().await;
    assert_eq!(open_alerts().await, 1, "the merchant is still suspended");
    act("reactivate").await;
    assert_eq!(open_alerts().await, 0);
    eventually("the payout paid", || async {
        world.later(1);
        let path = format!("/admin/settlements/{first}");
        let settlement = ani.get(&path).await.expect(200).data();
        (settlement["status"] == "paid").then_some(())
    })
    .await;
}
