//! *Now*: what needs a person, the day in figures, and payments as they are paid, sent, heard.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use domain::role::{Permission, Role};
use maud::{Markup, html};
use serde::Deserialize;
use service::payment::live::{self, Figures};
use store::Scope;

use crate::fault::Fault;
use crate::format::{count, milliseconds, total};
use crate::layout::{self, Page};
use crate::list::empty;
use crate::live::Board;
use crate::session::{Absent, Viewer};
use crate::words::page::Charts;
use crate::words::{Language, Words};
use crate::{App, chart, icon, live as streams, payment_row};

/// How many payments the list has; the script removes older ones as it grows.
const SHOWN_MAX: i64 = 50;

/// `/console`: its address ends with a slash.
pub(crate) async fn moved() -> Redirect {
    Redirect::permanent("/console/")
}

/// `/console/`.
pub(crate) async fn page(State(app): State<App>, viewer: Viewer) -> Result<Page, Fault> {
    viewer.must_be_staff()?;
    let fault = |error| viewer.fault(error);
    let words = viewer.words();
    // Before the lists are read: what changes meanwhile comes by the stream.
    let place = app.live.place();
    let board = app.live.figures().await.map_err(fault)?;
    let payments = if viewer.may(Permission::TransactionRead) {
        let newest = live::newest(&app.context, Scope::All, SHOWN_MAX).await;
        Some(newest.map_err(fault)?)
    } else {
        None
    };
    let content = html! {
        div data-live={ "/console/live?after=" (place) } {
            div.head {
                h1 { (words.now) }
                (state(words))
            }
            (attention(&board.figures, viewer.role, words))
            div.board {
                (tiles(&board, viewer.role, viewer.language))
                @if let Some(hours) = by_hour(&board, viewer.role, viewer.language) { (hours) }
            }
            @if let Some(payments) = &payments {
                section {
                    div.head {
                        h2 { (words.latest_payments) }
                        a href="/console/payments" { (words.payments) " →" }
                    }
                    ol.payments data-rows=(SHOWN_MAX) {
                        @for payment in payments { (payment_row::for_staff(payment, words)) }
                    }
                    @if payments.is_empty() { (empty(words.no_payments)) }
                }
            }
        }
    };
    Ok(layout::page(&viewer, words.now, &content))
}

/// Whether the page is live, told by the script; without one, that it is not.
pub(crate) fn state(words: &Words) -> Markup {
    html! {
        span.live-state role="status" data-connecting=(words.connecting) data-live-word=(words.live)
            data-lost=(words.reconnecting) { (words.not_live) }
    }
}

/// What a stream begins after.
#[derive(Debug, Deserialize)]
pub(crate) struct After {
    #[serde(default)]
    after: String,
}

impl After {
    /// The place that the page names.
    pub(crate) fn place(&self) -> &str {
        &self.after
    }
}

/// `/console/live`.
pub(crate) async fn live(
    State(app): State<App>,
    viewer: Result<Viewer, Absent>,
    headers: HeaderMap,
    Query(after): Query<After>,
) -> Response {
    let viewer = match viewer {
        Ok(viewer) => viewer,
        // A stream is not led to a login.
        Err(Absent::LoggedOut(_)) => return StatusCode::UNAUTHORIZED.into_response(),
        Err(fault) => return fault.into_response(),
    };
    match viewer.must_be_staff() {
        Ok(()) => streams::answer(&app.live, &viewer, &headers, after.place()),
        Err(fault) => fault.into_response(),
    }
}

fn tile(title: &str, value: &Markup, hint: &Markup) -> Markup {
    html! {
        div.tile { h2 { (title) } p.value { (value) } p.hint { (hint) } }
    }
}

