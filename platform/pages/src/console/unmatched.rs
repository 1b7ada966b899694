//! Money that belongs to nobody yet, and giving it to the till at which it was paid.

use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use domain::role::Permission;
use maud::{Markup, html};
use serde::Deserialize;
use service::money::approval;
use service::payment::unmatched_payment::{self, Assignment};
use service::{Context, Error, Noun, UnitOfWork};
use store::payment::unmatched_payment::UnmatchedPayment;

use crate::change::led_by;
use crate::fault::Fault;
use crate::form::{self, Sent, named};
use crate::format::{moment, rupiah};
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

/// `/console/unmatched`.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    viewer.must(Permission::IncidentRead)?;
    let fault = |error| viewer.fault(error);
    let words = viewer.words();
    let status = Some(asked.status.as_str()).filter(|status| !status.is_empty());
    let period = list::period(&asked.from, &asked.to).map_err(fault)?;
    let page = list::page(Some(&asked.after)).map_err(fault)?;
    let rows = unmatched_payment::list(&context, status, None, period, page).await;
    let mut rows = rows.map_err(fault)?;
    let next = list::cut(&mut rows, |row| (row.created_at, row.id.as_uuid()));
    let choices = states(words).map(|(status, text, _)| (status, text));
    let pairs = [
        ("status", asked.status.as_str()),
        ("from", asked.from.as_str()),
        ("to", asked.to.as_str()),
    ];
    let listing = list::Listing {
        path: "/console/unmatched",
        filters: &pairs,
        after: &asked.after,
        words,
    };
    let controls = html! {
        (list::choice("status", &asked.status, words.status, words.any, &choices))
        (list::days(&asked.from, &asked.to, words))
    };
    let shown = (!rows.is_empty()).then(|| {
        html! {
            ul.cards { @for row in &rows { (card(row, &viewer)) } }
        }
    });
    let content = html! {
        div.head { h1 { (words.unmatched) } }
        (listing.form(&controls))
        (listing.rows(shown.as_ref(), words.no_unmatched, next.as_deref()))
    };
    Ok(layout::page(&viewer, words.unmatched, &content))
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
