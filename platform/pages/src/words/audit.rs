//! The words of the audit log.

use super::Language;
use super::page::page_words;

page_words! {
    /// Who changed what.
    AuditWords {
        title "Audit log" "Log audit"
        none "Nothing was changed yet." "Belum ada perubahan."
        actor "Who" "Siapa"
        action "What" "Apa"
        entity "To what" "Terhadap"
        chain "Chain" "Rantai"
        sealed "sealed" "tersegel"
        waits "waits for its seal" "menunggu segel"
        broken "changed after it was sealed" "diubah setelah disegel"
        head "Head of the chain" "Ujung rantai"
        sealed_rows "sealed" "tersegel"
        waiting_rows "waiting" "menunggu"
        shown_whole "The rows below are as they were when they were sealed. This command proves the whole chain:" "Baris di bawah sama seperti saat disegel. Perintah ini membuktikan seluruh rantai:"
        shown_broken "Some rows below are not as they were when they were sealed. This command checks the whole chain:" "Ada baris di bawah yang tidak sama seperti saat disegel. Perintah ini memeriksa seluruh rantai:"
        nothing_changed "no field changed" "tidak ada isian yang berubah"
        changed_fields "Changed fields" "Isian yang berubah"
        system "the platform" "platform"
    }
}
