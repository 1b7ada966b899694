//! The orders of a partner that issues codes: what was asked for, what customers paid, what was taken back. It is the
//! partner's own record, with which that of the platform is compared.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wire::Rupiah;

/// The most orders that are kept.
const ORDERS_MAX: usize = 1_000_000;
/// The most refunds of one order.
const REFUNDS_MAX: usize = 100;

/// What became of an order; its code is at this place of [`crate::partner::issuer_api::IssuerApi::codes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Nobody paid it yet.
    Open,
    /// It was paid, and something of it is left.
    Paid,
    /// All of it was taken back.
    TakenBack,
    /// Its code was withdrawn.
    Withdrawn,
}

/// One order.
#[derive(Debug, Clone)]
pub struct Order {
    /// What it is about.
    pub amount: Rupiah,
    /// Our name for it.
    pub reference: String,
    /// Which of all it is, from 0.
    number: u64,
    /// A customer has seen its code.
    is_seen: bool,
    /// What became of it.
    pub status: Status,
    /// What was taken back, by the platform's number of the refund, with ours.
    pub refunds: HashMap<String, (Rupiah, usize)>,
}

impl Order {
    /// What was taken back.
    pub fn taken_back(&self) -> Rupiah {
        let all = self.refunds.values();
        Rupiah::from_i64(all.map(|(amount, _)| amount.to_i64()).sum())
    }
}

/// An order that was placed.
#[derive(Debug)]
pub enum Placed {
    /// Now, under this number.
    New(u64, String),
    /// Before, under this number, with the same amount.
    Before(u64, String),
    /// Before, with another amount.
    Other,
    /// No more are kept.
    Full,
}

/// What became of a request to take money back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refunded {
    /// It was taken back, now or before under the same number; our number.
    Done(usize),
    /// The number was used for another amount.
    OtherAmount,
    /// More than is left, or a part where only the whole is taken back.
    WrongAmount,
    /// The order is not paid.
    NotPaid,
    /// There is no such order.
    Unknown,
}

/// All orders, shared between the partner and whoever watches it.
#[derive(Debug, Clone, Default)]
pub struct Orders(Arc<Mutex<HashMap<String, Order>>>);

impl Orders {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Order>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, by the platform's names.
    pub fn all(&self) -> HashMap<String, Order> {
        self.lock().clone()
    }

    /// One of them.
    pub fn find(&self, name: &str) -> Option<Order> {
        self.lock().get(name).cloned()
    }

    /// Places an order. A repeated request gets the same order.
    pub fn place(&self, name: &str, amount: Rupiah, seed: u64) -> Placed {
        let mut orders = self.lock();
        if let Some(before) = orders.get(name) {
            return match before.amount == amount {
                true => Placed::Before(before.number, before.reference.clone()),
                false => Placed::Other,
            };
        }
        if orders.len() >= ORDERS_MAX {
            return Placed::Full;
        }
        let number = u64::try_from(orders.len()).unwrap_or(u64::MAX);
        let reference = format!("SIM{seed}{number:010}");
        let order = Order {
            amount,
            reference: reference.clone(),
            number,
            is_seen: false,
            status: Status::Open,
            refunds: HashMap::new(),
        };
        orders.insert(name.to_owned(), order);
        Placed::New(number, reference)
    }

    /// A customer sees the code of an order; whether it is the first.
    pub fn meet(&self, name: &str) -> bool {
        let mut orders = self.lock();
        let order = orders.get_mut(name).filter(|order| !order.is_seen);
        order.map(|order| order.is_seen = true).is_some()
    }

    /// A customer pays; the order, unless it is not open.
    pub fn pay(&self, name: &str) -> Option<Order> {
        let mut orders = self.lock();
        let order = orders.get_mut(name)?;
        if order.status != Status::Open {
            return None;
        }
        order.status = Status::Paid;
        Some(order.clone())
    }

    /// Takes money back, once for each number, and never more than was paid.
    pub fn refund(&self, name: &str, number: &str, amount: Rupiah, allows_parts: bool) -> Refunded {
        let mut orders = self.lock();
        let Some(order) = orders.get_mut(name) else {
            return Refunded::Unknown;
        };
        if let Some((before, own)) = order.refunds.get(number) {
            return match *before == amount {
                true => Refunded::Done(*own),
                false => Refunded::OtherAmount,
            };
        }
        if order.status != Status::Paid {
            return Refunded::NotPaid;
        }
        let left = order.amount.to_i64() - order.taken_back().to_i64();
        let is_part = amount != order.amount;
        let is_wrong = amount.to_i64() < 1 || amount.to_i64() > left || (is_part && !allows_parts);
        if is_wrong || order.refunds.len() >= REFUNDS_MAX {
            return Refunded::WrongAmount;
        }
        let own = order.refunds.len() + 1;
        order.refunds.insert(number.to_owned(), (amount, own));
        if amount.to_i64() == left {
            order.status = Status::TakenBack;
        }
        Refunded::Done(own)
    }

    /// Withdraws a code that is not paid. None: there is no such order; false: it is paid. Repeating it succeeds.
    pub fn withdraw(&self, name: &str) -> Option<bool> {
        let mut orders = self.lock();
        let order = orders.get_mut(name)?;
        if order.status == Status::Open {
            order.status = Status::Withdrawn;
        }
        Some(order.status == Status::Withdrawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rupiah(amount: i64) -> Rupiah {
        Rupiah::from_i64(amount)
    }

    fn paid(amount: i64) -> Orders {
        let orders = Orders::default();
        assert!(matches!(
            orders.place("o", rupiah(amount), 1),
            Placed::New(0, _)
        ));
        assert!(orders.pay("o").is_some());
        orders
    }

    #[test]
    fn each_number_takes_back_once_and_all_of_them_never_more_than_was_paid() {
        let orders = paid(100);
        let take = |number: &str, amount| orders.refund("o", number, rupiah(amount), true);
        assert_eq!(take("a", 30), Refunded::Done(1));
        assert_eq!(take("a", 30), Refunded::Done(1));
        assert_eq!(take("a", 31), Refunded::OtherAmount);
        assert_eq!(take("b", 71), Refunded::WrongAmount);
        assert_eq!(take("b", 0), Refunded::WrongAmount);
        assert_eq!(take("b", 70), Refunded::Done(2));
        assert_eq!(take("c", 1), Refunded::NotPaid);
        let order = orders.find("o").unwrap();
        assert_eq!(
            (order.taken_back(), order.status),
            (rupiah(100), Status::TakenBack)
        );
    }

    #[test]
    fn without_parts_only_the_whole_is_taken_back() {
        let orders = paid(100);
        let take = |amount| orders.refund("o", "a", rupiah(amount), false);
        assert_eq!(
            (take(99), take(100)),
            (Refunded::WrongAmount, Refunded::Done(1))
        );
        assert_eq!(orders.refund("x", "a", rupiah(1), false), Refunded::Unknown);
    }

    #[test]
    fn an_order_is_placed_once_and_withdrawn_unless_it_is_paid() {
        let orders = paid(100);
        assert!(matches!(
            orders.place("o", rupiah(100), 1),
            Placed::Before(0, _)
        ));
        assert!(matches!(orders.place("o", rupiah(99), 1), Placed::Other));
        assert_eq!(orders.withdraw("o"), Some(false));
        assert!(matches!(orders.place("p", rupiah(1), 1), Placed::New(1, _)));
        assert_eq!(
            (orders.withdraw("p"), orders.withdraw("p")),
            (Some(true), Some(true))
        );
        assert!(orders.pay("p").is_none());
        assert_eq!(orders.withdraw("x"), None);
    }
}
