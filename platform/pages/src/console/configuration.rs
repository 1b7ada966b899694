//! What boxes are set to: the layers above a box's own, boxes that differ, and pages on which layers are changed.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::config::Key;
use domain::role::Permission;
use http_api::drift_file;
use maud::{Markup, html};
use serde::Deserialize;
use service::fleet::config;
use service::fleet::config_layer::{self, Owner};
use service::shop::{merchant, outlet};
use service::{Context, Error, Noun, UnitOfWork};
use store::Scope;
use store::fleet::config::Drift;
use wire::ids::MerchantId;

use super::device::presence;
use super::settings_form::{Fields, name, text};
use crate::fault::Fault;
use crate::form::Sent;
use crate::format::moment;
use crate::icon;
use crate::layout::{self, Page};
use crate::list::{self, Found, csv};
use crate::session::Viewer;
use crate::words::device::Boxes;
use crate::words::page::Filters;
use crate::words::state::{Told, Tone, badge};

/// What a person reads of how far a configuration is.
pub(super) fn standing(status: &str, words: &Boxes) -> Told {
    match status {
        "applied" => (words.applied, Tone::Good),
        "rejected" => (words.rejected, Tone::Bad),
        "failed" => (words.failed, Tone::Bad),
        _ => (words.pending, Tone::Waiting),
    }
}

/// The filters of the boxes that differ, as the URL has them, and what was just done.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    status: String,
    merchant_id: String,
    after: String,
    saved: String,
}

impl Asked {
    fn filter(&self, scope: Scope) -> Result<(Scope, Option<String>), Error> {
        let merchant: Option<MerchantId> = list::word("merchant_id", &self.merchant_id)?;
        Ok((scope.narrowed_to(merchant), list::given(&self.status)))
    }

    async fn read(&self, context: &Context, scope: Scope) -> Result<Vec<Drift>, Error> {
        let (scope, status) = self.filter(scope)?;
        let page = list::page(Some(&self.after))?;
        config::drift(context, scope, status.as_deref(), page).await
    }
}

/// `/console/configuration`: the layer of every box, and the boxes that differ.
pub(crate) async fn page(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    let scope = viewer.must(Permission::DeviceRead)?;
    let (words, own) = (viewer.words(), Boxes::of(viewer.language));
    let found = Found::of(&viewer, asked.read(&context, scope).await, |row| {
        (row.updated_at, row.device_id.as_uuid())
    })?;
    let pairs = [
        ("status", asked.status.as_str()),
        ("merchant_id", asked.merchant_id.as_str()),
    ];
    let listing = list::Listing {
        path: "/console/configuration",
        filters: &pairs,
        after: &asked.after,
        viewer: &viewer,
    };
    let statuses: Vec<(&str, &str)> = ["pending", "rejected", "failed"]
        .map(|status| (status, standing(status, own).0))
        .to_vec();
    let labels = Filters::of(viewer.language);
    let controls = html! {
        (list::choice("status", &asked.status, words.status, words.any, &statuses))
        (list::search("merchant_id", &asked.merchant_id, labels.merchant_id))
    };
    let shown = found.shown(|rows| table(rows, &viewer));
    let layer = layer(
        &context,
        &viewer,
        Owner::Fleet,
        None,
        !asked.saved.is_empty(),
    )
    .await?;
    let content = html! {
        h1 { (own.configuration) }
        (layer)
        p.quiet { (own.layers_hint) " " a href="/console/merchants" { (words.merchants) } }
        section {
            div.head { h2 { (own.drift) } (listing.file()) }
            (listing.form(&controls))
            (found.complaint())
            (listing.rows(shown.as_ref(), own.no_drift, found.next.as_deref()))
        }
    };
    Ok(layout::page(&viewer, own.configuration, &content))
}

fn table(rows: &[Drift], viewer: &Viewer) -> Markup {
    let (words, own) = (viewer.words(), Boxes::of(viewer.language));
    let version = |version: Option<i64>| {
        version.map_or_else(|| "–".to_owned(), |version| version.to_string())
    };
    html! {
        div.scroll tabindex="0" { table data-sort {
            thead { tr {
                th { (words.serial_number) } th { (words.presence) } th { (words.status) } th.number { (own.should_have) }
                th.number { (own.has) } th { (words.reason) } th { (own.since) }
            } }
            tbody { @for row in rows { tr {
                td { a href={ "/console/devices/" (row.device_id) "#configuration" } { (row.serial_number) } }
                td { (presence(row.online, words)) }
                td { (badge(standing(&row.status, own))) }
                td.number { (row.version) }
                td.number { (version(row.applied_version)) }
                td.wrap { (row.rejected_reason.as_deref().unwrap_or("–")) }
                td { (moment(row.updated_at)) }
            } } }
        } }
    }
}

/// `/console/configuration.csv`: the boxes that differ.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let scope = viewer.must(Permission::DeviceRead)?;
    let filter = asked.filter(scope);
    let (scope, status) = filter.map_err(|error| viewer.fault(error))?;
    Ok(csv(drift_file(
        &context,
        scope,
        status,
        viewer.language.of_file(),
    )
    .await))
}

