//! What was paid out to the shop, and the statement of each payout.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use domain::merchant::masked_account;
use domain::settlement::SettlementStatus;
use domain::zone::Zone;
use http_api::{settlement_file, statement_file, statement_page};
use maud::{Markup, html};
use serde::Deserialize;
use service::money::settlement::{self, SettlementView};
use service::money::statement;
use service::{Context, Error, Noun};
use store::Scope;
use store::money::settlement::Filter;
use store::money::settlement_item::{After, Item};
use wire::ids::SettlementId;

use crate::fault::Fault;
use crate::form::named;
use crate::format::{count, moment, rupiah};
use crate::icon;
use crate::layout::{self, Page};
use crate::list::{self, Found, csv};
use crate::session::Viewer;
use crate::words::portal::Portal;
use crate::words::state::badge;

/// Items on a page of a statement.
const ITEMS: i64 = 100;

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    status: String,
    from: String,
    to: String,
    after: String,
}

impl Asked {
    fn pairs(&self) -> [(&'static str, &str); 3] {
        [
            ("status", &self.status),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    fn filter(&self) -> Result<Filter, Error> {
        Ok(Filter {
            status: list::word("status", &self.status)?,
            bank_reference: None,
            period: list::period(&self.from, &self.to)?,
        })
    }

    async fn read(&self, context: &Context, scope: Scope) -> Result<Vec<SettlementView>, Error> {
        let page = list::page(Some(&self.after))?;
        settlement::list(context, scope, &self.filter()?, page).await
    }
}

/// `/portal/settlements`.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    let scope = Scope::Merchant(viewer.merchant()?);
    let (words, own) = (viewer.words(), Portal::of(viewer.language));
    let place = |row: &SettlementView| (row.settlement.created_at, row.settlement.id.as_uuid());
    let found = Found::of(&viewer, asked.read(&context, scope).await, place)?;
    let statuses: Vec<(&str, &str)> = SettlementStatus::ALL
        .iter()
        .map(|status| (status.as_str(), words.settlement(*status).0))
        .collect();
    let pairs = asked.pairs();
    let listing = list::Listing {
        path: "/portal/settlements",
        filters: &pairs,
        after: &asked.after,
        viewer: &viewer,
    };
    let controls = html! {
        (list::choice("status", &asked.status, words.status, words.any, &statuses))
        (list::days(&asked.from, &asked.to, words))
    };
    Ok(
        listing.page(own.payouts, &controls, &found, own.no_payouts, |rows| {
            rows_of(rows, &viewer)
        }),
    )
}

fn rows_of(rows: &[SettlementView], viewer: &Viewer) -> Markup {
    let words = viewer.words();
    html! {
        ol.payments {
            @for view in rows { @let row = &view.settlement; li {
                a.row href={ "/portal/settlements/" (row.id) } {
                    time.at { (moment(row.cutoff)) }
                    strong.money { (rupiah(row.net)) }
                    span.who { (count(row.transaction_count)) " " (words.payments_unit) }
                    span.marks { (badge(words.settlement(row.status))) }
                }
            } }
        }
    }
}

/// `/portal/settlements.csv`.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let scope = Scope::Merchant(viewer.merchant()?);
    let filter = asked.filter().map_err(|error| viewer.fault(error))?;
    Ok(csv(settlement_file(
        &context,
        scope,
        filter,
        viewer.language.of_file(),
    )
    .await))
}

/// The place in a statement, as the URL has it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Place {
    after: String,
}

impl Place {
    fn read(&self) -> Result<Option<After>, Error> {
        if self.after.is_empty() {
            return Ok(None);
        }
        let wrong = || Error::field("after", "is not a place in this list");
        let mut parts = self.after.splitn(3, '.');
        let mut part = || parts.next().ok_or_else(wrong);
        Ok(Some(After {
            transaction_id: part()?.parse().map_err(|_| wrong())?,
            kind: part()?.to_owned(),
            refund_number: part()?.parse().map_err(|_| wrong())?,
        }))
    }
}

