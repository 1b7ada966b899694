//! Settlements and their payouts.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::merchant::PayoutMode;
use domain::role::Permission;
use domain::settlement::SettlementStatus;
use http_api::settlement_file;
use maud::{Markup, html};
use serde::Deserialize;
use service::money::approval;
use service::money::settlement::{self, SettlementView};
use service::shop::merchant;
use service::{Context, Error, Noun, UnitOfWork};
use store::Scope;
use store::money::settlement::Filter;
use wire::ids::{MerchantId, SettlementId};

use crate::change::led_by;
use crate::fault::Fault;
use crate::form::{self, Nothing, Sent, named};
use crate::format::{count, moment, rupiah};
use crate::layout::{self, Page};
use crate::list::{self, Found, csv};
use crate::session::Viewer;
use crate::words::Words;
use crate::words::page::Filters;
use crate::words::state::badge;

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    status: String,
    q: String,
    merchant_id: String,
    from: String,
    to: String,
    after: String,
}

impl Asked {
    fn pairs(&self) -> [(&'static str, &str); 5] {
        [
            ("status", &self.status),
            ("q", &self.q),
            ("merchant_id", &self.merchant_id),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    fn filter(&self, scope: Scope) -> Result<(Scope, Filter), Error> {
        let merchant: Option<MerchantId> = list::word("merchant_id", &self.merchant_id)?;
        let filter = Filter {
            status: list::word("status", &self.status)?,
            bank_reference: list::given(&self.q),
            period: list::period(&self.from, &self.to)?,
        };
        Ok((scope.narrowed_to(merchant), filter))
    }

    async fn read(&self, context: &Context, scope: Scope) -> Result<Vec<SettlementView>, Error> {
        let (scope, filter) = self.filter(scope)?;
        let page = list::page(Some(&self.after))?;
        settlement::list(context, scope, &filter, page).await
    }
}

/// `/console/settlements`. What is looked for by its id is shown at once.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let scope = viewer.must(Permission::SettlementRead)?;
    if let Ok(id) = asked.q.trim().parse::<SettlementId>() {
        return Ok(Redirect::to(&format!("/console/settlements/{id}")).into_response());
    }
    let words = viewer.words();
    let place = |row: &SettlementView| (row.settlement.created_at, row.settlement.id.as_uuid());
    let found = Found::of(&viewer, asked.read(&context, scope).await, place)?;
    let statuses: Vec<(&str, &str)> = SettlementStatus::ALL
        .iter()
        .map(|status| (status.as_str(), words.settlement(*status).0))
        .collect();
    let pairs = asked.pairs();
    let listing = list::Listing {
        path: "/console/settlements",
        filters: &pairs,
        after: &asked.after,
        viewer: &viewer,
    };
    let labels = Filters::of(viewer.language);
    let controls = html! {
        (list::search("q", &asked.q, labels.bank_reference_or_id))
        (list::choice("status", &asked.status, words.status, words.any, &statuses))
        (list::days(&asked.from, &asked.to, words))
        (list::merchant(&asked.merchant_id, labels))
    };
    Ok(listing
        .page(
            words.settlements,
            &controls,
            &found,
            words.no_settlements,
            |rows| table(rows, words),
        )
        .into_response())
}

/// `/console/settlements.csv`: all that the list has with these filters.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let scope = viewer.must(Permission::SettlementRead)?;
    let filter = asked.filter(scope);
    let (scope, filter) = filter.map_err(|error| viewer.fault(error))?;
    Ok(csv(settlement_file(
        &context,
        scope,
        filter,
        viewer.language.of_file(),
    )
    .await))
}

fn table(rows: &[SettlementView], words: &Words) -> Markup {
    html! {
        div.scroll tabindex="0" { table data-sort {
            thead { tr {
                th { (words.cutoff) } th { (words.status) } th.number { (words.payments) }
                th.number { (words.gross) } th.number { (words.fee) } th.number { (words.net) } th { (words.destination) }
            } }
            tbody { @for row in rows { @let row = &row.settlement; tr {
                td { a href={ "/console/settlements/" (row.id) } { (moment(row.cutoff)) } }
                td { (badge(words.settlement(row.status))) @if row.hold_reason.is_some() { " " small { (words.held) } } }
                td.number { (count(row.transaction_count)) }
                td.number { (rupiah(row.gross)) }
                td.number { (rupiah(row.fee)) }
                td.number.money { (rupiah(row.net)) }
                td.code { (row.destination.as_deref().unwrap_or("–")) }
            } } }
        } }
    }
}

/// `/console/settlements/{id}`.
pub(crate) async fn page(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Page, Fault> {
    let scope = viewer.must(Permission::SettlementRead)?;
    let fault = |error| viewer.fault(error);
    let words = viewer.words();
    let id: SettlementId = named(&id, Noun::Settlement).map_err(fault)?;
    let view = settlement::get(&context, scope, id).await.map_err(fault)?;
    let row = &view.settlement;
    let shop = merchant::get(&context, scope, row.merchant_id)
        .await
        .map_err(fault)?;
    let title = rupiah(row.net);
    let content = html! {
        p.path { a href="/console/settlements" { (words.settlements) } }
        div.head { h1 { span.money { (title) } " " (badge(words.settlement(row.status))) } }
        (decision(&view, &viewer))
        dl.facts {
            div { dt { (words.merchant) } dd { (shop.brand_name) } }
            div { dt { (words.cutoff) } dd { (moment(row.cutoff)) } }
            div { dt { (words.payments) } dd { (count(row.transaction_count)) } }
            div { dt { (words.gross) } dd.money { (rupiah(row.gross)) } }
            div { dt { (words.fee) } dd.money { (rupiah(row.fee)) } }
            div { dt { (words.refunds) } dd.money { (rupiah(row.refunds)) } }
            div { dt { (words.net) } dd.money { (rupiah(row.net)) } }
            div { dt { (words.destination) } dd.code { (row.destination.as_deref().unwrap_or("–")) } }
            @for (name, value) in [(words.bank_reference, &row.bank_reference), (words.reason, &row.status_reason), (words.held, &row.hold_reason)] {
                @if let Some(value) = value { div { dt { (name) } dd { (value) } } }
            }
            div { dt { "ID" } dd.code { (row.id) } }
        }
        section {
            h2 { (words.payouts) }
            div.scroll tabindex="0" { table {
                thead { tr {
                    th.number { (words.attempt) } th { (words.time) } th { (words.status) } th.number { (words.amount) }
                    th { (words.partner) } th { (words.bank_reference) } th { (words.reason) }
                } }
                tbody { @for one in &view.payouts { tr {
                    td.number { (one.attempt) }
                    td { (moment(one.updated_at)) }
                    td { (one.status.as_str()) }
                    td.number.money { (rupiah(one.amount)) }
                    td { (one.partner_id.as_deref().unwrap_or("–")) }
                    td.code { (one.bank_reference.as_deref().unwrap_or("–")) }
                    td { (one.reason.as_deref().or(one.hold_reason.as_deref()).unwrap_or("–")) }
                } } }
            } }
        }
    };
    Ok(layout::page(&viewer, &title, &content))
}

/// What can be done about it.
fn decision(view: &SettlementView, viewer: &Viewer) -> Markup {
    let (words, row) = (viewer.words(), &view.settlement);
    let failed = matches!(
        row.status,
        SettlementStatus::Failed | SettlementStatus::Returned
    );
    let by_hand = row.payout_mode == PayoutMode::Manual && row.status != SettlementStatus::Paid;
    html! {
        @if viewer.may(Permission::SettlementWrite) && (failed || by_hand) {
            div.decision {
                @if failed && !by_hand {
                    form method="post" action={ "/console/settlements/" (row.id) "/retry" } {
                        (form::secret(viewer))
                        button.primary { (words.retry_payout) }
                    }
                }
                @if by_hand {
                    form method="post" action={ "/console/settlements/" (row.id) "/paid" } {
                        (form::secret(viewer))
                        label { (words.bank_reference) input name="bank_reference" required maxlength="128"; }
                        button.primary { (words.mark_paid) }
                    }
                }
            }
        }
    }
}

/// `POST /console/settlements/{id}/retry`.
pub(crate) async fn retry(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, .. }: Sent<Nothing>,
) -> Result<Redirect, Fault> {
    let act = async |unit: &mut UnitOfWork| {
        settlement::retry_payout(unit, named(&id, Noun::Settlement)?).await
    };
    viewer
        .change(&context, Permission::SettlementWrite, act)
        .await?;
    Ok(Redirect::to(&format!("/console/settlements/{id}")))
}

/// The bank's name for a transfer that people made.
#[derive(Debug, Deserialize)]
pub(crate) struct ByHand {
    #[serde(default)]
    bank_reference: String,
}

/// `POST /console/settlements/{id}/paid`.
pub(crate) async fn paid(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, fields }: Sent<ByHand>,
) -> Result<Redirect, Fault> {
    let act = async |unit: &mut UnitOfWork| {
        // Where two people must agree, this proposes it.
        let id = named(&id, Noun::Settlement)?;
        approval::mark_paid(unit, id, fields.bank_reference).await
    };
    let outcome = viewer
        .change(&context, Permission::SettlementWrite, act)
        .await?;
    Ok(led_by(&outcome, &format!("/console/settlements/{id}")))
}
