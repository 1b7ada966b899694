//! The words of proposals.

use domain::approval::ApprovalKind;

use super::Language;
use super::page::page_words;

page_words! {
    /// What can be proposed.
    ProposalWords {
        about "About" "Tentang"
        compare "What would change" "Yang akan berubah"
        changed "What was asked for" "Yang diminta"
        own "You have proposed this: another person confirms it." "Ini usulan Anda: orang lain yang menyetujui."
        take_over "No person has made this proposal: who approves first takes it over, and another confirms it." "Usulan ini bukan dari orang: yang pertama menyetujui mengambil alih, lalu orang lain mengonfirmasi."
        fee_profile_create "new fee profile" "profil biaya baru"
        fee_profile_version "new rates" "tarif baru"
        merchant_patch "change of a merchant" "perubahan merchant"
        merchant_approve "approval of a merchant" "persetujuan merchant"
        settlement_mark_paid "settlement paid by hand" "settlement dibayar manual"
        unmatched_payment_assign "owner of unmatched money" "pemilik uang tanpa pemilik"
        user_create "new user" "pengguna baru"
        user_patch "change of a user" "perubahan pengguna"
        user_reset "password reset" "reset kata sandi"
        token_create "new token" "token baru"
        payout_account "first payout to an account" "pencairan pertama ke rekening"
        command_create "text to be spoken" "teks untuk diucapkan"
        bulk_command_create "text to be spoken by many boxes" "teks untuk diucapkan banyak soundbox"
    }
}

impl ProposalWords {
    pub(crate) const fn kind(&self, kind: ApprovalKind) -> &'static str {
        match kind {
            ApprovalKind::FeeProfileCreate => self.fee_profile_create,
            ApprovalKind::FeeProfileVersion => self.fee_profile_version,
            ApprovalKind::MerchantPatch => self.merchant_patch,
            ApprovalKind::MerchantApprove => self.merchant_approve,
            ApprovalKind::SettlementMarkPaid => self.settlement_mark_paid,
            ApprovalKind::UnmatchedPaymentAssign => self.unmatched_payment_assign,
            ApprovalKind::UserCreate => self.user_create,
            ApprovalKind::UserPatch => self.user_patch,
            ApprovalKind::UserReset => self.user_reset,
            ApprovalKind::TokenCreate => self.token_create,
            ApprovalKind::PayoutAccount => self.payout_account,
            ApprovalKind::CommandCreate => self.command_create,
            ApprovalKind::BulkCommandCreate => self.bulk_command_create,
        }
    }
}
