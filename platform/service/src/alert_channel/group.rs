//! From alerts to groups, and what is said of them.

use std::collections::BTreeMap;

use domain::alert_group::{
    AlertGroup, Cause, GATHER, OpenAlert, Phase, began, ended, group, joins, send_at,
};
use sqlx::PgConnection;
use store::alert_channel::{NewMessage, OpenGroup};
use uuid::Uuid;

use super::Channel;
use crate::{Context, Result};

/// How many alerts are looked at in a round; the next round takes the rest.
const ALERTS_MAX: i64 = 10_000;

/// Finds groups that began or are over, for every channel. One process does so at a time.
pub(super) async fn find(context: &Context, channels: &[Channel]) -> Result<()> {
    let mut tx = context.transaction().await?;
    if !store::alert_channel::try_lead(&mut tx).await? {
        return Ok(());
    }
    for channel in channels {
        begin(context, &mut tx, channel).await?;
        end(context, &mut tx, channel).await?;
    }
    Ok(tx.commit().await?)
}

async fn begin(context: &Context, conn: &mut PgConnection, channel: &Channel) -> Result<()> {
    let now = context.clock().now();
    let opened_before = now - GATHER;
    let untold = store::alert_channel::untold(
        conn,
        &channel.name,
        &channel.kinds,
        &channel.merchants,
        opened_before,
        ALERTS_MAX,
    );
    let untold = untold.await?;
    if untold.is_empty() {
        return Ok(());
    }
    let open = store::alert_channel::open(conn, &channel.name).await?;
    let mut joining: BTreeMap<Uuid, Vec<OpenAlert>> = BTreeMap::new();
    let mut new = Vec::new();
    for alert in untold {
        let joined = open.iter().find(|group| {
            let cause = cause_of(group);
            joins(&alert, group.kind, cause, group.joined_at, now)
        });
        match joined {
            Some(group) => joining.entry(group.id).or_default().push(alert),
            None => new.push(alert),
        }
    }
    for (id, alerts) in joining {
        let ids: Vec<_> = alerts.iter().map(|alert| alert.id).collect();
        store::alert_channel::join(conn, id, &channel.name, &ids, now).await?;
    }
    for group in group(new) {
        say_began(context, conn, channel, &group).await?;
    }
    Ok(())
}

fn cause_of(group: &OpenGroup) -> Option<(Cause, &str)> {
    group.cause.zip(group.cause_value.as_deref())
}

async fn say_began(
    context: &Context,
    conn: &mut PgConnection,
    channel: &Channel,
    group: &AlertGroup,
) -> Result<()> {
    let (now, id) = (context.clock().now(), context.clock().uuid());
    let cause = group.cause.as_ref();
    let cause = cause.map(|(cause, value)| (*cause, value.as_str()));
    let since = group.alerts.iter().map(|alert| alert.since).min();
    let began_at = since.unwrap_or(now);
    store::alert_channel::begin(conn, id, &channel.name, group.kind, cause, began_at, now).await?;
    let ids: Vec<_> = group.alerts.iter().map(|alert| alert.id).collect();
    store::alert_channel::join(conn, id, &channel.name, &ids, now).await?;
    let urgent = channel.urgent.contains(&group.kind);
    let due_at = send_at(now, channel.quiet_hours, urgent);
    let message = NewMessage {
        id: context.clock().uuid(),
        group_id: id,
        channel: &channel.name,
        phase: Phase::Began,
        text: &began(group),
        due_at,
    };
    store::alert_channel::say(conn, message, now).await?;
    Ok(())
}

/// What people were never told of is over without a word.
async fn end(context: &Context, conn: &mut PgConnection, channel: &Channel) -> Result<()> {
    let now = context.clock().now();
    for group in store::alert_channel::end(conn, &channel.name, now).await? {
        if store::alert_channel::drop_unsaid(conn, group.id).await? {
            continue;
        }
        let text = ended(&group.title, group.alerts, group.began_at, now);
        let message = NewMessage {
            id: context.clock().uuid(),
            group_id: group.id,
            channel: &channel.name,
            phase: Phase::Ended,
            text: &text,
            due_at: send_at(now, channel.quiet_hours, false),
        };
        store::alert_channel::say(conn, message, now).await?;
    }
    Ok(())
}
