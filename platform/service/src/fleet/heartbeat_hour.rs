//! Hours of beats: rolled up by a job, read for charts.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use domain::alert::AlertSubject;
use store::Page;
use store::fleet::heartbeat_hour::HeartbeatHour;
use uuid::Uuid;
use wire::ids::DeviceId;

use crate::batch::{Outcome, Part, finish, isolate, put_aside};
use crate::fleet::device;
use crate::{Context, Result};
pub use store::fleet::heartbeat_hour::Range;

/// An hour is over this long after its end: beats are stored a moment after they arrive.
const LATE: TimeDelta = TimeDelta::minutes(1);
/// How many boxes are rolled up in one statement.
const DEVICES_MAX: i64 = 500;
/// How far back beats stand in for hours when nothing has been rolled up yet.
const UNROLLED_MAX: TimeDelta = TimeDelta::days(2);

/// Rolls up the hours that are over, one after the other and at most `hours_max`: each a few boxes at a time, so that
/// it can be stopped anywhere, and begun again. A box whose hour cannot be rolled up gets an alert and stops no other.
///
/// # Errors
/// The database's; the hour in hand is done again.
pub async fn roll_up(context: &Context, retention_days: u32, hours_max: u32) -> Result<()> {
    for _ in 0..hours_max {
        let now = context.clock().now();
        let mut conn = context.pool().acquire().await?;
        let next = match store::fleet::heartbeat_hour::last_rolled(&mut conn).await? {
            Some(last) => last + TimeDelta::hours(1),
            None => match store::fleet::heartbeat_hour::first_device(&mut conn).await? {
                Some(first) => start_of_hour(first),
                None => return Ok(()),
            },
        };
        // What was not rolled up before its beats were dropped is lost.
        let oldest = start_of_hour(now - TimeDelta::days(i64::from(retention_days)));
        let hour = next.max(oldest);
        if hour + TimeDelta::hours(1) + LATE > now {
            return Ok(());
        }
        drop(conn);
        roll_up_hour(context, hour).await?;
    }
    Ok(())
}

async fn roll_up_hour(context: &Context, hour: DateTime<Utc>) -> Result<()> {
    let mut after = DeviceId::from_uuid(Uuid::nil());
    loop {
        let mut conn = context.pool().acquire().await?;
        let devices =
            store::fleet::heartbeat_hour::devices_after(&mut conn, after, DEVICES_MAX).await?;
        let Some(last) = devices.last() else {
            let now = context.clock().now();
            return Ok(store::fleet::heartbeat_hour::finish(&mut conn, hour, now).await?);
        };
        after = *last;
        drop(conn);
        let roll_up = |part: Part<DeviceId>| async move {
            let mut conn = context.pool().acquire().await?;
            store::fleet::heartbeat_hour::roll_up(&mut conn, &part, hour).await?;
            Ok(vec![(); part.len()])
        };
        let outcomes = isolate(devices.clone(), roll_up).await;
        for (device, outcome) in devices.iter().zip(&outcomes) {
            if let Outcome::Failed(error) = outcome {
                let subject = AlertSubject::Device(*device);
                put_aside(context, "roll_up_heartbeats", subject, error).await;
            }
        }
        finish(&outcomes)?;
    }
}

/// A box's hours that began in `range`, newest first; those that are not rolled up yet are made on the spot.
///
/// # Errors
/// [`crate::Noun::Device`] not found.
pub async fn list_of_device(
    context: &Context,
    device_id: DeviceId,
    range: Range,
    page: Page,
) -> Result<Vec<HeartbeatHour>> {
    let now = context.clock().now();
    let mut conn = context.lists().acquire().await?;
    device::find(&mut conn, device_id).await?;
    let rolled_until = store::fleet::heartbeat_hour::last_rolled(&mut conn)
        .await?
        .map_or(start_of_hour(now - UNROLLED_MAX), |last| {
            last + TimeDelta::hours(1)
        });
    Ok(store::fleet::heartbeat_hour::list_of_device(
        &mut conn,
        device_id,
        range,
        rolled_until,
        now,
        page,
    )
    .await?)
}

fn start_of_hour(time: DateTime<Utc>) -> DateTime<Utc> {
    time.duration_trunc(TimeDelta::hours(1)).unwrap_or(time)
}
