//! When a box came and went, and which payments it was told of.

use domain::announcement::NotificationStatus;
use domain::role::Permission;
use maud::{Markup, html};
use serde_json::Value;
use service::fleet::presence;
use service::payment::notification;
use service::{Context, Error};
use store::fleet::presence::DeviceEvent;
use store::payment::notification::Notification;
use store::{Page as StorePage, Scope};
use wire::ids::DeviceId;

use crate::format::{milliseconds, moment, rupiah};
use crate::list;
use crate::session::Viewer;
use crate::words::device::Boxes;
use crate::words::state::{Told, Tone, badge};

/// Rows that a box's page has of each.
const LATEST: StorePage = StorePage {
    limit: 20,
    after: None,
};

/// Both parts of a box's page.
pub(super) async fn sections(
    context: &Context,
    viewer: &Viewer,
    id: DeviceId,
) -> Result<Markup, Error> {
    let own = Boxes::of(viewer.language);
    let told = notification::list_of_device(context, Scope::All, id, LATEST).await?;
    let events = presence::events(context, id, None, LATEST).await?;
    Ok(html! {
        section {
            h2 { (own.announcements) }
            @if told.is_empty() { (list::empty(own.no_announcements)) } @else { (announcements(&told, viewer)) }
        }
        section {
            h2 { (own.events) }
            @if events.is_empty() { (list::empty(own.no_events)) } @else { (happenings(&events)) }
        }
    })
}

fn state(row: &Notification, words: &Boxes) -> Told {
    match row.status {
        NotificationStatus::Played => (words.said, Tone::Good),
        NotificationStatus::Received => (words.has_it, Tone::Good),
        NotificationStatus::Pending | NotificationStatus::Sent => (words.on_the_way, Tone::Waiting),
        NotificationStatus::Failed | NotificationStatus::Stale => (words.not_said, Tone::Bad),
    }
}

/// The payments that a box was told of, and what became of each.
pub(crate) fn announcements(rows: &[Notification], viewer: &Viewer) -> Markup {
    let (words, own) = (viewer.words(), Boxes::of(viewer.language));
    html! {
        div.scroll tabindex="0" { table {
            thead { tr {
                th { (words.time) } th.number { (words.amount) } th { (words.status) } th { (words.reason) }
            } }
            tbody { @for row in rows {
                @let ended = row.acked_at.map(|at| milliseconds((at - row.created_at).num_milliseconds()));
                tr {
                    td {
                        @if viewer.may(Permission::TransactionRead) {
                            a href={ "/console/payments/" (row.transaction_id) } { (moment(row.created_at)) }
                        } @else { (moment(row.created_at)) }
                    }
                    td.number.money { (rupiah(row.amount)) }
                    td {
                        (badge(state(row, own)))
                        @if let Some(ms) = ended { " " small { (ms) } }
                        @if row.replay { " " small { (own.again) } }
                    }
                    td { (row.reason.as_deref().unwrap_or("–")) }
                }
            } }
        } }
    }
}

fn happenings(rows: &[DeviceEvent]) -> Markup {
    let tone = |kind: &str| match kind {
        "online" => Tone::Good,
        "offline" => Tone::Bad,
        _ => Tone::Quiet,
    };
    html! {
        ol.timeline {
            @for row in rows {
                li class=(tone(&row.kind).class()) {
                    time datetime=(row.at.to_rfc3339()) { (moment(row.at)) }
                    span.what { (row.kind.replace('_', " ")) @if let Some(more) = details(row) { small { (more) } } }
                }
            }
        }
    }
}

/// What is known of an event besides.
fn details(row: &DeviceEvent) -> Option<String> {
    let fields = row.details.as_ref()?.as_object()?;
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let known = fields.iter().filter(|(_, value)| !value.is_null());
    let parts: Vec<String> = known
        .map(|(name, value)| format!("{}: {}", name.replace('_', " "), text(value)))
        .collect();
    (!parts.is_empty()).then(|| parts.join(" · "))
}
