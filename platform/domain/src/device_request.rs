//! What a person at a box asks for by its button.

use chrono::{DateTime, TimeDelta, Utc};

use crate::text_enum::text_enum;

text_enum! {
    /// What is asked for.
    pub enum DeviceRequestKind as "device request" {
        /// The last payment, once more.
        Replay = "replay",
        /// The same, of which it turned out that there is none.
        NothingToRepeat = "nothing_to_repeat",
        /// The total of the day.
        Total = "total",
    }
}

/// The shortest time between two requests of one kind by one box: about as long as a sentence takes.
pub const INTERVAL: TimeDelta = TimeDelta::seconds(5);

/// What is to be done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is carried out.
    New,
    /// It has been carried out already: the box, or MQTT, sends it again.
    Repeated,
    /// It follows the one before too soon.
    TooSoon {
        /// After so many seconds the box may ask again.
        retry_after_s: u32,
    },
}

/// Decides about a request at `now`, after the last one of its kind by its box.
pub fn decide(
    last: Option<(&str, DateTime<Utc>)>,
    request_id: &str,
    now: DateTime<Utc>,
) -> Decision {
    let Some((last_id, at)) = last else {
        return Decision::New;
    };
    if last_id == request_id {
        return Decision::Repeated;
    }
    let left = at + INTERVAL - now;
    if left <= TimeDelta::zero() {
        return Decision::New;
    }
    let seconds = left.num_milliseconds().div_euclid(1_000) + 1;
    Decision::TooSoon {
        retry_after_s: u32::try_from(seconds).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_new_repeated_or_too_soon() {
        let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        assert_eq!(decide(None, "a", at(0)), Decision::New);
        let last = Some(("a", at(0)));
        assert_eq!(decide(last, "a", at(0)), Decision::Repeated);
        assert_eq!(decide(last, "a", at(600)), Decision::Repeated);
        assert_eq!(decide(last, "b", at(5)), Decision::New);
        let soon = |retry_after_s| Decision::TooSoon { retry_after_s };
        assert_eq!(decide(last, "b", at(4)), soon(2));
        assert_eq!(decide(last, "b", at(0)), soon(6));
    }
}
