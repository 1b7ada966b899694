//! Settlements and their payouts.

use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use domain::merchant::PayoutMode;
use domain::role::Permission;
use domain::settlement::SettlementStatus;
use maud::{Markup, html};
use serde::Deserialize;
use service::money::approval;
use service::money::settlement::{self, SettlementView};
use service::shop::merchant;
use service::{Context, Error, Noun, UnitOfWork, word};
use wire::ids::{MerchantId, SettlementId};

use crate::change::led_by;
use crate::fault::Fault;
use crate::form::{self, Nothing, Sent, named};
use crate::format::{count, moment, rupiah};
use crate::layout::{self, Page};
use crate::list;
use crate::session::Viewer;
use crate::words::Words;
use crate::words::state::badge;

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    status: String,
    merchant_id: String,
    from: String,
    to: String,
    after: String,
}

/// `/console/settlements`.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    let scope = viewer.must(Permission::SettlementRead)?;
    let fault = |error: Error| viewer.fault(error);
    let words = viewer.words();
    let status = Some(asked.status.as_str()).filter(|status| !status.is_empty());
    let merchant_id = Some(asked.merchant_id.as_str()).filter(|id| !id.is_empty());
    let merchant_id: Option<MerchantId> = word("merchant_id", merchant_id).map_err(fault)?;
    let scope = scope.narrowed_to(merchant_id);
    let period = list::period(&asked.from, &asked.to).map_err(fault)?;
    let page = list::page(Some(&asked.after)).map_err(fault)?;
    let rows = settlement::list(&context, scope, status, period, page).await;
    let mut rows = rows.map_err(fault)?;
    let place = |row: &SettlementView| (row.settlement.created_at, row.settlement.id.as_uuid());
    let next = list::cut(&mut rows, place);
    let statuses: Vec<(&str, &str)> = SettlementStatus::ALL
        .iter()
        .map(|status| (status.as_str(), words.settlement(*status).0))
        .collect();
    let pairs = [
        ("status", asked.status.as_str()),
        ("merchant_id", asked.merchant_id.as_str()),
        ("from", asked.from.as_str()),
        ("to", asked.to.as_str()),
    ];
    let listing = list::Listing {
        path: "/console/settlements",
        filters: &pairs,
        after: &asked.after,
        words,
    };
    let controls = html! {
        (list::choice("status", &asked.status, words.status, words.any, &statuses))
        (list::days(&asked.from, &asked.to, words))
    };
    let shown = (!rows.is_empty()).then(|| table(&rows, words));
    let content = html! {
        div.head { h1 { (words.settlements) } }
        (listing.form(&controls))
        (listing.rows(shown.as_ref(), words.no_settlements, next.as_deref()))
    };
    Ok(layout::page(&viewer, words.settlements, &content))
}

fn table(rows: &[SettlementView], words: &Words) -> Markup {
    html! {
        div.scroll { table data-sort {
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
            div.scroll { table {
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