/// Whose layer a path names.
fn owner(text: &str) -> Result<Owner, Error> {
    if let Ok(id) = text.parse() {
        return Ok(Owner::Merchant(id));
    }
    match (text, text.parse()) {
        ("fleet", _) => Ok(Owner::Fleet),
        (_, Ok(id)) => Ok(Owner::Outlet(id)),
        (_, Err(_)) => Err(Error::NotFound(Noun::Merchant)),
    }
}

/// A layer, with its form for those who may change it.
async fn layer(
    context: &Context,
    viewer: &Viewer,
    owner: Owner,
    typed: Option<(&Fields, &str)>,
    is_saved: bool,
) -> Result<Markup, Fault> {
    let own = Boxes::of(viewer.language);
    let view = config_layer::get(context, owner).await;
    let view = view.map_err(|error| viewer.fault(error))?;
    let title = match owner {
        Owner::Fleet => own.fleet_layer,
        Owner::Merchant(_) => own.merchant_layer,
        Owner::Outlet(_) => own.outlet_layer,
    };
    let set = Fields::of(&view.config);
    let (fields, wrong) = match typed {
        Some((fields, wrong)) => (fields, Some(wrong)),
        None => (&set, None),
    };
    Ok(html! {
        section {
            div.head { h2 { (title) } }
            @if is_saved { p.done role="status" { (icon::check()) (own.saved) } }
            p.quiet {
                @match (&view.updated_by, view.updated_at) {
                    (Some(by), Some(at)) => { (own.version) " " (view.version) " · " (own.changed_by) " " span.code { (by) } " · " (moment(at)) },
                    _ => (own.never_set),
                }
                @if view.spreading { " · " (own.spreading) }
            }
            @if viewer.may(Permission::DeviceWrite) {
                div.card { (fields.form(&format!("/console/configuration/{owner}"), wrong, viewer)) }
            } @else {
                dl.facts {
                    @for key in Key::ALL {
                        div { dt { (name(*key, own)) } dd { (view.config.get(key.as_str()).map_or_else(|| "–".to_owned(), |value| text(value, own))) } }
                    }
                }
            }
        }
    })
}

/// `/console/configuration/{owner}`: the layer of a merchant, or of an outlet.
pub(crate) async fn of_owner(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    viewer.must(Permission::DeviceRead)?;
    let owner = owner(&id).map_err(|error| viewer.fault(error))?;
    shown(&context, &viewer, owner, None, !asked.saved.is_empty()).await
}

async fn shown(
    context: &Context,
    viewer: &Viewer,
    owner: Owner,
    typed: Option<(&Fields, &str)>,
    is_saved: bool,
) -> Result<Page, Fault> {
    let own = Boxes::of(viewer.language);
    let fault = |error| viewer.fault(error);
    let layer = layer(context, viewer, owner, typed, is_saved).await?;
    let (merchant_id, place) = match owner {
        Owner::Fleet => (None, None),
        Owner::Merchant(id) => (Some(id), None),
        Owner::Outlet(id) => {
            let place = outlet::get(context, Scope::All, id).await.map_err(fault)?;
            (Some(place.merchant_id), Some(place.name))
        }
    };
    let shop = match merchant_id {
        Some(id) => Some(
            merchant::get(context, Scope::All, id)
                .await
                .map_err(fault)?,
        ),
        None => None,
    };
    let content = html! {
        p.path {
            a href="/console/configuration" { (own.configuration) }
            @if let Some(shop) = &shop { " · " a href={ "/console/merchants/" (shop.id) } { (shop.brand_name) } }
        }
        h1 {
            @match (&place, &shop) {
                (Some(place), _) => (place),
                (None, Some(shop)) => (shop.brand_name),
                (None, None) => (own.configuration),
            }
        }
        (layer)
    };
    Ok(layout::page(viewer, own.configuration, &content))
}

/// `POST /console/configuration/{owner}`. What is refused is shown in the form, with what was typed.
pub(crate) async fn change(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, fields }: Sent<Fields>,
) -> Result<Response, Fault> {
    viewer.must(Permission::DeviceWrite)?;
    let owner = owner(&id).map_err(|error| viewer.fault(error))?;
    let act =
        async |unit: &mut UnitOfWork| config_layer::patch(unit, owner, &fields.patch()?).await;
    match viewer
        .attempt(&context, Permission::DeviceWrite, act)
        .await?
    {
        Ok(_) => {
            let path = match owner {
                Owner::Fleet => "/console/configuration".to_owned(),
                other => format!("/console/configuration/{other}"),
            };
            Ok(Redirect::to(&format!("{path}?saved=1")).into_response())
        }
        Err(error) => {
            let wrong = viewer.told(&error);
            let page = shown(&context, &viewer, owner, Some((&fields, &wrong)), false).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}
