//! One bulk command or roll-out of a firmware: its steps and its boxes, and what can be done about it.

use axum::extract::{Path, Query, State};
use axum::response::{Redirect, Response};
use domain::command::CommandStatus;
use domain::role::Permission;
use domain::rollout::RolloutStatus;
use http_api::target_file;
use maud::{Markup, html};
use serde::Deserialize;
use service::fleet::bulk_command::{self, View};
use service::{Context, Error, Noun, UnitOfWork};
use store::fleet::bulk_command::Target;
use wire::ids::BulkCommandId;

use super::rollout::BOXES_EVERY;
use super::rollout_progress::{bar, guard, legend, rollout, state, step_list, tally, title};
use crate::fault::Fault;
use crate::form::{self, Nothing, Sent, named};
use crate::format::moment;
use crate::icon;
use crate::layout::{self, Page};
use crate::list::{self, Found, csv};
use crate::session::Viewer;
use crate::words::rollout::Rollouts;
use crate::words::state::{Told, Tone, badge};

/// How often an open page reads its progress again, ms.
const PROGRESS_EVERY: &str = "1000";

/// The filter of the boxes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Boxes {
    status: String,
    after: String,
    proposed: String,
}

/// The outcomes by which boxes can be listed, in the order of their life.
fn outcomes(viewer: &Viewer) -> Vec<(&'static str, Told)> {
    let (words, own) = (viewer.words(), Rollouts::of(viewer.language));
    let mut all = vec![("pending", (own.pending, Tone::Quiet))];
    all.extend(
        CommandStatus::ALL
            .iter()
            .map(|status| (status.as_str(), words.command(*status))),
    );
    all.push(("skipped", (own.skipped, Tone::Quiet)));
    all
}

/// `/console/rollouts/{id}`.
pub(crate) async fn page(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
    Query(asked): Query<Boxes>,
) -> Result<Page, Fault> {
    viewer.must(Permission::CommandRead)?;
    let fault = |error: Error| viewer.fault(error);
    let (words, own) = (viewer.words(), Rollouts::of(viewer.language));
    let id: BulkCommandId = named(&id, Noun::BulkCommand).map_err(fault)?;
    let row = bulk_command::get(&context, id).await.map_err(fault)?;
    let targets = async {
        let page = list::page(Some(&asked.after))?;
        let status = list::given(&asked.status);
        bulk_command::devices(&context, id, status.as_deref(), page).await
    };
    let targets = targets.await.map(|(_, rows)| rows);
    let found = Found::of(&viewer, targets, |one| {
        (row.created_at, one.device_id.as_uuid())
    })?;
    let all = outcomes(&viewer);
    let choices: Vec<(&str, &str)> = all.iter().map(|(name, told)| (*name, told.0)).collect();
    let path = format!("/console/rollouts/{id}");
    let pairs = [("status", asked.status.as_str())];
    let listing = list::Listing {
        path: &path,
        filters: &pairs,
        after: &asked.after,
        viewer: &viewer,
    };
    let controls = list::choice("status", &asked.status, own.outcome, words.any, &choices);
    let shown = found.shown(|rows| boxes(rows, &all, &viewer));
    let name = title(&row, &viewer);
    let content = html! {
        p.path { a href="/console/rollouts" { (own.title) } }
        (standing(&row, &name, &viewer))
        dl.facts {
            div { dt { (own.which_boxes) } dd { (selection(&row, own)) } }
            div { dt { (own.made_by) } dd.code { (row.created_by) } }
            div { dt { (own.made) } dd { (moment(row.created_at)) } }
            @if let Some(at) = row.ended_at { div { dt { (own.ended) } dd { (moment(at)) } } }
            @if let Some(rollout) = rollout(&row) {
                div { dt { (own.rate) } dd { (rollout.rate_per_minute) } }
                div { dt { (own.threshold) } dd { (rollout.abort_threshold_percent) " %" } }
            }
            @for (name, value) in payload(&row) { div { dt { (name) } dd.code { (value) } } }
            div { dt { "ID" } dd.code { (id) } }
        }
        section {
            div.head { h2 { (own.boxes) } a.button href={ (path) "/devices.csv?" (list::query(&pairs)) } download { (icon::download()) (words.csv) } }
            (listing.form(&controls))
            (found.complaint())
            div #targets data-refresh=[(row.status == RolloutStatus::Running).then_some(BOXES_EVERY)] {
                (listing.rows(shown.as_ref(), words.nothing_found, found.next.as_deref()))
            }
        }
    };
    Ok(layout::page(&viewer, &name, &content))
}

