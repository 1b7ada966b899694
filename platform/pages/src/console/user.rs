//! Users: the list, making one, and one user's role, status and password.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::role::{Permission, Role};
use domain::user::UserStatus;
use http_api::user_file;
use maud::{Markup, html};
use serde::Deserialize;
use service::money::approval::{self, Outcome};
use service::people::user::{self, NewUser, UserPatch};
use service::{Context, Error, Noun, UnitOfWork, word};
use store::Scope;
use store::people::user::{Filter, User};
use wire::ids::UserId;

use super::role;
use super::secret::{self, Secret};
use crate::change::led_by;
use crate::fault::Fault;
use crate::form::{self, Nothing, Sent, named};
use crate::format::moment;
use crate::layout::{self, Page};
use crate::list::{self, Found};
use crate::session::Viewer;
use crate::words::Words;
use crate::words::state::{Tone, badge};
use crate::words::user::UserWords;
use crate::{icon, names};

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    email: String,
    role: String,
    status: String,
    from: String,
    to: String,
    after: String,
}

impl Asked {
    fn pairs(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("email", &self.email),
            ("role", &self.role),
            ("status", &self.status),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    fn filter(&self) -> Result<Filter, Error> {
        let given = |text: &str| list::given(text);
        user::filter(
            given(&self.email).as_deref(),
            given(&self.role).as_deref(),
            given(&self.status).as_deref(),
            list::period(&self.from, &self.to)?,
        )
    }

    async fn read(&self, context: &Context, scope: Scope) -> Result<Vec<User>, Error> {
        let page = list::page(Some(&self.after))?;
        user::list(context, scope, &self.filter()?, page).await
    }
}

/// Whom to make, as it was typed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Entered {
    email: String,
    role: String,
    merchant_id: String,
}

/// `/console/users`.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    shown(&context, &viewer, &asked, &Entered::default(), None).await
}

async fn shown(
    context: &Context,
    viewer: &Viewer,
    asked: &Asked,
    entered: &Entered,
    wrong: Option<&str>,
) -> Result<Page, Fault> {
    let scope = viewer.must(Permission::UserRead)?;
    let words = viewer.words();
    let own = UserWords::of(words.language);
    let found = Found::of(viewer, asked.read(context, scope).await, |row| {
        (row.created_at, row.id.as_uuid())
    })?;
    let pairs = asked.pairs();
    let listing = list::Listing {
        path: "/console/users",
        filters: &pairs,
        after: &asked.after,
        viewer,
    };
    let roles = role::all(words);
    let statuses = UserStatus::ALL
        .iter()
        .map(|status| (status.as_str(), state(*status, words).0));
    let statuses: Vec<(&str, &str)> = statuses.collect();
    let controls = html! {
        (list::search("email", &asked.email, own.email))
        (list::choice("role", &asked.role, own.role, words.any, &roles))
        (list::choice("status", &asked.status, words.status, words.any, &statuses))
        (list::days(&asked.from, &asked.to, words))
    };
    let may_make = viewer.may(Permission::UserWrite);
    let none = if may_make { own.none } else { own.none_to_see };
    let shown = found.shown(|rows| table(rows, words));
    let content = html! {
        div.head {
            h1 { (own.title) }
            span.actions { a.button href="/console/tokens" { (own.tokens) } (listing.file()) }
        }
        @if may_make && wrong.is_some() { (new(viewer, entered, wrong)) }
        (listing.form(&controls))
        (found.complaint())
        (listing.rows(shown.as_ref(), none, found.next.as_deref()))
        @if may_make && wrong.is_none() { (new(viewer, entered, wrong)) }
    };
    Ok(layout::page(viewer, own.title, &content))
}

/// A status with its colour.
fn state(status: UserStatus, words: &Words) -> (&'static str, Tone) {
    match status {
        UserStatus::Active => (UserWords::of(words.language).active, Tone::Good),
        UserStatus::Disabled => (UserWords::of(words.language).disabled, Tone::Quiet),
    }
}

