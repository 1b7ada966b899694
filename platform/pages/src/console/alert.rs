//! Alerts: what needs a person, and that somebody has seen it.

use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use domain::alert::{AlertKind, AlertState};
use domain::role::Permission;
use maud::{Markup, html};
use serde::Deserialize;
use service::alert::{self, Wanted};
use service::{Context, Noun, UnitOfWork};
use store::alert::Alert;

use crate::fault::Fault;
use crate::form::{self, Nothing, Sent, named};
use crate::format::moment;
use crate::layout::{self, Page};
use crate::list;
use crate::session::Viewer;
use crate::words::state::{Tone, badge};

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    state: String,
    kind: String,
    from: String,
    to: String,
    after: String,
}

/// `/console/alerts`.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    viewer.must(Permission::DeviceRead)?;
    let fault = |error| viewer.fault(error);
    let words = viewer.words();
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let wanted = Wanted {
        state: some(&asked.state),
        kind: some(&asked.kind),
        period: list::period(&asked.from, &asked.to).map_err(fault)?,
        ..Wanted::default()
    };
    let page = list::page(Some(&asked.after)).map_err(fault)?;
    let mut rows = alert::list(&context, wanted, page).await.map_err(fault)?;
    let next = list::cut(&mut rows, |row| (row.opened_at, row.id.as_uuid()));
    let pairs = [
        ("state", asked.state.as_str()),
        ("kind", asked.kind.as_str()),
        ("from", asked.from.as_str()),
        ("to", asked.to.as_str()),
    ];
    let states = [
        (AlertState::Open.as_str(), words.state_open),
        (AlertState::Closed.as_str(), words.state_closed),
    ];
    let kinds: Vec<(&str, &str)> = AlertKind::ALL
        .iter()
        .map(|kind| (kind.as_str(), words.alert(*kind)))
        .collect();
    let listing = list::Listing {
        path: "/console/alerts",
        filters: &pairs,
        after: &asked.after,
        words,
    };
    let controls = html! {
        (list::choice("state", &asked.state, words.status, words.any, &states))
        (list::choice("kind", &asked.kind, words.details, words.any, &kinds))
        (list::days(&asked.from, &asked.to, words))
    };
    let shown = (!rows.is_empty()).then(|| {
        html! {
            ul.cards { @for row in &rows { (card(row, &viewer)) } }
        }
    });
    let content = html! {
        div.head { h1 { (words.alerts) } }
        (listing.form(&controls))
        (listing.rows(shown.as_ref(), words.no_alerts, next.as_deref()))
    };
    Ok(layout::page(&viewer, words.alerts, &content))
}

/// Where to do something about it.
fn link(row: &Alert) -> Option<String> {
    let (prefix, _) = row.subject.split_once('_')?;
    match (prefix, row.device_id) {
        (_, Some(device)) => Some(format!("/console/devices/{device}")),
        ("tx", None) => Some(format!("/console/payments/{}", row.subject)),
        ("m", None) => Some(format!("/console/merchants/{}", row.subject)),
        _ => row.merchant_id.map(|id| format!("/console/merchants/{id}")),
    }
}

fn card(row: &Alert, viewer: &Viewer) -> Markup {
    let words = viewer.words();
    let state = match row.state {
        AlertState::Open => (words.state_open, Tone::Bad),
        AlertState::Closed => (words.state_closed, Tone::Quiet),
    };
    let subject = row.serial_number.as_deref().unwrap_or(&row.subject);
    html! {
        li.card {
            div.head {
                h2 { (words.alert(row.kind)) " " (badge(state)) }
                time datetime=(row.since.to_rfc3339()) { (words.opened) " " (moment(row.since)) }
            }
            p {
                @match link(row) { Some(link) => a href=(link) { (subject) }, None => (subject) }
                @if let Some(fields) = row.details.as_object() {
                    @for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                        span.detail { (name.replace('_', " ")) ": " (value.as_str().map_or_else(|| value.to_string(), str::to_owned)) }
                    }
                }
            }
            @if row.acknowledged_at.is_some() {
                p.quiet { (words.acknowledged) }
            } @else if row.state == AlertState::Open && viewer.may(Permission::DeviceWrite) {
                form method="post" action={ "/console/alerts/" (row.id) "/acknowledge" } {
                    (form::secret(viewer))
                    button { (words.acknowledge) }
                }
            }
        }
    }
}

/// `POST /console/alerts/{id}/acknowledge`.
pub(crate) async fn acknowledge(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, .. }: Sent<Nothing>,
) -> Result<Redirect, Fault> {
    let act =
        async |unit: &mut UnitOfWork| alert::acknowledge(unit, named(&id, Noun::Alert)?).await;
    viewer
        .change(&context, Permission::DeviceWrite, act)
        .await?;
    Ok(Redirect::to("/console/alerts?state=open"))
}
