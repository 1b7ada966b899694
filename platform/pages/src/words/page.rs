//! The words of one page each, where they are not among those that all pages share.

use super::Language;

/// Declares the words of a page: a name, English, Indonesian.
macro_rules! page_words {
    ($(#[$doc:meta])* $page:ident { $($name:ident $en:literal $id:literal)+ }) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $page {
            $(pub(crate) $name: &'static str,)+
        }

        impl $page {
            const EN: Self = Self { $($name: $en,)+ };
            const ID: Self = Self { $($name: $id,)+ };

            /// In this language.
            pub(crate) const fn of(language: Language) -> &'static Self {
                match language {
                    Language::En => &Self::EN,
                    Language::Id => &Self::ID,
                }
            }
        }
    };
}
pub(super) use page_words;

page_words! {
    /// Filters of lists.
    Filters {
        more "More filters" "Saringan lain"
        reference_or_id "Reference or ID" "Referensi atau ID"
        bank_reference_or_id "Bank reference or ID" "Referensi bank atau ID"
        name_or_id "Name, NMID, PAN or ID" "Nama, NMID, PAN, atau ID"
        serial_or_subject "Serial number or ID" "Nomor seri atau ID"
        entity_or_person "ID of what is changed, or of who asked" "ID yang diubah, atau pengusul"
        partner_reference "Reference, RRN, NMID or PAN" "Referensi, RRN, NMID, atau PAN"
        merchant_id "Merchant (ID)" "Merchant (ID)"
        kind "Kind" "Jenis"
        tag "Tag" "Label"
    }
}

page_words! {
    /// Charts of *Now*.
    Charts {
        by_hour "Payments by the hour" "Pembayaran per jam"
    }
}
