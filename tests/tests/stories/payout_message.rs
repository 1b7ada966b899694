//! Messages of the payout partner: what was answered once has no effect again, and a bank reference is one transfer's.

use domain::role::Role;
use serde_json::{Value, json};
use tests::bank::{Mood, word};
use tests::books::{self, settle};
use tests::shop::text;
use tests::{Api, Bank, Credentials, Shop, World, eventually};

/// Shops whose payouts a bank makes that speaks by callbacks alone.
struct Stage {
    world: World,
    finance: Api,
    till: Credentials,
    _bank: Bank,
}

impl Stage {
    async fn new() -> Self {
        let bank = Bank::open(Mood::Busy).await;
        let world = World::with(|config| bank.configure_deaf(config)).await;
        let shop = Shop::open(&world, "Warung Sari", 1).await;
        let till = Credentials::at(&world, shop.till().id).await;
        let finance = world.staff(Role::Finance).await;
        Self {
            world,
            finance,
            till,
            _bank: bank,
        }
    }

    /// A settlement whose payout is under way: its id and its net.
    async fn settlement(&self) -> (String, i64) {
        self.till.sell(&self.world, 100_000).await;
        self.world.later(1);
        let id = settle(&self.finance).await;
        self.newest(&id, "processing").await;
        (id, 99_300)
    }

    async fn read(&self, id: &str) -> Value {
        let path = format!("/admin/settlements/{id}");
        self.finance.get(&path).await.expect(200).data()
    }

    /// Waits until the newest payout stands there, and says which that is.
    async fn newest(&self, id: &str, status: &str) -> String {
        eventually(status, || async {
            self.world.later(1);
            let settlement = self.read(id).await;
            let newest = settlement["payouts"].as_array().unwrap().last().cloned();
            newest
                .filter(|payout| payout["status"] == status)
                .map(|payout| text(&payout, "id"))
        })
        .await
    }

    async fn retry(&self, id: &str) -> String {
        let path = format!("/admin/settlements/{id}/retry-payout");
        let _ = self.finance.post_once(&path, &json!({})).await.expect(202);
        self.newest(id, "processing").await
    }

    async fn says(&self, body: &Value) -> (String, String) {
        let answer = Bank::tell(&self.world, body).await.expect(200).data();
        (text(&answer, "verdict"), text(&answer, "status"))
    }

    async fn incidents(&self, kind: &str) -> usize {
        let path = "/admin/incidents?limit=200";
        let list = self.world.admin().get(path).await.expect(200).data();
        let list = list.as_array().unwrap();
        list.iter().filter(|one| one["kind"] == kind).count()
    }
}

fn said(verdict: &str, status: &str) -> (String, String) {
    (verdict.to_owned(), status.to_owned())
}

#[tokio::test]
async fn a_message_that_contradicted_one_payout_does_not_pay_the_next() {
    let stage = Stage::new().await;
    let (id, net) = stage.settlement().await;
    let first = word(&id, "paid", net, "B-1");
    let other = word(&id, "paid", net, "B-2");
    let back = word(&id, "returned", net, "B-1");
    assert_eq!(stage.says(&first).await, said("accepted", "paid"));
    assert_eq!(stage.says(&other).await, said("ignored", "paid"));
    assert_eq!(stage.says(&back).await, said("accepted", "returned"));
    let second = stage.retry(&id).await;

    // The same bytes again, and the same news under a new name: they are about what they were about.
    assert_eq!(stage.says(&other).await, said("ignored", "processing"));
    assert_eq!(stage.says(&first).await, said("duplicate", "processing"));
    for reference in ["B-1", "B-2"] {
        let (_, status) = stage.says(&word(&id, "paid", net, reference)).await;
        assert_eq!(status, "processing", "{reference}");
    }
    assert_eq!(stage.incidents("contradicts_payout").await, 2);
    assert_eq!(stage.read(&id).await["payouts"][1]["status"], "processing");

    // What is new is about the second, with and without its id.
    let mut paid = word(&id, "paid", net, "B-3");
    paid["payout_id"] = json!(second);
    assert_eq!(stage.says(&paid).await, said("accepted", "paid"));
    assert_eq!(
        stage.says(&word(&id, "returned", net, "B-3")).await,
        said("accepted", "returned")
    );
    // One name carries one message.
    let mut changed = paid.clone();
    changed["bank_reference"] = json!("B-4");
    Bank::tell(&stage.world, &changed)
        .await
        .refused(409, "DUPLICATE_REQUEST");
    assert_eq!(stage.incidents("payout_event_reused").await, 1);
    crate::money::adds_up(&stage.world).await;
}

