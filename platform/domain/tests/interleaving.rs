//! One payment, and everything that can happen to it, in any order: money adds up, and it is heard at most once.

use domain::callback::{Callback, CallbackStatus, CallbackTarget};
use domain::ledger::{Account, Posting, Side};
use domain::qris::AmountDue;
use domain::transaction::{Decision, TransactionStatus, TransactionView, decide};
use proptest::prelude::*;
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
    Told(CallbackStatus, &'static str, bool),
}

fn event() -> impl Strategy<Value = Event> {
    let told = (
        proptest::sample::select(CallbackStatus::ALL),
        proptest::sample::select(&REFERENCES[..]),
        proptest::bool::weighted(0.85),
    );
    prop_oneof![
        1 => Just(Event::Shown),
        1 => Just(Event::TimeIsUp),
        8 => told.prop_map(|(status, reference, right)| Event::Told(status, reference, right)),
    ]
}

/// What the service would keep of one transaction.
struct Shop {
    amount: Rupiah,
    fee: Rupiah,
    status: TransactionStatus,
    reference: Option<String>,
    unmatched: Vec<String>,
    reversal_is_held: bool,
    postings: Vec<Posting>,
    announced: Vec<Rupiah>,
    path: Vec<TransactionStatus>,
}

impl Shop {
    fn new(amount: i64, fee: i64) -> Self {
        Self {
            amount: Rupiah::from_i64(amount),
            fee: Rupiah::from_i64(fee),
            status: TransactionStatus::Initiated,
            reference: None,
            unmatched: Vec::new(),
            reversal_is_held: false,
            postings: Vec::new(),
            announced: Vec::new(),
            path: vec![TransactionStatus::Initiated],
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
            Event::Told(status, reference, right_amount) => {
                self.hear(*status, reference, *right_amount);
            }
        }
    }

    fn hear(&mut self, status: CallbackStatus, reference: &str, right_amount: bool) {
        let callback = Callback {
            event_id: "e".into(),
            target: CallbackTarget::Transaction {
                id: "tx_01890a5d3f2c7b3e8f00112233445566"
                    .parse()
                    .expect("an id"),
                nmid: None,
            },
            partner_reference: reference.to_owned(),
            amount: if right_amount {
                self.amount
            } else {
                Rupiah::from_i64(self.amount.to_i64() + 1)
            },
            status,
            paid_at: None,
            rrn: None,
            issuer: None,
        };
        let view = TransactionView {
            due: AmountDue::exactly(self.amount),
            status: self.status,
            amount: self.amount,
            nmid: None,
            partner_reference: self.reference.as_deref(),
            reference_is_unmatched: self.unmatched.contains(&callback.partner_reference),
            reversal_is_held: self.reversal_is_held,
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
                    .push(Posting::sale(callback.amount, self.fee).expect("a sale"));
                self.announced.push(callback.amount);
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
            Decision::OtherReference => {
                if !self.unmatched.contains(&callback.partner_reference) {
                    self.unmatched.push(callback.partner_reference);
                }
            }
            Decision::Held => self.reversal_is_held |= status == CallbackStatus::Reversed,
            Decision::Duplicate | Decision::Mismatch(_) | Decision::Ignored { .. } => {}
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
}

proptest! {
    #[test]
    fn in_any_order_money_adds_up_and_is_heard_at_most_once(
        amount in 1_i64..=10_000_000,
        basis_points in 0_i64..=100,
        events in proptest::collection::vec((event(), 1..=3_usize), 0..32),
    ) {
        use TransactionStatus::{Paid, Reversed};

        let fee = amount * basis_points / 10_000;
        let mut shop = Shop::new(amount, fee);
        let mut success_was_told = false;
        for (event, times) in &events {
            for _ in 0..*times {
                shop.happens(event);
            }
            success_was_told |= matches!(event, Event::Told(CallbackStatus::Success, _, true));

            // Paid once, never given up afterwards, and nothing leads out of a reversal.
            let paid = shop.path.iter().position(|status| *status == Paid);
            if let Some(paid) = paid {
                prop_assert!(shop.path[paid + 1..].iter().all(|status| *status == Reversed));
                prop_assert!(shop.path.len() <= paid + 2);
            }
            // Nothing is announced without a verified success; what is announced is what is booked.
            prop_assert!(shop.announced.is_empty() || success_was_told);
            prop_assert_eq!(shop.announced.len(), usize::from(paid.is_some()));
            prop_assert!(shop.announced.iter().all(|announced| announced.to_i64() == amount));
            // Debits are credits, and the merchant is owed the net of what is paid and nothing else.
            let all = [Account::AcquirerHeld, Account::MerchantPayable, Account::Mdr];
            prop_assert_eq!(all.iter().map(|account| shop.balance(*account)).sum::<i64>(), 0);
            let (held, owed, kept) = if shop.status == Paid { (amount, fee - amount, -fee) } else { (0, 0, 0) };
            prop_assert_eq!(shop.balance(Account::AcquirerHeld), held);
            prop_assert_eq!(shop.balance(Account::MerchantPayable), owed);
            prop_assert_eq!(shop.balance(Account::Mdr), kept);
            // The money that paid is not kept as somebody else's.
            let own = shop.reference.clone().unwrap_or_default();
            prop_assert!(!shop.unmatched.contains(&own));
        }
    }
}
