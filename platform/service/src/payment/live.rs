//! Payments as people watch them, and the figures beside them.
//!
//! A [`Watch`] reads what changed since it was last asked, for everybody who looks: its cost does not depend on how many
//! do. Commits become visible in another order than their times, so it reads the last seconds again and leaves out what it
//! knows.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use domain::wib;
use store::Scope;
use store::alert::OpenAlerts;
use store::payment::live::{LivePayment, Taken, Waiting};
use wire::ids::{TokenId, TransactionId};

use super::stats::{self, Stats};
use crate::fleet::summary::{self, Summary};
use crate::{Context, Result};

/// How far back what was accepted is read again.
const OVERLAP: TimeDelta = TimeDelta::seconds(5);
/// How long the marks of a payment are followed: an announcement is over by then.
const FOLLOWED_FOR: TimeDelta = TimeDelta::minutes(6);
/// How many payments are followed at a time; beyond it the oldest are let go.
const FOLLOWED_MAX: usize = 2_000;
/// New payments of one reading; what is left comes with the next.
const NEW_MAX: i64 = 1_000;

/// How far the announcement of a payment has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is on its way.
    Waiting,
    /// A box said it.
    Heard,
    /// A box that can tell no more has it.
    Delivered,
    /// No box said it, and none will.
    Unheard,
    /// No box was to say it.
    NoBox,
    /// The payment was taken back.
    Reversed,
}

/// How far the announcement of this payment has come.
pub fn progress(payment: &LivePayment) -> Progress {
    if payment.reversed {
        Progress::Reversed
    } else if payment.boxes == 0 {
        Progress::NoBox
    } else if payment.played_ms.is_some() {
        Progress::Heard
    } else if payment.received_ms.is_some() {
        Progress::Delivered
    } else if payment.open > 0 {
        Progress::Waiting
    } else {
        Progress::Unheard
    }
}

/// The newest payments of a scope, the newest first.
///
/// # Errors
/// The database's.
pub async fn newest(context: &Context, scope: Scope, limit: i64) -> Result<Vec<LivePayment>> {
    let mut conn = context.fresh().acquire().await?;
    let ids = store::payment::live::newest(&mut conn, scope, limit).await?;
    let mut found = store::payment::live::of(&mut conn, &ids).await?;
    found.reverse();
    Ok(found)
}

/// One payment as people watch it; none when it is not paid.
///
/// # Errors
/// The database's.
pub async fn one(context: &Context, id: TransactionId) -> Result<Option<LivePayment>> {
    let mut conn = context.fresh().acquire().await?;
    Ok(store::payment::live::of(&mut conn, &[id]).await?.pop())
}

/// Reads what changed.
#[derive(Debug)]
pub struct Watch {
    /// The latest acceptance that was seen.
    seen_until: DateTime<Utc>,
    known: HashMap<TransactionId, LivePayment>,
}

impl Watch {
    /// Changes from now on.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self {
            seen_until: now,
            known: HashMap::new(),
        }
    }

    /// Payments that are new or whose marks have changed since the last call, in the order of their acceptance.
    ///
    /// # Errors
    /// The database's; the same changes come with the next call.
    pub async fn changes(&mut self, context: &Context) -> Result<Vec<LivePayment>> {
        let now = context.clock().now();
        let mut conn = context.fresh().acquire().await?;
        let known: Vec<TransactionId> = self.known.keys().copied().collect();
        let since = self.seen_until - OVERLAP;
        let new = store::payment::live::accepted(&mut conn, since, &known, NEW_MAX).await?;
        let mut ids: Vec<TransactionId> = self
            .known
            .values()
            .filter(|one| one.open > 0)
            .map(|one| one.id)
            .collect();
        ids.extend(new);
        if ids.is_empty() {
            self.forget(now);
            return Ok(Vec::new());
        }
        let mut changed = store::payment::live::of(&mut conn, &ids).await?;
        changed.retain(|one| self.known.get(&one.id) != Some(one));
        for one in &changed {
            self.seen_until = self.seen_until.max(one.accepted_at);
            self.known.insert(one.id, one.clone());
        }
        self.forget(now);
        Ok(changed)
    }

    /// Lets go what cannot change any more and is not read again, and the oldest of too many.
    fn forget(&mut self, now: DateTime<Utc>) {
        let read_again_from = self.seen_until - OVERLAP;
        let followed_from = now - FOLLOWED_FOR;
        self.known.retain(|_, one| {
            one.accepted_at >= read_again_from || (one.open > 0 && one.accepted_at >= followed_from)
        });
        if self.known.len() > FOLLOWED_MAX {
            let mut times: Vec<DateTime<Utc>> =
                self.known.values().map(|one| one.accepted_at).collect();
            times.sort_unstable();
            let oldest = times[times.len() - FOLLOWED_MAX].min(read_again_from);
            self.known.retain(|_, one| one.accepted_at >= oldest);
        }
    }
}

