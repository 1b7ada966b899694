//! Merchants: the list, and one merchant with its outlets, tills and boxes.

use std::collections::HashMap;

use axum::extract::{Path, Query, State};
use axum::response::{Redirect, Response};
use domain::merchant::MerchantStatus;
use domain::role::Permission;
use http_api::merchant_file;
use maud::{Markup, html};
use serde::Deserialize;
use service::fleet::device;
use service::money::approval::{self, Outcome};
use service::shop::{merchant, outlet, terminal};
use service::{Context, Error, Noun, UnitOfWork};
use store::fleet::device_view::{DeviceView, Filter as DeviceFilter};
use store::shop::merchant::{Filter, Merchant};
use store::shop::outlet::Outlet;
use store::shop::terminal::Terminal;
use store::{Page as StorePage, Scope};
use wire::ids::{MerchantId, OutletId, TerminalId};

use super::device::presence;
use crate::fault::Fault;
use crate::form::{self, Nothing, Sent, named};
use crate::icon;
use crate::layout::{self, Page};
use crate::list::{self, Found, csv};
use crate::session::Viewer;
use crate::words::Words;
use crate::words::device::Boxes;
use crate::words::page::Filters;
use crate::words::state::badge;

/// Outlets, tills and boxes of one merchant that its page shows of each.
const TREE_MAX: i64 = 100;

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
            status: list::word("status", &self.status)?,
            q: list::given(&self.q),
            period: list::period(&self.from, &self.to)?,
        })
    }

    async fn read(&self, context: &Context) -> Result<Vec<Merchant>, Error> {
        let page = list::page(Some(&self.after))?;
        merchant::list(context, &self.filter()?, page).await
    }
}

/// `/console/merchants`.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    viewer.must(Permission::MerchantRead)?;
    let words = viewer.words();
    let found = Found::of(&viewer, asked.read(&context).await, |row| {
        (row.created_at, row.id.as_uuid())
    })?;
    let statuses: Vec<(&str, &str)> = MerchantStatus::ALL
        .iter()
        .map(|status| (status.as_str(), words.merchant(*status).0))
        .collect();
    let pairs = asked.pairs();
    let listing = list::Listing {
        path: "/console/merchants",
        filters: &pairs,
        after: &asked.after,
        viewer: &viewer,
    };
    let controls = html! {
        (list::search("q", &asked.q, Filters::of(viewer.language).name_or_id))
        (list::choice("status", &asked.status, words.status, words.any, &statuses))
        (list::days(&asked.from, &asked.to, words))
    };
    Ok(listing.page(
        words.merchants,
        &controls,
        &found,
        words.no_merchants,
        |rows| table(rows, words),
    ))
}

fn table(rows: &[Merchant], words: &Words) -> Markup {
    html! {
        div.scroll tabindex="0" { table data-sort {
            thead { tr { th { (words.merchant) } th { (words.status) } th { "NMID" } th { (words.city) } th { (words.partner) } } }
            tbody { @for row in rows { tr {
                td { a href={ "/console/merchants/" (row.id) } { (row.brand_name) } br; small { (row.legal_name) } }
                td { (badge(words.merchant(row.status))) }
                td.code { (row.nmid.as_deref().unwrap_or("–")) }
                td { (row.city) }
                td { (row.qris_partner_id.as_deref().unwrap_or("–")) }
            } } }
        } }
    }
}

/// `/console/merchants.csv`: all that the list has with these filters.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    viewer.must(Permission::MerchantRead)?;
    let filter = asked.filter().map_err(|error| viewer.fault(error))?;
    Ok(csv(merchant_file(
        &context,
        filter,
        viewer.language.of_file(),
    )
    .await))
}

/// What was just done.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Done {
    proposed: String,
}

/// `/console/merchants/{id}`.
pub(crate) async fn page(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
    Query(done): Query<Done>,
) -> Result<Page, Fault> {
    let scope = viewer.must(Permission::MerchantRead)?;
    let fault = |error| viewer.fault(error);
    let words = viewer.words();
    let id: MerchantId = named(&id, Noun::Merchant).map_err(fault)?;
    let row = merchant::get(&context, scope, id).await.map_err(fault)?;
    let own = Scope::Merchant(id);
    let all = StorePage {
        limit: TREE_MAX,
        after: None,
    };
    let outlets = outlet::list(&context, own, all).await.map_err(fault)?;
    let terminals = terminal::list(&context, own, None, all)
        .await
        .map_err(fault)?;
    let devices = device::list(&context, own, &DeviceFilter::default(), all)
        .await
        .map_err(fault)?;
    let own_words = Boxes::of(viewer.language);
    let online = devices.iter().filter(|device| device.online).count();
    let is_cut = [outlets.len(), terminals.len(), devices.len()]
        .into_iter()
        .any(|length| i64::try_from(length).is_ok_and(|length| length == TREE_MAX));
    let content = html! {
        p.path { a href="/console/merchants" { (words.merchants) } }
        div.head {
            h1 { (row.brand_name) " " (badge(words.merchant(row.status))) }
            div.buttons {
                @if viewer.may(Permission::TransactionRead) {
                    a.button href={ "/console/payments?merchant_id=" (id) } { (words.payments) }
                }
                @if viewer.may(Permission::SettlementRead) {
                    a.button href={ "/console/settlements?merchant_id=" (id) } { (words.settlements) }
                }
                @if viewer.may(Permission::DeviceRead) {
                    a.button href={ "/console/alerts?state=open&merchant_id=" (id) } { (words.alerts) }
                    a.button href={ "/console/configuration/" (id) } { (own_words.configuration) }
                }
            }
        }
        @if !done.proposed.is_empty() && row.status == MerchantStatus::PendingReview {
            p.done role="status" { (icon::check()) (words.proposed) }
        }
        @if row.status == MerchantStatus::PendingReview && viewer.may(Permission::MerchantWrite) {
            (decision(&row, &viewer))
        }
        (facts(&row, words))
        section {
            div.head {
                h2 { (words.outlets) " " small { (online) " " (own_words.online_of) " " (devices.len()) " " (words.boxes) } }
                a href={ "/console/devices?merchant_id=" (id) } { (own_words.all_boxes) " →" }
            }
            @if is_cut { p.quiet { (own_words.only_first) } }
            (tree(&outlets, &terminals, &devices, &viewer))
        }
    };
    Ok(layout::page(&viewer, &row.brand_name, &content))
}

