//! What was settled reaches the merchant's bank once, whatever the payout partner does.

use domain::role::Role;
use serde_json::{Value, json};
use tests::bank::{Mood, reference, word};
use tests::books::{self, Books};
use tests::shop::text;
use tests::{Answer, Api, Bank, Credentials, Shop, World, eventually};

/// A shop that has sold for 150,000 and is owed 148,950, and whoever runs the settlements.
struct Stage {
    world: World,
    bank: Bank,
    shop: Shop,
    finance: Api,
}

const NET: i64 = 148_950;

impl Stage {
    async fn new(mood: Mood) -> Self {
        Self::with(mood, Bank::configure).await
    }

    async fn with(mood: Mood, configure: fn(&Bank, &mut platform::config::Config)) -> Self {
        let bank = Bank::open(mood).await;
        let world = World::with(|config| configure(&bank, config)).await;
        let shop = Shop::open(&world, "Warung Sari", 1).await;
        let till = Credentials::at(&world, shop.till().id).await;
        till.sell(&world, 100_000).await;
        till.sell(&world, 50_000).await;
        world.later(1);
        let finance = world.staff(Role::Finance).await;
        Self {
            world,
            bank,
            shop,
            finance,
        }
    }

    /// One whose merchant is paid by people.
    async fn paid_by_hand() -> Self {
        let stage = Self::new(Mood::Prompt).await;
        let path = format!("/admin/merchants/{}", stage.shop.merchant_id);
        let manual = json!({ "payout_mode": "manual" });
        let _ = stage.world.admin().patch(&path, &manual).await.expect(200);
        stage
    }

    async fn run(&self) -> String {
        books::settle(&self.finance).await
    }

    async fn read(&self, id: &str) -> Value {
        let path = format!("/admin/settlements/{id}");
        self.finance.get(&path).await.expect(200).data()
    }

    /// Waits until the settlement stands there.
    async fn becomes(&self, id: &str, status: &str) -> Value {
        eventually(status, || async {
            // The worker's waits are of the platform's clock.
            self.world.later(1);
            let settlement = self.read(id).await;
            (settlement["status"] == status).then_some(settlement)
        })
        .await
    }

    async fn retry(&self, id: &str) -> Answer {
        let path = format!("/admin/settlements/{id}/retry-payout");
        self.finance.post_once(&path, &json!({})).await
    }

    /// Balances of the accounts of this shop: what is held, owed, earned and on its way, debits first.
    async fn balances(&self) -> [i64; 4] {
        let mut balances = [0; 4];
        let accounts = [
            "acquirer_held",
            "merchant_payable",
            "mdr",
            "payout_in_transit",
        ];
        for (balance, account) in balances.iter_mut().zip(accounts) {
            *balance = books::balance(&self.world.pool, account).await;
        }
        balances
    }
}

#[tokio::test]
async fn a_settlement_reaches_the_bank_and_every_rupiah_is_booked() {
    let stage = Stage::new(Mood::Busy).await;
    assert_eq!(stage.balances().await, [150_000, -148_950, -1_050, 0]);
    let id = stage.run().await;
    let settlement = stage.becomes(&id, "processing").await;
    let payout = &settlement["payouts"][0];
    let payout_id = text(payout, "id");
    for (field, value) in [
        ("attempt", json!(1)),
        ("amount", json!(NET)),
        ("partner_id", json!("bank")),
        ("destination", json!("bank:9876543210")),
        ("status", json!("processing")),
    ] {
        assert_eq!(payout[field], value, "{field}");
    }
    assert_eq!(stage.balances().await, [150_000, 0, -1_050, -148_950]);
    let told = eventually("the bank is told", || async {
        stage.bank.transfers().get(&payout_id).cloned()
    })
    .await;
    let destination = &told.instruction["destination"];
    assert_eq!(
        (destination, &told.instruction["amount"]),
        (&json!("bank:9876543210"), &json!(NET))
    );

    stage.bank.decides("paid");
    let paid = stage.becomes(&id, "paid").await;
    assert_eq!(paid["bank_reference"], json!(reference(&payout_id)));
    assert_eq!(stage.balances().await, [1_050, 0, -1_050, 0]);
    assert_eq!(stage.bank.transfers().len(), 1);
    books::must_balance(&stage.world.pool).await;
}

