//! The payments of any day, and the file for a spreadsheet.

use axum::extract::{Query, State};
use axum::response::Response;
use domain::transaction::TransactionStatus;
use http_api::payment_file;
use maud::html;
use serde::Deserialize;
use service::payment::transaction;
use service::payment::transaction_export::Export;
use service::{Context, Error};
use store::Scope;
use store::payment::transaction::Filter;

use crate::console::payment::taken_back;
use crate::fault::Fault;
use crate::format::{date, moment, rupiah};
use crate::icon;
use crate::layout::{self, Page};
use crate::list::{self, csv};
use crate::session::Viewer;
use crate::words::state::badge;

/// The days that are asked for, as the URL has them: today unless it says otherwise.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    from: Option<String>,
    to: Option<String>,
    after: String,
}

impl Asked {
    fn days(&self, viewer: &Viewer) -> (String, String) {
        let today = date(viewer.now);
        let from = self.from.clone().unwrap_or_else(|| today.clone());
        let to = self.to.clone().unwrap_or_else(|| from.clone().max(today));
        (from, to)
    }
}

fn filter(from: &str, to: &str) -> Result<Filter, Error> {
    Ok(Filter {
        // What was not paid is of no concern here.
        status: Some(TransactionStatus::Paid),
        period: list::period(from, to)?,
        ..Filter::default()
    })
}

/// `/portal/history`.
pub(crate) async fn page(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    let scope = Scope::Merchant(viewer.merchant()?);
    let fault = |error| viewer.fault(error);
    let words = viewer.words();
    let (from, to) = asked.days(&viewer);
    let filter = filter(&from, &to).map_err(fault)?;
    let page = list::page(Some(&asked.after)).map_err(fault)?;
    let mut rows = transaction::list(&context, scope, &filter, page)
        .await
        .map_err(fault)?;
    let next = list::cut(&mut rows, |row| (row.created_at, row.id.as_uuid()));
    let pairs = [("from", from.as_str()), ("to", to.as_str())];
    let content = html! {
        h1 { (words.history) }
        form.filters method="get" {
            label { (words.from_day) input type="date" name="from" value=(from) required; }
            label { (words.to_day) input type="date" name="to" value=(to) required; }
            button { (words.show) }
        }
        @if rows.is_empty() {
            (list::empty(words.no_payments_then))
        } @else {
            ol.payments {
                @for row in &rows {
                    li { div.row {
                        time.at { (moment(row.paid_at.unwrap_or(row.created_at))) }
                        strong.money { (rupiah(row.amount)) (taken_back(row, words)) }
                        span.who { @if let Some(issuer) = &row.issuer { small { (issuer) } } }
                        span.marks { (badge(words.transaction(row.status))) }
                    } }
                }
            }
            p { a.button href={ "/portal/payments.csv?" (list::query(&pairs)) } { (icon::download()) (words.csv) } }
        }
        (list::pager("/portal/history", &pairs, asked.after.is_empty(), next.as_deref(), words))
    };
    Ok(layout::page(&viewer, words.history, &content))
}

/// `/portal/payments.csv`.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let scope = Scope::Merchant(viewer.merchant()?);
    let fault = |error| viewer.fault(error);
    let (from, to) = asked.days(&viewer);
    let filter = filter(&from, &to).map_err(fault)?;
    let export = Export::begin(&context, scope, filter)
        .await
        .map_err(fault)?;
    Ok(csv(payment_file(export, viewer.language.of_file())))
}