/// What changes by itself: the state, the bar, the steps, and what can be done now.
fn standing(row: &View, name: &str, viewer: &Viewer) -> Markup {
    let own = Rollouts::of(viewer.language);
    let is_open = row.ended_at.is_none()
        && matches!(
            row.status,
            RolloutStatus::Running | RolloutStatus::Cancelled
        );
    let path = format!("/console/rollouts/{}", row.id);
    let button = |action: &str, text: &str, is_primary: bool| {
        html! {
            form method="post" action={ (path) "/" (action) } {
                (form::secret(viewer))
                button.primary[is_primary] { (text) }
            }
        }
    };
    html! {
        div #rollout data-refresh=[is_open.then_some(PROGRESS_EVERY)] {
            div.head {
                h1 { (name) " " (badge(state(row.status, own))) }
                @if viewer.may(Permission::CommandWrite) {
                    div.buttons {
                        @if row.status == RolloutStatus::Running { (button("pause", own.pause, true)) }
                        @if matches!(row.status, RolloutStatus::Paused | RolloutStatus::Aborted) { (button("resume", own.resume, true)) }
                        @if matches!(row.status, RolloutStatus::Running | RolloutStatus::Paused | RolloutStatus::Aborted) {
                            (button("cancel", own.cancel, false))
                        }
                    }
                }
            }
            @if let Some(reason) = &row.reason {
                p.error role="alert" { (icon::alert()) (own.why) ": " (reason) }
            }
            div.card {
                (bar(row, own))
                p.tally { strong { (tally(row, own)) } (legend(row, viewer)) }
                (step_list(row, own))
                (guard(row, own))
            }
        }
    }
}

/// Which boxes it is for.
fn selection(row: &View, words: &Rollouts) -> String {
    let parts: Vec<String> = row
        .query
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| match value.as_array() {
            Some(ids) => format!("{}: {}", name.replace('_', " "), ids.len()),
            None => format!(
                "{}: {}",
                name.replace('_', " "),
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            ),
        })
        .collect();
    if parts.is_empty() {
        words.whole_fleet.to_owned()
    } else {
        parts.join(" · ")
    }
}

/// The parameters of its order.
fn payload(row: &View) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let fields = row.payload.as_object().into_iter().flatten();
    fields
        .map(|(name, value)| (name.replace('_', " "), text(value)))
        .collect()
}

fn boxes(rows: &[Target], outcomes: &[(&'static str, Told)], viewer: &Viewer) -> Markup {
    let (words, own) = (viewer.words(), Rollouts::of(viewer.language));
    let told = |status: &str| {
        let found = outcomes.iter().find(|(name, _)| *name == status);
        found.map(|(_, told)| badge(*told))
    };
    html! {
        div.scroll tabindex="0" { table data-sort {
            thead { tr {
                th.number { "#" } th { (words.serial_number) } th { (own.outcome) } th { (words.reason) }
                th { (words.sent) } th { (own.ended) }
            } }
            tbody { @for row in rows { tr {
                td.number { (row.position + 1) }
                td { a href={ "/console/devices/" (row.device_id) } { (row.serial_number) } }
                td { @match told(&row.status) { Some(badge) => (badge), None => (row.status) } }
                td { (row.reason.as_deref().unwrap_or("–")) }
                td { (row.sent_at.map_or_else(|| "–".to_owned(), moment)) }
                td { (row.ended_at.map_or_else(|| "–".to_owned(), moment)) }
            } } }
        } }
    }
}

/// `/console/rollouts/{id}/devices.csv`.
pub(crate) async fn boxes_file(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
    Query(asked): Query<Boxes>,
) -> Result<Response, Fault> {
    viewer.must(Permission::CommandRead)?;
    let id: BulkCommandId = named(&id, Noun::BulkCommand).map_err(|error| viewer.fault(error))?;
    let status = list::given(&asked.status);
    Ok(csv(target_file(
        &context,
        id,
        status,
        viewer.language.of_file(),
    )
    .await))
}

/// `POST /console/rollouts/{id}/{action}`: pause, resume, cancel.
pub(crate) async fn act(
    State(context): State<Context>,
    Path((id, action)): Path<(String, String)>,
    Sent { viewer, .. }: Sent<Nothing>,
) -> Result<Redirect, Fault> {
    let act = async |unit: &mut UnitOfWork| {
        let id: BulkCommandId = named(&id, Noun::BulkCommand)?;
        match action.as_str() {
            "pause" => bulk_command::pause(unit, id).await,
            "resume" => bulk_command::resume(unit, id).await,
            "cancel" => bulk_command::cancel(unit, id).await,
            _ => Err(Error::NotFound(Noun::BulkCommand)),
        }
    };
    viewer
        .change(&context, Permission::CommandWrite, act)
        .await?;
    Ok(Redirect::to(&format!("/console/rollouts/{id}")))
}