#[tokio::test]
async fn a_payout_whose_answer_was_lost_is_asked_about_and_not_paid_twice() {
    let stage = Stage::new(Mood::Mumbling).await;
    let id = stage.run().await;
    let paid = stage.becomes(&id, "paid").await;
    assert_eq!(paid["payouts"].as_array().unwrap().len(), 1);
    let transfers = stage.bank.transfers();
    assert_eq!(transfers.len(), 1);
    assert_eq!(transfers.values().next().unwrap().told, 1);
    assert!(stage.bank.asked() >= 1);

    // One that was not heard at all is told again, under the same id.
    let till = Credentials::at(&stage.world, stage.shop.till().id).await;
    till.sell(&stage.world, 10_000).await;
    stage.bank.becomes(Mood::Away);
    stage.world.later(1);
    let id = stage.run().await;
    let unheard = eventually("a try without an answer", || async {
        let settlement = stage.read(&id).await;
        settlement["payouts"][0]["reason"]
            .is_string()
            .then_some(settlement)
    })
    .await;
    assert_eq!(
        unheard["status"], "processing",
        "nobody knows whether it was heard"
    );
    stage
        .retry(&id)
        .await
        .refused(409, "SETTLEMENT_NOT_ELIGIBLE");
    stage.bank.becomes(Mood::Prompt);
    let paid = stage.becomes(&id, "paid").await;
    assert_eq!(paid["payouts"][0]["id"], unheard["payouts"][0]["id"]);
    assert_eq!(stage.bank.transfers().len(), 2);
    assert_eq!(stage.bank.paid(), NET + 9_930);
}

#[tokio::test]
async fn a_platform_that_dies_while_it_pays_out_pays_once() {
    let mut stage = Stage::new(Mood::Busy).await;
    let id = stage.run().await;
    let payout_id = eventually("the bank is told", || async {
        stage.bank.transfers().keys().next().cloned()
    })
    .await;
    stage.world.crash();
    stage.bank.decides("paid");
    stage.world.start().await;
    stage.finance = stage.world.staff(Role::Finance).await;
    let paid = stage.becomes(&id, "paid").await;
    assert_eq!(paid["payouts"][0]["id"], payout_id);
    assert_eq!(stage.bank.transfers().len(), 1);
    assert_eq!(stage.balances().await, [1_050, 0, -1_050, 0]);
}

