//! Tokens of programs and of logins: the list, making one for a program, and ending one.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use domain::role::Permission;
use http_api::token_file;
use maud::{Markup, html};
use serde::Deserialize;
use service::money::approval::{self, Outcome};
use service::people::token::{self, TokenRequest};
use service::{Context, Error, Noun, UnitOfWork, word};
use store::Scope;
use store::people::token::{Filter, TokenView};

use super::role;
use super::secret::Secret;
use crate::fault::Fault;
use crate::form::{self, Nothing, Sent, named};
use crate::format::moment;
use crate::layout::{self, Page};
use crate::list::{self, Found};
use crate::session::Viewer;
use crate::words::state::{Tone, badge};
use crate::words::user::UserWords;
use crate::{icon, names};

/// Seconds of a day.
const DAY_S: i64 = 86_400;
/// How long a token is good unless said otherwise, days.
const DAYS: &str = "90";

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    role: String,
    user_id: String,
    from: String,
    to: String,
    after: String,
}

impl Asked {
    fn pairs(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("role", &self.role),
            ("user_id", &self.user_id),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    fn filter(&self) -> Result<Filter, Error> {
        Ok(Filter {
            role: list::word("role", &self.role)?,
            user_id: list::word("user_id", &self.user_id)?,
            period: list::period(&self.from, &self.to)?,
        })
    }

    async fn read(&self, context: &Context, scope: Scope) -> Result<Vec<TokenView>, Error> {
        let page = list::page(Some(&self.after))?;
        token::list(context, scope, &self.filter()?, page).await
    }
}

/// What to make, as it was typed.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Entered {
    name: String,
    role: String,
    merchant_id: String,
    days: String,
}

impl Default for Entered {
    fn default() -> Self {
        Self {
            name: String::new(),
            role: String::new(),
            merchant_id: String::new(),
            days: DAYS.to_owned(),
        }
    }
}

/// `/console/tokens`.
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
        path: "/console/tokens",
        filters: &pairs,
        after: &asked.after,
        viewer,
    };
    let controls = html! {
        (list::choice("role", &asked.role, own.role, words.any, &role::all(words)))
        (list::days(&asked.from, &asked.to, words))
        (list::hidden(&[("user_id", &asked.user_id)]))
    };
    let may_make = viewer.may(Permission::UserWrite);
    let none = if may_make {
        own.tokens_none
    } else {
        own.tokens_none_to_see
    };
    let shown = found.shown(|rows| table(rows, viewer));
    let content = html! {
        p.path { a href="/console/users" { (own.title) } }
        (listing.head(own.tokens))
        @if may_make && wrong.is_some() { (new(viewer, entered, wrong)) }
        (listing.form(&controls))
        (found.complaint())
        (listing.rows(shown.as_ref(), none, found.next.as_deref()))
        @if may_make && wrong.is_none() { (new(viewer, entered, wrong)) }
    };
    Ok(layout::page(viewer, own.tokens, &content))
}

fn table(rows: &[TokenView], viewer: &Viewer) -> Markup {
    let words = viewer.words();
    let own = UserWords::of(words.language);
    let may_end = viewer.may(Permission::UserWrite);
    html! {
        div.scroll tabindex="0" { table {
            thead { tr {
                th { (own.made) } th { (own.token_name) } th { (own.role) } th { (words.status) } th { (own.first_used) }
                th { (own.expires) } @if may_end { th { span.hidden { (own.revoke) } } }
            } }
            tbody { @for row in rows { @let is_live = row.revoked_at.is_none() && row.expires_at > viewer.now; tr {
                td { (moment(row.created_at)) }
                td { @match row.user_id {
                    Some(user) => { (own.of_login) " " span.code { (names::entity(&user.to_string(), viewer)) } }
                    None => (row.name),
                } }
                td { (own.role(row.role)) @if let Some(merchant) = row.merchant_id { " " small { (list::short(merchant)) } } }
                td { (badge(state(row, viewer))) }
                td { @match row.first_used_at { Some(at) => (moment(at)), None => (words.never) } }
                td { (moment(row.expires_at)) }
                @if may_end { td { @if is_live {
                    form method="post" action={ "/console/tokens/" (row.id) "/revoke" } {
                        (form::secret(viewer))
                        button.small { (own.revoke) span.hidden { " " (row.name) } }
                    }
                } } }
            } } }
        } }
    }
}

