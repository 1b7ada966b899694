//! Callbacks of the payout partner: one that was answered has no effect again, and a bank reference belongs to one payout.

use tests::payout_partner::{Behaviour, payout_callback};
use tests::prelude::*;

/// Payouts of a partner that only sends callbacks.
struct Scene(Payouts);

impl Scene {
    async fn new() -> Self {
        let configure = PayoutPartner::configure_callbacks_only;
        Self(Payouts::with(Behaviour::Accepts, configure).await)
    }

    /// A settlement whose payout is in processing: its id and its net.
    async fn settlement(&self) -> (String, i64) {
        self.0.sell(&[100_000]).await;
        let id = self.0.run().await;
        self.newest(&id, "processing").await;
        (id, 99_300)
    }

    async fn read(&self, id: &str) -> Value {
        self.0.read(id).await
    }

    /// Waits for a status of the newest payout; its id.
    async fn newest(&self, id: &str, status: &str) -> String {
        eventually(status, || async {
            self.0.world.later(1);
            let settlement = self.read(id).await;
            let newest = settlement["payouts"].as_array().unwrap().last().cloned();
            newest
                .filter(|payout| payout["status"] == status)
                .map(|payout| text(&payout, "id"))
        })
        .await
    }

    async fn retry(&self, id: &str) -> String {
        let _ = self.0.retry(id).await.expect(202);
        self.newest(id, "processing").await
    }

    async fn send(&self, body: &Value) -> (String, String) {
        let answer = PayoutPartner::send(&self.0.world, body).await;
        let answer = answer.expect(200).data();
        (text(&answer, "verdict"), text(&answer, "status"))
    }

    /// Sends a callback, which must be answered so.
    async fn answers(&self, body: &Value, verdict: &str, status: &str) {
        let expected = (verdict.to_owned(), status.to_owned());
        assert_eq!(self.send(body).await, expected, "{body}");
    }

    async fn incidents(&self, kind: &str) -> usize {
        let path = "/admin/incidents?limit=200";
        let list = self.0.world.admin().list(path).await;
        list.iter().filter(|one| one["kind"] == kind).count()
    }
}

#[tokio::test]
async fn a_message_that_contradicted_one_payout_does_not_pay_the_next() {
    let scene = Scene::new().await;
    let (id, net) = scene.settlement().await;
    let first = payout_callback(&id, "paid", net, "B-1");
    let other = payout_callback(&id, "paid", net, "B-2");
    let back = payout_callback(&id, "returned", net, "B-1");
    scene.answers(&first, "accepted", "paid").await;
    scene.answers(&other, "ignored", "paid").await;
    scene.answers(&back, "accepted", "returned").await;
    let second = scene.retry(&id).await;

    // The same bytes again, and the same content with a new event id: both are about the same payout as before.
    scene.answers(&other, "ignored", "processing").await;
    scene.answers(&first, "duplicate", "processing").await;
    for reference in ["B-1", "B-2"] {
        let again = payout_callback(&id, "paid", net, reference);
        let (_, status) = scene.send(&again).await;
        assert_eq!(status, "processing", "{reference}");
    }
    assert_eq!(scene.incidents("contradicts_payout").await, 2);
    assert_eq!(scene.read(&id).await["payouts"][1]["status"], "processing");

    // New callbacks are about the second, with and without its id.
    let mut paid = payout_callback(&id, "paid", net, "B-3");
    paid["payout_id"] = json!(second);
    scene.answers(&paid, "accepted", "paid").await;
    scene
        .answers(
            &payout_callback(&id, "returned", net, "B-3"),
            "accepted",
            "returned",
        )
        .await;
    // An event id belongs to one message.
    let mut changed = paid.clone();
    changed["bank_reference"] = json!("B-4");
    PayoutPartner::send(&scene.0.world, &changed)
        .await
        .refused(DUPLICATE_REQUEST);
    assert_eq!(scene.incidents("payout_event_reused").await, 1);
    tests::ledger::must_verify(&scene.0.world).await;
}

#[tokio::test]
async fn a_refused_message_is_refused_again_and_makes_one_incident() {
    let scene = Scene::new().await;
    let (id, net) = scene.settlement().await;
    let wrong = payout_callback(&id, "paid", net + 1, "B-1");
    let unknown = payout_callback("set_0190f3a1c0de7abc8def0123456789ab", "paid", net, "B-1");
    for _ in 0..3 {
        PayoutPartner::send(&scene.0.world, &wrong)
            .await
            .refused(INVALID_STATE);
        PayoutPartner::send(&scene.0.world, &unknown)
            .await
            .refused(SETTLEMENT_NOT_FOUND);
    }
    for kind in ["payout_amount_mismatch", "unknown_settlement"] {
        assert_eq!(scene.incidents(kind).await, 1, "{kind}");
    }
    let alerts = "/admin/alerts?state=open&kind=incident";
    let alerts = scene.0.world.admin().read(alerts).await;
    assert_eq!(alerts[0]["subject"], "partner:bank");
    scene
        .answers(
            &payout_callback(&id, "paid", net, "B-1"),
            "accepted",
            "paid",
        )
        .await;
}

