//! Acquirers: how each speaks, and how it goes with it.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use domain::role::Permission;
use http_api::partner_file;
use maud::{Markup, html};
use serde::Deserialize;
use service::payment::callback::archive::{self, Wanted};
use service::payment::partner::{self, View};
use service::payment::qr_partner::Circuit;
use service::{Context, Error};
use store::Page as StorePage;

use super::callback;
use crate::fault::Fault;
use crate::format::{ago, count, milliseconds, moment};
use crate::layout::{self, Page};
use crate::list;
use crate::session::Viewer;
use crate::words::Words;
use crate::words::acquirer::AcquirerWords;
use crate::words::state::{Tone, badge};

/// Messages that a partner's page shows.
const LATEST: i64 = 20;

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    q: String,
}

/// `/console/partners`.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    viewer.must(Permission::IncidentRead)?;
    let fault = |error: Error| viewer.fault(error);
    let words = viewer.words();
    let own = AcquirerWords::of(words.language);
    let search = list::given(&asked.q);
    let rows = partner::list(&context, search.as_deref())
        .await
        .map_err(fault)?;
    let filters = [("q", asked.q.as_str())];
    let listing = list::Listing {
        path: "/console/partners",
        filters: &filters,
        after: "",
        viewer: &viewer,
    };
    let shown = (!rows.is_empty()).then(|| table(&rows, &viewer));
    let content = html! {
        div.head {
            h1 { (own.title) }
            div.buttons {
                a.button href="/console/callbacks" { (own.messages) }
                (listing.file())
            }
        }
        (listing.form(&list::search("q", &asked.q, own.name_or_dialect)))
        (listing.rows(shown.as_ref(), own.none, None))
    };
    Ok(layout::page(&viewer, own.title, &content))
}

/// `/console/partners.csv`: all that the list has with this search.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    viewer.must(Permission::IncidentRead)?;
    let search = list::given(&asked.q);
    let language = viewer.language.of_file();
    Ok(list::csv(
        partner_file(&context, search.as_deref(), language).await,
    ))
}

fn table(rows: &[View], viewer: &Viewer) -> Markup {
    let words = viewer.words();
    let own = AcquirerWords::of(words.language);
    html! {
        div.scroll tabindex="0" { table data-sort {
            thead { tr {
                th { (words.partner) } th { (own.dialect) } th { (own.last_callback) } th.number { (own.refused) }
                th { (own.circuit) } th { (own.confirmed) }
            } }
            tbody { @for row in rows { tr {
                td { a href={ "/console/partners/" (row.id) } { (row.id) } }
                td { (row.title) br; small { (row.dialect) } }
                td { (last(row, viewer)) }
                td.number { @let all = row.refused_count(); span class=[(all > 0).then_some("bad")] { (count(all)) } }
                td { (circuit(row, words)) }
                td { (confirmed(row, words)) }
            } } }
        } }
    }
}

fn last(row: &View, viewer: &Viewer) -> Markup {
    let words = viewer.words();
    html! {
        @match &row.last_callback {
            Some(last) => {
                a href={ "/console/callbacks/" (last.id) } title=(moment(last.received_at)) {
                    (ago(last.received_at, viewer.now, words))
                }
                " " small { (last.verdict) " · " (last.http_status) }
            }
            None => span.quiet { (AcquirerWords::of(words.language).none_in_a_day) },
        }
    }
}

fn circuit(row: &View, words: &Words) -> Markup {
    let own = AcquirerWords::of(words.language);
    badge(match row.circuit {
        Some(Circuit::Closed) => (own.circuit_closed, Tone::Good),
        Some(Circuit::Open) => (own.circuit_open, Tone::Bad),
        None => (own.circuit_none, Tone::Quiet),
    })
}

fn confirmed(row: &View, words: &Words) -> Markup {
    let own = AcquirerWords::of(words.language);
    html! {
        @if row.unconfirmed_statuses.is_empty() {
            (badge((own.all_confirmed, Tone::Good)))
        } @else {
            span.state.waiting { (row.unconfirmed_statuses.len()) " " (own.unconfirmed) }
        }
    }
}

/// `/console/partners/{id}`.
pub(crate) async fn page(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Page, Fault> {
    viewer.must(Permission::IncidentRead)?;
    let fault = |error: Error| viewer.fault(error);
    let words = viewer.words();
    let own = AcquirerWords::of(words.language);
    let row = partner::find(&context, &id).await.map_err(fault)?;
    let wanted = Wanted {
        partner_id: Some(row.id.clone()),
        ..Wanted::default()
    };
    let latest = StorePage {
        limit: LATEST,
        after: None,
    };
    let messages = archive::list(&context, wanted, latest)
        .await
        .map_err(fault)?;
    let content = html! {
        p.path { a href="/console/partners" { (own.title) } }
        div.head { h1 { (row.id) } }
        dl.facts {
            div { dt { (own.dialect) } dd { (row.title) br; small { (row.dialect) } } }
            div { dt { (own.signatures) } dd { (row.signatures.join(", ")) } }
            div { dt { (own.paths) } dd.code {
                "/integrations/qris/callback/" (row.id)
                @for path in &row.paths { br; (path) }
            } }
            div { dt { (own.last_callback) } dd { (last(&row, &viewer)) } }
            div { dt { (own.circuit) } dd { (circuit(&row, words)) } }
            div { dt { (own.clock) } dd { @match row.clock_ahead_s {
                Some(seconds) => (milliseconds(seconds.saturating_mul(1_000))),
                None => span.quiet { (own.clock_unknown) },
            } } }
            div { dt { (own.confirmed) } dd { (confirmed(&row, words)) } }
        }
        section {
            h2 { (own.refused) }
            @if row.refused.is_empty() { p.calm { (own.nothing_refused) } } @else {
                div.scroll tabindex="0" { table data-sort {
                    thead { tr { th { (own.why) } th { (own.sender) } th.number { (own.how_many) } th { (own.last) } } }
                    tbody { @for one in &row.refused { tr {
                        td.text { (one.reason) }
                        td { (callback::sender(one.verified, words)) }
                        td.number { (count(one.count)) }
                        td { (moment(one.last_at)) }
                    } } }
                } }
            }
        }
        @if !row.unconfirmed_statuses.is_empty() {
            section {
                h2 { (own.unconfirmed_title) }
                div.scroll tabindex="0" { table data-sort {
                    thead { tr { th { (own.table) } th { (own.status_code) } th { (own.meaning) } } }
                    tbody { @for one in &row.unconfirmed_statuses { tr {
                        td { (one.table) } td.code { (one.code) } td { (one.meaning) }
                    } } }
                } }
            }
        }
        section {
            div.head {
                h2 { (own.latest) }
                a href={ "/console/callbacks?partner_id=" (row.id) } { (own.messages) " →" }
            }
            @if messages.is_empty() { (list::empty(own.no_messages)) } @else { (callback::table(&messages, &viewer)) }
        }
    };
    Ok(layout::page(&viewer, &row.id, &content))
}
