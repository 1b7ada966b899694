//! The partner who holds the merchants' money and pays it out as instructed.

use domain::payout::PayoutOutcome;
use futures_util::future::BoxFuture;
use wire::Rupiah;
use wire::ids::{MerchantId, PayoutId, SettlementId};

/// What the partner is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// The same however often it is told: the partner's idempotency key.
    pub payout_id: PayoutId,
    /// What is paid out.
    pub settlement_id: SettlementId,
    /// Whose money it is.
    pub merchant_id: MerchantId,
    /// How much.
    pub amount: Rupiah,
    /// The merchant's account, as it was registered.
    pub destination: String,
}

/// What the partner says of a payout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has it, and will say more later.
    Processing,
    /// It is over.
    Outcome {
        /// How it ended.
        outcome: PayoutOutcome,
        /// The bank's name for the transfer; always there when it was paid.
        bank_reference: Option<String>,
        /// Why, when it was not paid.
        reason: Option<String>,
    },
    /// It has never heard of it.
    Unknown,
}

/// There was no answer, or none that says anything: whether the partner has heard us is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// A partner that can be told and asked. Both may be repeated: neither ever pays twice.
pub trait PayoutPartner: Send + Sync {
    /// Tells it to pay.
    fn instruct<'a>(
        &'a self,
        instruction: &'a Instruction,
    ) -> BoxFuture<'a, Result<Answer, NoAnswer>>;

    /// Asks what became of a payout.
    fn ask(&self, payout_id: PayoutId) -> BoxFuture<'_, Result<Answer, NoAnswer>>;
}