#[tokio::test]
async fn a_refused_message_is_refused_again_and_makes_one_incident() {
    let stage = Stage::new().await;
    let (id, net) = stage.settlement().await;
    let wrong = word(&id, "paid", net + 1, "B-1");
    let unknown = word("set_0190f3a1c0de7abc8def0123456789ab", "paid", net, "B-1");
    for _ in 0..3 {
        Bank::tell(&stage.world, &wrong)
            .await
            .refused(409, "INVALID_STATE");
        Bank::tell(&stage.world, &unknown)
            .await
            .refused(404, "SETTLEMENT_NOT_FOUND");
    }
    for kind in ["payout_amount_mismatch", "unknown_settlement"] {
        assert_eq!(stage.incidents(kind).await, 1, "{kind}");
    }
    let alerts = "/admin/alerts?state=open&kind=incident";
    let alerts = stage.world.admin().get(alerts).await.expect(200).data();
    assert_eq!(alerts[0]["subject"], "partner:bank");
    assert_eq!(
        stage.says(&word(&id, "paid", net, "B-1")).await,
        said("accepted", "paid")
    );
}

#[tokio::test]
async fn a_bank_reference_belongs_to_one_payout() {
    let stage = Stage::new().await;
    let (one, net) = stage.settlement().await;
    let (two, _) = stage.settlement().await;
    assert_eq!(
        stage.says(&word(&one, "paid", net, "B-1")).await,
        said("accepted", "paid")
    );
    for status in ["paid", "failed", "returned"] {
        let body = word(&two, status, net, "B-1");
        assert_eq!(
            stage.says(&body).await,
            said("held", "processing"),
            "{status}"
        );
        assert_eq!(
            stage.says(&body).await,
            said("held", "processing"),
            "again {status}"
        );
    }
    assert_eq!(stage.incidents("bank_reference_reused").await, 3);
    assert_eq!(
        stage.says(&word(&two, "paid", net, "B-2")).await,
        said("accepted", "paid")
    );

    // Two first uses at once: one of them has it.
    let (three, _) = stage.settlement().await;
    let (four, _) = stage.settlement().await;
    let words = [
        word(&three, "paid", net, "B-9"),
        word(&four, "paid", net, "B-9"),
    ];
    let answers = futures_util::future::join_all(words.iter().map(|body| stage.says(body))).await;
    let accepted = answers
        .iter()
        .filter(|(verdict, _)| verdict == "accepted")
        .count();
    let held = answers
        .iter()
        .filter(|(verdict, _)| verdict == "held")
        .count();
    assert_eq!((accepted, held), (1, 1), "{answers:?}");
    crate::money::adds_up(&stage.world).await;
}

#[tokio::test]
async fn a_late_word_that_names_no_payout_and_may_be_of_two_is_held() {
    let stage = Stage::new().await;
    let (id, net) = stage.settlement().await;
    let mut back = word(&id, "returned", net, "");
    back["bank_reference"] = Value::Null;
    assert_eq!(stage.says(&back).await, said("accepted", "returned"));
    let second = stage.retry(&id).await;
    // That the first was paid was never said.
    let late = word(&id, "paid", net, "B-1");
    assert_eq!(stage.says(&late).await, said("held", "processing"));
    assert_eq!(stage.incidents("payout_not_named").await, 1);
    let mut paid = word(&id, "paid", net, "B-2");
    paid["payout_id"] = json!(second);
    assert_eq!(stage.says(&paid).await, said("accepted", "paid"));
    assert_eq!(stage.says(&late).await, said("held", "paid"));
}

