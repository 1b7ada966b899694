//! Money that belongs to nobody yet, and giving it to the till at which it was paid.

use axum::extract::{Path, Query, State};
use axum::response::{Redirect, Response};
use domain::role::Permission;
use http_api::unmatched_payment_file;
use maud::{Markup, html};
use serde::Deserialize;
use service::money::approval;
use service::payment::unmatched_payment::{self, Assignment};
use service::{Context, Error, Noun, UnitOfWork};
use store::payment::unmatched_payment::{Filter, UnmatchedPayment};

use crate::change::led_by;
use crate::fault::Fault;
use crate::form::{self, Sent, named};
use crate::format::{moment, rupiah};
use crate::layout::Page;
use crate::list::{self, Found, csv};
use crate::session::Viewer;
use crate::words::Words;
use crate::words::page::Filters;
use crate::words::state::{Tone, badge};

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    status: String,
    q: String,
    from: String,
    to: String,
    after: String,
}

/// What is open.
const OPEN: &str = "open";

fn states(words: &Words) -> [(&'static str, &'static str, Tone); 3] {
    [
        (OPEN, words.unmatched_open, Tone::Bad),
        ("assigned", words.unmatched_assigned, Tone::Good),
        ("reversed", words.unmatched_reversed, Tone::Quiet),
    ]
}

impl Asked {
    fn pairs(&self) -> [(&'static str, &str); 4] {
        [
            ("status", &self.status),
            ("q", &self.q),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    fn filter(&self) -> Result<Filter, Error> {
        Ok(Filter {
            status: list::given(&self.status),
            partner_id: None,
            q: list::given(&self.q),
            period: list::period(&self.from, &self.to)?,
        })
    }

    async fn read(&self, context: &Context) -> Result<Vec<UnmatchedPayment>, Error> {
        let page = list::page(Some(&self.after))?;
        unmatched_payment::list(context, &self.filter()?, page).await
    }
}

/// `/console/unmatched`.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    viewer.must(Permission::IncidentRead)?;
    let words = viewer.words();
    let found = Found::of(&viewer, asked.read(&context).await, |row| {
        (row.created_at, row.id.as_uuid())
    })?;
    let choices = states(words).map(|(status, text, _)| (status, text));
    let pairs = asked.pairs();
    let listing = list::Listing {
        path: "/console/unmatched",
        filters: &pairs,
        after: &asked.after,
        viewer: &viewer,
    };
    let controls = html! {
        (list::search("q", &asked.q, Filters::of(viewer.language).partner_reference))
        (list::choice("status", &asked.status, words.status, words.any, &choices))
        (list::days(&asked.from, &asked.to, words))
    };
    Ok(listing.page(
        words.unmatched,
        &controls,
        &found,
        words.no_unmatched,
        |rows| list::cards(rows, |row| card(row, &viewer)),
    ))
}

/// `/console/unmatched.csv`: all that the list has with these filters.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    viewer.must(Permission::IncidentRead)?;
    let filter = asked.filter().map_err(|error| viewer.fault(error))?;
    Ok(csv(unmatched_payment_file(
        &context,
        filter,
        viewer.language.of_file(),
    )
    .await))
}

fn card(row: &UnmatchedPayment, viewer: &Viewer) -> Markup {
    let words = viewer.words();
    let amount = row.amount.map(rupiah).or_else(|| row.amount_text.clone());
    let state = states(words)
        .into_iter()
        .find(|(status, ..)| *status == row.status);
    let names = [
        ("NMID", &row.nmid),
        ("PAN", &row.merchant_pan),
        (words.merchant, &row.partner_merchant_id),
        (words.outlet, &row.partner_store_id),
        (words.terminal, &row.terminal_label),
        (words.terminal, &row.terminal_id),
    ];
    html! {
        li.card {
            div.head {
                h2 { span.money { (amount.unwrap_or_default()) }
                    @if let Some((_, text, tone)) = state { " " (badge((text, tone))) } }
                time datetime=(row.paid_at.to_rfc3339()) { (moment(row.paid_at)) }
            }
            p {
                (row.partner_id) " · " span.code { (row.partner_reference) }
                @for (name, value) in names {
                    @if let Some(value) = value { span.detail { (name) ": " (value) } }
                }
            }
            @if row.status == OPEN && viewer.may(Permission::TransactionWrite) {
                form.decision method="post" action={ "/console/unmatched/" (row.id) "/assign" } {
                    (form::secret(viewer))
                    label { (words.assign_to) input name="terminal_id" required placeholder="term_…"; }
                    label { (words.remember) input type="checkbox" name="remember" value="true"; }
                    button { (words.assign) }
                }
            }
        }
    }
}

/// Whose it is.
#[derive(Debug, Deserialize)]
pub(crate) struct Given {
    #[serde(default)]
    terminal_id: String,
    #[serde(default)]
    remember: String,
}

/// `POST /console/unmatched/{id}/assign`.
pub(crate) async fn assign(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, fields }: Sent<Given>,
) -> Result<Redirect, Fault> {
    let act = async |unit: &mut UnitOfWork| {
        let wanted = Assignment {
            terminal_id: fields
                .terminal_id
                .trim()
                .parse()
                .map_err(|_| Error::field("terminal_id", "is not a till's id"))?,
            remember: fields.remember == "true",
        };
        // Where two people must agree, this proposes it.
        approval::assign(unit, named(&id, Noun::UnmatchedPayment)?, wanted).await
    };
    let outcome = viewer
        .change(&context, Permission::TransactionWrite, act)
        .await?;
    Ok(led_by(&outcome, "/console/unmatched?status=open"))
}
