//! MQTT sessions: admission, stored subscriptions, and presence.

use std::collections::HashSet;

use serde_json::Value;
use store::fleet::credential::may_use;
use wire::ids::DeviceId;

use crate::fleet::credential;
use crate::{Context, Error, Result};
pub use store::fleet::session::{Connect, Ending, Opened};

/// Whether a device may connect with this certificate now. Changes nothing.
pub async fn may_connect(context: &Context, device_id: DeviceId, serial: &str) -> Result<bool> {
    let used = credential::may_use(context, &[(device_id, serial)]).await?;
    Ok(used.first().is_some_and(Option::is_some))
}

/// Admits boxes whose certificates are valid now, and shows them as online. The answers are in the order of the CONNECTs;
/// `None`: it is not admitted.
///
/// # Errors
/// [`Error::NoLease`] when this process does not own sessions.
pub async fn admit(context: &Context, connects: &[Connect]) -> Result<Vec<Option<Opened>>> {
    let mut answers: Vec<Option<Opened>> = connects.iter().map(|_| None).collect();
    let mut waiting: Vec<usize> = (0..connects.len()).collect();
    while !waiting.is_empty() {
        // Of several of one box, each is another epoch, in the order of their arrival.
        let mut boxes = HashSet::new();
        let (round, later): (Vec<usize>, Vec<usize>) = waiting.into_iter().partition(|place| {
            let connect = connects.get(*place);
            connect.is_some_and(|connect| boxes.insert(connect.device_id))
        });
        let asked: Vec<&Connect> = round
            .iter()
            .filter_map(|place| connects.get(*place))
            .collect();
        for (place, opened) in round.into_iter().zip(admit_each(context, &asked).await?) {
            if let Some(answer) = answers.get_mut(place) {
                *answer = opened;
            }
        }
        waiting = later;
    }
    Ok(answers)
}

/// [`admit`] for different boxes. The first uses of certificates are noted before, in a transaction of their own, and the
/// certificates are then checked again: that transaction may have waited for one that revokes them.
async fn admit_each(context: &Context, connects: &[&Connect]) -> Result<Vec<Option<Opened>>> {
    let uses: Vec<(DeviceId, &str)> = connects
        .iter()
        .map(|connect| (connect.device_id, connect.certificate_serial.as_str()))
        .collect();
    let now = context.clock().now();
    let mut conn = context.pool().acquire().await?;
    let mut used = may_use(&mut conn, &uses, now).await?;
    let first: Vec<(DeviceId, &str)> = uses
        .iter()
        .zip(&used)
        .filter(|(_, used)| **used == Some(false))
        .map(|(one, _)| *one)
        .collect();
    if !first.is_empty() {
        // It takes a connection of its own, and nobody may wait for a second one while holding a first.
        drop(conn);
        credential::note_first_uses(context, &first).await?;
        conn = context.pool().acquire().await?;
        used = may_use(&mut conn, &uses, now).await?;
    }
    let allowed: Vec<&Connect> = connects
        .iter()
        .zip(&used)
        .filter(|(_, used)| used.is_some())
        .map(|(connect, _)| *connect)
        .collect();
    let owner = context.node().owner();
    let mut opened = store::fleet::session::open(&mut conn, &allowed, owner, now).await?;
    if opened.is_empty() && !allowed.is_empty() {
        return Err(Error::NoLease);
    }
    for (device_id, session) in &opened {
        if let Some(from) = session.moved_from {
            context
                .signals()
                .tell_moved(*device_id, session.epoch, from);
        }
    }
    let answers = connects
        .iter()
        .map(|connect| opened.remove(&connect.device_id));
    Ok(answers.collect())
}

/// Stores a session's subscriptions; `false` when it is no longer the current one.
pub async fn keep_subscriptions(
    context: &Context,
    device_id: DeviceId,
    epoch: i64,
    subscriptions: &Value,
) -> Result<bool> {
    let mut conn = context.pool().acquire().await?;
    Ok(
        store::fleet::session::set_subscriptions(&mut conn, device_id, epoch, subscriptions)
            .await?,
    )
}

/// Ends the connections of sessions and shows their boxes as offline, except where a box has connected again since.
pub async fn end(context: &Context, endings: &[Ending]) -> Result<()> {
    let mut conn = context.pool().acquire().await?;
    Ok(store::fleet::session::end(&mut conn, endings, context.clock().now()).await?)
}