fn table(rows: &[User], words: &Words) -> Markup {
    let own = UserWords::of(words.language);
    html! {
        div.scroll tabindex="0" { table data-sort {
            thead { tr { th { (own.email) } th { (own.role) } th { (words.status) } th { (words.merchant) } th { (own.made) } th { (own.since) } } }
            tbody { @for row in rows { tr {
                td { a href={ "/console/users/" (row.id) } { (row.email) } }
                td { (own.role(row.role)) }
                td { (badge(state(row.status, words))) }
                td.code { @match row.merchant_id { Some(id) => (list::short(id)), None => "–" } }
                td { (moment(row.created_at)) }
                td { (moment(row.access_changed_at)) }
            } } }
        } }
    }
}

fn new(viewer: &Viewer, entered: &Entered, wrong: Option<&str>) -> Markup {
    let words = viewer.words();
    let own = UserWords::of(words.language);
    html! {
        form.card.column #new method="post" action="/console/users" {
            h2 { (own.new) }
            (form::secret(viewer))
            @if let Some(wrong) = wrong { p.error role="alert" { (icon::alert()) (wrong) } }
            label { (own.email) input type="email" name="email" value=(entered.email) required maxlength="254"; }
            label { (own.role)
                (role::choice(&entered.role, words))
            }
            label { (own.merchant_id) input name="merchant_id" value=(entered.merchant_id) placeholder="m_…"; }
            p.quiet { (own.new_hint) }
            button.primary { (own.create) }
        }
    }
}

/// `/console/users.csv`: all that the list has with these filters, never a secret.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let scope = viewer.must(Permission::UserRead)?;
    let filter = asked.filter().map_err(|error| viewer.fault(error))?;
    let language = viewer.language.of_file();
    Ok(list::csv(
        user_file(&context, scope, filter, language).await,
    ))
}

