//! Groups of alerts: alerts that opened together, as people are told of them. One message when a group begins and one when it is
//! over, and not one for each box.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use wire::ids::AlertId;

use crate::alert::AlertKind;
use crate::health::TradingHours;
use crate::text_enum::text_enum;
use crate::wib;

/// How long alerts may go on to open before people are told, so that what went together is told together.
pub const GATHER: TimeDelta = TimeDelta::seconds(15);
/// For how long after the last alert another one is still a part of the same group.
pub const JOIN_WITHIN: TimeDelta = TimeDelta::minutes(10);
/// For how long a message is tried; then it is too old to help.
pub const GIVE_UP_AFTER: TimeDelta = TimeDelta::hours(12);
/// How many subjects a message names.
const NAMED_MAX: usize = 10;

text_enum! {
    /// What the boxes of a group have in common, the narrowest first.
    pub enum Cause as "cause" {
        /// They stand in one outlet.
        Outlet = "outlet",
        /// They stand in one city.
        City = "city",
        /// They have the same firmware.
        Firmware = "firmware",
        /// They are of one model.
        Model = "model",
    }
}

text_enum! {
    /// Which message of a group.
    pub enum Phase as "phase" {
        /// It began.
        Began = "began",
        /// It is over.
        Ended = "ended",
    }
}

/// An open alert, with what may have caused it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a fact of its name")]
pub struct OpenAlert {
    pub id: AlertId,
    pub kind: AlertKind,
    /// The serial number of a box, otherwise the alert's subject.
    pub name: String,
    pub merchant: Option<String>,
    pub outlet: Option<String>,
    pub city: Option<String>,
    pub firmware: Option<String>,
    pub model: Option<String>,
    pub since: DateTime<Utc>,
}

impl OpenAlert {
    /// The alert's part in a cause.
    pub fn of(&self, cause: Cause) -> Option<&str> {
        match cause {
            Cause::Outlet => self.outlet.as_deref(),
            Cause::City => self.city.as_deref(),
            Cause::Firmware => self.firmware.as_deref(),
            Cause::Model => self.model.as_deref(),
        }
    }
}

/// Alerts of one kind that opened together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertGroup {
    /// Of which kind.
    pub kind: AlertKind,
    /// What they have in common.
    pub cause: Option<(Cause, String)>,
    /// They.
    pub alerts: Vec<OpenAlert>,
}

/// Divides alerts that opened together into groups: one for each kind.
pub fn group(alerts: Vec<OpenAlert>) -> Vec<AlertGroup> {
    let mut kinds: BTreeMap<AlertKind, Vec<OpenAlert>> = BTreeMap::new();
    for alert in alerts {
        kinds.entry(alert.kind).or_default().push(alert);
    }
    let made = |(kind, alerts): (AlertKind, Vec<OpenAlert>)| AlertGroup {
        kind,
        cause: common(&alerts),
        alerts,
    };
    kinds.into_iter().map(made).collect()
}

/// The narrowest thing that all have in common. One alone has nothing in common with anything.
fn common(alerts: &[OpenAlert]) -> Option<(Cause, String)> {
    let (first, rest) = alerts.split_first().filter(|(_, rest)| !rest.is_empty())?;
    Cause::ALL.iter().copied().find_map(|cause| {
        let value = first.of(cause)?;
        rest.iter()
            .all(|alert| alert.of(cause) == Some(value))
            .then(|| (cause, value.to_owned()))
    })
}

/// Whether an alert is a part of a group that is under way.
pub fn joins(
    alert: &OpenAlert,
    kind: AlertKind,
    cause: Option<(Cause, &str)>,
    joined_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> bool {
    alert.kind == kind
        && now - joined_at <= JOIN_WITHIN
        && cause.is_none_or(|(cause, value)| alert.of(cause) == Some(value))
}

/// What a message says: a title for a phone's screen, and the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// One line.
    pub title: String,
    /// Some lines.
    pub body: String,
}

