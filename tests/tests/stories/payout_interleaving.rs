//! Callbacks about two payouts, in every order and any number of times: money is where the partner reports it, and a
//! callback that was answered once has no effect the second time.

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use service::money::{ledger, payout};
use tests::payout_partner::{Behaviour, payout_callback};
use tests::prelude::*;
use tests::seeds::seeds;

/// Seeds that are tried unless `SOUNDBOX_SEEDS` is set.
const CASES: u64 = 12;
/// After so many seeds the whole ledger is verified.
const VERIFY_EVERY: u64 = 20;

/// One settlement and its callbacks.
struct Case<'a> {
    world: &'a World,
    finance: &'a Api,
    random: StdRng,
    seed: u64,
    id: String,
    net: i64,
    /// Callbacks that were sent, and the status of the answers.
    sent: Vec<(Value, u16)>,
}

impl<'a> Case<'a> {
    async fn open(world: &'a World, finance: &'a Api, device: &Credentials, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let amount = random.random_range(1_000..=1_000_000);
        device.sell(world, amount).await;
        world.later(1);
        let id = settle(finance).await;
        let mut case = Self {
            world,
            finance,
            random,
            seed,
            id,
            net: 0,
            sent: Vec::new(),
        };
        case.net = case.read().await["net"].as_i64().unwrap();
        case.instructed().await;
        case
    }

    async fn read(&self) -> Value {
        let path = format!("/admin/settlements/{}", self.id);
        self.finance.read(&path).await
    }

    /// Waits until the partner has the newest payout; its id.
    async fn instructed(&self) -> String {
        eventually("the newest payout is under way", || async {
            self.world.later(1);
            let context = self.world.app().context();
            payout::work(context, 1_000).await.unwrap();
            let settlement = self.read().await;
            let newest = settlement["payouts"].as_array().unwrap().last().cloned();
            newest
                .filter(|payout| payout["status"] != "pending")
                .map(|payout| text(&payout, "id"))
        })
        .await
    }

    async fn retry(&self) -> Option<String> {
        let path = format!("/admin/settlements/{}/retry-payout", self.id);
        let answer = self.finance.post_once(&path, &json!({})).await;
        match answer.status {
            202 => Some(self.instructed().await),
            409 => None,
            _ => panic!("seed {}: {answer}", self.seed),
        }
    }

    fn may_retry(settlement: &Value) -> bool {
        settlement["status"] == "failed" || settlement["status"] == "returned"
    }

