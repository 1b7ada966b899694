//! The words of incidents.

use super::Language;
use super::page::page_words;
use super::state::{Told, Tone};

page_words! {
    /// Messages that contradict what is known.
    IncidentWords {
        title "Incidents" "Insiden"
        none "No incidents. A partner's verified message that contradicts what is known appears here." "Tidak ada insiden. Pesan mitra yang sah tetapi bertentangan dengan data muncul di sini."
        kind "Kind" "Jenis"
        open "open" "terbuka"
        closed "closed" "selesai"
        came "Came" "Datang"
        payment "Payment" "Pembayaran"
        said "What it said" "Isinya"
        verified "What was verified" "Yang diperiksa"
        signature "Signature" "Tanda tangan"
        signature_holds "the partner's: verified before anything was read" "milik mitra: diperiksa sebelum isinya dibaca"
        route "Came on" "Datang lewat"
        verdict "Verdict" "Putusan"
        answered "Answered" "Dijawab"
        message "The message" "Pesannya"
        close "Close the incident" "Tutup insiden"
        close_hint "It changes nothing else: what is to be done about it is done by its own means." "Ini tidak mengubah hal lain: tindak lanjutnya dilakukan lewat caranya sendiri."
        found_out "What was found out" "Apa yang ditemukan"
        closed_by "Closed by" "Ditutup oleh"
    }
}

impl IncidentWords {
    pub(crate) const fn state(&self, is_closed: bool) -> Told {
        if is_closed {
            (self.closed, Tone::Quiet)
        } else {
            (self.open, Tone::Bad)
        }
    }
}