/// What is said when a group begins.
pub fn began(group: &AlertGroup) -> Text {
    let mut title = headline(group.kind, group.alerts.len());
    match &group.cause {
        Some((Cause::Firmware, version)) => {
            write_to(&mut title, format_args!(", all with firmware {version}"))
        }
        Some((Cause::Model, model)) => write_to(&mut title, format_args!(", all of model {model}")),
        Some((Cause::Outlet | Cause::City, place)) => {
            write_to(&mut title, format_args!(", all in {place}"))
        }
        None => {}
    }
    if let [one] = group.alerts.as_slice() {
        write_to(&mut title, format_args!(": {}", one.name));
        if let Some(outlet) = &one.outlet {
            write_to(&mut title, format_args!(" ({outlet})"));
        }
    }
    let mut body = String::new();
    if let Some(since) = group.alerts.iter().map(|alert| alert.since).min() {
        write_to(
            &mut body,
            format_args!("Since {} WIB\n", wib::format(since)),
        );
    }
    let merchants: BTreeSet<&str> = group
        .alerts
        .iter()
        .filter_map(|alert| alert.merchant.as_deref())
        .collect();
    if merchants.len() > 1 {
        write_to(&mut body, format_args!("{} merchants\n", merchants.len()));
    }
    for alert in group.alerts.iter().take(NAMED_MAX) {
        let place = [&alert.merchant, &alert.outlet, &alert.city];
        let place: Vec<&str> = place
            .into_iter()
            .filter_map(|part| part.as_deref())
            .collect();
        let separator = if place.is_empty() { "" } else { ": " };
        write_to(
            &mut body,
            format_args!("- {}{separator}{}\n", alert.name, place.join(", ")),
        );
    }
    if let Some(more) = group
        .alerts
        .len()
        .checked_sub(NAMED_MAX)
        .filter(|more| *more > 0)
    {
        write_to(&mut body, format_args!("and {more} more\n"));
    }
    Text { title, body }
}

/// What is said when it is over: what was said first, how many alerts it was in the end, and how long it lasted.
pub fn ended(first_title: &str, alerts: i64, began_at: DateTime<Utc>, now: DateTime<Utc>) -> Text {
    let minutes = (now - began_at).num_minutes().max(1);
    let lasted = match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    };
    let plural = if alerts == 1 { "alert" } else { "alerts" };
    Text {
        title: format!("Over: {first_title}"),
        body: format!("It lasted {lasted}, {alerts} {plural} in all.\n"),
    }
}

/// Formatting into a string cannot fail.
fn write_to(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(arguments);
}

fn headline(kind: AlertKind, count: usize) -> String {
    let one = count == 1;
    let words = match (kind, one) {
        (AlertKind::Offline, true) => "Boxes offline at one place",
        (AlertKind::Offline, false) => "places with boxes offline",
        (AlertKind::UnheardPayment, true) => "A paid customer was not heard",
        (AlertKind::UnheardPayment, false) => "boxes did not announce a payment",
        (AlertKind::UnannouncedPayment, true) => "A payment has no box to announce it",
        (AlertKind::UnannouncedPayment, false) => "places where no box can announce payments",
        (AlertKind::CertificateExpiring, true) => "A box's certificate ends soon",
        (AlertKind::CertificateExpiring, false) => "boxes whose certificate ends soon",
        (AlertKind::BatteryLow, true) => "A box's battery is nearly empty",
        (AlertKind::BatteryLow, false) => "boxes with a nearly empty battery",
        (AlertKind::Flapping, true) => "A box comes and goes",
        (AlertKind::Flapping, false) => "boxes come and go",
        (AlertKind::UnmatchedPayment, true) => "Money that belongs to no merchant",
        (AlertKind::UnmatchedPayment, false) => "acquirers with money that belongs to no merchant",
        (AlertKind::Incident, true) => "An acquirer's message contradicts what is known",
        (AlertKind::Incident, false) => "acquirers whose messages contradict what is known",
        (AlertKind::UndeliverableMessage, true) => "A message cannot be sent to a box",
        (AlertKind::UndeliverableMessage, false) => "boxes to which a message cannot be sent",
        (AlertKind::FailedItem, true) => "An item of a job was put aside",
        (AlertKind::FailedItem, false) => "items of jobs were put aside",
        (AlertKind::PayoutHeld, true) => "A merchant's payouts are held back",
        (AlertKind::PayoutHeld, false) => "merchants whose payouts are held back",
        (AlertKind::ServerCertificateExpiring, _) => "The server's certificate ends soon",
        (AlertKind::RejectedCallback, true) => "An acquirer's message was refused",
        (AlertKind::RejectedCallback, false) => "acquirers whose messages were refused",
        (AlertKind::PlainMqtt, _) => "Boxes may connect without TLS",
        (AlertKind::WebhookDisabled, true) => "A webhook endpoint was switched off",
        (AlertKind::WebhookDisabled, false) => "webhook endpoints were switched off",
    };
    if one {
        words.to_owned()
    } else {
        format!("{count} {words}")
    }
}

