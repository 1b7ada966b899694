//! A box's heartbeats of the last days as charts, hour by hour.

use chrono::{DateTime, DurationRound as _, TimeDelta, Timelike as _, Utc};
use domain::wib;
use maud::{Markup, html};
use service::fleet::heartbeat_hour::{self, Range};
use service::{Context, Error};
use store::Page as StorePage;
use store::fleet::heartbeat_hour::HeartbeatHour;
use wire::ids::DeviceId;

use crate::chart::{self, Chart, Mark, Values};
use crate::list;
use crate::session::Viewer;
use crate::words::device::Boxes;

/// How many hours are shown.
const HOURS: i32 = 72;

/// The values of each hour; none where no beat came.
struct Hours {
    from: DateTime<Utc>,
    rows: Vec<HeartbeatHour>,
}

impl Hours {
    fn values(&self, of: impl Fn(&HeartbeatHour) -> Option<i32>) -> Values {
        let mut values = vec![None; usize::try_from(HOURS).unwrap_or_default()];
        for row in &self.rows {
            let hour = usize::try_from((row.hour - self.from).num_hours()).ok();
            if let Some(value) = hour.and_then(|hour| values.get_mut(hour)) {
                *value = of(row);
            }
        }
        values
    }

    /// The hours at which a day begins in Jakarta.
    fn midnights(&self) -> Vec<i32> {
        (0..HOURS)
            .filter(|hour| wib::local(self.at(*hour)).hour() == 0)
            .collect()
    }

    fn at(&self, hour: i32) -> DateTime<Utc> {
        self.from + TimeDelta::hours(i64::from(hour))
    }
}

/// The charts of a box.
pub(super) async fn charts(
    context: &Context,
    viewer: &Viewer,
    id: DeviceId,
) -> Result<Markup, Error> {
    let own = Boxes::of(viewer.language);
    let now = viewer
        .now
        .duration_trunc(TimeDelta::hours(1))
        .unwrap_or(viewer.now);
    let from = now - TimeDelta::hours(i64::from(HOURS) - 1);
    let range = Range {
        from: Some(from),
        to: None,
    };
    let all = StorePage {
        limit: i64::from(HOURS) + 1,
        after: None,
    };
    let rows = heartbeat_hour::list_of_device(context, id, range, all).await?;
    let is_silent = rows.is_empty();
    let hours = Hours { from, rows };
    let percent =
        |of: fn(&HeartbeatHour) -> Option<i16>| hours.values(|row| of(row).map(i32::from));
    let signal = percent(|row| row.signal_avg);
    let battery = percent(|row| row.battery_avg);
    let step = |hour: i32| wib::local(hours.at(hour)).format("%d-%m").to_string();
    let draw = |title: &str, first: &Values, second: Option<&Values>, mark: Mark, reaches: i32| {
        let chart = Chart {
            first,
            second,
            mark,
            reaches,
            step: &step,
            named: hours.midnights(),
        };
        let legend = html! {
            @if second.is_some() {
                span.key.first { (own.average) } span.key.second { (own.lowest) }
            }
        };
        let told = chart::span(first).map_or_else(
            || title.to_owned(),
            |span| format!("{title}: {}–{}", span.start(), span.end()),
        );
        html! {
            @if chart::span(first).is_some() { (chart::figure(title, &legend, &told, &chart.svg())) }
        }
    };
    Ok(html! {
        section {
            h2 { (own.beats) }
            @if is_silent { (list::empty(own.no_beats)) } @else {
                div.charts {
                    (draw(own.signal, &signal, Some(&percent(|row| row.signal_min)), Mark::Line, 100))
                    (draw(own.battery, &battery, Some(&percent(|row| row.battery_min)), Mark::Line, 100))
                    (draw(own.beats_an_hour, &hours.values(|row| Some(row.beats)), None, Mark::Bars, 10))
                    (draw(own.longest_silence, &hours.values(|row| Some(row.longest_gap_s / 60)), None, Mark::Bars, 10))
                }
            }
        }
    })
}
