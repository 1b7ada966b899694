//! Double-entry lines for every event that moves money.
//!
//! The company never holds the merchants' money: the accounts say what the acquirer holds for merchants, what
//! merchants are owed, what is kept as MDR, and what has been instructed to be paid out. A [`Posting`] can only
//! be made balanced, and only by naming the event; so an unbalanced one cannot reach the database.
//!
//! ```text
//! sale              acquirer_held    → merchant_payable, mdr       refund: the mirror of it
//! settlement        merchant_payable → merchant_payable, of the settlement
//! payout_sent       merchant_payable → payout_in_transit           payout_failed: back again
//! payout_paid       payout_in_transit → acquirer_held
//! payout_returned   acquirer_held    → merchant_payable            payout_paid_late: out again
//! ```

use wire::rupiah::Rupiah;

use crate::text_enum::text_enum;

text_enum! {
    /// The accounts.
    pub enum Account as "ledger account" {
        /// What the acquirer holds (an asset: debits add).
        AcquirerHeld = "acquirer_held",
        /// What merchants are owed (a liability: credits add).
        MerchantPayable = "merchant_payable",
        /// Merchant discount kept (income: credits add).
        Mdr = "mdr",
        /// Payouts instructed and not yet confirmed (a liability: credits add).
        PayoutInTransit = "payout_in_transit",
    }
}

text_enum! {
    /// The two sides of every posting.
    pub enum Side as "side of a ledger line" {
        /// Left.
        Debit = "debit",
        /// Right.
        Credit = "credit",
    }
}

text_enum! {
    /// The events that move money.
    pub enum PostingKind as "posting kind" {
        /// A customer paid.
        Sale = "sale",
        /// A payment was reversed.
        Refund = "refund",
        /// What a merchant is owed was claimed by a settlement.
        Settlement = "settlement",
        /// A payout was instructed.
        PayoutSent = "payout_sent",
        /// The payout partner confirmed.
        PayoutPaid = "payout_paid",
        /// The payout partner did not pay.
        PayoutFailed = "payout_failed",
        /// A payout that was paid came back.
        PayoutReturned = "payout_returned",
        /// A payout that had failed turned out to be paid.
        PayoutPaidLate = "payout_paid_late",
    }
}

/// One line: an amount on one side of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Where.
    pub account: Account,
    /// On which side.
    pub side: Side,
    /// How much; always more than zero.
    pub amount: Rupiah,
    /// Whether it belongs to the part of the account that a settlement has claimed. What is owed to a merchant
    /// outside of any settlement is what a next run may claim.
    pub of_settlement: bool,
}

/// What a posting changes on each account: debits are positive, credits negative. They add up to zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amounts {
    /// [`Account::AcquirerHeld`].
    pub acquirer_held: Rupiah,
    /// [`Account::MerchantPayable`], the part that a next settlement may claim.
    pub payable_open: Rupiah,
    /// [`Account::MerchantPayable`], the part that a settlement has claimed.
    pub payable_claimed: Rupiah,
    /// [`Account::Mdr`].
    pub mdr: Rupiah,
    /// [`Account::PayoutInTransit`].
    pub payout_in_transit: Rupiah,
}

/// Why an event cannot be posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PostingError {
    /// Amounts are more than zero; a fee may be zero.
    #[error("an amount is zero or less")]
    NotPositive,
    /// A fee above the amount would leave a merchant owing.
    #[error("the fee is larger than the amount")]
    FeeAboveAmount,
}

/// The lines of one event. Debits equal credits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    kind: PostingKind,
    lines: Vec<Line>,
}

impl Posting {
    /// A customer paid `amount`, of which `fee` is kept: the acquirer holds it all, the merchant is owed the rest.
    ///
    /// # Errors
    /// When the amount is not positive, the fee is negative or above it.
    pub fn sale(amount: Rupiah, fee: Rupiah) -> Result<Self, PostingError> {
        let net = net(amount, fee)?;
        Ok(Self::of(
            PostingKind::Sale,
            [
                (Account::AcquirerHeld, Side::Debit, amount),
                (Account::MerchantPayable, Side::Credit, net),
                (Account::Mdr, Side::Credit, fee),
            ],
        ))
    }

