//! How fast payments are heard, and how many are not: read from the announcements, and counted as they happen.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use wire::ids::MerchantId;

use crate::{Checks, Context, Result};

/// The time that is looked at unless the client says otherwise.
const WINDOW: TimeDelta = TimeDelta::hours(24);
/// The longest that can be looked at.
const WINDOW_MAX: TimeDelta = TimeDelta::days(31);

/// Half of them were this fast or faster, ninety-five in a hundred, ninety-nine; milliseconds. Null: there were none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[expect(missing_docs, reason = "each is the percentile of its name")]
pub struct Percentiles {
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
}

impl From<Option<Vec<f64>>> for Percentiles {
    fn from(values: Option<Vec<f64>>) -> Self {
        let values = values.unwrap_or_default();
        let at = |index: usize| values.get(index).copied();
        Self {
            p50: at(0),
            p95: at(1),
            p99: at(2),
        }
    }
}

/// The announcements of a time in numbers. Replays and what was taken back are not among them.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = AnnouncementStats)]
pub struct Stats {
    /// From here on.
    pub from: DateTime<Utc>,
    /// Until before here.
    pub to: DateTime<Utc>,
    /// Whose; null: everybody's.
    pub merchant_id: Option<MerchantId>,
    /// How many announcements there were: one for each box at the till of a payment.
    pub announced: i64,
    /// Those that were spoken.
    pub played: i64,
    /// Those that boxes have that cannot say `played`: whether they were heard is not known.
    pub received: i64,
    /// Those that were not, and will not be.
    pub unheard: i64,
    /// Those of which it is not known yet.
    pub open: i64,
    /// Unheard among those that have ended, 0 to 1; null when none has.
    pub unheard_share: Option<f64>,
    /// From the callback's commit until it was handed to the wire.
    pub callback_to_sent_ms: Percentiles,
    /// From the callback's commit until the box first spoke of it.
    pub callback_to_received_ms: Percentiles,
    /// From the callback's commit until we had its `played`.
    pub callback_to_played_ms: Percentiles,
}

/// Reads the figures of `from..to`: of the last day, unless it is said otherwise.
///
/// # Errors
/// A time that ends before it begins, or is longer than 31 days.
pub async fn read(
    context: &Context,
    merchant_id: Option<MerchantId>,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
) -> Result<Stats> {
    let to = to.unwrap_or_else(|| context.clock().now());
    let from = from.unwrap_or_else(|| to.checked_sub_signed(WINDOW).unwrap_or(to));
    let mut checks = Checks::default();
    if from >= to {
        checks.refuse("from", "must be before to");
    } else if to - from > WINDOW_MAX {
        checks.refuse(
            "from",
            format!("at most {} days before to", WINDOW_MAX.num_days()),
        );
    }
    checks.finish()?;
    let mut conn = context.lists().acquire().await?;
    let figures = store::payment::stats::figures(&mut conn, merchant_id, from, to).await?;
    Ok(Stats {
        from,
        to,
        merchant_id,
        announced: figures.announced,
        played: figures.played,
        received: figures.received,
        unheard: figures.unheard,
        open: figures.open,
        unheard_share: figures.unheard_share,
        callback_to_sent_ms: figures.sent_ms.into(),
        callback_to_received_ms: figures.received_ms.into(),
        callback_to_played_ms: figures.played_ms.into(),
    })
}

/// Upper bounds of the histograms' buckets, seconds: from a millisecond to the end of an announcement's time.
pub const BUCKETS_S: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0,
];
/// What the names of these histograms begin with.
pub const HISTOGRAMS: &str = "announcement_";

/// A step on an announcement's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Handed to the wire for the first time.
    Sent,
    /// The box has spoken of it for the first time.
    Received,
    /// The box has said it.
    Played,
}

/// Counts a step that an announcement made at `now`.
pub(super) fn observe(step: Step, created_at: DateTime<Utc>, now: DateTime<Utc>) {
    let after = (now - created_at).to_std().unwrap_or_default();
    match step {
        Step::Sent => metrics::histogram!("announcement_sent_seconds"),
        Step::Received => metrics::histogram!("announcement_received_seconds"),
        Step::Played => metrics::histogram!("announcement_played_seconds"),
    }
    .record(after);
}

/// Counts announcements that ended without having been heard.
pub(crate) fn count_unheard(announcements: u64) {
    metrics::counter!("announcements_unheard_total").increment(announcements);
}
