//! The partner who holds the merchants' money and pays it out as instructed.

use domain::payout::PayoutOutcome;
use futures_util::future::BoxFuture;
use wire::Rupiah;
use wire::ids::{MerchantId, PayoutId, SettlementId};

/// What the partner is instructed to pay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// The same however often it is sent: the partner's idempotency key.
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

/// What the partner reports of a payout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has it, and will report later.
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
    /// It does not know the payout.
    Unknown,
}

/// There was no answer, or none that says anything: whether the partner received the call is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// A partner that takes instructions and queries. Both may be repeated: neither ever pays twice.
pub trait PayoutPartner: Send + Sync {
    /// Instructs it to pay.
    fn instruct<'a>(
        &'a self,
        instruction: &'a Instruction,
    ) -> BoxFuture<'a, Result<Answer, NoAnswer>>;

    /// Queries what became of a payout.
    fn query(&self, payout_id: PayoutId) -> BoxFuture<'_, Result<Answer, NoAnswer>>;
}
