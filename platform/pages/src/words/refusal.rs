//! What a page says of a refusal.

use service::Error;

use super::Language;

/// What a use case says of a refusal; fields with what is wrong with them. The rules of the API are in English: in Indonesian
/// a page says what happened, and after it the rule as the API has it.
pub(crate) fn told(error: &Error, language: Language) -> String {
    match language {
        Language::En => rule(error),
        Language::Id => match happened(error) {
            (text, true) => format!("{text} ({})", rule(error)),
            (text, false) => text.to_owned(),
        },
    }
}

/// The rule that was broken, as the API says it.
fn rule(error: &Error) -> String {
    match error {
        Error::Validation(fields) => {
            let parts: Vec<String> = fields.iter().map(ToString::to_string).collect();
            parts.join("; ")
        }
        other => other.to_string(),
    }
}

/// What happened, in Indonesian, and whether the rule says more.
fn happened(error: &Error) -> (&'static str, bool) {
    match error {
        Error::NotFound(_) => ("Tidak ditemukan, atau bukan milik Anda.", true),
        Error::InvalidState { .. } => (
            "Tidak dapat dilakukan dalam keadaannya sekarang. Muat ulang halaman ini.",
            true,
        ),
        Error::Validation(_) => ("Ada isian yang belum benar.", true),
        Error::InvalidAmount(_) => ("Jumlah uangnya tidak dapat dipakai.", true),
        Error::DeviceNotBound => ("Soundbox ini belum terpasang di kasir.", false),
        Error::CapabilityNotSupported(_) => ("Soundbox ini tidak memiliki kemampuan itu.", true),
        Error::Duplicate { .. } => ("Sudah pernah dipakai untuk hal lain.", true),
        Error::Forbidden(_) => ("Anda tidak berhak melakukan ini.", true),
        Error::Unauthenticated => ("Silakan masuk terlebih dahulu.", false),
        Error::WrongLogin => ("Email, kata sandi, atau kode salah.", false),
        Error::DeviceUnauthorized(_) => ("Soundbox ini tidak dikenal.", true),
        Error::RateLimited { .. } => ("Terlalu sering. Tunggu sebentar, lalu coba lagi.", false),
        Error::MerchantPayoutNotConfigured => {
            ("Merchant ini belum memiliki rekening pencairan.", false)
        }
        Error::SettlementNotEligible(_) => {
            ("Penyelesaian ini tidak dapat diproses sekarang.", true)
        }
        Error::PartnerTimeout => ("Mitra tidak menjawab tepat waktu. Coba lagi nanti.", false),
        Error::InvalidSignature(_) => ("Tanda tangannya tidak cocok.", true),
        Error::StaleTimestamp => ("Waktunya terlalu jauh dari waktu server.", false),
        Error::TooLarge => ("Berkasnya terlalu besar.", false),
        Error::Malformed(_) => ("Tidak dapat dibaca.", true),
        Error::Database(_)
        | Error::Contended(_)
        | Error::Overloaded
        | Error::NoLease
        | Error::Internal(_) => ("Sistem sedang terganggu. Coba lagi sebentar.", false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_indonesian_page_says_what_happened_and_then_the_rule() {
        let error = Error::field("version", "must be 1 to 64 characters");
        assert_eq!(
            told(&error, Language::Id),
            "Ada isian yang belum benar. (version: must be 1 to 64 characters)"
        );
        assert_eq!(
            told(&error, Language::En),
            "version: must be 1 to 64 characters"
        );
        assert_eq!(
            told(&Error::WrongLogin, Language::Id),
            "Email, kata sandi, atau kode salah."
        );
    }
}