fn decision(row: &Merchant, viewer: &Viewer) -> Markup {
    let words = viewer.words();
    html! {
        div.decision {
            form method="post" action={ "/console/merchants/" (row.id) "/approve" } {
                (form::secret(viewer))
                button.primary { (words.approve) }
            }
            form method="post" action={ "/console/merchants/" (row.id) "/reject" } {
                (form::secret(viewer))
                label { (words.reason) input name="reason" required maxlength="200"; }
                button { (words.reject) }
            }
        }
    }
}

fn facts(row: &Merchant, words: &Words) -> Markup {
    html! {
        dl.facts {
            div { dt { (words.merchant) } dd { (row.legal_name) } }
            div { dt { "NMID" } dd.code { (row.nmid.as_deref().unwrap_or("–")) } }
            div { dt { "PAN" } dd.code { (row.merchant_pan.as_deref().unwrap_or("–")) } }
            div { dt { (words.partner) } dd { (row.qris_partner_id.as_deref().unwrap_or("–")) } }
            div { dt { (words.city) } dd { (row.city) } }
            div { dt { "MCC" } dd { (row.mcc) } }
            div { dt { (words.fee) } dd { (row.fee_profile_id) } }
            @if let Some(reason) = &row.status_reason { div { dt { (words.reason) } dd { (reason) } } }
            div { dt { "ID" } dd.code { (row.id) } }
        }
    }
}

/// outlet → till → box.
fn tree(
    outlets: &[Outlet],
    terminals: &[Terminal],
    devices: &[DeviceView],
    viewer: &Viewer,
) -> Markup {
    let words = viewer.words();
    let mut at_outlet: HashMap<OutletId, Vec<&Terminal>> = HashMap::new();
    for terminal in terminals {
        at_outlet
            .entry(terminal.outlet_id)
            .or_default()
            .push(terminal);
    }
    let mut at_terminal: HashMap<TerminalId, Vec<&DeviceView>> = HashMap::new();
    for device in devices {
        if let Some(binding) = &device.binding {
            at_terminal
                .entry(binding.terminal_id)
                .or_default()
                .push(device);
        }
    }
    html! {
        @if outlets.is_empty() { (list::empty(words.no_outlets)) }
        ul.tree {
            @for outlet in outlets {
                li {
                    strong { (outlet.name) }
                    @if let Some(address) = &outlet.address { " " small { (address) } }
                    " " a.quiet href={ "/console/configuration/" (outlet.id) } { (Boxes::of(viewer.language).configuration) }
                    ul {
                        @for terminal in at_outlet.get(&outlet.id).into_iter().flatten() {
                            li {
                                (terminal.name) " " small.code { (terminal.terminal_label) }
                                ul {
                                    @for device in at_terminal.get(&terminal.id).into_iter().flatten() {
                                        li { a href={ "/console/devices/" (device.id) } { (device.serial_number) } " " (presence(device.online, words)) }
                                    }
                                }
                            }
                        }
                        @if !at_outlet.contains_key(&outlet.id) { li.quiet { (words.no_terminals) } }
                    }
                }
            }
        }
    }
}

/// `POST /console/merchants/{id}/approve`.
pub(crate) async fn approve(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, .. }: Sent<Nothing>,
) -> Result<Redirect, Fault> {
    let act = async |unit: &mut UnitOfWork| {
        // Where two people must agree, this proposes it.
        approval::approve_merchant(unit, named(&id, Noun::Merchant)?).await
    };
    let outcome = viewer
        .change(&context, Permission::MerchantWrite, act)
        .await?;
    let query = if matches!(outcome, Outcome::Proposed(_)) {
        "?proposed=1"
    } else {
        ""
    };
    Ok(Redirect::to(&format!("/console/merchants/{id}{query}")))
}

/// Why a merchant is turned down.
#[derive(Debug, Deserialize)]
pub(crate) struct Why {
    #[serde(default)]
    reason: String,
}

/// `POST /console/merchants/{id}/reject`.
pub(crate) async fn reject(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, fields }: Sent<Why>,
) -> Result<Redirect, Fault> {
    let act = async |unit: &mut UnitOfWork| {
        merchant::reject(unit, named(&id, Noun::Merchant)?, fields.reason).await
    };
    viewer
        .change(&context, Permission::MerchantWrite, act)
        .await?;
    Ok(Redirect::to(&format!("/console/merchants/{id}")))
}