#[tokio::test]
async fn a_bank_reference_belongs_to_one_payout() {
    let scene = Scene::new().await;
    let (one, net) = scene.settlement().await;
    let (two, _) = scene.settlement().await;
    scene
        .answers(
            &payout_callback(&one, "paid", net, "B-1"),
            "accepted",
            "paid",
        )
        .await;
    for status in ["paid", "failed", "returned"] {
        let body = payout_callback(&two, status, net, "B-1");
        scene.answers(&body, "held", "processing").await;
        scene.answers(&body, "held", "processing").await;
    }
    assert_eq!(scene.incidents("bank_reference_reused").await, 3);
    scene
        .answers(
            &payout_callback(&two, "paid", net, "B-2"),
            "accepted",
            "paid",
        )
        .await;

    // Two first uses of a reference at once: one of them gets it.
    let (three, _) = scene.settlement().await;
    let (four, _) = scene.settlement().await;
    let words = [
        payout_callback(&three, "paid", net, "B-9"),
        payout_callback(&four, "paid", net, "B-9"),
    ];
    let answers = futures_util::future::join_all(words.iter().map(|body| scene.send(body))).await;
    let mut verdicts: Vec<_> = answers
        .iter()
        .map(|(verdict, _)| verdict.as_str())
        .collect();
    verdicts.sort_unstable();
    assert_eq!(verdicts, ["accepted", "held"]);
    tests::ledger::must_verify(&scene.0.world).await;
}

#[tokio::test]
async fn a_late_message_that_names_no_payout_and_may_be_of_two_is_held() {
    let scene = Scene::new().await;
    let (id, net) = scene.settlement().await;
    let mut back = payout_callback(&id, "returned", net, "");
    back["bank_reference"] = Value::Null;
    scene.answers(&back, "accepted", "returned").await;
    let second = scene.retry(&id).await;
    // No callback has reported the first as paid.
    let late = payout_callback(&id, "paid", net, "B-1");
    scene.answers(&late, "held", "processing").await;
    assert_eq!(scene.incidents("payout_not_named").await, 1);
    let mut paid = payout_callback(&id, "paid", net, "B-2");
    paid["payout_id"] = json!(second);
    scene.answers(&paid, "accepted", "paid").await;
    scene.answers(&late, "held", "paid").await;
}

#[tokio::test]
async fn a_clock_that_cannot_be_right_is_an_incident_and_never_counts() {
    let scene = Scene::new().await;
    for (occurred_at, far_off) in [
        ("9999-12-31T23:59:59Z", true),
        ("1970-01-01T00:00:00Z", true),
        ("2026-05-24T09:00:00+07:00", false),
    ] {
        let before = scene.incidents("payout_clock_far_off").await;
        let (id, net) = scene.settlement().await;
        let mut body = payout_callback(&id, "paid", net, &format!("B-{id}"));
        body["occurred_at"] = json!(occurred_at);
        scene.answers(&body, "accepted", "paid").await;
        let came = scene.incidents("payout_clock_far_off").await - before;
        assert_eq!(came, usize::from(far_off), "{occurred_at}");
    }
    let ahead = "payout_events WHERE occurred_at > at OR occurred_at < at - interval '367 days'";
    assert_eq!(scene.0.world.rows(ahead).await, 0);
}

#[tokio::test]
async fn a_verified_message_that_cannot_be_read_is_kept_as_an_incident() {
    let scene = Scene::new().await;
    let (id, net) = scene.settlement().await;
    for (field, value) in [
        ("settlement_id", json!("set_1")),
        ("status", json!("lost")),
        ("payout_id", json!("pay_1")),
        ("amount", json!("50.000")),
    ] {
        let before = scene.incidents("unreadable_payout_message").await;
        let mut body = payout_callback(&id, "paid", net, "B-1");
        body[field] = value;
        let answer = PayoutPartner::send(&scene.0.world, &body).await;
        assert_eq!(answer.status, 422, "{field}: {answer}");
        let after = scene.incidents("unreadable_payout_message").await;
        assert_eq!(after, before + 1, "{field}");
    }
    let kept = "callbacks WHERE route = 'bank/payout-callback' AND partner_id = 'bank' AND verdict = 'rejected'";
    assert_eq!(scene.0.world.rows(kept).await, 4);
    assert_eq!(scene.read(&id).await["status"], "processing");
}

#[tokio::test]
async fn what_does_not_decide_never_refuses_a_message() {
    let scene = Scene::new().await;
    let event_ids = [Value::Null, json!(""), json!(7), json!("x".repeat(300))];
    let odd: [(&str, &[Value]); 4] = [
        ("event_id", &event_ids),
        ("occurred_at", &[Value::Null, json!("yesterday"), json!([])]),
        ("bank_reference", &[Value::Null, json!(" "), json!(4711)]),
        ("status", &[json!("PAID")]),
    ];
    for (field, values) in odd {
        for value in values {
            let (id, net) = scene.settlement().await;
            let mut body = payout_callback(&id, "paid", net, &format!("B-{id}"));
            body[field] = value.clone();
            scene.answers(&body, "accepted", "paid").await;
            scene.answers(&body, "duplicate", "paid").await;
        }
    }
    // The same message with another time is the same message.
    let (id, net) = scene.settlement().await;
    let mut body = payout_callback(&id, "failed", net, "B-1");
    scene.answers(&body, "accepted", "failed").await;
    body["occurred_at"] = json!("2026-05-24T09:00:05+07:00");
    scene.answers(&body, "duplicate", "failed").await;
    assert_eq!(scene.incidents("payout_event_reused").await, 0);
    tests::ledger::must_verify(&scene.0.world).await;
}