/// Which of these tokens are still good: for those who look on after their request was authenticated.
///
/// # Errors
/// The database's.
pub async fn still_valid(context: &Context, tokens: &[TokenId]) -> Result<Vec<TokenId>> {
    let now = context.clock().now();
    let mut conn = context.fresh().acquire().await?;
    Ok(store::people::token::still_valid(&mut conn, tokens, now).await?)
}

/// The figures of a day beside the day before, and what waits for a person.
#[derive(Debug)]
pub struct Figures {
    /// When they were read.
    pub at: DateTime<Utc>,
    /// Taken since midnight in Jakarta.
    pub today: Taken,
    /// Taken yesterday until the same time of day.
    pub yesterday: Taken,
    /// Payments by the hour.
    pub by_hour: Arc<ByHour>,
    /// Today's announcements.
    pub announcements: Stats,
    /// The fleet and its open alerts.
    pub fleet: Summary,
    /// What waits for a person beside alerts.
    pub waiting: Waiting,
}

impl Figures {
    /// Open alerts by kind.
    pub fn alerts(&self) -> &[OpenAlerts] {
        &self.fleet.alerts
    }
}

/// How long the payments by the hour are good for: they are drawn, and a minute is a narrow line.
const BY_HOUR_AGE_MAX: TimeDelta = TimeDelta::minutes(1);
/// The hours of a day.
const HOURS: usize = 24;

/// How many payments there were in each hour of two days in Jakarta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByHour {
    /// When this was read.
    pub at: DateTime<Utc>,
    /// When today began.
    pub midnight: DateTime<Utc>,
    /// Today's.
    pub today: [i64; HOURS],
    /// Yesterday's.
    pub yesterday: [i64; HOURS],
}

impl ByHour {
    async fn read(context: &Context, at: DateTime<Utc>, midnight: DateTime<Utc>) -> Result<Self> {
        let day = TimeDelta::days(1);
        let mut conn = context.lists().acquire().await?;
        let rows = store::payment::live::by_hour(&mut conn, midnight - day, midnight + day).await?;
        let mut hours = [0; 2 * HOURS];
        for (hour, count) in rows {
            if let Some(place) = usize::try_from(hour)
                .ok()
                .and_then(|hour| hours.get_mut(hour))
            {
                *place = count;
            }
        }
        let (mut yesterday, mut today) = ([0; HOURS], [0; HOURS]);
        let (before, after) = hours.split_at(HOURS);
        yesterday.copy_from_slice(before);
        today.copy_from_slice(after);
        Ok(Self {
            at,
            midnight,
            today,
            yesterday,
        })
    }

    fn is_good(&self, at: DateTime<Utc>, midnight: DateTime<Utc>) -> bool {
        self.midnight == midnight && at >= self.at && at - self.at < BY_HOUR_AGE_MAX
    }
}

/// Reads the figures; the payments by the hour again only when those that are `known` are old.
///
/// # Errors
/// The database's.
pub async fn figures(context: &Context, known: Option<&Arc<ByHour>>) -> Result<Figures> {
    let at = context.clock().now();
    let midnight = wib::moment(wib::local(at).date(), NaiveTime::MIN).unwrap_or(at);
    let day = TimeDelta::days(1);
    let mut conn = context.lists().acquire().await?;
    // A payment is never in the future, and one of this very moment counts.
    let today =
        store::payment::live::taken(&mut conn, midnight, at + TimeDelta::minutes(1)).await?;
    let yesterday = store::payment::live::taken(&mut conn, midnight - day, at - day).await?;
    let waiting = store::payment::live::waiting(&mut conn).await?;
    drop(conn);
    let by_hour = match known.filter(|known| known.is_good(at, midnight)) {
        Some(known) => Arc::clone(known),
        None => Arc::new(ByHour::read(context, at, midnight).await?),
    };
    let until = at + TimeDelta::seconds(1);
    Ok(Figures {
        at,
        today,
        yesterday,
        by_hour,
        announcements: stats::read(context, None, Some(midnight), Some(until)).await?,
        fleet: summary::summary(context, None).await?,
        waiting,
    })
}
