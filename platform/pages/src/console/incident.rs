//! Incidents: verified messages that contradict what is known, and closing one with what was found out.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use domain::role::Permission;
use http_api::incident_file;
use maud::{Markup, html};
use serde::Deserialize;
use service::payment::callback::archive::{self, Detail};
use service::payment::incident::{self, Resolution};
use service::{Context, Error, Noun, UnitOfWork};
use store::payment::incident::{Filter, Incident};
use wire::ids::IncidentId;

use super::callback;
use crate::fault::Fault;
use crate::form::{self, Sent, named};
use crate::format::moment;
use crate::layout::{self, Page};
use crate::list::{self, Found};
use crate::names::entity;
use crate::session::Viewer;
use crate::words::incident::IncidentWords;
use crate::words::state::badge;
use crate::{comparison, icon};

/// The filter for those that are not closed.
const OPEN: &str = "open";
const CLOSED: &str = "closed";

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    state: String,
    kind: String,
    partner_id: String,
    transaction_id: String,
    from: String,
    to: String,
    after: String,
}

impl Asked {
    fn pairs(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("state", &self.state),
            ("kind", &self.kind),
            ("partner_id", &self.partner_id),
            ("transaction_id", &self.transaction_id),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    fn filter(&self) -> Result<Filter, Error> {
        let resolved = match self.state.as_str() {
            OPEN => Some(false),
            CLOSED => Some(true),
            _ => None,
        };
        Ok(Filter {
            resolved,
            kind: list::given(&self.kind),
            partner_id: list::given(&self.partner_id),
            transaction_id: list::word("transaction_id", &self.transaction_id)?,
            period: list::period(&self.from, &self.to)?,
        })
    }

    async fn read(&self, context: &Context) -> Result<Vec<Incident>, Error> {
        let page = list::page(Some(&self.after))?;
        incident::list(context, &self.filter()?, page).await
    }
}

/// `/console/incidents`.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    viewer.must(Permission::IncidentRead)?;
    let words = viewer.words();
    let own = IncidentWords::of(words.language);
    let found = Found::of(&viewer, asked.read(&context).await, |row| {
        (row.created_at, row.id.as_uuid())
    })?;
    let pairs = asked.pairs();
    let listing = list::Listing {
        path: "/console/incidents",
        filters: &pairs,
        after: &asked.after,
        viewer: &viewer,
    };
    let states = [(OPEN, own.open), (CLOSED, own.closed)];
    let partners = callback::partners(&context);
    let partners: Vec<(&str, &str)> = partners.iter().map(|id| (&**id, &**id)).collect();
    let controls = html! {
        (list::choice("state", &asked.state, words.status, words.any, &states))
        (list::search("kind", &asked.kind, own.kind))
        (list::choice("partner_id", &asked.partner_id, words.partner, words.any, &partners))
        (list::days(&asked.from, &asked.to, words))
        (list::hidden(&[("transaction_id", &asked.transaction_id)]))
    };
    Ok(
        listing.page(own.title, &controls, &found, own.none, |rows| {
            table(rows, &viewer)
        }),
    )
}

/// A kind as people read it.
fn kind(row: &Incident) -> String {
    row.kind.replace('_', " ")
}

fn table(rows: &[Incident], viewer: &Viewer) -> Markup {
    let words = viewer.words();
    let own = IncidentWords::of(words.language);
    html! {
        div.scroll tabindex="0" { table data-sort {
            thead { tr {
                th { (own.came) } th { (own.kind) } th { (words.status) } th { (words.partner) } th { (own.payment) } th { (words.reason) }
            } }
            tbody { @for row in rows { tr {
                td { a href={ "/console/incidents/" (row.id) } { (moment(row.created_at)) } }
                td { (kind(row)) }
                td { (badge(own.state(row.resolved_at.is_some()))) }
                td { (row.partner_id) }
                td.code { (payment(row, viewer)) }
                td.text { (row.resolution.as_deref().unwrap_or("–")) }
            } } }
        } }
    }
}

fn payment(row: &Incident, viewer: &Viewer) -> Markup {
    html! {
        @match row.transaction_id {
            Some(id) if viewer.may(Permission::TransactionRead) => {
                a href={ "/console/payments/" (id) } { (list::short(id)) }
            }
            Some(id) => (list::short(id)),
            None => "–",
        }
    }
}

/// `/console/incidents.csv`: all incidents that the list has with these filters.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    viewer.must(Permission::IncidentRead)?;
    let filter = asked.filter().map_err(|error| viewer.fault(error))?;
    let language = viewer.language.of_file();
    Ok(list::csv(incident_file(&context, filter, language).await))
}

