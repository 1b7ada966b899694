//! The catalogue of firmware, from which a roll-out starts.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::role::Permission;
use http_api::firmware_file;
use maud::{Markup, html};
use serde::Deserialize;
use service::fleet::firmware::{self, NewFirmware};
use service::{Context, UnitOfWork};
use store::fleet::firmware::Firmware;

use crate::fault::Fault;
use crate::form::{self, Sent};
use crate::format::moment;
use crate::icon;
use crate::layout::{self, Page};
use crate::list::{self, Found};
use crate::session::Viewer;
use crate::words::rollout::Rollouts;

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    model: String,
    version: String,
    after: String,
}

/// A firmware, as it was filled in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    version: String,
    model: String,
    url: String,
    sha256: String,
    notes: String,
}

/// `/console/firmware`.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    viewer.must(Permission::FirmwareRead)?;
    shown(&context, &viewer, &asked, &Fields::default(), None).await
}

/// `/console/firmware.csv`: all that the list has with these filters.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    viewer.must(Permission::FirmwareRead)?;
    let (model, version) = (list::given(&asked.model), list::given(&asked.version));
    let language = viewer.language.of_file();
    Ok(list::csv(
        firmware_file(&context, model, version, language).await,
    ))
}

async fn shown(
    context: &Context,
    viewer: &Viewer,
    asked: &Asked,
    fields: &Fields,
    wrong: Option<&str>,
) -> Result<Page, Fault> {
    let (words, own) = (viewer.words(), Rollouts::of(viewer.language));
    let read = async {
        let page = list::page(Some(&asked.after))?;
        let (model, version) = (list::given(&asked.model), list::given(&asked.version));
        firmware::list(context, model.as_deref(), version.as_deref(), page).await
    };
    let found = Found::of(viewer, read.await, |row| (row.created_at, row.id.as_uuid()))?;
    let pairs = [
        ("model", asked.model.as_str()),
        ("version", asked.version.as_str()),
    ];
    let listing = list::Listing {
        path: "/console/firmware",
        filters: &pairs,
        after: &asked.after,
        viewer,
    };
    let controls = html! {
        (list::search("model", &asked.model, words.model))
        (list::search("version", &asked.version, own.version))
    };
    let rows = found.shown(|rows| table(rows, viewer));
    let content = html! {
        p.path { a href="/console/rollouts" { (own.title) } }
        (listing.head(own.firmware))
        (listing.form(&controls))
        (found.complaint())
        (listing.rows(rows.as_ref(), own.no_firmware, found.next.as_deref()))
        @if viewer.may(Permission::FirmwareWrite) { (add(fields, wrong, viewer)) }
    };
    Ok(layout::page(viewer, own.firmware, &content))
}

fn table(rows: &[Firmware], viewer: &Viewer) -> Markup {
    let (words, own) = (viewer.words(), Rollouts::of(viewer.language));
    html! {
        div.scroll tabindex="0" { table data-sort {
            thead { tr { th { (own.version) } th { (words.model) } th { (own.made) } th { (own.notes) } th { (own.digest) } th {} } }
            tbody { @for row in rows { tr {
                td { strong { (row.version) } }
                td { (row.model) }
                td { (moment(row.created_at)) }
                td.wrap { (row.notes.as_deref().unwrap_or("–")) }
                td.code title=(row.sha256) { (row.sha256.chars().take(12).collect::<String>()) "…" }
                td { @if viewer.may(Permission::FirmwareWrite) {
                    a.button href={ "/console/rollouts/new?firmware_id=" (row.id) } { (own.roll_out) }
                } }
            } } }
        } }
    }
}

fn add(fields: &Fields, wrong: Option<&str>, viewer: &Viewer) -> Markup {
    let (words, own) = (viewer.words(), Rollouts::of(viewer.language));
    html! {
        details.card open[wrong.is_some()] {
            summary { (own.add_firmware) }
            @if let Some(wrong) = wrong { p.error role="alert" { (icon::alert()) (wrong) } }
            form.sheet-form method="post" action="/console/firmware" {
                (form::secret(viewer))
                div.grid {
                    label { (own.version) input name="version" value=(fields.version) required maxlength="64"; }
                    label { (words.model) input name="model" value=(fields.model) required maxlength="60"; }
                    label { (own.address) input type="url" name="url" value=(fields.url) required maxlength="2048" placeholder="https://"; }
                    label { (own.digest) input name="sha256" value=(fields.sha256) required pattern="[0-9a-fA-F]{64}"; }
                    label { (own.notes) input name="notes" value=(fields.notes) maxlength="2000"; }
                }
                button.primary { (own.add) }
            }
        }
    }
}

/// `POST /console/firmware`. What is refused is shown in the form, with what was typed.
pub(crate) async fn create(
    State(context): State<Context>,
    Sent { viewer, fields }: Sent<Fields>,
) -> Result<Response, Fault> {
    viewer.must(Permission::FirmwareWrite)?;
    let new = NewFirmware {
        version: fields.version.trim().to_owned(),
        model: fields.model.trim().to_owned(),
        url: fields.url.trim().to_owned(),
        sha256: fields.sha256.trim().to_owned(),
        notes: list::given(&fields.notes),
    };
    let act = async |unit: &mut UnitOfWork| firmware::create(unit, new).await;
    match viewer
        .attempt(&context, Permission::FirmwareWrite, act)
        .await?
    {
        Ok(_) => Ok(Redirect::to("/console/firmware").into_response()),
        Err(error) => {
            let none = Asked::default();
            let page = shown(
                &context,
                &viewer,
                &none,
                &fields,
                Some(&viewer.told(&error)),
            )
            .await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}