fn state(row: &TokenView, viewer: &Viewer) -> (&'static str, Tone) {
    let own = UserWords::of(viewer.language);
    if row.revoked_at.is_some() {
        (own.revoked, Tone::Quiet)
    } else if row.expires_at <= viewer.now {
        (own.expired, Tone::Quiet)
    } else {
        (own.live, Tone::Good)
    }
}

fn new(viewer: &Viewer, entered: &Entered, wrong: Option<&str>) -> Markup {
    let words = viewer.words();
    let own = UserWords::of(words.language);
    html! {
        form.card.column #new method="post" action="/console/tokens" {
            h2 { (own.new_token) }
            (form::secret(viewer))
            @if let Some(wrong) = wrong { p.error role="alert" { (icon::alert()) (wrong) } }
            label { (own.token_name) input name="name" value=(entered.name) required maxlength="100"; }
            label { (own.role)
                (role::choice(&entered.role, words))
            }
            label { (own.merchant_id) input name="merchant_id" value=(entered.merchant_id) placeholder="m_…"; }
            p.quiet { (own.new_hint) }
            label { (own.days) input type="number" name="days" value=(entered.days) min="1" max="3650" required; }
            button.primary { (own.create) }
        }
    }
}

/// `/console/tokens.csv`: all that the list has with these filters, never a secret.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let scope = viewer.must(Permission::UserRead)?;
    let filter = asked.filter().map_err(|error| viewer.fault(error))?;
    let language = viewer.language.of_file();
    Ok(list::csv(
        token_file(&context, scope, filter, language).await,
    ))
}

/// `POST /console/tokens`. The token is in this answer only.
pub(crate) async fn create(
    State(context): State<Context>,
    Sent { viewer, fields }: Sent<Entered>,
) -> Result<Response, Fault> {
    let act = async |unit: &mut UnitOfWork| {
        let days: i64 = fields
            .days
            .trim()
            .parse()
            .map_err(|_| Error::field("days", "is not a number"))?;
        let request = TokenRequest {
            role: fields.role.clone(),
            merchant_id: word("merchant_id", list::given(&fields.merchant_id).as_deref())?,
            name: fields.name.trim().to_owned(),
            expires_in: Some(days.saturating_mul(DAY_S)),
        };
        // Where two people must agree, this proposes it.
        approval::create_token(unit, request).await
    };
    let tried = viewer.attempt(&context, Permission::UserWrite, act).await?;
    match tried {
        Ok(Outcome::Done(made)) => {
            let shown = Secret {
                of: fields.name.trim(),
                what: UserWords::of(viewer.language).token,
                text: &made.token,
                hint: None,
                on: "/console/tokens",
            };
            Ok(shown.page(&viewer).into_response())
        }
        Ok(Outcome::Proposed(proposal)) => {
            let page = format!("/console/approvals/{}", proposal.approval.id);
            Ok(Redirect::to(&page).into_response())
        }
        Err(error) => {
            let wrong = viewer.told(&error);
            let asked = Asked::default();
            let page = shown(&context, &viewer, &asked, &fields, Some(&wrong)).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// `POST /console/tokens/{id}/revoke`.
pub(crate) async fn revoke(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, .. }: Sent<Nothing>,
) -> Result<Redirect, Fault> {
    let act = async |unit: &mut UnitOfWork| token::revoke(unit, named(&id, Noun::Token)?).await;
    viewer.change(&context, Permission::UserWrite, act).await?;
    Ok(Redirect::to("/console/tokens"))
}
