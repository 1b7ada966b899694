//! The words of two states side by side.

use super::Language;
use super::page::page_words;

page_words! {
    /// Field by field.
    ComparisonWords {
        field "Field" "Isian"
        before "Before" "Sebelum"
        after "After" "Sesudah"
        there_now "There now" "Sekarang"
        asked_for "Asked for" "Diminta"
        unchanged "stays" "tetap"
        more "More fields are in the API." "Isian lainnya ada di API."
    }
}