/// `/portal/settlements/{id}`: the statement.
pub(crate) async fn page(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
    Query(place): Query<Place>,
) -> Result<Page, Fault> {
    let scope = Scope::Merchant(viewer.merchant()?);
    let fault = |error| viewer.fault(error);
    let (words, own) = (viewer.words(), Portal::of(viewer.language));
    let id: SettlementId = named(&id, Noun::Settlement).map_err(fault)?;
    let view = settlement::get(&context, scope, id).await.map_err(fault)?;
    let after = place.read().map_err(fault)?;
    let items = statement::items(&context, id, after.as_ref(), ITEMS).await;
    let items = items.map_err(fault)?;
    let is_full = i64::try_from(items.len()).is_ok_and(|count| count == ITEMS);
    let next = items.last().filter(|_| is_full);
    let next = next.map(|last| {
        format!(
            "{}.{}.{}",
            last.transaction_id, last.kind, last.refund_number
        )
    });
    let row = &view.settlement;
    let path = format!("/portal/settlements/{id}");
    let title = rupiah(row.net);
    let content = html! {
        p.path { a href="/portal/settlements" { (own.payouts) } }
        h1 { span.money { (title) } " " (badge(words.settlement(row.status))) }
        dl.facts {
            div { dt { (own.until) } dd { (moment(row.cutoff)) " WIB" } }
            div { dt { (words.payments) } dd { (count(row.transaction_count)) } }
            div { dt { (words.gross) } dd.money { (rupiah(row.gross)) } }
            div { dt { (words.fee) } dd.money { (rupiah(row.fee)) } }
            div { dt { (words.refunds) } dd.money { (rupiah(row.refunds)) } }
            div { dt { (words.net) } dd.money { (rupiah(row.net)) } }
            @if let Some(account) = &row.destination { div { dt { (own.account) } dd.code { (masked_account(account)) } } }
            @if let Some(reference) = &row.bank_reference { div { dt { (words.bank_reference) } dd.code { (reference) } } }
            div { dt { "ID" } dd.code { (id) } }
        }
        div.buttons {
            a.button href={ (path) "/statement.csv" } download { (icon::download()) (words.csv) }
            a.button href={ (path) "/statement.html" } { (own.print) }
        }
        section {
            h2 { (own.items) }
            (items_of(&items, &viewer))
            (list::pager(&path, &[], place.after.is_empty(), next.as_deref(), words))
        }
    };
    Ok(layout::page(&viewer, &title, &content))
}

/// The items, each with the time that the clock of its outlet showed.
fn items_of(items: &[Item], viewer: &Viewer) -> Markup {
    let own = Portal::of(viewer.language);
    html! {
        ol.payments {
            @for item in items {
                @let is_refund = item.kind == "refund";
                li { div.row {
                    time.at { @if let Some(at) = item.paid_at { (Zone::of(&item.timezone).format(at)) } }
                    strong.money { @if is_refund { "−" } (rupiah(item.net)) }
                    span.who { (item.outlet) " · " (item.terminal) small { (rupiah(item.amount)) " − " (rupiah(item.fee)) } }
                    @if is_refund { span.marks { (own.refund) } }
                } }
            }
        }
    }
}

/// `/portal/settlements/{id}/statement.csv`.
pub(crate) async fn statement_csv(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    let scope = Scope::Merchant(viewer.merchant()?);
    let id: SettlementId = named(&id, Noun::Settlement).map_err(|error| viewer.fault(error))?;
    Ok(csv(statement_file(
        context,
        scope,
        id,
        viewer.language.of_file(),
    )
    .await))
}

/// `/portal/settlements/{id}/statement.html`: to be printed.
pub(crate) async fn statement_html(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    let scope = Scope::Merchant(viewer.merchant()?);
    let id: SettlementId = named(&id, Noun::Settlement).map_err(|error| viewer.fault(error))?;
    let page = statement_page(context, scope, id, viewer.language.of_file()).await;
    Ok(page.unwrap_or_else(|error| error.into_response()))
}
