//! SNAP BI, the national open API for payments, as far as QRIS needs it: signatures, notifications, answers.
//!
//! Bank Indonesia publishes the standard (Standar Nasional Open API Pembayaran) through ASPI; partners differ in what
//! they leave out. Everything that is a matter of the standard is here, pure; what is a matter of one partner (its
//! keys, which of two signatures it uses, what its status codes mean) comes in as an argument.
//!
//! | service | code | who calls |
//! |---|---|---|
//! | access token | 73 | both: the side that is about to call the other symmetrically |
//! | qr-mpm-generate | 47 | we |
//! | qr-mpm-query | 51 | we |
//! | qr-mpm-notify | 52 | the partner |
//! | qr-mpm-cancel | 77 | we |
//! | qr-mpm-refund | 78 | we |

pub mod answer;
pub mod minify;
pub mod money;
pub mod order;
pub mod signature;

/// The clock that X-TIMESTAMP and the day of X-EXTERNAL-ID are in: Jakarta, which has no summer time.
pub const UTC_OFFSET_S: i32 = 7 * 3600;
/// How long an access token can be used, in seconds.
pub const TOKEN_LIFETIME_S: u32 = 900;
/// The longest X-EXTERNAL-ID, in bytes.
pub const EXTERNAL_ID_LEN_MAX: usize = 36;

/// Writes a time as X-TIMESTAMP does: Jakarta's time, to the second.
pub fn timestamp(at: chrono::DateTime<chrono::Utc>) -> String {
    at.with_timezone(&jakarta())
        .to_rfc3339_opts(chrono::SecondsFormat::Secs, false)
}

/// The day on which an X-EXTERNAL-ID must be unique.
pub fn day(at: chrono::DateTime<chrono::Utc>) -> chrono::NaiveDate {
    at.with_timezone(&jakarta()).date_naive()
}

fn jakarta() -> chrono::FixedOffset {
    chrono::FixedOffset::east_opt(UTC_OFFSET_S).expect("seven hours are an offset")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_jakarta() {
        let at = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap().to_utc();
        assert_eq!(
            timestamp(at("2024-05-02T07:43:08Z")),
            "2024-05-02T14:43:08+07:00"
        );
        assert_eq!(day(at("2024-05-02T16:59:59Z")).to_string(), "2024-05-02");
        assert_eq!(day(at("2024-05-02T17:00:00Z")).to_string(), "2024-05-03");
    }
}