    /// A sale of `amount` with `fee` was reversed as a whole: the mirror of its posting.
    ///
    /// # Errors
    /// As for [`Posting::sale`].
    pub fn refund(amount: Rupiah, fee: Rupiah) -> Result<Self, PostingError> {
        let net = net(amount, fee)?;
        Ok(Self::of(
            PostingKind::Refund,
            [
                (Account::MerchantPayable, Side::Debit, net),
                (Account::Mdr, Side::Debit, fee),
                (Account::AcquirerHeld, Side::Credit, amount),
            ],
        ))
    }

    /// A settlement claimed `amount` of what the merchant is owed: it is no longer there for another.
    ///
    /// # Errors
    /// When the amount is not positive.
    pub fn settlement(amount: Rupiah) -> Result<Self, PostingError> {
        let mut posting = Self::transfer(
            PostingKind::Settlement,
            Account::MerchantPayable,
            Account::MerchantPayable,
            amount,
        )?;
        for line in &mut posting.lines {
            line.of_settlement = line.side == Side::Credit;
        }
        Ok(posting)
    }

    /// A payout of `amount` was instructed: it is no longer free to be paid out.
    ///
    /// # Errors
    /// When the amount is not positive.
    pub fn payout_sent(amount: Rupiah) -> Result<Self, PostingError> {
        Self::transfer(
            PostingKind::PayoutSent,
            Account::MerchantPayable,
            Account::PayoutInTransit,
            amount,
        )
    }

    /// The partner who holds the money confirmed the payout of `amount`.
    ///
    /// # Errors
    /// When the amount is not positive.
    pub fn payout_paid(amount: Rupiah) -> Result<Self, PostingError> {
        Self::transfer(
            PostingKind::PayoutPaid,
            Account::PayoutInTransit,
            Account::AcquirerHeld,
            amount,
        )
    }

    /// A payout of `amount` that was instructed and not confirmed failed: the merchant is owed it again.
    ///
    /// # Errors
    /// When the amount is not positive.
    pub fn payout_failed(amount: Rupiah) -> Result<Self, PostingError> {
        Self::transfer(
            PostingKind::PayoutFailed,
            Account::PayoutInTransit,
            Account::MerchantPayable,
            amount,
        )
    }

    /// A payout of `amount` that had failed was paid after all.
    ///
    /// # Errors
    /// When the amount is not positive.
    pub fn payout_paid_late(amount: Rupiah) -> Result<Self, PostingError> {
        Self::transfer(
            PostingKind::PayoutPaidLate,
            Account::MerchantPayable,
            Account::AcquirerHeld,
            amount,
        )
    }

    /// A confirmed payout of `amount` came back from the merchant's bank: the acquirer holds it, the merchant is
    /// owed it again.
    ///
    /// # Errors
    /// When the amount is not positive.
    pub fn payout_returned(amount: Rupiah) -> Result<Self, PostingError> {
        Self::transfer(
            PostingKind::PayoutReturned,
            Account::AcquirerHeld,
            Account::MerchantPayable,
            amount,
        )
    }

    /// Which event this is.
    pub fn kind(&self) -> PostingKind {
        self.kind
    }

    /// Its lines, debits first; none is zero.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The same as one amount for each account.
    pub fn amounts(&self) -> Amounts {
        let mut amounts = Amounts::default();
        for line in &self.lines {
            let amount = match (line.account, line.of_settlement) {
                (Account::AcquirerHeld, _) => &mut amounts.acquirer_held,
                (Account::MerchantPayable, false) => &mut amounts.payable_open,
                (Account::MerchantPayable, true) => &mut amounts.payable_claimed,
                (Account::Mdr, _) => &mut amounts.mdr,
                (Account::PayoutInTransit, _) => &mut amounts.payout_in_transit,
            };
            *amount = match line.side {
                Side::Debit => line.amount,
                Side::Credit => Rupiah::from_i64(-line.amount.to_i64()),
            };
        }
        amounts
    }

