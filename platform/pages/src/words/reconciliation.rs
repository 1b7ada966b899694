//! The words of reconciliation.

use domain::reconciliation::Class;

use super::Language;
use super::page::page_words;
use super::state::{Told, Tone};

page_words! {
    /// An acquirer's file against ours.
    ReconciliationWords {
        title "Reconciliation" "Rekonsiliasi"
        none "No file was compared yet. Choose an acquirer's file above." "Belum ada berkas yang dibandingkan. Pilih berkas acquirer di atas."
        none_to_see "No file was compared yet." "Belum ada berkas yang dibandingkan."
        upload "Compare a file" "Bandingkan berkas"
        upload_hint "The acquirer's CSV of these days (WIB). Each line is held against what we have." "CSV acquirer untuk hari-hari ini (WIB). Setiap baris dibandingkan dengan data kita."
        file "CSV file" "Berkas CSV"
        drop "Drop the file here, or choose it" "Seret berkas ke sini, atau pilih"
        compare "Compare" "Bandingkan"
        comparing "Comparing …" "Membandingkan …"
        choose "choose" "pilih"
        no_file "choose a file" "pilih berkas"
        too_large "the file is larger than it may be" "berkas terlalu besar"
        period "Period" "Periode"
        made "Compared" "Dibandingkan"
        made_by "By" "Oleh"
        line "Line" "Baris"
        class "Class" "Kelas"
        theirs "Theirs" "Menurut acquirer"
        ours "Ours" "Menurut kita"
        note "Note" "Catatan"
        payment "Payment" "Pembayaran"
        all_lines "all lines" "semua baris"
        none_of_class "No line has this class." "Tidak ada baris di kelas ini."
        matched "matched" "cocok"
        ours_only "only ours" "hanya di kita"
        theirs_only "only theirs" "hanya di acquirer"
        amount_differs "amount differs" "jumlah berbeda"
        fingerprint "SHA-256 of the file" "SHA-256 berkas"
    }
}

impl ReconciliationWords {
    pub(crate) const fn told(&self, class: Class) -> Told {
        match class {
            Class::Matched => (self.matched, Tone::Good),
            Class::OursOnly => (self.ours_only, Tone::Waiting),
            Class::TheirsOnly => (self.theirs_only, Tone::Bad),
            Class::AmountDiffers => (self.amount_differs, Tone::Bad),
        }
    }
}
