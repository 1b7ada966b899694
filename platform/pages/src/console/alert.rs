//! Alerts: what needs a person, and that somebody has seen it.

use axum::extract::{Path, Query, State};
use axum::response::{Redirect, Response};
use domain::alert::{AlertKind, AlertState};
use domain::role::Permission;
use http_api::alert_file;
use maud::{Markup, html};
use serde::Deserialize;
use service::alert::{self, Wanted};
use service::{Context, Error, Noun, UnitOfWork};
use store::alert::Alert;

use crate::fault::Fault;
use crate::form::{self, Nothing, Sent, named};
use crate::format::moment;
use crate::layout::Page;
use crate::list::{self, Found, csv};
use crate::session::Viewer;
use crate::words::page::Filters;
use crate::words::state::{Tone, badge};

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    state: String,
    kind: String,
    q: String,
    merchant_id: String,
    from: String,
    to: String,
    after: String,
}

impl Asked {
    fn pairs(&self) -> [(&'static str, &str); 6] {
        [
            ("state", &self.state),
            ("kind", &self.kind),
            ("q", &self.q),
            ("merchant_id", &self.merchant_id),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    fn wanted(&self) -> Result<Wanted, Error> {
        Ok(Wanted {
            state: list::given(&self.state),
            kind: list::given(&self.kind),
            merchant_id: list::word("merchant_id", &self.merchant_id)?,
            q: list::given(&self.q),
            period: list::period(&self.from, &self.to)?,
            ..Wanted::default()
        })
    }

    async fn read(&self, context: &Context) -> Result<Vec<Alert>, Error> {
        let page = list::page(Some(&self.after))?;
        alert::list(context, &self.wanted()?, page).await
    }
}

/// `/console/alerts`.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    viewer.must(Permission::DeviceRead)?;
    let words = viewer.words();
    let found = Found::of(&viewer, asked.read(&context).await, |row| {
        (row.opened_at, row.id.as_uuid())
    })?;
    let states = [
        (AlertState::Open.as_str(), words.state_open),
        (AlertState::Closed.as_str(), words.state_closed),
    ];
    let kinds: Vec<(&str, &str)> = AlertKind::ALL
        .iter()
        .map(|kind| (kind.as_str(), words.alert(*kind)))
        .collect();
    let pairs = asked.pairs();
    let listing = list::Listing {
        path: "/console/alerts",
        filters: &pairs,
        after: &asked.after,
        viewer: &viewer,
    };
    let labels = Filters::of(viewer.language);
    let controls = html! {
        (list::search("q", &asked.q, labels.serial_or_subject))
        (list::choice("state", &asked.state, words.status, words.any, &states))
        (list::choice("kind", &asked.kind, labels.kind, words.any, &kinds))
        (list::days(&asked.from, &asked.to, words))
        (list::merchant(&asked.merchant_id, labels))
    };
    Ok(
        listing.page(words.alerts, &controls, &found, words.no_alerts, |rows| {
            list::cards(rows, |row| card(row, &viewer))
        }),
    )
}

/// `/console/alerts.csv`: all that the list has with these filters.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    viewer.must(Permission::DeviceRead)?;
    let wanted = asked.wanted().map_err(|error| viewer.fault(error))?;
    Ok(csv(
        alert_file(&context, wanted, viewer.language.of_file()).await
    ))
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
