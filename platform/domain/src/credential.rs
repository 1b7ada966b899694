//! A box's certificates: the state of each, and why one was ended.

use chrono::{DateTime, TimeDelta, Utc};

use crate::text_enum::text_enum;

/// For how long an expired certificate may still ask for its successor, over HTTPS, and do nothing else.
pub const RENEWAL_GRACE: TimeDelta = TimeDelta::days(30);

/// How long the credentials that were replaced stay good, unless the new ones are used before.
pub const OVERLAP: TimeDelta = TimeDelta::hours(24);

text_enum! {
    /// Why a certificate was ended, in the words of RFC 5280 §5.3.1.
    pub enum RevocationReason as "reason for a revocation" {
        /// No reason was given.
        Unspecified = "unspecified",
        /// Another party has the private key, or may have it.
        KeyCompromise = "key_compromise",
        /// Another certificate took its place.
        Superseded = "superseded",
        /// The box is gone for good.
        CessationOfOperation = "cessation_of_operation",
        /// The box may not be used any longer.
        PrivilegeWithdrawn = "privilege_withdrawn",
    }
}

text_enum! {
    /// The state of a certificate.
    pub enum CredentialStatus as "credential status" {
        /// Good.
        Active = "active",
        /// A successor was issued; good until that is used, for a day at most.
        Overlapping = "overlapping",
        /// A successor has taken its place.
        Superseded = "superseded",
        /// Expired, and still good for its own renewal.
        InGrace = "in_grace",
        /// Expired for longer than that.
        Expired = "expired",
        /// Ended before its time.
        Revoked = "revoked",
    }
}

/// The moments that a certificate's standing depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// The last moment of its validity.
    pub not_after: DateTime<Utc>,
    /// When it ends because a successor was issued.
    pub superseded_until: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl Life {
    /// The state at `now`. A decision counts before the passing of time.
    pub fn status(self, now: DateTime<Utc>) -> CredentialStatus {
        if self.revoked_at.is_some() {
            CredentialStatus::Revoked
        } else if self.superseded_until.is_some_and(|until| until <= now) {
            CredentialStatus::Superseded
        } else if self.not_after + RENEWAL_GRACE <= now {
            CredentialStatus::Expired
        } else if self.not_after <= now {
            CredentialStatus::InGrace
        } else if self.superseded_until.is_some() {
            CredentialStatus::Overlapping
        } else {
            CredentialStatus::Active
        }
    }
}

text_enum! {
    /// How wide the bars of a histogram are.
    pub enum BucketWidth as "width of a bucket" {
        /// A day.
        Day = "day",
        /// Seven days.
        Week = "week",
    }
}

impl BucketWidth {
    /// In days.
    pub const fn days(self) -> u32 {
        match self {
            Self::Day => 1,
            Self::Week => 7,
        }
    }

    /// Adds up counts by day into buckets of this width, at most `buckets_max`, the empty ones between them included.
    /// What lies beyond the last is the second answer.
    pub fn buckets(self, days: &[(u32, i64)], buckets_max: usize) -> (Vec<i64>, i64) {
        let (mut buckets, mut later) = (Vec::new(), 0);
        for (day, count) in days {
            match usize::try_from(day / self.days()) {
                Ok(index) if index < buckets_max => {
                    if buckets.len() <= index {
                        buckets.resize(index + 1, 0);
                    }
                    buckets[index] += count;
                }
                _ => later += count,
            }
        }
        (buckets, later)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(day)
    }

    #[test]
    fn a_certificate_lives_expires_and_is_forgiven_for_a_month() {
        let life = Life {
            not_after: at(100),
            superseded_until: None,
            revoked_at: None,
        };
        assert_eq!(life.status(at(99)), CredentialStatus::Active);
        assert_eq!(life.status(at(100)), CredentialStatus::InGrace);
        assert_eq!(life.status(at(129)), CredentialStatus::InGrace);
        assert_eq!(life.status(at(130)), CredentialStatus::Expired);
    }

    #[test]
    fn a_replaced_certificate_is_good_until_its_time_and_a_revoked_one_never() {
        let replaced = Life {
            not_after: at(100),
            superseded_until: Some(at(10)),
            revoked_at: None,
        };
        assert_eq!(replaced.status(at(9)), CredentialStatus::Overlapping);
        assert_eq!(replaced.status(at(10)), CredentialStatus::Superseded);
        let revoked = Life {
            revoked_at: Some(at(5)),
            ..replaced
        };
        for day in [0, 9, 10, 100, 200] {
            assert_eq!(revoked.status(at(day)), CredentialStatus::Revoked);
        }
    }

    #[test]
    fn days_are_added_up_into_weeks_and_nothing_is_lost() {
        let days = [(0, 1), (6, 2), (7, 4), (21, 8), (700, 16)];
        assert_eq!(BucketWidth::Week.buckets(&days, 53), (vec![3, 4, 0, 8], 16));
        let (buckets, later) = BucketWidth::Day.buckets(&days, 10);
        assert_eq!(buckets, [1, 0, 0, 0, 0, 0, 2, 4]);
        assert_eq!(later, 24);
        assert_eq!(BucketWidth::Day.buckets(&[], 10), (Vec::new(), 0));
    }
}
