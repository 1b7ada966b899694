//! Wake-ups between nodes: what was committed here for a box that is connected to another node is told to that node.
//!
//! A wake-up is a hint. Whoever gets one reads the database, as it does at intervals without any, so one that is lost costs half
//! a second and nothing else. Therefore wake-ups are sent after the commit that they are about, many in one message, by a
//! task of their own: NOTIFY takes a lock of the whole server while its transaction commits, which payments must not wait for.

use std::collections::HashSet;

use store::node::{Told, notify};
use uuid::Uuid;
use wire::ids::DeviceId;

use crate::{Context, Result};

/// What a node is to do for a box that is connected to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wakeup {
    /// There is a notification for it.
    Announce,
    /// There is a configuration for it.
    Configure,
    /// There is a command for it.
    Command,
    /// What is queued for it belongs to a binding that has ended.
    Purge,
    /// It has a newer session at another node, of this epoch.
    Moved(i64),
}

/// A wake-up on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outgoing {
    /// The box.
    pub device_id: DeviceId,
    /// What is to be done for it.
    pub wakeup: Wakeup,
    /// The incarnation of the node; none: the node that it is connected to.
    pub node: Option<i64>,
}

/// The most wake-ups in one message: with the longest of them, below the 8,000 bytes of a NOTIFY.
pub const MESSAGE_MAX: usize = 128;

/// Sends wake-ups to the nodes that own these boxes' sessions, at most [`MESSAGE_MAX`]. Those of boxes that are connected to
/// no other node are dropped.
pub async fn send(context: &Context, outgoing: &[Outgoing]) -> Result<()> {
    let once: HashSet<Outgoing> = outgoing.iter().copied().collect();
    let mut conn = context.node_connections().acquire().await?;
    let told: Vec<Told> = once
        .into_iter()
        .map(|one| Told {
            device_id: one.device_id,
            node: one.node,
            text: encode(one.device_id, one.wakeup),
        })
        .collect();
    let sent = notify(&mut conn, &told, context.node().incarnation()).await?;
    metrics::counter!("node_wakeups_sent_total").increment(sent.unsigned_abs());
    Ok(())
}

fn encode(device_id: DeviceId, wakeup: Wakeup) -> String {
    let hex = device_id.as_uuid().simple();
    match wakeup {
        Wakeup::Announce => format!("a{hex}"),
        Wakeup::Configure => format!("c{hex}"),
        Wakeup::Command => format!("o{hex}"),
        Wakeup::Purge => format!("p{hex}"),
        Wakeup::Moved(epoch) => format!("m{hex}{epoch}"),
    }
}

/// The wake-ups of a message. What cannot be read is passed over: a newer version may send others.
pub fn read(message: &str) -> impl Iterator<Item = (DeviceId, Wakeup)> {
    message.split(' ').filter_map(decode)
}

fn decode(text: &str) -> Option<(DeviceId, Wakeup)> {
    let (kind, rest) = text.split_at_checked(1)?;
    let (hex, epoch) = rest.split_at_checked(32)?;
    let device_id = DeviceId::from_uuid(Uuid::try_parse(hex).ok()?);
    let wakeup = match (kind, epoch) {
        ("a", "") => Wakeup::Announce,
        ("c", "") => Wakeup::Configure,
        ("o", "") => Wakeup::Command,
        ("p", "") => Wakeup::Purge,
        ("m", epoch) => Wakeup::Moved(epoch.parse().ok()?),
        _ => return None,
    };
    Some((device_id, wakeup))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakeups_are_read_as_they_were_sent_and_what_is_unknown_is_passed_over() {
        let device_id = DeviceId::from_uuid(Uuid::from_u128(u128::MAX));
        let all = [
            Wakeup::Announce,
            Wakeup::Configure,
            Wakeup::Command,
            Wakeup::Purge,
            Wakeup::Moved(i64::MAX),
        ];
        let texts: Vec<String> = all.iter().map(|one| encode(device_id, *one)).collect();
        let longest = texts.iter().map(String::len).max().unwrap();
        assert!((longest + 1) * MESSAGE_MAX < 8_000);
        let message = format!("z12 {} aß x", texts.join(" "));
        let found: Vec<_> = read(&message).collect();
        assert_eq!(found, all.map(|one| (device_id, one)));
        assert_eq!(read("").count(), 0);
    }
}