/// The figures of today beside yesterday's, as far as a role may see them.
pub(crate) fn tiles(board: &Board, role: Role, language: Language) -> Markup {
    let (figures, words) = (&board.figures, language.words());
    let heard = &figures.announcements;
    let fleet = &figures.fleet.counts;
    let ms =
        |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |ms| milliseconds(whole(ms)));
    html! {
        section.tiles #tiles {
            @if role.may(Permission::TransactionRead) {
                (tile(
                    words.taken_today,
                    &html! { span.money { (total(figures.today.gross)) } },
                    &html! {
                        (count(figures.today.count)) " " (words.payments_unit) br;
                        (total(figures.yesterday.gross)) " " (words.yesterday_by_now)
                    },
                ))
            }
            @if role.may(Permission::DeviceRead) {
                (tile(
                    words.heard_today,
                    &html! { (count(heard.played + heard.received)) small { " / " (count(heard.announced)) } },
                    &html! {
                        span class=[(heard.unheard > 0).then_some("bad")] {
                            (count(heard.unheard)) " " (words.not_heard_today)
                        }
                    },
                ))
                (tile(
                    words.time_to_heard,
                    &html! { (ms(heard.callback_to_played_ms.p50)) small { " " (words.median) } },
                    &html! { (ms(heard.callback_to_played_ms.p99)) " " (words.ninety_nine) },
                ))
                (tile(
                    words.boxes_online,
                    &html! { (count(fleet.online)) small { " " (words.of_boxes) " " (count(fleet.active)) } },
                    &html! { a href="/console/devices?online=false" { (count(fleet.offline)) " " (words.offline) } },
                ))
            }
        }
    }
}

/// Payments by the hour, today before yesterday, for those who may see payments.
pub(crate) fn by_hour(board: &Board, role: Role, language: Language) -> Option<Markup> {
    if !role.may(Permission::TransactionRead) {
        return None;
    }
    let (words, own) = (language.words(), Charts::of(language));
    let legend = html! {
        span.key.first { (words.today) } span.key.second { (words.yesterday) }
    };
    let (today, yesterday) = (board.figures.today.count, board.figures.yesterday.count);
    let told = format!(
        "{}: {today}; {} {yesterday}",
        words.today, words.yesterday_by_now
    );
    let figure = chart::figure(own.by_hour, &legend, &told, &board.chart);
    Some(html! { section.tile.hours #hours { (figure) } })
}

/// Whole milliseconds of a figure: it is shown, not computed with.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast from a float saturates, and fractions are not shown"
)]
fn whole(ms: f64) -> i64 {
    ms.round() as i64
}

/// What waits for a person, as far as a role may see it, each with the link to what to do.
pub(crate) fn attention(figures: &Figures, role: Role, words: &Words) -> Markup {
    let items = waiting(figures, role, words);
    html! {
        section.attention #attention {
            h2 { (words.needs_a_person) }
            @if items.is_empty() {
                p.calm { (icon::check()) (words.nothing_needs_a_person) }
            } @else {
                ul {
                    @for (number, text, link) in items {
                        li { a href=(link) { strong { (count(number)) } " " (text) } }
                    }
                }
            }
        }
    }
}

fn waiting<'a>(figures: &Figures, role: Role, words: &'a Words) -> Vec<(i64, &'a str, String)> {
    let mut items: Vec<(i64, &str, String)> = Vec::new();
    if role.may(Permission::DeviceRead) {
        for alerts in figures.alerts() {
            let link = format!("/console/alerts?state=open&kind={}", alerts.kind.as_str());
            items.push((alerts.open, words.alert(alerts.kind), link));
        }
    }
    let waiting = &figures.waiting;
    let others = [
        (
            Permission::ApprovalRead,
            waiting.approvals,
            words.waiting_approvals,
            "/console/approvals?status=pending",
        ),
        (
            Permission::SettlementRead,
            waiting.payouts,
            words.failed_payouts,
            "/console/payouts?which=unresolved",
        ),
        (
            Permission::IncidentRead,
            waiting.unmatched,
            words.unmatched_money,
            "/console/unmatched?status=open",
        ),
    ];
    for (permission, number, text, link) in others {
        if role.may(permission) && number > 0 {
            items.push((number, text, link.to_owned()));
        }
    }
    items
}