    fn transfer(
        kind: PostingKind,
        debit: Account,
        credit: Account,
        amount: Rupiah,
    ) -> Result<Self, PostingError> {
        if amount.to_i64() <= 0 {
            return Err(PostingError::NotPositive);
        }
        Ok(Self::of(
            kind,
            [(debit, Side::Debit, amount), (credit, Side::Credit, amount)],
        ))
    }

    /// Lines without an amount are left out.
    fn of<const N: usize>(kind: PostingKind, lines: [(Account, Side, Rupiah); N]) -> Self {
        let lines = lines
            .into_iter()
            .filter(|(_, _, amount)| amount.to_i64() != 0)
            .map(|(account, side, amount)| Line {
                account,
                side,
                amount,
                of_settlement: !matches!(kind, PostingKind::Sale | PostingKind::Refund),
            })
            .collect();
        Self { kind, lines }
    }
}

/// What the merchant is owed of a sale.
fn net(amount: Rupiah, fee: Rupiah) -> Result<Rupiah, PostingError> {
    if amount.to_i64() <= 0 || fee.to_i64() < 0 {
        return Err(PostingError::NotPositive);
    }
    if fee > amount {
        return Err(PostingError::FeeAboveAmount);
    }
    Ok(Rupiah::from_i64(amount.to_i64() - fee.to_i64()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn rupiah(amount: i64) -> Rupiah {
        Rupiah::from_i64(amount)
    }

    fn line(account: Account, side: Side, amount: i64) -> Line {
        Line {
            account,
            side,
            amount: rupiah(amount),
            of_settlement: false,
        }
    }

    /// Debits minus credits per account; their sum is the imbalance.
    fn balances(postings: &[Posting]) -> BTreeMap<Account, i128> {
        let mut balances = BTreeMap::new();
        for line in postings.iter().flat_map(Posting::lines) {
            let amount = i128::from(line.amount.to_i64());
            *balances.entry(line.account).or_default() += if line.side == Side::Debit {
                amount
            } else {
                -amount
            };
        }
        balances
    }

    #[test]
    fn a_sale_is_held_by_the_acquirer_and_owed_to_the_merchant() {
        let sale = Posting::sale(rupiah(100_000), rupiah(700)).unwrap();
        assert_eq!(sale.kind(), PostingKind::Sale);
        assert_eq!(
            sale.lines(),
            [
                line(Account::AcquirerHeld, Side::Debit, 100_000),
                line(Account::MerchantPayable, Side::Credit, 99_300),
                line(Account::Mdr, Side::Credit, 700),
            ]
        );
    }

    #[test]
    fn a_free_sale_has_no_fee_line() {
        assert_eq!(
            Posting::sale(rupiah(5), rupiah(0)).unwrap().lines().len(),
            2
        );
    }

    #[test]
    fn impossible_amounts_are_refused() {
        assert_eq!(
            Posting::sale(rupiah(0), rupiah(0)),
            Err(PostingError::NotPositive)
        );
        assert_eq!(
            Posting::sale(rupiah(-1), rupiah(0)),
            Err(PostingError::NotPositive)
        );
        assert_eq!(
            Posting::sale(rupiah(1), rupiah(-1)),
            Err(PostingError::NotPositive)
        );
        assert_eq!(
            Posting::sale(rupiah(1), rupiah(2)),
            Err(PostingError::FeeAboveAmount)
        );
        assert_eq!(
            Posting::refund(rupiah(1), rupiah(2)),
            Err(PostingError::FeeAboveAmount)
        );
        assert_eq!(
            Posting::payout_sent(rupiah(0)),
            Err(PostingError::NotPositive)
        );
    }

    #[test]
    fn a_settlement_moves_what_is_owed_from_the_open_part_into_its_own() {
        let posting = Posting::settlement(rupiah(99_300)).unwrap();
        let own: Vec<_> = posting
            .lines()
            .iter()
            .map(|line| (line.side, line.of_settlement))
            .collect();
        assert_eq!(own, [(Side::Debit, false), (Side::Credit, true)]);
        let sent = Posting::payout_sent(rupiah(1)).unwrap();
        assert!(sent.lines().iter().all(|line| line.of_settlement));
        let amounts = posting.amounts();
        assert_eq!(amounts.payable_open, rupiah(99_300));
        assert_eq!(amounts.payable_claimed, rupiah(-99_300));
    }

    proptest! {
        #[test]
        fn every_posting_balances(amount in 1..=i64::MAX, part in 0_i64..=10_000) {
            let fee = (i128::from(amount) * i128::from(part) / 10_000) as i64;
            let (amount, fee) = (rupiah(amount), rupiah(fee));
            let postings = [
                Posting::sale(amount, fee).unwrap(),
                Posting::refund(amount, fee).unwrap(),
                Posting::settlement(amount).unwrap(),
                Posting::payout_sent(amount).unwrap(),
                Posting::payout_paid(amount).unwrap(),
                Posting::payout_failed(amount).unwrap(),
                Posting::payout_returned(amount).unwrap(),
                Posting::payout_paid_late(amount).unwrap(),
            ];
            for posting in postings {
                prop_assert!(posting.lines().iter().all(|line| line.amount.to_i64() > 0));
                let balances = balances(std::slice::from_ref(&posting));
                prop_assert_eq!(balances.values().sum::<i128>(), 0);
                let amounts = posting.amounts();
                let of = |account| balances.get(&account).copied().unwrap_or_default();
                let payable = i128::from(amounts.payable_open.to_i64()) + i128::from(amounts.payable_claimed.to_i64());
                prop_assert_eq!(of(Account::MerchantPayable), payable);
                for (account, amount) in [
                    (Account::AcquirerHeld, amounts.acquirer_held),
                    (Account::Mdr, amounts.mdr),
                    (Account::PayoutInTransit, amounts.payout_in_transit),
                ] {
                    prop_assert_eq!(of(account), i128::from(amount.to_i64()));
                }
            }
        }

        #[test]
        fn a_full_circle_leaves_only_the_fee(amount in 2_i64..=i64::MAX / 4, part in 0_i64..=9_999) {
            let fee = (i128::from(amount) * i128::from(part) / 10_000) as i64;
            let net = rupiah(amount - fee);
            let circle = [
                Posting::sale(rupiah(amount), rupiah(fee)).unwrap(),
                Posting::settlement(net).unwrap(),
                Posting::payout_sent(net).unwrap(),
                Posting::payout_failed(net).unwrap(),
                Posting::payout_paid_late(net).unwrap(),
                Posting::payout_returned(net).unwrap(),
                Posting::payout_sent(net).unwrap(),
                Posting::payout_paid(net).unwrap(),
                Posting::payout_returned(net).unwrap(),
                Posting::payout_sent(net).unwrap(),
                Posting::payout_paid(net).unwrap(),
            ];
            let balances = balances(&circle);
            prop_assert_eq!(balances[&Account::MerchantPayable], 0);
            prop_assert_eq!(balances[&Account::PayoutInTransit], 0);
            prop_assert_eq!(balances[&Account::AcquirerHeld], i128::from(fee));
            prop_assert_eq!(balances.get(&Account::Mdr).copied().unwrap_or_default(), -i128::from(fee));
        }

        #[test]
        fn a_refund_undoes_its_sale(amount in 1..=i64::MAX, part in 0_i64..=10_000) {
            let fee = (i128::from(amount) * i128::from(part) / 10_000) as i64;
            let (amount, fee) = (rupiah(amount), rupiah(fee));
            let both = [Posting::sale(amount, fee).unwrap(), Posting::refund(amount, fee).unwrap()];
            prop_assert!(balances(&both).values().all(|balance| *balance == 0));
        }
    }
}
