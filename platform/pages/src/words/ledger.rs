//! The words of the ledger.

use domain::ledger::{Account, PostingKind};

use super::Language;
use super::page::page_words;

page_words! {
    /// Balances and lines of the ledger.
    LedgerWords {
        title "Ledger" "Buku besar"
        none "Nothing was booked yet. Each payment, settlement and payout is booked here as it happens." "Belum ada yang dibukukan. Setiap pembayaran, settlement dan pencairan dibukukan di sini."
        balances "Balances" "Saldo"
        balance "Balance" "Saldo"
        sum "All accounts" "Semua akun"
        at "As of" "Per"
        balanced "debits = credits" "debit = kredit"
        unbalanced "debits ≠ credits" "debit ≠ kredit"
        proof "Whether every line agrees with its payment, settlement and payout is proven by this command:" "Bahwa setiap baris cocok dengan pembayaran, settlement dan pencairannya dibuktikan oleh perintah ini:"
        lines "Lines" "Baris"
        kind "Event" "Kejadian"
        subject "About" "Tentang"
        merchant_id "Merchant (id)" "Merchant (id)"
        payment "payment" "pembayaran"
        settlement "settlement" "settlement"
        acquirer_held "held by acquirers" "di acquirer"
        merchant_payable "owed to merchants" "utang ke merchant"
        mdr "MDR" "MDR"
        payout_in_transit "payouts on their way" "pencairan di jalan"
        sale "payment" "pembayaran"
        refund "reversal" "pembatalan"
        claimed "settled" "settlement dibuat"
        payout_sent "payout sent" "pencairan dikirim"
        payout_paid "payout paid" "pencairan dibayar"
        payout_failed "payout failed" "pencairan gagal"
        payout_returned "payout came back" "pencairan kembali"
        payout_paid_late "payout paid after all" "pencairan ternyata dibayar"
    }
}

impl LedgerWords {
    pub(crate) const fn account(&self, account: Account) -> &'static str {
        match account {
            Account::AcquirerHeld => self.acquirer_held,
            Account::MerchantPayable => self.merchant_payable,
            Account::Mdr => self.mdr,
            Account::PayoutInTransit => self.payout_in_transit,
        }
    }

    pub(crate) const fn event(&self, kind: PostingKind) -> &'static str {
        match kind {
            PostingKind::Sale => self.sale,
            PostingKind::Refund => self.refund,
            PostingKind::Settlement => self.claimed,
            PostingKind::PayoutSent => self.payout_sent,
            PostingKind::PayoutPaid => self.payout_paid,
            PostingKind::PayoutFailed => self.payout_failed,
            PostingKind::PayoutReturned => self.payout_returned,
            PostingKind::PayoutPaidLate => self.payout_paid_late,
        }
    }
}
