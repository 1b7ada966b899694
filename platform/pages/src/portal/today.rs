//! Today: the total, and payments as they come, which the phone can say.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use domain::role::Permission;
use maud::{Markup, html};
use service::payment::live;
use service::shop::portal::{self, Summary};
use store::Scope;

use crate::console::now::{After, state};
use crate::fault::Fault;
use crate::format::{count, total};
use crate::layout::{self, Page};
use crate::list::empty;
use crate::session::{Absent, Viewer};
use crate::words::Words;
use crate::{App, icon, live as streams, payment_row};

/// How many payments the list has.
const SHOWN_MAX: i64 = 30;

/// `/portal`: its address ends with a slash.
pub(crate) async fn moved() -> Redirect {
    Redirect::permanent("/portal/")
}

/// `/portal/`.
pub(crate) async fn page(State(app): State<App>, viewer: Viewer) -> Result<Page, Fault> {
    let merchant_id = viewer.merchant()?;
    let fault = |error| viewer.fault(error);
    let words = viewer.words();
    let place = app.live.place();
    let me = portal::me(&app.context, &viewer.principal, merchant_id)
        .await
        .map_err(fault)?;
    let summary = portal::summary(&app.context, merchant_id)
        .await
        .map_err(fault)?;
    let scope = Scope::Merchant(merchant_id);
    let payments = live::newest(&app.context, scope, SHOWN_MAX)
        .await
        .map_err(fault)?;
    let content = html! {
        div data-live={ "/portal/live?after=" (place) } data-now=(viewer.now.timestamp_millis()) {
            div.head { h1 { (me.merchant.brand_name) } (state(words)) }
            (takings(&summary, words))
            label.speaker hidden data-speaker data-mute=(words.no_speech) {
                span { (icon::sound()) strong { (words.this_phone_is_the_box) } small { (words.this_phone_hint) } }
                input type="checkbox" role="switch";
            }
            section {
                h2 { (words.latest_payments) }
                ol.payments data-rows=(SHOWN_MAX) {
                    @for payment in &payments { (payment_row::for_merchant(payment, words)) }
                }
                @if payments.is_empty() { (empty(words.portal_no_payments)) }
            }
        }
    };
    Ok(layout::page(&viewer, words.today, &content))
}

/// The sums of the days.
pub(crate) fn takings(summary: &Summary, words: &Words) -> Markup {
    let sums = &summary.sums;
    let line = |name: &str, sum: &portal::Sum| {
        html! { div { dt { (name) } dd.money { (total(sum.gross)) small { " · " (count(sum.count)) } } } }
    };
    html! {
        section.takings #takings {
            p.label { (words.taken_today_portal) }
            p.big.money { (total(sums.today.gross)) }
            p.quiet { (count(sums.today.count)) " " (words.payments_unit) }
            dl {
                (line(words.yesterday, &sums.yesterday))
                (line(words.last_seven_days, &sums.last_7_days))
            }
        }
    }
}

/// `/portal/live`.
pub(crate) async fn live(
    State(app): State<App>,
    viewer: Result<Viewer, Absent>,
    headers: HeaderMap,
    Query(after): Query<After>,
) -> Response {
    let viewer = match viewer {
        Ok(viewer) => viewer,
        Err(Absent::LoggedOut(_)) => return StatusCode::UNAUTHORIZED.into_response(),
        Err(fault) => return fault.into_response(),
    };
    match viewer.must(Permission::PortalRead) {
        Ok(_) => streams::answer(&app.live, &viewer, &headers, after.place()),
        Err(fault) => fault.into_response(),
    }
}
