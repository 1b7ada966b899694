//! What waits for a second person, and the decision.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use domain::approval::ApprovalStatus;
use domain::role::Permission;
use maud::{Markup, html};
use serde::Deserialize;
use service::money::approval;
use service::{Context, Noun, UnitOfWork};
use store::money::approval::Approval;

use crate::fault::Fault;
use crate::form::{self, Nothing, Sent, named};
use crate::format::moment;
use crate::layout::{self, Page};
use crate::list;
use crate::session::Viewer;
use crate::words::Words;
use crate::words::state::{Tone, badge};

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    status: String,
    after: String,
}

fn state(status: ApprovalStatus, words: &Words) -> (&'static str, Tone) {
    match status {
        ApprovalStatus::Pending => (words.approval_pending, Tone::Waiting),
        ApprovalStatus::Approved => (words.approval_approved, Tone::Good),
        ApprovalStatus::Rejected => (words.approval_rejected, Tone::Quiet),
    }
}

/// `/console/approvals`.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    viewer.must(Permission::ApprovalRead)?;
    let fault = |error| viewer.fault(error);
    let words = viewer.words();
    let status = Some(asked.status.as_str()).filter(|status| !status.is_empty());
    let page = list::page(Some(&asked.after)).map_err(fault)?;
    let rows = approval::list(&context, status, None, page).await;
    let mut rows = rows.map_err(fault)?;
    let next = list::cut(&mut rows, |row| (row.created_at, row.id.as_uuid()));
    let statuses: Vec<(&str, &str)> = ApprovalStatus::ALL
        .iter()
        .map(|status| (status.as_str(), state(*status, words).0))
        .collect();
    let listing = list::Listing {
        path: "/console/approvals",
        filters: &[("status", asked.status.as_str())],
        after: &asked.after,
        words,
    };
    let controls = html! {
        (list::choice("status", &asked.status, words.status, words.any, &statuses))
    };
    let shown = (!rows.is_empty()).then(|| {
        html! {
            ul.cards { @for row in &rows { (card(row, &viewer)) } }
        }
    });
    let content = html! {
        div.head { h1 { (words.approvals) } }
        (listing.form(&controls))
        (listing.rows(shown.as_ref(), words.no_approvals, next.as_deref()))
    };
    Ok(layout::page(&viewer, words.approvals, &content))
}

fn card(row: &Approval, viewer: &Viewer) -> Markup {
    let words = viewer.words();
    html! {
        li.card id=(row.id) {
            div.head {
                h2 { (row.kind.as_str().replace('_', " ")) " " (badge(state(row.status, words))) }
                time datetime=(row.created_at.to_rfc3339()) { (moment(row.created_at)) }
            }
            p.quiet {
                span.code { (row.entity) } " · " (words.asked_by) " " span.code { (row.requested_by) }
                @if let Some(by) = &row.decided_by { " · " (words.decided_by) " " span.code { (by) } }
                @if let Some(reason) = &row.reason { " · " (reason) }
            }
            dl.facts { @for (name, value) in fields(row) { div { dt { (name) } dd { (value) } } } }
            @if row.status == ApprovalStatus::Pending && viewer.may(Permission::ApprovalWrite) {
                div.decision {
                    form method="post" action={ "/console/approvals/" (row.id) "/approve" } {
                        (form::secret(viewer))
                        button.primary { (words.approve) }
                    }
                    form method="post" action={ "/console/approvals/" (row.id) "/reject" } {
                        (form::secret(viewer))
                        label { (words.reason) input name="reason" required maxlength="500"; }
                        button { (words.reject) }
                    }
                }
            }
        }
    }
}

/// What is asked for, as names and values; one level of objects is opened.
fn fields(row: &Approval) -> Vec<(String, String)> {
    fn text(value: &serde_json::Value) -> String {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    }
    let mut fields = Vec::new();
    for (name, value) in row.request.as_object().into_iter().flatten() {
        match value.as_object() {
            Some(inner) => {
                fields.extend(
                    inner
                        .iter()
                        .map(|(name, value)| (name.clone(), text(value))),
                );
            }
            None => fields.push((name.clone(), text(value))),
        }
    }
    for (name, _) in &mut fields {
        *name = name.replace('_', " ");
    }
    fields
}

/// `POST /console/approvals/{id}/approve`.
pub(crate) async fn approve(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, .. }: Sent<Nothing>,
) -> Result<Response, Fault> {
    let words = viewer.words();
    let act =
        async |unit: &mut UnitOfWork| approval::approve(unit, named(&id, Noun::Approval)?).await;
    let confirmed = viewer
        .change(&context, Permission::ApprovalWrite, act)
        .await?;
    let Some(secret) = confirmed.token.or(confirmed.setup_code) else {
        return Ok(Redirect::to("/console/approvals").into_response());
    };
    let content = html! {
        h1 { (words.approval_approved) }
        p.done role="status" { (words.secret_once) }
        pre { (secret) }
        p { a href="/console/approvals" { (words.approvals) } }
    };
    Ok(layout::page(&viewer, words.approvals, &content).into_response())
}

/// Why it is turned down.
#[derive(Debug, Deserialize)]
pub(crate) struct Why {
    #[serde(default)]
    reason: String,
}

/// `POST /console/approvals/{id}/reject`.
pub(crate) async fn reject(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, fields }: Sent<Why>,
) -> Result<Redirect, Fault> {
    let act = async |unit: &mut UnitOfWork| {
        approval::reject(unit, named(&id, Noun::Approval)?, &fields.reason).await
    };
    viewer
        .change(&context, Permission::ApprovalWrite, act)
        .await?;
    Ok(Redirect::to("/console/approvals"))
}
