//! One payment, and everything that can happen to it, in any order: money adds up, it is where the partner that holds it says
//! it is, and it is heard at most once.

use domain::callback::{Callback, CallbackStatus, CallbackTarget, PrintedCode};
use domain::ledger::{Account, Posting, Side};
use domain::qris::AmountDue;
use domain::transaction::{
    Decision, ReferenceView, RefundView, TransactionStatus, TransactionView, decide, decide_printed,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use wire::Rupiah;

const REFERENCES: [&str; 3] = ["first", "second", "third"];

/// Something that happens.
#[derive(Debug, Clone)]
enum Event {
    /// The partner gave the code.
    Shown,
    /// The clock reached its end.
    TimeIsUp,
    /// A verified message: status, reference, and whether it names the right amount.
    Message(CallbackStatus, &'static str, bool),
}

fn event() -> impl Strategy<Value = Event> {
    let message = (
        proptest::sample::select(CallbackStatus::ALL),
        proptest::sample::select(&REFERENCES[..]),
        proptest::bool::weighted(0.85),
    );
    prop_oneof![
        1 => Just(Event::Shown),
        1 => Just(Event::TimeIsUp),
        8 => message.prop_map(|(status, reference, right)| Event::Message(status, reference, right)),
    ]
}

/// What the service would keep of one transaction.
#[derive(Clone)]
struct Shop {
    amount: Rupiah,
    fee: Rupiah,
    status: TransactionStatus,
    reference: Option<String>,
    /// References whose money is kept, and whether it is still open.
    unmatched: Vec<(String, bool)>,
    held: Vec<String>,
    postings: Vec<Posting>,
    announced: Vec<Rupiah>,
    path: Vec<TransactionStatus>,
    incidents: usize,
}

fn callback(status: CallbackStatus, reference: &str, amount: Rupiah) -> Callback {
    Callback {
        event_id: "e".into(),
        target: CallbackTarget::Transaction {
            id: "tx_01890a5d3f2c7b3e8f00112233445566"
                .parse()
                .expect("an id"),
            nmid: None,
        },
        partner_reference: reference.to_owned(),
        amount: amount.into(),
        refund_no: None,
        status,
        paid_at: None,
        rrn: None,
        issuer: None,
        adjustments: Vec::new(),
    }
}

impl Shop {
    fn new(amount: i64, fee: i64) -> Self {
        Self {
            amount: Rupiah::from_i64(amount),
            fee: Rupiah::from_i64(fee),
            status: TransactionStatus::Initiated,
            reference: None,
            unmatched: Vec::new(),
            held: Vec::new(),
            postings: Vec::new(),
            announced: Vec::new(),
            path: vec![TransactionStatus::Initiated],
            incidents: 0,
        }
    }

    fn becomes(&mut self, status: TransactionStatus) {
        self.status = status;
        self.path.push(status);
    }

    fn happens(&mut self, event: &Event) {
        match event {
            Event::Shown => {
                if let Ok(status) = self.status.await_payment() {
                    self.becomes(status);
                }
            }
            Event::TimeIsUp => {
                if let Ok(status) = self.status.expire() {
                    self.becomes(status);
                }
            }
            Event::Message(status, reference, right_amount) => {
                self.hear(*status, reference, *right_amount);
            }
        }
    }

    fn reference_view(&self, reference: &str) -> ReferenceView {
        ReferenceView {
            is_unmatched: self.unmatched.iter().any(|(kept, _)| kept == reference),
            reversal_is_held: self.held.iter().any(|held| held == reference),
        }
    }

    fn hear(&mut self, status: CallbackStatus, reference: &str, right_amount: bool) {
        let amount = if right_amount {
            self.amount
        } else {
            Rupiah::from_i64(self.amount.to_i64() + 1)
        };
        let callback = callback(status, reference, amount);
        let view = TransactionView {
            due: AmountDue::exactly(self.amount),
            status: self.status,
            amount: self.amount,
            nmid: None,
            partner_reference: self.reference.as_deref(),
            reference: self.reference_view(reference),
            refunds: RefundView::default(),
        };
        match decide(&view, &callback) {
            Decision::Paid { late } => {
                let paid = self
                    .status
                    .pay()
                    .expect("a decision is a step that there is");
                assert_eq!(paid.late, late);
                self.becomes(paid.status);
                self.reference = Some(callback.partner_reference);
                self.postings
                    .push(Posting::sale(self.amount, self.fee).expect("a sale"));
                self.announced.push(amount);
            }
            Decision::Reversed => {
                let status = self
                    .status
                    .reverse()
                    .expect("a decision is a step that there is");
                self.becomes(status);
                self.postings
                    .push(Posting::refund(self.amount, self.fee).expect("a refund"));
            }
            Decision::Failed => {
                let status = self
                    .status
                    .fail()
                    .expect("a decision is a step that there is");
                self.becomes(status);
            }
            Decision::Expired => {
                let status = self
                    .status
                    .expire()
                    .expect("a decision is a step that there is");
                self.becomes(status);
            }
            Decision::OtherReference if status == CallbackStatus::Reversed => {
                for (kept, open) in &mut self.unmatched {
                    *open &= kept != reference;
                }
            }
            Decision::OtherReference => self.unmatched.push((reference.to_owned(), true)),
            Decision::HeldMoney => {
                self.incidents += 1;
                self.unmatched.push((reference.to_owned(), true));
            }
            Decision::Held => {
                self.incidents += 1;
                if status == CallbackStatus::Reversed {
                    self.held.push(reference.to_owned());
                }
            }
            Decision::Mismatch(_)
            | Decision::Ignored {
                contradictory: true,
            } => self.incidents += 1,
            Decision::Duplicate
            | Decision::Ignored {
                contradictory: false,
            } => {}
        }
    }

    fn balance(&self, account: Account) -> i64 {
        self.postings
            .iter()
            .flat_map(Posting::lines)
            .filter(|line| line.account == account)
            .map(|line| match line.side {
                Side::Debit => line.amount.to_i64(),
                Side::Credit => -line.amount.to_i64(),
            })
            .sum()
    }

    /// In how many places the money of a reference is.
    fn places(&self, reference: &str) -> usize {
        let carried =
            self.status == TransactionStatus::Paid && self.reference.as_deref() == Some(reference);
        let kept = self
            .unmatched
            .iter()
            .filter(|(kept, open)| kept == reference && *open);
        usize::from(carried) + kept.count()
    }

    /// All of it that is money.
    fn money(&self) -> (TransactionStatus, usize, usize, Vec<(String, bool)>) {
        let unmatched = self.unmatched.clone();
        (
            self.status,
            self.postings.len(),
            self.announced.len(),
            unmatched,
        )
    }
}

/// The number in an environment variable.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Runs a property for `SOUNDBOX_SEEDS` cases (256 unless it is set), from the seed `SOUNDBOX_SEED`, which is printed.
fn for_seeds<S: Strategy>(strategy: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let seed = number("SOUNDBOX_SEED").unwrap_or_else(|| {
        use std::hash::{BuildHasher as _, RandomState};
        RandomState::new().hash_one(0)
    });
    let cases = number("SOUNDBOX_SEEDS").unwrap_or(256);
    println!("SOUNDBOX_SEED={seed} SOUNDBOX_SEEDS={cases}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: u32::try_from(cases).unwrap_or(u32::MAX),
        failure_persistence: None,
        ..Config::default()
    };
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, random);
    if let Err(error) = runner.run(strategy, property) {
        panic!("SOUNDBOX_SEED={seed}: {error}");
    }
}

#[test]
fn in_any_order_money_adds_up_and_is_heard_at_most_once() {
    use TransactionStatus::{Paid, Reversed};

    let strategy = (
        1_i64..=10_000_000,
        0_i64..=100,
        proptest::collection::vec((event(), 1..=3_usize), 0..32),
    );
    for_seeds(&strategy, |(amount, basis_points, events)| {
        let fee = amount * basis_points / 10_000;
        let mut shop = Shop::new(amount, fee);
        let mut messages = Vec::new();
        for (event, times) in &events {
            for _ in 0..*times {
                shop.happens(event);
            }
            if let Event::Message(status, reference, true) = event {
                messages.push((*status, *reference));
            }

            // Paid once, never given up afterwards, and nothing leads out of a reversal.
            let paid = shop.path.iter().position(|status| *status == Paid);
            if let Some(paid) = paid {
                prop_assert!(
                    shop.path[paid + 1..]
                        .iter()
                        .all(|status| *status == Reversed)
                );
                prop_assert!(shop.path.len() <= paid + 2);
            }
            // Nothing is announced without a verified success; what is announced is what is booked.
            let success_came = messages
                .iter()
                .any(|(status, _)| *status == CallbackStatus::Success);
            prop_assert!(shop.announced.is_empty() || success_came);
            prop_assert_eq!(shop.announced.len(), usize::from(paid.is_some()));
            prop_assert!(
                shop.announced
                    .iter()
                    .all(|announced| announced.to_i64() == amount)
            );
            // Debits are credits, and the merchant is owed the net of what is paid and nothing else.
            let all = [
                Account::AcquirerHeld,
                Account::MerchantPayable,
                Account::Mdr,
            ];
            prop_assert_eq!(
                all.iter()
                    .map(|account| shop.balance(*account))
                    .sum::<i64>(),
                0
            );
            let (held, owed, kept) = if shop.status == Paid {
                (amount, fee - amount, -fee)
            } else {
                (0, 0, 0)
            };
            prop_assert_eq!(shop.balance(Account::AcquirerHeld), held);
            prop_assert_eq!(shop.balance(Account::MerchantPayable), owed);
            prop_assert_eq!(shop.balance(Account::Mdr), kept);
            // The money of a reference is in one place when the partner has it, and nowhere when it gave it back,
            // whichever it said first.
            for reference in REFERENCES {
                let said = |status| messages.contains(&(status, reference));
                let is_live = said(CallbackStatus::Success) && !said(CallbackStatus::Reversed);
                prop_assert_eq!(
                    shop.places(reference),
                    usize::from(is_live),
                    "{}",
                    reference
                );
            }
        }
        // What was answered once has no effect the second time, in any order.
        let before = shop.money();
        for (event, _) in events.iter().rev().chain(&events) {
            if let Event::Message(..) = event {
                shop.happens(event);
            }
        }
        let after = shop.money();
        prop_assert_eq!(&after.3, &before.3);
        prop_assert_eq!((after.1, after.2), (before.1, before.2));
        let is_settled = |status: TransactionStatus| !status.is_open();
        if is_settled(before.0) {
            prop_assert_eq!(after.0, before.0);
        }
        Ok(())
    });
}

/// Payments of printed codes: each reference is a payment of its own.
#[test]
fn in_any_order_the_money_of_a_printed_code_is_where_its_partner_says() {
    let message = (
        proptest::sample::select(CallbackStatus::ALL),
        proptest::sample::select(&REFERENCES[..]),
    );
    // Whether the code can be attributed, or its money is kept as unmatched.
    let strategy = (
        proptest::collection::vec(message, 0..24),
        proptest::bool::ANY,
    );
    for_seeds(&strategy, |(messages, is_known)| {
        let amount = Rupiah::from_i64(40_000);
        let mut booked: Vec<Shop> = Vec::new();
        let mut beside = Shop::new(1, 0);
        let mut said = Vec::new();
        for (status, reference) in messages {
            said.push((status, reference));
            let carrier = booked
                .iter_mut()
                .find(|shop| shop.reference.as_deref() == Some(reference));
            if let Some(carrier) = carrier {
                carrier.hear(status, reference, true);
            } else {
                match decide_printed(beside.reference_view(reference), status) {
                    Decision::Paid { .. } if is_known => {
                        let mut shop = Shop::new(amount.to_i64(), 0);
                        shop.hear(status, reference, true);
                        booked.push(shop);
                    }
                    Decision::Paid { .. } => beside.unmatched.push((reference.to_owned(), true)),
                    Decision::OtherReference => {
                        for (kept, open) in &mut beside.unmatched {
                            *open &= kept != reference;
                        }
                    }
                    Decision::Held if status == CallbackStatus::Reversed => {
                        beside.held.push(reference.to_owned());
                    }
                    Decision::Held | Decision::Duplicate | Decision::Ignored { .. } => {}
                    other => prop_assert!(false, "{:?} is no answer to a printed code", other),
                }
            }
            for reference in REFERENCES {
                let has = |status| said.contains(&(status, reference));
                let is_live = has(CallbackStatus::Success) && !has(CallbackStatus::Reversed);
                let places: usize = booked.iter().map(|shop| shop.places(reference)).sum();
                let places = places + beside.places(reference);
                prop_assert_eq!(places, usize::from(is_live), "{}", reference);
                let announced: usize = booked.iter().map(|shop| shop.announced.len()).sum();
                prop_assert!(announced <= booked.len());
            }
        }
        Ok(())
    });
}

#[test]
fn a_printed_code_is_not_said_to_be_empty_when_it_names_something() {
    assert!(PrintedCode::default().is_empty());
    let named = PrintedCode {
        terminal_id: Some("A01".into()),
        ..PrintedCode::default()
    };
    assert!(!named.is_empty());
}