#[tokio::test]
async fn a_payout_that_failed_is_tried_again_at_the_account_that_is_right_by_then() {
    let stage = Stage::new(Mood::Strict).await;
    let id = stage.run().await;
    let failed = stage.becomes(&id, "failed").await;
    assert_eq!(failed["status_reason"], "no such account");
    assert_eq!(stage.balances().await, [150_000, -148_950, -1_050, 0]);
    let path = format!("/admin/merchants/{}", stage.shop.merchant_id);
    let account = json!({ "payout_account_reference": "bank:111" });
    let _ = stage.world.admin().patch(&path, &account).await.expect(200);
    stage.bank.becomes(Mood::Prompt);
    let again = stage.retry(&id).await.expect(202).data();
    assert_eq!(
        (&again["status"], &again["payouts"][1]["destination"]),
        (&json!("pending"), &json!("bank:111"))
    );
    let paid = stage.becomes(&id, "paid").await;
    let statuses: Vec<_> = paid["payouts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| text(one, "status"))
        .collect();
    assert_eq!(statuses, ["failed", "paid"]);
    assert_eq!(stage.bank.paid(), NET);
    assert_eq!(stage.balances().await, [1_050, 0, -1_050, 0]);

    // It comes back from the merchant's bank, and is paid once more.
    let newest = text(&paid["payouts"][1], "id");
    stage.bank.decides_on(&newest, "returned");
    let back = word(&id, "returned", NET, &reference(&newest));
    let answer = Bank::tell(&stage.world, &back).await.expect(200).data();
    assert_eq!(
        (&answer["verdict"], &answer["status"]),
        (&json!("accepted"), &json!("returned"))
    );
    assert_eq!(stage.balances().await, [150_000, -148_950, -1_050, 0]);
    let _ = stage.retry(&id).await.expect(202);
    let paid = stage.becomes(&id, "paid").await;
    assert_eq!(paid["payouts"].as_array().unwrap().len(), 3);
    // The word of it comes again, and is still about the payout that it was about.
    let answer = Bank::tell(&stage.world, &back).await.expect(200).data();
    assert_eq!(
        (&answer["verdict"], &answer["payout_id"], &answer["status"]),
        (&json!("duplicate"), &json!(newest), &json!("paid"))
    );
    assert_eq!(stage.bank.paid(), NET);
    assert_eq!(stage.balances().await, [1_050, 0, -1_050, 0]);
}

#[tokio::test]
async fn before_it_is_paid_again_the_partner_is_asked_and_what_was_paid_after_all_is_not_paid_twice()
 {
    let stage = Stage::new(Mood::Busy).await;
    let id = stage.run().await;
    let first = text(&stage.becomes(&id, "processing").await["payouts"][0], "id");
    eventually("the bank is told", || async {
        stage.bank.transfers().get(&first).cloned()
    })
    .await;
    let _ = Bank::tell(&stage.world, &word(&id, "failed", NET, "none"))
        .await
        .expect(200);
    let _ = stage.retry(&id).await.expect(202);
    // The bank still has the first in hand: the second waits, and the bank knows nothing of it.
    eventually("the bank is asked", || async {
        stage.world.later(1);
        let settlement = stage.read(&id).await;
        (settlement["payouts"][1]["reason"] == "an earlier payout is still under way").then_some(())
    })
    .await;
    assert_eq!(stage.bank.transfers().len(), 1);
    stage.bank.decides("paid");
    let paid = stage.becomes(&id, "paid").await;
    let statuses: Vec<_> = paid["payouts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| text(one, "status"))
        .collect();
    assert_eq!(statuses, ["paid", "cancelled"]);
    assert_eq!(stage.bank.transfers().len(), 1);
    assert_eq!(stage.balances().await, [1_050, 0, -1_050, 0]);
}

#[tokio::test]
async fn retries_at_the_same_time_make_one_payout() {
    let stage = Stage::new(Mood::Strict).await;
    let id = stage.run().await;
    stage.becomes(&id, "failed").await;
    stage.bank.becomes(Mood::Prompt);
    let retries = futures_util::future::join_all((0..8).map(|_| stage.retry(&id))).await;
    let taken = retries.iter().filter(|answer| answer.status == 202).count();
    let refused = retries.iter().filter(|answer| answer.status == 409).count();
    assert_eq!((taken, refused), (1, 7));
    stage.becomes(&id, "paid").await;
    assert_eq!(stage.bank.paid(), NET);
    assert_eq!(stage.bank.transfers().len(), 2);
}

#[tokio::test]
async fn the_partners_words_are_taken_once_and_contradictions_change_nothing() {
    let stage = Stage::with(Mood::Busy, Bank::configure_deaf).await;
    let id = stage.run().await;
    let settlement = stage.becomes(&id, "processing").await;
    assert_eq!(settlement["payouts"].as_array().unwrap().len(), 1);
    let world = &stage.world;
    let incidents = "SELECT count(*) FROM incidents";

    // Not signed for this route, spoiled, another amount, somebody else's settlement.
    let paid = word(&id, "paid", NET, "B-1");
    let before = Books::open(&world.pool).await;
    let mut letter = Bank::sign(world, &paid);
    letter.body[10] ^= 1;
    Bank::post(world, &letter)
        .await
        .refused(401, "INVALID_SIGNATURE");
    let mut foreign = world
        .acquirer()
        .sign(paid.to_string().as_bytes(), world.clock.now());
    Bank::post(world, &foreign)
        .await
        .refused(401, "INVALID_SIGNATURE");
    foreign.partner = "bank".to_owned();
    Bank::post(world, &foreign)
        .await
        .refused(401, "INVALID_SIGNATURE");
    before
        .changed_only(&world.pool, &[("rejected_callbacks", 3)])
        .await;
    let mut old = Bank::sign(world, &paid);
    world.later(301);
    Bank::post(world, &old)
        .await
        .refused(401, "STALE_TIMESTAMP");
    old.body = b"{}".to_vec();
    Bank::post(world, &old)
        .await
        .refused(401, "INVALID_SIGNATURE");
    let mut more = paid.clone();
    more["amount"] = json!(NET + 1);
    Bank::tell(world, &more).await.refused(409, "INVALID_STATE");
    let unknown = word("set_0190f3a1c0de7abc8def0123456789ab", "paid", NET, "B-1");
    Bank::tell(world, &unknown)
        .await
        .refused(404, "SETTLEMENT_NOT_FOUND");
    assert_eq!(books::count(&world.pool, incidents).await, 2);
    assert_eq!(stage.read(&id).await["status"], "processing");

    // Paid, and said again: by the same message and by another one.
    let verdict = |answer: Answer| text(&answer.expect(200).data(), "verdict");
    assert_eq!(verdict(Bank::tell(world, &paid).await), "accepted");
    let books = Books::open(&world.pool).await;
    assert_eq!(verdict(Bank::tell(world, &paid).await), "duplicate");
    assert_eq!(
        verdict(Bank::tell(world, &word(&id, "paid", NET, "B-1")).await),
        "duplicate"
    );
    let changes = books.changes(&world.pool).await;
    let money = [
        "ledger_entries",
        "payouts",
        "payout_events",
        "settlements",
        "incidents",
    ];
    assert!(
        money.iter().all(|table| !changes.contains_key(*table)),
        "{changes:?}"
    );
    assert_eq!(changes["callbacks"], 2);
    let shown = stage.read(&id).await;
    assert_eq!(
        (&shown["status"], &shown["bank_reference"]),
        (&json!("paid"), &json!("B-1"))
    );

    // The same message says something else; another reference; failed after paid.
    let mut other = paid.clone();
    other["status"] = json!("failed");
    Bank::tell(world, &other)
        .await
        .refused(409, "DUPLICATE_REQUEST");
    assert_eq!(
        verdict(Bank::tell(world, &word(&id, "paid", NET, "B-2")).await),
        "ignored"
    );
    assert_eq!(
        verdict(Bank::tell(world, &word(&id, "failed", NET, "B-1")).await),
        "ignored"
    );
    assert_eq!(books::count(&world.pool, incidents).await, 5);
    assert_eq!(stage.read(&id).await["status"], "paid");
    stage
        .retry(&id)
        .await
        .refused(409, "SETTLEMENT_NOT_ELIGIBLE");
    assert_eq!(stage.balances().await, [1_050, 0, -1_050, 0]);

    // Returned: eight times at once, and once in the books.
    let back = word(&id, "returned", NET, "B-1");
    let words = (0..8).map(|_| Bank::tell(world, &back));
    let verdicts: Vec<_> = futures_util::future::join_all(words)
        .await
        .into_iter()
        .map(verdict)
        .collect();
    assert_eq!(
        verdicts
            .iter()
            .filter(|verdict| *verdict == "accepted")
            .count(),
        1
    );
    assert_eq!(stage.balances().await, [150_000, -148_950, -1_050, 0]);
    books::must_balance(&world.pool).await;
}

#[tokio::test]
async fn without_a_payout_partner_settlements_wait_for_one() {
    let bank = Bank::open(Mood::Prompt).await;
    let mut stage = Stage::with(Mood::Prompt, |_, _| {}).await;
    let id = stage.run().await;
    let waits = stage.read(&id).await;
    assert_eq!(
        (&waits["status"], &waits["payouts"]),
        (&json!("pending"), &json!([]))
    );
    assert_eq!(waits["status_reason"], "no payout partner is configured");
    stage
        .retry(&id)
        .await
        .refused(409, "SETTLEMENT_NOT_ELIGIBLE");
    stage.world.stop().await;
    stage.world.reconfigure(|config| bank.configure(config));
    stage.world.start().await;
    stage.finance = stage.world.staff(Role::Finance).await;
    stage.becomes(&id, "paid").await;
    assert_eq!(bank.paid(), NET);
}

#[tokio::test]
async fn what_people_pay_by_hand_they_mark_once() {
    let stage = Stage::paid_by_hand().await;
    let id = stage.run().await;
    assert_eq!(stage.read(&id).await["status"], "pending");
    let mark = format!("/admin/settlements/{id}/mark-paid");
    let nothing = json!({ "bank_reference": " " });
    stage
        .finance
        .post_once(&mark, &nothing)
        .await
        .refused(422, "VALIDATION_FAILED");
    let body = json!({ "bank_reference": "TRX-9" });
    let marks =
        futures_util::future::join_all((0..4).map(|_| stage.finance.post_once(&mark, &body))).await;
    assert_eq!(
        marks.iter().filter(|answer| answer.status == 200).count(),
        1
    );
    stage
        .finance
        .post_once(&mark, &body)
        .await
        .refused(409, "INVALID_STATE");
    let paid = stage.read(&id).await;
    assert_eq!(
        (&paid["status"], &paid["bank_reference"]),
        (&json!("paid"), &json!("TRX-9"))
    );
    assert_eq!(paid["payouts"][0]["partner_id"], Value::Null);
    assert_eq!(stage.bank.transfers().len(), 0);
    assert_eq!(stage.balances().await, [1_050, 0, -1_050, 0]);
    // Nobody but the partner speaks of what the partner pays, and it does not speak of this.
    Bank::tell(&stage.world, &word(&id, "returned", NET, "TRX-9"))
        .await
        .refused(404, "SETTLEMENT_NOT_FOUND");
}

#[tokio::test]
async fn what_came_back_of_a_payment_by_hand_is_owed_and_paid_again() {
    let stage = Stage::paid_by_hand().await;
    let id = stage.run().await;
    let (paid, returned, retry) = (
        format!("/admin/settlements/{id}/mark-paid"),
        format!("/admin/settlements/{id}/mark-returned"),
        format!("/admin/settlements/{id}/retry-payout"),
    );
    let reason = json!({ "reason": "account closed" });
    stage
        .finance
        .post_once(&returned, &reason)
        .await
        .refused(409, "INVALID_STATE");
    let first = json!({ "bank_reference": "TRX-9" });
    let _ = stage.finance.post_once(&paid, &first).await.expect(200);
    let marks =
        futures_util::future::join_all((0..4).map(|_| stage.finance.post_once(&returned, &reason)))
            .await;
    assert_eq!(
        marks.iter().filter(|answer| answer.status == 200).count(),
        1
    );
    let back = stage.read(&id).await;
    assert_eq!(
        (&back["status"], &back["status_reason"]),
        (&json!("returned"), &json!("account closed"))
    );
    // The acquirer holds it again, and it is the merchant's.
    assert_eq!(stage.balances().await, [150_000, -NET, -1_050, 0]);
    stage
        .finance
        .post_once(&retry, &json!({}))
        .await
        .refused(409, "SETTLEMENT_NOT_ELIGIBLE");
    let second = json!({ "bank_reference": "TRX-10" });
    let _ = stage.finance.post_once(&paid, &second).await.expect(200);
    assert_eq!(stage.read(&id).await["bank_reference"], "TRX-10");
    assert_eq!(stage.balances().await, [1_050, 0, -1_050, 0]);
    assert_eq!(stage.bank.transfers().len(), 0);
}
