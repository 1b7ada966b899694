//! What waits for a second person, and the decision.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use domain::approval::{ApprovalKind, ApprovalStatus};
use domain::role::Permission;
use http_api::approval_file;
use maud::{Markup, html};
use serde::Deserialize;
use service::money::approval;
use service::{Context, Error, Noun, UnitOfWork};
use store::money::approval::{Approval, Filter};

use super::secret::Secret;
use crate::fault::Fault;
use crate::form::{self, Nothing, Sent, named};
use crate::format::moment;
use crate::layout::Page;
use crate::list::{self, Found, csv};
use crate::session::Viewer;
use crate::words::Words;
use crate::words::page::Filters;
use crate::words::proposal::ProposalWords;
use crate::words::state::{Tone, badge};
use crate::words::user::UserWords;

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    status: String,
    kind: String,
    q: String,
    from: String,
    to: String,
    after: String,
}

impl Asked {
    fn pairs(&self) -> [(&'static str, &str); 5] {
        [
            ("status", &self.status),
            ("kind", &self.kind),
            ("q", &self.q),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    fn filter(&self) -> Result<Filter, Error> {
        Ok(Filter {
            status: list::word("status", &self.status)?,
            kind: list::word("kind", &self.kind)?,
            q: list::given(&self.q),
            period: list::period(&self.from, &self.to)?,
        })
    }

    async fn read(&self, context: &Context) -> Result<Vec<Approval>, Error> {
        let page = list::page(Some(&self.after))?;
        approval::list(context, &self.filter()?, page).await
    }
}

/// A status with its colour.
pub(super) fn state(status: ApprovalStatus, words: &Words) -> (&'static str, Tone) {
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
    let words = viewer.words();
    let found = Found::of(&viewer, asked.read(&context).await, |row| {
        (row.created_at, row.id.as_uuid())
    })?;
    let statuses: Vec<(&str, &str)> = ApprovalStatus::ALL
        .iter()
        .map(|status| (status.as_str(), state(*status, words).0))
        .collect();
    let names: Vec<(&str, String)> = ApprovalKind::ALL
        .iter()
        .map(|kind| (kind.as_str(), kind.as_str().replace('_', " ")))
        .collect();
    let kinds: Vec<(&str, &str)> = names
        .iter()
        .map(|(kind, name)| (*kind, name.as_str()))
        .collect();
    let pairs = asked.pairs();
    let listing = list::Listing {
        path: "/console/approvals",
        filters: &pairs,
        after: &asked.after,
        viewer: &viewer,
    };
    let labels = Filters::of(viewer.language);
    let controls = html! {
        (list::search("q", &asked.q, labels.entity_or_person))
        (list::choice("status", &asked.status, words.status, words.any, &statuses))
        (list::choice("kind", &asked.kind, labels.kind, words.any, &kinds))
        (list::days(&asked.from, &asked.to, words))
    };
    Ok(listing.page(
        words.approvals,
        &controls,
        &found,
        words.no_approvals,
        |rows| list::cards(rows, |row| card(row, &viewer)),
    ))
}

/// `/console/approvals.csv`: all that the list has with these filters.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    viewer.must(Permission::ApprovalRead)?;
    let filter = asked.filter().map_err(|error| viewer.fault(error))?;
    Ok(csv(approval_file(
        &context,
        filter,
        viewer.language.of_file(),
    )
    .await))
}

fn card(row: &Approval, viewer: &Viewer) -> Markup {
    let words = viewer.words();
    html! {
        li.card id=(row.id) {
            div.head {
                h2 {
                    a href={ "/console/approvals/" (row.id) } { (ProposalWords::of(words.language).kind(row.kind)) }
                    " " (badge(state(row.status, words)))
                }
                time datetime=(row.created_at.to_rfc3339()) { (moment(row.created_at)) }
            }
            p.quiet {
                span.code { (row.entity) } " · " (words.asked_by) " " span.code { (row.requested_by) }
                @if let Some(by) = &row.decided_by { " · " (words.decided_by) " " span.code { (by) } }
                @if let Some(reason) = &row.reason { " · " (reason) }
            }
            dl.facts { @for (name, value) in fields(row) { div { dt { (name) } dd { (value) } } } }
            @if row.status == ApprovalStatus::Pending && viewer.may(Permission::ApprovalWrite) {
                (decision(row, viewer))
            }
        }
    }
}

/// What a second person can do.
pub(super) fn decision(row: &Approval, viewer: &Viewer) -> Markup {
    let words = viewer.words();
    html! {
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
    let act =
        async |unit: &mut UnitOfWork| approval::approve(unit, named(&id, Noun::Approval)?).await;
    let confirmed = viewer
        .change(&context, Permission::ApprovalWrite, act)
        .await?;
    let on = format!("/console/approvals/{id}");
    let own = UserWords::of(viewer.language);
    let (what, text) = match (&confirmed.token, &confirmed.setup_code) {
        (Some(token), _) => (own.token, token),
        (None, Some(code)) => (own.setup_code, code),
        (None, None) => return Ok(Redirect::to(&on).into_response()),
    };
    let shown = Secret {
        of: &confirmed.approval.entity,
        what,
        text,
        hint: None,
        on: &on,
    };
    Ok(shown.page(&viewer).into_response())
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
    Ok(Redirect::to(&format!("/console/approvals/{id}")))
}
