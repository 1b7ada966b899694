//! What one box is set to, and why: the layers, the result, what the box says, and the form of its own layer.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::config::Key;
use domain::role::Permission;
use maud::{Markup, html};
use serde_json::Value;
use service::fleet::config::{self, View};
use service::{Context, Error, Noun, UnitOfWork};
use wire::ids::DeviceId;

use super::configuration::standing;
use super::device::{Draft, page_of};
use super::settings_form::{Fields, name, text};
use crate::fault::Fault;
use crate::form::{self, Nothing, Sent, named};
use crate::icon;
use crate::session::Viewer;
use crate::words::device::Boxes;
use crate::words::state::badge;

/// How often an open page looks whether the box has applied it, ms.
const LOOK_EVERY: &str = "1500";

/// The part of a box's page.
pub(super) async fn section(
    context: &Context,
    viewer: &Viewer,
    id: DeviceId,
    draft: &Draft,
) -> Result<Markup, Error> {
    let own = Boxes::of(viewer.language);
    let view = config::view(context, id).await?;
    let set = Fields::of(&view.layers.device);
    let (fields, wrong) = match draft {
        Draft::Settings { fields, wrong } => (fields.as_ref(), Some(wrong.as_str())),
        _ => (&set, None),
    };
    Ok(html! {
        section #configuration {
            (state(&view, viewer))
            @if viewer.may(Permission::DeviceWrite) {
                details.card open[wrong.is_some()] {
                    summary { (own.change_own) }
                    (fields.form(&format!("/console/devices/{id}/configuration"), wrong, viewer))
                }
            }
        }
    })
}

/// How far it is, and each setting with where it comes from. Read again until the box has answered.
fn state(view: &View, viewer: &Viewer) -> Markup {
    let own = Boxes::of(viewer.language);
    let is_open = view.status == "pending";
    let reason = view
        .rejected_reason
        .as_ref()
        .filter(|_| view.status == "rejected");
    html! {
        div #settings data-refresh=[is_open.then_some(LOOK_EVERY)] {
            div.head {
                h2 { (own.configuration) " " (badge(standing(view.status, own))) " " small { (own.version) " " (view.version) } }
                @if viewer.may(Permission::DeviceWrite) && view.status != "applied" {
                    form method="post" action={ "/console/devices/" (view.device_id) "/configuration/push" } {
                        (form::secret(viewer))
                        button { (own.push_again) }
                    }
                }
            }
            @if let Some(reason) = reason.or(view.failed_reason.as_ref()) { p.error { (icon::alert()) (reason) } }
            (table(view, own))
        }
    }
}

fn table(view: &View, words: &Boxes) -> Markup {
    let layers = &view.layers;
    let reported = view.reported.as_ref().map(|reported| &reported.config);
    let cell = |layer: Option<&Value>, key: Key| {
        let value = layer.and_then(|layer| layer.get(key.as_str()));
        value.map_or_else(|| "–".to_owned(), |value| text(value, words))
    };
    let differs =
        |key: Key| reported.is_some() && view.diff.iter().any(|one| one.key == key.as_str());
    html! {
        div.scroll tabindex="0" { table {
            thead { tr {
                th { (words.setting) } th { (words.defaults) } th { (words.fleet) } th { (words.merchant) }
                th { (words.outlet) } th { (words.own) } th { (words.result) } th { (words.reported) }
            } }
            tbody { @for key in Key::ALL.iter().copied() { tr {
                th scope="row" { (name(key, words)) }
                @for layer in [&layers.defaults, &layers.fleet, &layers.merchant, &layers.outlet, &layers.device] {
                    td { (cell(Some(layer), key)) }
                }
                td { strong { (cell(Some(&view.config), key)) } }
                td class=[differs(key).then_some("bad")] { (cell(reported, key)) @if differs(key) { " ≠" } }
            } } }
        } }
    }
}

/// `POST /console/devices/{id}/configuration`. What is refused is shown in the form, with what was typed.
pub(crate) async fn change(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, fields }: Sent<Fields>,
) -> Result<Response, Fault> {
    viewer.must(Permission::DeviceWrite)?;
    let id: DeviceId = named(&id, Noun::Device).map_err(|error| viewer.fault(error))?;
    let act = async |unit: &mut UnitOfWork| config::patch(unit, id, &fields.patch()?).await;
    match viewer
        .attempt(&context, Permission::DeviceWrite, act)
        .await?
    {
        Ok(_) => {
            let path = format!("/console/devices/{id}?saved=1#configuration");
            Ok(Redirect::to(&path).into_response())
        }
        Err(error) => {
            let wrong = viewer.told(&error);
            let fields = Box::new(fields);
            let page = page_of(&context, &viewer, id, &Draft::Settings { fields, wrong }).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// `POST /console/devices/{id}/configuration/push`.
pub(crate) async fn push(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, .. }: Sent<Nothing>,
) -> Result<Redirect, Fault> {
    let act =
        async |unit: &mut UnitOfWork| config::retry_push(unit, named(&id, Noun::Device)?).await;
    viewer
        .change(&context, Permission::DeviceWrite, act)
        .await?;
    Ok(Redirect::to(&format!(
        "/console/devices/{id}#configuration"
    )))
}
