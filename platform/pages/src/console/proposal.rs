//! One proposal: what is there now beside what is asked for, and the decision.

use axum::extract::{Path, State};
use domain::approval::{ApprovalStatus, is_person};
use domain::role::Permission;
use maud::html;
use service::money::approval;
use service::{Context, Error, Noun};
use wire::ids::ApprovalId;

use super::approval::{decision, state};
use crate::comparison::{self, Field};
use crate::fault::Fault;
use crate::form::named;
use crate::format::moment;
use crate::layout::{self, Page};
use crate::names::entity;
use crate::session::Viewer;
use crate::words::comparison::ComparisonWords;
use crate::words::proposal::ProposalWords;
use crate::words::state::badge;

/// `/console/approvals/{id}`.
pub(crate) async fn page(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Page, Fault> {
    viewer.must(Permission::ApprovalRead)?;
    let fault = |error: Error| viewer.fault(error);
    let words = viewer.words();
    let own = ProposalWords::of(words.language);
    let id: ApprovalId = named(&id, Noun::Approval).map_err(fault)?;
    let compared = approval::compare(&context, id, &viewer.principal)
        .await
        .map_err(fault)?;
    let row = &compared.approval;
    let is_pending = row.status == ApprovalStatus::Pending;
    let after = match &compared.now {
        Some(now) => comparison::laid_over(now, &compared.asked),
        None => compared.asked.clone(),
    };
    let mut fields = comparison::fields(compared.now.as_ref(), Some(&after));
    // What changes comes first; the rest says what it is about.
    fields.sort_by_key(|field: &Field| !field.is_changed());
    let title = own.kind(row.kind);
    let content = html! {
        p.path { a href="/console/approvals" { (words.approvals) } }
        div.head { h1 { (title) " " (badge(state(row.status, words))) } }
        dl.facts {
            div { dt { (own.about) } dd.code { (entity(&row.entity, &viewer)) } }
            div { dt { (words.asked_by) } dd { span.code { (entity(&row.requested_by, &viewer)) } br; small { (moment(row.created_at)) } } }
            @if let (Some(by), Some(at)) = (&row.decided_by, row.decided_at) {
                div { dt { (words.decided_by) } dd { span.code { (entity(by, &viewer)) } br; small { (moment(at)) } } }
            }
            @if let Some(reason) = &row.reason { div { dt { (words.reason) } dd { (reason) } } }
            div { dt { "ID" } dd.code { (row.id) } }
        }
        section {
            h2 { @if is_pending { (own.compare) } @else { (own.changed) } }
            (comparison::table(&fields, (ComparisonWords::of(words.language).there_now, ComparisonWords::of(words.language).asked_for), words))
        }
        @if is_pending && viewer.may(Permission::ApprovalWrite) {
            @if row.requested_by == viewer.user_id.to_string() {
                p.quiet { (own.own) }
            } @else if !is_person(&row.requested_by) {
                p.quiet { (own.take_over) }
            }
            (decision(row, &viewer))
        }
    };
    Ok(layout::page(&viewer, title, &content))
}
