//! Payouts of all settlements: those that need a person, and all others.

use axum::extract::{Query, State};
use axum::response::Response;
use domain::payout::PayoutStatus;
use domain::role::Permission;
use http_api::payout_file;
use maud::{Markup, html};
use serde::Deserialize;
use service::money::payout_list::{self, ListedPayout, Wanted};
use service::shop::merchant;
use service::{Context, Error};
use store::Scope;
use wire::ids::MerchantId;

use crate::fault::Fault;
use crate::format::{moment, rupiah};
use crate::layout::Page;
use crate::list::{self, Found};
use crate::names::{self, Names};
use crate::session::Viewer;
use crate::words::payout::PayoutWords;
use crate::words::state::badge;

/// The filter for those that need a person.
const UNRESOLVED: &str = "unresolved";

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    which: String,
    status: String,
    merchant_id: String,
    from: String,
    to: String,
    after: String,
}

impl Asked {
    fn pairs(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("which", &self.which),
            ("status", &self.status),
            ("merchant_id", &self.merchant_id),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    fn wanted(&self, scope: Scope) -> Result<(Scope, Wanted), Error> {
        let merchant: Option<MerchantId> = list::word("merchant_id", &self.merchant_id)?;
        let wanted = Wanted {
            status: list::given(&self.status),
            unresolved: self.which == UNRESOLVED,
            period: list::period(&self.from, &self.to)?,
        };
        Ok((scope.narrowed_to(merchant), wanted))
    }

    async fn read(&self, context: &Context, scope: Scope) -> Result<Vec<ListedPayout>, Error> {
        let (scope, wanted) = self.wanted(scope)?;
        let page = list::page(Some(&self.after))?;
        payout_list::list(context, scope, &wanted, page).await
    }
}

/// `/console/payouts`.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    let scope = viewer.must(Permission::SettlementRead)?;
    let fault = |error: Error| viewer.fault(error);
    let words = viewer.words();
    let own = PayoutWords::of(words.language);
    let found = Found::of(&viewer, asked.read(&context, scope).await, |row| {
        (row.payout.created_at, row.payout.id.as_uuid())
    })?;
    let ids = found.rows.iter().map(|row| row.merchant_id);
    let names = merchant::names(&context, ids).await.map_err(fault)?;
    let statuses: Vec<(&str, &str)> = PayoutStatus::ALL
        .iter()
        .map(|status| (status.as_str(), own.told(*status).0))
        .collect();
    let pairs = asked.pairs();
    let listing = list::Listing {
        path: "/console/payouts",
        filters: &pairs,
        after: &asked.after,
        viewer: &viewer,
    };
    let controls = html! {
        (list::choice("which", &asked.which, own.which, words.any, &[(UNRESOLVED, own.needs_a_person)]))
        (list::choice("status", &asked.status, words.status, words.any, &statuses))
        (list::days(&asked.from, &asked.to, words))
        (list::hidden(&[("merchant_id", &asked.merchant_id)]))
    };
    Ok(
        listing.page(own.title, &controls, &found, own.none, |rows| {
            table(rows, &names, &viewer)
        }),
    )
}

fn table(rows: &[ListedPayout], names: &Names, viewer: &Viewer) -> Markup {
    let words = viewer.words();
    html! {
        div.scroll tabindex="0" { table data-sort {
            thead { tr {
                th { (PayoutWords::of(words.language).made) } th { (words.status) } th.number { (words.amount) } th { (words.merchant) }
                th { (PayoutWords::of(words.language).settlement) } th.number { (words.attempt) } th { (words.partner) } th { (words.destination) }
                th { (words.bank_reference) } th { (words.reason) }
            } }
            tbody { @for row in rows { @let one = &row.payout; tr {
                td { (moment(one.created_at)) }
                td { (badge(PayoutWords::of(words.language).told(one.status))) @if one.hold_reason.is_some() { " " small { (words.held) } } }
                td.number.money { (rupiah(one.amount)) }
                td { (names::merchant(row.merchant_id, names, viewer)) }
                td.code { a href={ "/console/settlements/" (row.settlement_id) } { (list::short(row.settlement_id)) } }
                td.number { (one.attempt) }
                td { (one.partner_id.as_deref().unwrap_or("–")) }
                td.code { (one.destination.as_deref().unwrap_or("–")) }
                td.code { (one.bank_reference.as_deref().unwrap_or("–")) }
                td.text { (one.reason.as_deref().or(one.hold_reason.as_deref()).unwrap_or("–")) }
            } } }
        } }
    }
}

/// `/console/payouts.csv`: all payouts that the list has with these filters.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let scope = viewer.must(Permission::SettlementRead)?;
    let wanted = asked.wanted(scope);
    let (scope, wanted) = wanted.map_err(|error| viewer.fault(error))?;
    let language = viewer.language.of_file();
    Ok(list::csv(
        payout_file(&context, scope, wanted, language).await,
    ))
}
