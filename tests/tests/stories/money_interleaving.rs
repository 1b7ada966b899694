//! Every event about money in random order: the ledger adds up at every moment.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use service::money::{ledger, payout};
use service::payment::transaction;
use tests::payout_partner::{Behaviour, payout_callback};
use tests::prelude::*;

const CASES: u64 = 6;
const STEPS: usize = 60;

/// A shop and its random events.
struct Events<'a> {
    world: &'a World,
    finance: &'a Api,
    device: Credentials,
    random: StdRng,
    /// Callbacks that the acquirer may send: one success of each payment.
    payments: Vec<Value>,
    /// Callbacks that it has sent.
    sent: Vec<Value>,
    settlements: Vec<(String, i64)>,
    /// Callbacks that the payout partner has sent.
    callbacks: Vec<Value>,
}

impl Events<'_> {
    fn one_of<T: Clone>(&mut self, things: &[T]) -> Option<T> {
        (!things.is_empty()).then(|| things[self.random.random_range(0..things.len())].clone())
    }

    async fn callback(&mut self, status: &str) {
        let payments = self.payments.clone();
        if let Some(body) = self.one_of(&payments) {
            let body = but_status(body, status);
            may(&self.world.acquirer().send(&body).await, &[200]);
            self.sent.push(body);
        }
    }

    async fn step(&mut self) {
        let context = self.world.app().context();
        match self.random.random_range(0..16) {
            0..4 => {
                let any = self.random.random_range(1..=10_000_000);
                let amount = self.one_of(&[1, 71, 500_000, 500_001, any]).unwrap();
                let id = self.device.qr(self.world, amount).await.transaction_id;
                self.payments
                    .push(success(id, amount, &reference(), self.world.clock.now()));
            }
            4..7 => self.callback("success").await,
            7 => {
                let sent = self.sent.clone();
                if let Some(body) = self.one_of(&sent) {
                    may(&self.world.acquirer().send(&body).await, &[200]);
                }
            }
            8 => self.callback("failed").await,
            9 => self.callback("reversed").await,
            10 => {
                // Every open code expires, and its payment is late.
                self.world.later(301);
                transaction::expire_overdue(context, 1_000).await.unwrap();
            }
            11 | 12 => {
                self.world.later(1);
                let (path, all) = ("/admin/settlements/run", json!({}));
                let answer = self.finance.post_once(path, &all).await;
                may(&answer, &[200]);
                for id in answer.data()["settlements"].as_array().unwrap() {
                    let id = id.as_str().unwrap();
                    let settlement = self.finance.read(&format!("/admin/settlements/{id}")).await;
                    let net = settlement["net"].as_i64().unwrap();
                    self.settlements.push((id.to_owned(), net));
                }
            }
            13 => {
                self.world.later(1);
                payout::work(context, 1_000).await.unwrap();
            }
            14 => {
                let settlements = self.settlements.clone();
                if let Some((id, net)) = self.one_of(&settlements) {
                    let statuses = ["paid", "paid", "failed", "returned"];
                    let status = self.one_of(&statuses).unwrap();
                    let name = self.one_of(&["B-1", "B-2"]).unwrap();
                    let body = payout_callback(&id, status, net, name);
                    may(&PayoutPartner::send(self.world, &body).await, &[200]);
                    self.callbacks.push(body);
                }
                let callbacks = self.callbacks.clone();
                if let Some(body) = self.one_of(&callbacks) {
                    may(&PayoutPartner::send(self.world, &body).await, &[200]);
                }
            }
            _ => {
                let settlements = self.settlements.clone();
                if let Some((id, _)) = self.one_of(&settlements) {
                    let path = format!("/admin/settlements/{id}/retry-payout");
                    let answer = self.finance.post_once(&path, &json!({})).await;
                    may(&answer, &[202, 409]);
                }
            }
        }
    }
}

fn may(answer: &Answer, statuses: &[u16]) {
    assert!(statuses.contains(&answer.status), "{answer}");
}

#[tokio::test]
async fn whatever_happens_in_whatever_order_money_adds_up() {
    let partner = PayoutPartner::open(Behaviour::Accepts).await;
    let world = World::with(|config| partner.configure_callbacks_only(config)).await;
    let finance = world.staff(Role::Finance).await;
    let first: u64 = rand::random();
    for seed in (0..CASES).map(|case| first.wrapping_add(case)) {
        // Printed for a failure; use it as `first` to repeat the case.
        println!("seed {seed}");
        let shop = Shop::open(&world, "Warung Sari", 1).await;
        let mut events = Events {
            world: &world,
            finance: &finance,
            device: Credentials::at(&world, shop.terminal().id).await,
            random: StdRng::seed_from_u64(seed),
            payments: Vec::new(),
            sent: Vec::new(),
            settlements: Vec::new(),
            callbacks: Vec::new(),
        };
        for step in 0..STEPS {
            events.step().await;
            if step % 20 == 19 {
                let report = ledger::verify(world.app().context()).await.unwrap();
                assert_eq!(
                    report.findings,
                    Vec::<String>::new(),
                    "seed {seed}, step {step}"
                );
            }
        }
    }
    let twice = "(SELECT transaction_id FROM settlement_items GROUP BY transaction_id, kind, refund_number HAVING count(*) > 1) t";
    assert_eq!(world.rows(twice).await, 0);
    let wrong = "payments WHERE amount <> fee + net";
    assert_eq!(world.rows(wrong).await, 0);
}