/// `/console/incidents/{id}`.
pub(crate) async fn page(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Page, Fault> {
    shown(&context, &viewer, &id, None).await
}

/// The page, after a form that was refused with what was typed.
async fn shown(
    context: &Context,
    viewer: &Viewer,
    id: &str,
    refused: Option<(&str, &str)>,
) -> Result<Page, Fault> {
    viewer.must(Permission::IncidentRead)?;
    let fault = |error: Error| viewer.fault(error);
    let words = viewer.words();
    let own = IncidentWords::of(words.language);
    let id: IncidentId = named(id, Noun::Incident).map_err(fault)?;
    let row = incident::get(context, id).await.map_err(fault)?;
    let message = archive::find(context, row.callback_id)
        .await
        .map_err(fault)?;
    let title = kind(&row);
    let said = comparison::fields(Some(&row.details), None);
    let content = html! {
        p.path { a href="/console/incidents" { (own.title) } }
        div.head { h1 { (title) " " (badge(own.state(row.resolved_at.is_some()))) } }
        dl.facts {
            div { dt { (own.came) } dd { (moment(row.created_at)) } }
            div { dt { (words.partner) } dd { a href={ "/console/partners/" (row.partner_id) } { (row.partner_id) } } }
            div { dt { (own.payment) } dd.code { (payment(&row, viewer)) } }
            @if let (Some(at), Some(by)) = (row.resolved_at, &row.resolved_by) {
                div { dt { (own.closed_by) } dd { (entity(by, viewer)) br; small { (moment(at)) } } }
            }
            @if let Some(text) = &row.resolution { div { dt { (own.found_out) } dd { (text) } } }
            div { dt { "ID" } dd.code { (row.id) } }
        }
        @if !said.is_empty() {
            section {
                h2 { (own.said) }
                dl.facts { @for field in &said {
                    div { dt { (field.name) } dd { (field.before.as_deref().unwrap_or("–")) } }
                } }
            }
        }
        (verified(&message, viewer))
        section { (callback::body(&message, own.message, words)) }
        @if row.resolved_at.is_none() && viewer.may(Permission::IncidentWrite) {
            form.card.column method="post" action={ "/console/incidents/" (row.id) "/resolve" } {
                h2 { (own.close) }
                p.quiet { (own.close_hint) }
                (form::secret(viewer))
                @if let Some((wrong, _)) = refused { p.error role="alert" { (icon::alert()) (wrong) } }
                label { (own.found_out)
                    textarea name="resolution" rows="4" maxlength="500" required { (refused.map_or("", |(_, typed)| typed)) }
                }
                button.primary { (own.close) }
            }
        }
    };
    Ok(layout::page(viewer, &title, &content))
}

/// What was verified of the message before it was found to contradict something.
fn verified(message: &Detail, viewer: &Viewer) -> Markup {
    let words = viewer.words();
    let own = IncidentWords::of(words.language);
    let callback = &message.callback;
    html! {
        section {
            h2 { (own.verified) }
            dl.facts {
                @if callback.partner_id.is_some() { div { dt { (own.signature) } dd { (own.signature_holds) } } }
                div { dt { (own.route) } dd.code { (callback.route) } }
                div { dt { (own.verdict) } dd { (callback.verdict) @if let Some(reason) = &callback.reason { br; small { (reason) } } } }
                div { dt { (own.answered) } dd { (callback.http_status) } }
                @if let Some(reference) = &callback.partner_reference { div { dt { (words.reference) } dd.code { (reference) } } }
            }
        }
    }
}

/// What was found out.
#[derive(Debug, Deserialize)]
pub(crate) struct FoundOut {
    #[serde(default)]
    resolution: String,
}

/// `POST /console/incidents/{id}/resolve`.
pub(crate) async fn resolve(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, fields }: Sent<FoundOut>,
) -> Result<Response, Fault> {
    let found = Resolution {
        resolution: fields.resolution.trim().to_owned(),
    };
    let act = async |unit: &mut UnitOfWork| {
        incident::resolve(unit, named(&id, Noun::Incident)?, &found).await
    };
    let tried = viewer
        .attempt(&context, Permission::IncidentWrite, act)
        .await?;
    match tried {
        Ok(_) => Ok(Redirect::to(&format!("/console/incidents/{id}")).into_response()),
        Err(error) => {
            let refused = (viewer.told(&error), fields.resolution);
            let page = shown(&context, &viewer, &id, Some((&refused.0, &refused.1))).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}
