//! The list of bulk commands and roll-outs of firmware.

use axum::extract::{Query, State};
use axum::response::Response;
use domain::command::CommandType;
use domain::role::Permission;
use domain::rollout::RolloutStatus;
use http_api::rollout_file;
use maud::{Markup, html};
use serde::Deserialize;
use service::fleet::bulk_command::{self, View};
use service::{Context, Error};
use store::fleet::bulk_command::Filter;

use super::device_order::order_name;
use super::rollout_progress::{bar, state, tally, title};
use crate::fault::Fault;
use crate::format::{count, moment};
use crate::layout::{self, Page};
use crate::list::{self, Found, csv};
use crate::session::Viewer;
use crate::words::rollout::Rollouts;
use crate::words::state::badge;

/// How often an open page reads its list of boxes, or of roll-outs, again, ms.
pub(super) const BOXES_EVERY: &str = "3000";

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    q: String,
    status: String,
    r#type: String,
    from: String,
    to: String,
    after: String,
}

impl Asked {
    fn pairs(&self) -> [(&'static str, &str); 5] {
        [
            ("q", &self.q),
            ("status", &self.status),
            ("type", &self.r#type),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    fn filter(&self) -> Result<Filter, Error> {
        Ok(Filter {
            status: list::word("status", &self.status)?,
            command_type: list::word("type", &self.r#type)?,
            firmware_id: None,
            search: list::given(&self.q),
            period: list::period(&self.from, &self.to)?,
        })
    }

    async fn read(&self, context: &Context) -> Result<Vec<View>, Error> {
        let page = list::page(Some(&self.after))?;
        bulk_command::list(context, &self.filter()?, page).await
    }
}

/// `/console/rollouts`.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    viewer.must(Permission::CommandRead)?;
    let (words, own) = (viewer.words(), Rollouts::of(viewer.language));
    let found = Found::of(&viewer, asked.read(&context).await, |row| {
        (row.created_at, row.id.as_uuid())
    })?;
    let statuses: Vec<(&str, &str)> = RolloutStatus::ALL
        .iter()
        .map(|status| (status.as_str(), state(*status, own).0))
        .collect();
    let kinds: Vec<(&str, &str)> = CommandType::ALL
        .iter()
        .map(|kind| (kind.as_str(), order_name(*kind, &viewer)))
        .collect();
    let pairs = asked.pairs();
    let listing = list::Listing {
        path: "/console/rollouts",
        filters: &pairs,
        after: &asked.after,
        viewer: &viewer,
    };
    let controls = html! {
        (list::search("q", &asked.q, own.version_or_person))
        (list::choice("type", &asked.r#type, own.what, words.any, &kinds))
        (list::choice("status", &asked.status, words.status, words.any, &statuses))
        (list::days(&asked.from, &asked.to, words))
    };
    let is_running = found
        .rows
        .iter()
        .any(|row| row.status == RolloutStatus::Running);
    let shown = found.shown(|rows| table(rows, is_running, &viewer));
    let content = html! {
        div.head {
            h1 { (own.title) }
            div.buttons {
                @if viewer.may(Permission::CommandWrite) {
                    a.button.primary href="/console/rollouts/new" { (own.start) }
                }
                (listing.file())
            }
        }
        (listing.form(&controls))
        (found.complaint())
        (listing.rows(shown.as_ref(), own.none, found.next.as_deref()))
    };
    Ok(layout::page(&viewer, own.title, &content))
}

fn table(rows: &[View], is_running: bool, viewer: &Viewer) -> Markup {
    let (words, own) = (viewer.words(), Rollouts::of(viewer.language));
    html! {
        div.scroll #rollouts tabindex="0" data-refresh=[is_running.then_some(BOXES_EVERY)] { table {
            thead { tr {
                th { (own.what) } th { (words.status) } th { (own.progress) } th.number { (own.boxes) }
                th { (own.made) } th { (own.made_by) }
            } }
            tbody { @for row in rows { tr {
                td { a href={ "/console/rollouts/" (row.id) } { (title(row, viewer)) } }
                td { (badge(state(row.status, own))) }
                td.progress { (bar(row, own)) small { (tally(row, own)) } }
                td.number { (count(row.progress.total)) }
                td { (moment(row.created_at)) }
                td.code { (row.created_by) }
            } } }
        } }
    }
}

/// `/console/rollouts.csv`.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    viewer.must(Permission::CommandRead)?;
    let filter = asked.filter().map_err(|error| viewer.fault(error))?;
    let language = viewer.language.of_file();
    Ok(csv(rollout_file(&context, filter, language).await))
}