#[tokio::test]
async fn a_clock_that_cannot_be_right_is_an_incident_and_never_counts() {
    let stage = Stage::new().await;
    for (occurred_at, far_off) in [
        ("9999-12-31T23:59:59Z", true),
        ("1970-01-01T00:00:00Z", true),
        ("2026-05-24T09:00:00+07:00", false),
    ] {
        let before = stage.incidents("payout_clock_far_off").await;
        let (id, net) = stage.settlement().await;
        let mut body = word(&id, "paid", net, &format!("B-{id}"));
        body["occurred_at"] = json!(occurred_at);
        assert_eq!(
            stage.says(&body).await,
            said("accepted", "paid"),
            "{occurred_at}"
        );
        let came = stage.incidents("payout_clock_far_off").await - before;
        assert_eq!(came, usize::from(far_off), "{occurred_at}");
    }
    let ahead = "SELECT count(*) FROM payout_events WHERE occurred_at > at OR occurred_at < at - interval '367 days'";
    assert_eq!(books::count(&stage.world.pool, ahead).await, 0);
}

#[tokio::test]
async fn a_verified_message_that_cannot_be_read_is_kept_as_an_incident() {
    let stage = Stage::new().await;
    let (id, net) = stage.settlement().await;
    for (field, value) in [
        ("settlement_id", json!("set_1")),
        ("status", json!("lost")),
        ("payout_id", json!("pay_1")),
        ("amount", json!("50.000")),
    ] {
        let before = stage.incidents("unreadable_payout_message").await;
        let mut body = word(&id, "paid", net, "B-1");
        body[field] = value;
        let answer = Bank::tell(&stage.world, &body).await;
        assert_eq!(answer.status, 422, "{field}: {answer}");
        let after = stage.incidents("unreadable_payout_message").await;
        assert_eq!(after, before + 1, "{field}");
    }
    let kept = "SELECT count(*) FROM callbacks WHERE route = 'bank/payout-callback' AND partner_id = 'bank' AND verdict = 'rejected'";
    assert_eq!(books::count(&stage.world.pool, kept).await, 4);
    assert_eq!(stage.read(&id).await["status"], "processing");
}

#[tokio::test]
async fn what_does_not_decide_never_refuses_a_message() {
    let stage = Stage::new().await;
    let odd: [(&str, &[Value]); 4] = [
        (
            "event_id",
            &[Value::Null, json!(""), json!(7), json!("x".repeat(300))],
        ),
        ("occurred_at", &[Value::Null, json!("yesterday"), json!([])]),
        ("bank_reference", &[Value::Null, json!(" "), json!(4711)]),
        ("status", &[json!("PAID")]),
    ];
    for (field, values) in odd {
        for value in values {
            let (id, net) = stage.settlement().await;
            let mut body = word(&id, "paid", net, &format!("B-{id}"));
            body[field] = value.clone();
            assert_eq!(
                stage.says(&body).await,
                said("accepted", "paid"),
                "{field}: {value}"
            );
            assert_eq!(stage.says(&body).await, said("duplicate", "paid"), "again");
        }
    }
    // The same message with another time is the same message.
    let (id, net) = stage.settlement().await;
    let mut body = word(&id, "failed", net, "B-1");
    assert_eq!(stage.says(&body).await, said("accepted", "failed"));
    body["occurred_at"] = json!("2026-05-24T09:00:05+07:00");
    assert_eq!(stage.says(&body).await, said("duplicate", "failed"));
    assert_eq!(stage.incidents("payout_event_reused").await, 0);
    crate::money::adds_up(&stage.world).await;
}