/// `POST /console/users`. What only this answer shows is on the page that it makes.
pub(crate) async fn create(
    State(context): State<Context>,
    Sent { viewer, fields }: Sent<Entered>,
) -> Result<Response, Fault> {
    let act = async |unit: &mut UnitOfWork| {
        let new = NewUser {
            email: fields.email.trim().to_owned(),
            role: fields.role.clone(),
            merchant_id: word("merchant_id", list::given(&fields.merchant_id).as_deref())?,
            password: None,
        };
        // Where two people must agree, this proposes it.
        approval::create_user(unit, new).await
    };
    let tried = viewer.attempt(&context, Permission::UserWrite, act).await?;
    let own = UserWords::of(viewer.language);
    match tried {
        Ok(Outcome::Done(made)) => {
            let page = format!("/console/users/{}", made.user.id);
            let password = made.password.unwrap_or_default();
            let shown = Secret {
                of: &made.user.email,
                what: own.password,
                text: &password,
                hint: None,
                on: &page,
            };
            Ok(shown.page(&viewer).into_response())
        }
        Ok(Outcome::Proposed(proposal)) => {
            let page = format!("/console/approvals/{}", proposal.approval.id);
            let code = proposal.setup_code.as_deref();
            Ok(secret::half(&viewer, &fields.email, code, &page))
        }
        Err(error) => {
            let wrong = viewer.told(&error);
            let asked = Asked::default();
            let page = shown(&context, &viewer, &asked, &fields, Some(&wrong)).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// `/console/users/{id}`.
pub(crate) async fn page(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Page, Fault> {
    let scope = viewer.must(Permission::UserRead)?;
    one(&context, &viewer, scope, &id, None).await
}

async fn one(
    context: &Context,
    viewer: &Viewer,
    scope: Scope,
    id: &str,
    wrong: Option<&str>,
) -> Result<Page, Fault> {
    let fault = |error: Error| viewer.fault(error);
    let words = viewer.words();
    let own = UserWords::of(words.language);
    let id: UserId = named(id, Noun::User).map_err(fault)?;
    let row = user::get(context, scope, id).await.map_err(fault)?;
    let content = html! {
        p.path { a href="/console/users" { (own.title) } }
        div.head {
            h1 { (row.email) " " (badge(state(row.status, words))) }
            a.button href={ "/console/tokens?user_id=" (id) } { (own.tokens) }
        }
        @if id == viewer.user_id { p.quiet { (own.own_account) } }
        @if let Some(wrong) = wrong { p.error role="alert" { (icon::alert()) (wrong) } }
        dl.facts {
            div { dt { (own.role) } dd { (own.role(row.role)) } }
            @if let Some(merchant) = row.merchant_id {
                div { dt { (words.merchant) } dd.code { (names::entity(&merchant.to_string(), viewer)) } }
            }
            div { dt { (own.made) } dd { (moment(row.created_at)) } }
            div { dt { (own.since) } dd { (moment(row.access_changed_at)) } }
            div { dt { "ID" } dd.code { (row.id) } }
        }
        @if viewer.may(Permission::UserWrite) { (decisions(&row, viewer)) }
    };
    Ok(layout::page(viewer, &row.email, &content))
}

/// What can be done with a user.
fn decisions(row: &User, viewer: &Viewer) -> Markup {
    let words = viewer.words();
    let own = UserWords::of(words.language);
    let path = format!("/console/users/{}", row.id);
    let others = role::all(words)
        .into_iter()
        .zip(Role::ALL.iter())
        .filter(|(_, role)| role.is_of_merchant() == row.merchant_id.is_some());
    html! {
        section.card.decisions {
            form method="post" action={ (path) "/change" } {
                (form::secret(viewer))
                label { (own.role)
                    select name="role" {
                        @for ((value, text), role) in others { option value=(value) selected[*role == row.role] { (text) } }
                    }
                }
                button { (own.change_role) }
            }
            @if row.status == UserStatus::Active {
                form method="post" action={ (path) "/reset" } {
                    (form::secret(viewer))
                    button { (own.reset) }
                    p.quiet { (own.reset_hint) }
                }
                form method="post" action={ (path) "/change" } {
                    (form::secret(viewer))
                    input type="hidden" name="status" value=(UserStatus::Disabled.as_str());
                    button { (own.disable) }
                    p.quiet { (own.disable_hint) }
                }
            } @else {
                form method="post" action={ (path) "/change" } {
                    (form::secret(viewer))
                    input type="hidden" name="status" value=(UserStatus::Active.as_str());
                    button { (own.enable) }
                }
            }
        }
    }
}

/// What changes.
#[derive(Debug, Deserialize)]
pub(crate) struct Change {
    role: Option<String>,
    status: Option<String>,
}

/// `POST /console/users/{id}/change`.
pub(crate) async fn change(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, fields }: Sent<Change>,
) -> Result<Response, Fault> {
    let scope = viewer.must(Permission::UserRead)?;
    let act = async |unit: &mut UnitOfWork| {
        let patch = UserPatch {
            role: fields.role,
            status: fields.status,
            password: None,
        };
        // Where two people must agree, this proposes it.
        approval::patch_user(unit, named(&id, Noun::User)?, patch).await
    };
    let tried = viewer.attempt(&context, Permission::UserWrite, act).await?;
    match tried {
        Ok(outcome) => Ok(led_by(&outcome, &format!("/console/users/{id}")).into_response()),
        Err(error) => {
            let page = one(&context, &viewer, scope, &id, Some(&viewer.told(&error))).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// `POST /console/users/{id}/reset`.
pub(crate) async fn reset(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, .. }: Sent<Nothing>,
) -> Result<Response, Fault> {
    let act = async |unit: &mut UnitOfWork| {
        // Where two people must agree, this proposes it.
        approval::reset_user(unit, named(&id, Noun::User)?).await
    };
    let outcome = viewer.change(&context, Permission::UserWrite, act).await?;
    let own = UserWords::of(viewer.language);
    match outcome {
        Outcome::Done(made) => {
            let page = format!("/console/users/{id}");
            let hint = format!("{} /password", own.set_at);
            let shown = Secret {
                of: &made.user.email,
                what: own.setup_code,
                text: &made.setup_code,
                hint: Some(&hint),
                on: &page,
            };
            Ok(shown.page(&viewer).into_response())
        }
        Outcome::Proposed(proposal) => {
            let page = format!("/console/approvals/{}", proposal.approval.id);
            let (of, code) = (&proposal.approval.entity, proposal.setup_code.as_deref());
            Ok(secret::half(&viewer, of, code, &page))
        }
    }
}
