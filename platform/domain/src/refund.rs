//! Taking a payment back, whole or in parts.
//!
//! Each refund has a number within its payment and moves money once. All of them together are never more than was paid.
//! The fee is returned with what it was taken of: after each part, the fee that was returned is the part of the fee that
//! belongs to what was taken back so far, half up to whole rupiah. So the parts of the fee add up to the fee, however the
//! payment is cut, and no part returns more fee than it takes back.

use wire::rupiah::Rupiah;

use crate::text_enum::text_enum;

text_enum! {
    /// How far a refund is.
    pub enum RefundStatus as "refund status" {
        /// The partner is asked, and has not said yet whether it did it.
        Requested = "requested",
        /// The partner took the money back.
        Done = "done",
        /// The partner refused.
        Refused = "refused",
    }
}

/// What was paid, and what of it was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refundable {
    /// What was paid.
    pub amount: Rupiah,
    /// What of it is kept as a fee.
    pub fee: Rupiah,
    /// What was taken back of the amount.
    pub refunded: Rupiah,
    /// What was returned of the fee.
    pub fee_refunded: Rupiah,
}

/// One refund in numbers: amount = fee + net.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// What the customer gets back.
    pub amount: Rupiah,
    /// What is returned of the fee.
    pub fee: Rupiah,
    /// What the merchant is no longer owed.
    pub net: Rupiah,
    /// Nothing is left after it.
    pub is_last: bool,
}

/// Why an amount cannot be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefundError {
    /// Less than one rupiah.
    #[error("a refund is at least one rupiah")]
    NotPositive,
    /// More than is left.
    #[error("only {left} of the payment is left")]
    MoreThanLeft {
        /// What is left.
        left: Rupiah,
    },
}

impl Refundable {
    /// What can still be taken back.
    pub fn left(&self) -> Rupiah {
        self.amount
            .checked_sub(self.refunded)
            .unwrap_or(Rupiah::ZERO)
    }

    /// The next refund, of this amount.
    ///
    /// # Errors
    /// Less than one rupiah, or more than is left.
    pub fn part(&self, amount: Rupiah) -> Result<Part, RefundError> {
        let left = self.left();
        if amount < Rupiah::from_i64(1) {
            return Err(RefundError::NotPositive);
        }
        if amount > left {
            return Err(RefundError::MoreThanLeft { left });
        }
        let back = self.refunded.to_i64() + amount.to_i64();
        let returned = share(self.fee, back, self.amount);
        // Both are rounded in the same way, and the fee grows more slowly than the amount: nothing ≤ fee ≤ amount.
        let fee = (returned - self.fee_refunded.to_i64()).clamp(0, amount.to_i64());
        Ok(Part {
            amount,
            fee: Rupiah::from_i64(fee),
            net: Rupiah::from_i64(amount.to_i64() - fee),
            is_last: amount == left,
        })
    }
}

/// `fee` × `back` / `amount`, half up to whole rupiah.
fn share(fee: Rupiah, back: i64, amount: Rupiah) -> i64 {
    let (fee, amount) = (i128::from(fee.to_i64()), i128::from(amount.to_i64()));
    let twice = 2 * fee * i128::from(back) + amount;
    i64::try_from(twice / (2 * amount)).unwrap_or(i64::MAX)
}

/// A refund that is stored, as a partner's message about a refund is compared with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownRefund<'a> {
    /// Which of its payment.
    pub number: i16,
    /// How we named it to the partner; none when the partner did it without being asked.
    pub name: Option<&'a str>,
    /// The partner's number for it, as far as it is known.
    pub refund_no: Option<&'a str>,
    /// How much.
    pub amount: Rupiah,
    /// How far it is.
    pub status: RefundStatus,
}