    /// All rows about the money of this settlement.
    async fn money(&self) -> String {
        let id: wire::SettlementId = self.id.parse().unwrap();
        sqlx::query_scalar(
            "SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
                 SELECT s::text FROM settlements s WHERE id = $1
                 UNION ALL SELECT p::text FROM payouts p WHERE settlement_id = $1
                 UNION ALL SELECT e::text FROM payout_events e JOIN payouts p ON p.id = e.payout_id WHERE settlement_id = $1
                 UNION ALL SELECT l::text FROM ledger_entries l
                     WHERE posting_id IN (SELECT posting_id FROM ledger_entries WHERE settlement_id = $1)) money (line)",
        )
        .bind(id.as_uuid())
        .fetch_one(&self.world.pool)
        .await
        .unwrap()
    }

    async fn send(&mut self, body: Value) {
        let answer = PayoutPartner::send(self.world, &body).await;
        let known = matches!(answer.status, 200 | 404 | 409);
        assert!(known, "seed {}: {answer}", self.seed);
        self.sent.push((body, answer.status));
    }

    /// Sends a callback again: the answer is the same, and nothing changes.
    async fn repeat(&self, index: usize) {
        let (body, status) = &self.sent[index];
        let before = self.money().await;
        let answer = PayoutPartner::send(self.world, body).await;
        let seed = self.seed;
        assert_eq!(answer.status, *status, "seed {seed}: {body}: {answer}");
        if answer.status == 200 {
            assert_ne!(answer.data()["verdict"], "accepted", "seed {seed}: {body}");
        }
        assert_eq!(self.money().await, before, "seed {seed}: {body}");
    }

    async fn repeat_one(&mut self) {
        if !self.sent.is_empty() {
            let index = self.random.random_range(0..self.sent.len());
            self.repeat(index).await;
        }
    }

    /// The callbacks of a correct partner about a payout that ends so: each once or more, with new and with the same event
    /// ids, by the payout's id, by the bank reference, or by both.
    fn messages(&mut self, payout_id: &str, outcome: &[&str]) -> Vec<Value> {
        let mut messages = Vec::new();
        let names_failures = self.random.random_ratio(1, 2);
        for status in outcome {
            for number in 0..self.random.random_range(1..=3) {
                let mut body =
                    payout_callback(&self.id, status, self.net, &format!("T-{payout_id}"));
                if *status == "failed" && !names_failures {
                    body["bank_reference"] = Value::Null;
                    body["payout_id"] = json!(payout_id);
                }
                if self.random.random_ratio(1, 2) {
                    body["payout_id"] = json!(payout_id);
                }
                // The last one again, with the same event id.
                let again = number > 0 && self.random.random_ratio(1, 3);
                messages.push(if again {
                    Value::clone(&messages[messages.len() - 1])
                } else {
                    body
                });
            }
        }
        messages
    }

    fn outcome(&mut self) -> &'static [&'static str] {
        let outcomes: [&[&str]; 3] = [&["paid"], &["failed"], &["paid", "returned"]];
        outcomes[self.random.random_range(0..outcomes.len())]
    }

    /// A correct partner: its callbacks in any order.
    async fn honest(&mut self) {
        let settlement = self.read().await;
        let first = text(&settlement["payouts"][0], "id");
        let mut outcomes = vec![(first.clone(), self.outcome())];
        let mut waiting = self.messages(&first, outcomes[0].1);
        loop {
            let may_retry = outcomes.len() < 2 && Self::may_retry(&self.read().await);
            if waiting.is_empty() && !may_retry {
                break;
            }
            match self.random.random_range(0..6) {
                0 => self.repeat_one().await,
                1 | 2 if may_retry => {
                    let second = self.retry().await.unwrap();
                    let outcome = self.outcome();
                    outcomes.push((second.clone(), outcome));
                    waiting.extend(self.messages(&second, outcome));
                }
                _ if !waiting.is_empty() => {
                    let index = self.random.random_range(0..waiting.len());
                    let body = waiting.swap_remove(index);
                    self.send(body).await;
                }
                _ => {}
            }
        }
        for index in 0..self.sent.len() {
            self.repeat(index).await;
        }
        let settlement = self.read().await;
        let payouts = settlement["payouts"].as_array().unwrap().iter();
        let stands: HashMap<String, String> = payouts
            .map(|payout| (text(payout, "id"), text(payout, "status")))
            .collect();
        let seed = self.seed;
        for (payout, outcome) in &outcomes {
            assert_eq!(
                Some(stands[payout].as_str()),
                outcome.last().copied(),
                "seed {seed}: {settlement:#}"
            );
        }
        assert_eq!(
            Some(text(&settlement, "status").as_str()),
            outcomes.last().unwrap().1.last().copied()
        );
    }

    /// A faulty partner: contradictions, event ids used twice, wrong amounts.
    async fn confused(&mut self) {
        let names: Vec<String> = (0..6)
            .map(|_| format!("c-{:016x}", rand::random::<u64>()))
            .collect();
        let mut payouts = vec![text(&self.read().await["payouts"][0], "id")];
        for _ in 0..24 {
            match self.random.random_range(0..10) {
                0 | 1 => self.repeat_one().await,
                2 if payouts.len() < 3 => payouts.extend(self.retry().await),
                _ => {
                    let statuses = ["paid", "failed", "returned"];
                    let status = statuses[self.random.random_range(0..3)];
                    let wrong = i64::from(self.random.random_ratio(1, 10));
                    let reference = format!("{}-{}", self.id, self.random.random_range(0..3));
                    let mut body = payout_callback(&self.id, status, self.net + wrong, &reference);
                    if self.random.random_ratio(1, 3) {
                        body["bank_reference"] = Value::Null;
                    }
                    if self.random.random_ratio(1, 2) {
                        let index = self.random.random_range(0..payouts.len());
                        body["payout_id"] = json!(payouts[index]);
                    }
                    if self.random.random_ratio(1, 3) {
                        let index = self.random.random_range(0..names.len());
                        body["event_id"] = json!(names[index]);
                    }
                    self.send(body).await;
                }
            }
        }
        // An event id belongs to one message: for others the refusal is repeated.
        for index in 0..self.sent.len() {
            self.repeat(index).await;
        }
    }
}

#[tokio::test]
async fn in_every_order_money_is_where_the_partner_says_it_is() {
    let partner = PayoutPartner::open(Behaviour::Accepts).await;
    let world = World::with(|config| partner.configure_callbacks_only(config)).await;
    let finance = world.staff(Role::Finance).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let device = Credentials::at(&world, shop.terminal().id).await;
    let verify = async |seed: u64| {
        let report = ledger::verify(world.app().context()).await.unwrap();
        assert_eq!(report.findings, Vec::<String>::new(), "seed {seed}");
    };
    let mut last = 0;
    for (number, seed) in (0_u64..).zip(seeds(CASES)) {
        let mut case = Case::open(&world, &finance, &device, seed).await;
        if seed % 3 == 0 {
            case.confused().await;
        } else {
            case.honest().await;
        }
        if number % VERIFY_EVERY == 0 {
            verify(seed).await;
        }
        last = seed;
    }
    verify(last).await;
    let twice =
        "(SELECT settlement_id FROM payouts WHERE status IN ('pending', 'processing', 'paid')
                 GROUP BY settlement_id HAVING count(*) > 1) t";
    assert_eq!(world.rows(twice).await, 0);
    let shared = "(SELECT partner_id, bank_reference FROM payouts
                  WHERE partner_id IS NOT NULL AND bank_reference IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1) t";
    assert_eq!(world.rows(shared).await, 0);
}
