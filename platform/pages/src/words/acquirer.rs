//! The words of acquirers and their messages.

use super::Language;
use super::page::page_words;

page_words! {
    /// How it goes with each acquirer.
    AcquirerWords {
        title "Partners" "Mitra"
        none "No acquirer is configured. Add one under [qris_partners] of the configuration." "Belum ada acquirer. Tambahkan di [qris_partners] pada konfigurasi."
        dialect "Dialect" "Dialek"
        paths "Paths that it calls" "Alamat yang dipanggilnya"
        signatures "Signatures" "Tanda tangan"
        confirmed "Confirmed" "Terkonfirmasi"
        all_confirmed "all of the dialect" "seluruh dialek"
        unconfirmed "codes are not confirmed" "kode belum dikonfirmasi"
        unconfirmed_title "Status codes that the partner has not confirmed" "Kode status yang belum dikonfirmasi mitra"
        table "Table" "Tabel"
        status_code "Code" "Kode"
        meaning "Taken as" "Dianggap"
        last_callback "Last verified message" "Pesan sah terakhir"
        none_in_a_day "none in 24 hours" "tidak ada dalam 24 jam"
        name_or_dialect "Name or dialect" "Nama atau dialek"
        refused "Refused in 24 hours" "Ditolak dalam 24 jam"
        nothing_refused "Nothing was refused in the last 24 hours." "Tidak ada yang ditolak dalam 24 jam terakhir."
        why "Reason" "Alasan"
        sender "Sender" "Pengirim"
        sender_proven "proven" "terbukti"
        sender_claimed "only claimed" "hanya mengaku"
        how_many "Count" "Jumlah"
        last "Last" "Terakhir"
        clock "Our clock is ahead" "Jam kita lebih cepat"
        clock_unknown "not known yet" "belum diketahui"
        circuit "Calls to it" "Panggilan ke mitra"
        circuit_closed "are made" "berjalan"
        circuit_open "paused: it failed too often" "dihentikan sementara: terlalu sering gagal"
        circuit_none "none: codes are made here" "tidak ada: kode dibuat di sini"
        latest "Latest messages" "Pesan terbaru"
        messages "Messages" "Pesan"
        no_messages "No message was kept. They appear here as they come." "Belum ada pesan. Pesan muncul di sini begitu datang."
        verdict "Verdict" "Putusan"
        answered "Answered" "Dijawab"
        bytes "Bytes" "Byte"
        route "Came on" "Datang lewat"
        from_address "Came from" "Datang dari"
        headers "Headers" "Header"
        body "Body" "Isi"
        raw "Raw bytes" "Byte mentah"
        truncated "Only its beginning was kept." "Hanya bagian awalnya yang disimpan."
        not_text "The body is not text; here it is in base64." "Isinya bukan teks; ini dalam base64."
    }
}