/// When a message that is made now is to be sent: after the quiet hours (WIB), unless it is urgent.
pub fn send_at(now: DateTime<Utc>, quiet: Option<TradingHours>, urgent: bool) -> DateTime<Utc> {
    let Some(quiet) = quiet.filter(|quiet| !urgent && quiet.opens != quiet.closes) else {
        return now;
    };
    let time = wib::local(now).time();
    let is_quiet = if quiet.opens < quiet.closes {
        (quiet.opens..quiet.closes).contains(&time)
    } else {
        time >= quiet.opens || time < quiet.closes
    };
    if is_quiet {
        now + until(time, quiet.closes)
    } else {
        now
    }
}

/// From one time of the day to the next time that it is another.
fn until(from: NaiveTime, to: NaiveTime) -> TimeDelta {
    let ahead = to - from;
    if ahead < TimeDelta::zero() {
        ahead + TimeDelta::days(1)
    } else {
        ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn alert(number: u128, kind: AlertKind, outlet: &str, city: &str, firmware: &str) -> OpenAlert {
        OpenAlert {
            id: AlertId::from_uuid(Uuid::from_u128(number)),
            kind,
            name: format!("SB-{number:04}"),
            merchant: Some("Kopi Fajar".into()),
            outlet: Some(outlet.into()),
            city: Some(city.into()),
            firmware: Some(firmware.into()),
            model: Some("SB-1".into()),
            since: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
        }
    }

    #[test]
    fn the_narrowest_common_cause_is_named() {
        let offline = |number, outlet, city, firmware| {
            alert(number, AlertKind::Offline, outlet, city, firmware)
        };
        for (alerts, cause) in [
            (
                vec![offline(1, "a", "x", "1"), offline(2, "a", "x", "1")],
                Some((Cause::Outlet, "a")),
            ),
            (
                vec![offline(1, "a", "x", "1"), offline(2, "b", "x", "1")],
                Some((Cause::City, "x")),
            ),
            (
                vec![offline(1, "a", "x", "1"), offline(2, "b", "y", "1")],
                Some((Cause::Firmware, "1")),
            ),
            (
                vec![offline(1, "a", "x", "1"), offline(2, "b", "y", "2")],
                Some((Cause::Model, "SB-1")),
            ),
            (vec![offline(1, "a", "x", "1")], None),
        ] {
            let groups = group(alerts);
            assert_eq!(groups.len(), 1);
            let found = groups[0].cause.as_ref();
            assert_eq!(found.map(|(cause, value)| (*cause, value.as_str())), cause);
        }
    }

    #[test]
    fn each_kind_is_an_group_and_no_alert_is_lost() {
        let kinds = [
            AlertKind::Offline,
            AlertKind::BatteryLow,
            AlertKind::Offline,
        ];
        let alerts: Vec<OpenAlert> = (1..)
            .zip(kinds)
            .map(|(number, kind)| alert(number, kind, "a", "x", "1"))
            .collect();
        let groups = group(alerts);
        let sizes: Vec<(AlertKind, usize)> = groups
            .iter()
            .map(|group| (group.kind, group.alerts.len()))
            .collect();
        assert_eq!(sizes, [(AlertKind::Offline, 2), (AlertKind::BatteryLow, 1)]);
    }

    #[test]
    fn what_comes_soon_after_and_has_the_cause_joins() {
        let late = alert(9, AlertKind::Offline, "b", "x", "1");
        let (began, soon, later) = (
            late.since,
            late.since + TimeDelta::minutes(9),
            late.since + TimeDelta::minutes(11),
        );
        let of = |cause| (AlertKind::Offline, cause);
        for ((kind, cause), now, expected) in [
            (of(Some((Cause::City, "x"))), soon, true),
            (of(None), soon, true),
            (of(Some((Cause::Outlet, "a"))), soon, false),
            (of(Some((Cause::City, "x"))), later, false),
            ((AlertKind::Flapping, None), soon, false),
        ] {
            assert_eq!(
                joins(&late, kind, cause, began, now),
                expected,
                "{kind} {cause:?}"
            );
        }
    }

    #[test]
    fn a_message_says_what_how_many_where_and_since_when() {
        let alerts =
            (1..=12).map(|number| alert(number, AlertKind::Offline, "Mal Dago", "Bandung", "1"));
        let text = began(&group(alerts.collect())[0]);
        assert_eq!(text.title, "12 places with boxes offline, all in Mal Dago");
        assert!(
            text.body.starts_with(
                "Since 2023-11-15 05:13:20 WIB\n- SB-0001: Kopi Fajar, Mal Dago, Bandung\n"
            ),
            "{}",
            text.body
        );
        assert!(text.body.ends_with("and 2 more\n"), "{}", text.body);
        let one = vec![alert(
            1,
            AlertKind::UnheardPayment,
            "Mal Dago",
            "Bandung",
            "1",
        )];
        let text = began(&group(one)[0]);
        assert_eq!(
            text.title,
            "A paid customer was not heard: SB-0001 (Mal Dago)"
        );
        let began_at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let over = ended(&text.title, 1, began_at, began_at + TimeDelta::minutes(95));
        assert_eq!(
            over.title,
            "Over: A paid customer was not heard: SB-0001 (Mal Dago)"
        );
        assert_eq!(over.body, "It lasted 1 h 35 min, 1 alert in all.\n");
    }

    #[test]
    fn quiet_hours_delay_what_is_not_urgent() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let night: TradingHours = "22:00-06:00".parse().unwrap();
        let noon: TradingHours = "12:00-13:00".parse().unwrap();
        for (now, quiet, urgent, expected) in [
            // 01:00 WIB.
            (
                "2026-01-01T18:00:00Z",
                Some(night),
                false,
                "2026-01-01T23:00:00Z",
            ),
            (
                "2026-01-01T18:00:00Z",
                Some(night),
                true,
                "2026-01-01T18:00:00Z",
            ),
            ("2026-01-01T18:00:00Z", None, false, "2026-01-01T18:00:00Z"),
            // 22:00 and 06:00 WIB.
            (
                "2026-01-01T15:00:00Z",
                Some(night),
                false,
                "2026-01-01T23:00:00Z",
            ),
            (
                "2026-01-01T23:00:00Z",
                Some(night),
                false,
                "2026-01-01T23:00:00Z",
            ),
            // 12:30 WIB.
            (
                "2026-01-01T05:30:00Z",
                Some(noon),
                false,
                "2026-01-01T06:00:00Z",
            ),
        ] {
            assert_eq!(send_at(at(now), quiet, urgent), at(expected), "{now}");
        }
    }
}
