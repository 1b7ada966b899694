//! A certificate's time of validity.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rcgen::CertificateParams;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// How long before its issue a certificate becomes valid, because boxes' clocks run late.
const BACKDATE: TimeDelta = TimeDelta::minutes(5);
/// 9999-12-31T23:59:59Z: RFC 5280 §4.1.2.5.
const LAST_TIMESTAMP: i64 = 253_402_300_799;

/// A certificate's time of validity, in whole seconds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: DateTime<Utc>,
    /// The last moment.
    pub not_after: DateTime<Utc>,
}

impl Validity {
    /// Reads it from a certificate in DER. `None`: it is not an X.509 certificate, or has a date out of range.
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        Some(Self {
            not_before: DateTime::from_timestamp(validity.not_before.timestamp(), 0)?,
            not_after: DateTime::from_timestamp(validity.not_after.timestamp(), 0)?,
        })
    }

    /// From a little before `now` until `valid_for` after it. `None` when that is empty or outside the years 1970–9999,
    /// which both X.509 dates and rcgen can hold.
    pub(crate) fn new(now: DateTime<Utc>, valid_for: TimeDelta) -> Option<Self> {
        let not_before = now.checked_sub_signed(BACKDATE)?.timestamp();
        let not_after = now.checked_add_signed(valid_for)?.timestamp();
        if valid_for <= TimeDelta::zero() || not_before < 0 || not_after > LAST_TIMESTAMP {
            return None;
        }
        Some(Self {
            not_before: DateTime::from_timestamp(not_before, 0)?,
            not_after: DateTime::from_timestamp(not_after, 0)?,
        })
    }

    pub(crate) fn within(self, outer: Self) -> Self {
        Self {
            not_before: self.not_before.max(outer.not_before),
            not_after: self.not_after.min(outer.not_after),
        }
    }

    /// Writes the dates into rcgen's parameters.
    pub(crate) fn apply(self, params: &mut CertificateParams) {
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + whole_seconds(self.not_before);
        params.not_after = epoch + whole_seconds(self.not_after);
    }
}

/// The time since 1970, to be added to rcgen's dates, which are of another library. Zero before 1970.
pub(crate) fn whole_seconds(time: DateTime<Utc>) -> Duration {
    Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or(0))
}