/// The stored refund that a message is about, by the number that the message gives it.
///
/// A number that is not known may be the partner's own for a refund of which it never told the number: then it is that one,
/// if the amount is the same. Otherwise the refund that we asked for would be booked twice, once by the answer and once by
/// the message. A message without a number is about the refund of its amount that is still asked for.
pub fn recognise<'r, 'a>(
    refunds: &'r [KnownRefund<'a>],
    number: Option<&str>,
    amount: Rupiah,
) -> Option<&'r KnownRefund<'a>> {
    let Some(number) = number else {
        let is_it =
            |one: &&KnownRefund<'_>| one.status == RefundStatus::Requested && one.amount == amount;
        return refunds.iter().find(is_it);
    };
    let is_named =
        |one: &&KnownRefund<'_>| one.name == Some(number) || one.refund_no == Some(number);
    let may_be = |one: &&KnownRefund<'_>| {
        one.refund_no.is_none() && one.amount == amount && one.status != RefundStatus::Refused
    };
    refunds
        .iter()
        .find(is_named)
        .or_else(|| refunds.iter().find(may_be))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rupiah(amount: i64) -> Rupiah {
        Rupiah::from_i64(amount)
    }

    fn paid(amount: i64, fee: i64) -> Refundable {
        Refundable {
            amount: rupiah(amount),
            fee: rupiah(fee),
            refunded: Rupiah::ZERO,
            fee_refunded: Rupiah::ZERO,
        }
    }

    /// The payment after a part of it was taken back.
    fn after(before: Refundable, part: Part) -> Refundable {
        Refundable {
            refunded: rupiah(before.refunded.to_i64() + part.amount.to_i64()),
            fee_refunded: rupiah(before.fee_refunded.to_i64() + part.fee.to_i64()),
            ..before
        }
    }

    #[test]
    fn a_part_returns_its_part_of_the_fee_and_the_last_one_the_rest() {
        let mut payment = paid(100_000, 700);
        for (amount, fee, is_last) in [(30_000, 210, false), (50, 0, false), (69_950, 490, true)] {
            let part = payment.part(rupiah(amount)).unwrap();
            assert_eq!((part.fee, part.is_last), (rupiah(fee), is_last), "{amount}");
            payment = after(payment, part);
        }
        assert_eq!(payment.left(), Rupiah::ZERO);
        let nothing = RefundError::MoreThanLeft { left: Rupiah::ZERO };
        assert_eq!(payment.part(rupiah(1)), Err(nothing));
    }

    #[test]
    fn the_whole_returns_the_whole_fee() {
        for (amount, fee) in [(1, 0), (1, 1), (71, 0), (500_001, 1_500), (i64::MAX, 7)] {
            let part = paid(amount, fee).part(rupiah(amount)).unwrap();
            assert_eq!((part.fee, part.is_last), (rupiah(fee), true));
        }
    }

    #[test]
    fn less_than_a_rupiah_and_more_than_is_left_are_refused() {
        let payment = paid(100, 1);
        for amount in [0, -1] {
            let refused = payment.part(rupiah(amount));
            assert_eq!(refused, Err(RefundError::NotPositive));
        }
        let left = rupiah(100);
        assert_eq!(
            payment.part(rupiah(101)),
            Err(RefundError::MoreThanLeft { left })
        );
    }

    fn known(
        number: i16,
        name: Option<&'static str>,
        refund_no: Option<&'static str>,
        amount: i64,
        status: RefundStatus,
    ) -> KnownRefund<'static> {
        KnownRefund {
            number,
            name,
            refund_no,
            amount: rupiah(amount),
            status,
        }
    }

    #[test]
    fn a_message_is_about_the_refund_of_its_number() {
        use RefundStatus::{Done, Refused, Requested};
        let refunds = [
            known(1, Some("ours-1"), Some("R-1"), 10, Done),
            known(2, None, Some("R-2"), 20, Done),
            known(3, Some("ours-3"), None, 30, Refused),
            known(4, Some("ours-4"), None, 40, Done),
            known(5, Some("ours-5"), None, 50, Requested),
        ];
        for (number, amount, is) in [
            (Some("ours-1"), 10, Some(1)),
            (Some("R-1"), 10, Some(1)),
            // By its number, whatever it says of the amount.
            (Some("R-2"), 21, Some(2)),
            (Some("ours-3"), 30, Some(3)),
            // Its own number for what we asked for.
            (Some("R-4"), 40, Some(4)),
            (Some("R-5"), 50, Some(5)),
            // Another one.
            (Some("R-6"), 10, None),
            (Some("R-7"), 30, None),
            (None, 50, Some(5)),
            (None, 40, None),
        ] {
            let found = recognise(&refunds, number, rupiah(amount));
            assert_eq!(found.map(|one| one.number), is, "{number:?} {amount}");
        }
    }

    proptest! {
        #[test]
        fn however_a_payment_is_cut_its_parts_add_up(
            amount in prop_oneof![1..=10_i64, 1..=10_000_000_i64, 1..=i64::MAX],
            rate in 0..=10_000_i64,
            permille in proptest::collection::vec(0..1_000_i64, 0..20),
        ) {
            let fee = i64::try_from(i128::from(amount) * i128::from(rate) / 10_000).unwrap();
            let mut payment = paid(amount, fee);
            let (mut net, mut parts) = (0, 0);
            for share in permille.into_iter().map(Some).chain([None]) {
                let left = payment.left().to_i64();
                if left == 0 {
                    break;
                }
                let portion = |share: i64| i128::from(left) * i128::from(share) / 1_000;
                let cut = |share| i64::try_from(portion(share)).unwrap().clamp(1, left);
                let amount = share.map_or(left, cut);
                let part = payment.part(rupiah(amount)).unwrap();
                prop_assert!(part.fee >= Rupiah::ZERO && part.net >= Rupiah::ZERO);
                prop_assert_eq!(part.fee.to_i64() + part.net.to_i64(), amount);
                prop_assert_eq!(part.is_last, amount == left);
                payment = after(payment, part);
                net += part.net.to_i64();
                parts += 1;
            }
            prop_assert!(parts > 0);
            prop_assert_eq!(payment.refunded, payment.amount);
            prop_assert_eq!(payment.fee_refunded, payment.fee);
            prop_assert_eq!(net, amount - fee);
        }
    }
}
