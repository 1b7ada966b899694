//! The words of payouts.

use domain::payout::PayoutStatus;

use super::Language;
use super::page::page_words;
use super::state::{Told, Tone};

page_words! {
    /// Payouts of all settlements.
    PayoutWords {
        title "Payouts" "Pencairan"
        none "Nothing was paid out yet. Settlements of merchants that are paid directly make payouts." "Belum ada pencairan. Settlement merchant yang dibayar langsung membuat pencairan."
        needs_a_person "needs a person" "perlu ditangani"
        which "Which" "Yang mana"
        settlement "Settlement" "Settlement"
        pending "not sent" "belum dikirim"
        processing "sent" "dikirim"
        paid "paid" "dibayar"
        failed "failed" "gagal"
        returned "came back" "kembali"
        cancelled "cancelled" "dibatalkan"
        made "Made" "Dibuat"
    }
}

impl PayoutWords {
    pub(crate) const fn told(&self, status: PayoutStatus) -> Told {
        match status {
            PayoutStatus::Pending => (self.pending, Tone::Waiting),
            PayoutStatus::Processing => (self.processing, Tone::Waiting),
            PayoutStatus::Paid => (self.paid, Tone::Good),
            PayoutStatus::Failed => (self.failed, Tone::Bad),
            PayoutStatus::Returned => (self.returned, Tone::Bad),
            PayoutStatus::Cancelled => (self.cancelled, Tone::Quiet),
        }
    }
}
