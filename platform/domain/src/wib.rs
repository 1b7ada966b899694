//! WIB (Asia/Jakarta): UTC+7 all year round. The days and the times that people in Indonesia read.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeZone as _, Utc};

/// The offset, in seconds east of Greenwich.
const OFFSET_S: i32 = 7 * 3600;

fn offset() -> FixedOffset {
    FixedOffset::east_opt(OFFSET_S).expect("seven hours are less than a day")
}

/// What clocks in Jakarta show at a moment.
pub fn local(at: DateTime<Utc>) -> NaiveDateTime {
    at.with_timezone(&offset()).naive_local()
}

/// The moment at which clocks in Jakarta show this date and time; none for one outside of the calendar.
pub fn moment(date: NaiveDate, time: NaiveTime) -> Option<DateTime<Utc>> {
    let local = offset()
        .from_local_datetime(&date.and_time(time))
        .single()?;
    Some(local.with_timezone(&Utc))
}

/// A moment as people in Jakarta write it, to the second: `2026-05-24 17:03:05`.
pub fn format(at: DateTime<Utc>) -> String {
    local(at).format("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_in_jakarta_begins_seven_hours_before_the_day_in_greenwich() {
        let date = NaiveDate::from_ymd_opt(2026, 11, 26).unwrap();
        let begins = moment(date, NaiveTime::MIN).unwrap();
        assert_eq!(begins.to_rfc3339(), "2026-11-25T17:00:00+00:00");
        assert_eq!(format(begins), "2026-11-26 00:00:00");
        assert_eq!(local(begins).date(), date);
    }

    #[test]
    fn a_date_outside_of_the_calendar_has_no_moment() {
        assert_eq!(moment(NaiveDate::MIN, NaiveTime::MIN), None);
    }
}
