//! The words of the portal's pages about money paid out, codes and boxes.

use super::Language;
use super::page::page_words;

page_words! {
    /// The portal.
    Portal {
        payouts "Payouts" "Pencairan"
        no_payouts "Nothing was paid out yet. What customers pay today is settled after the end of the day." "Belum ada pencairan. Pembayaran hari ini dicairkan setelah hari berakhir."
        print "Print the statement" "Cetak laporan"
        items "Payments in it" "Pembayaran di dalamnya"
        refund "refund" "pengembalian"
        account "Account" "Rekening"
        as_svg "SVG" "SVG"
        as_png "PNG" "PNG"
        last_said "Last payments at this box" "Pembayaran terakhir di soundbox ini"
        nothing_said "This box was told of no payment yet." "Soundbox ini belum mengumumkan pembayaran."
        until "Paid until" "Dibayar sampai"
    }
}
