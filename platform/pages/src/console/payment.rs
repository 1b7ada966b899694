//! Payments: the list, and one payment on one time line.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use domain::announcement::NotificationStatus;
use domain::refund::RefundStatus;
use domain::role::Permission;
use domain::transaction::TransactionStatus;
use http_api::payment_file;
use maud::{Markup, html};
use serde::Deserialize;
use service::money::ledger;
use service::payment::callback::archive;
use service::payment::transaction::{self, TransactionView};
use service::payment::transaction_export::Export;
use service::payment::{live, notification};
use service::{Context, Error, Noun, UnitOfWork};
use store::money::ledger::Filter as LedgerFilter;
use store::payment::transaction::{Filter, Transaction, TransactionEvent};
use store::{Page as StorePage, Scope};
use wire::ids::{MerchantId, TransactionId};

use super::callback;
use crate::App;
use crate::fault::Fault;
use crate::form::named;
use crate::form::{self, Nothing, Sent};
use crate::format::{clock, milliseconds, moment, precise, rupiah};
use crate::layout::{self, Page};
use crate::list::{self, Found, csv};
use crate::session::Viewer;
use crate::words::Words;
use crate::words::page::Filters;
use crate::words::state::{Tone, badge};
use crate::{icon, payment_row};

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    status: String,
    from: String,
    to: String,
    reference: String,
    merchant_id: String,
    after: String,
}

impl Asked {
    fn pairs(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("status", &self.status),
            ("from", &self.from),
            ("to", &self.to),
            ("reference", &self.reference),
            ("merchant_id", &self.merchant_id),
        ]
    }

    fn filter(&self, scope: Scope) -> Result<(Scope, Filter), Error> {
        let merchant: Option<MerchantId> = list::word("merchant_id", &self.merchant_id)?;
        let filter = Filter {
            status: list::word("status", &self.status)?,
            partner_reference: list::given(&self.reference),
            period: list::period(&self.from, &self.to)?,
            ..Filter::default()
        };
        Ok((scope.narrowed_to(merchant), filter))
    }

    async fn read(&self, context: &Context, scope: Scope) -> Result<Vec<Transaction>, Error> {
        let (scope, filter) = self.filter(scope)?;
        let page = list::page(Some(&self.after))?;
        transaction::list(context, scope, &filter, page).await
    }
}

/// `/console/payments`. What is looked for by its id is shown at once.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let scope = viewer.must(Permission::TransactionRead)?;
    if let Ok(id) = asked.reference.trim().parse::<TransactionId>() {
        return Ok(Redirect::to(&format!("/console/payments/{id}")).into_response());
    }
    let words = viewer.words();
    let found = Found::of(&viewer, asked.read(&context, scope).await, |row| {
        (row.created_at, row.id.as_uuid())
    })?;
    let statuses: Vec<(&str, &str)> = TransactionStatus::ALL
        .iter()
        .map(|status| (status.as_str(), words.transaction(*status).0))
        .collect();
    let pairs = asked.pairs();
    let listing = list::Listing {
        path: "/console/payments",
        filters: &pairs,
        after: &asked.after,
        viewer: &viewer,
    };
    let labels = Filters::of(viewer.language);
    let controls = html! {
        (list::search("reference", &asked.reference, labels.reference_or_id))
        (list::choice("status", &asked.status, words.status, words.any, &statuses))
        (list::days(&asked.from, &asked.to, words))
        (list::merchant(&asked.merchant_id, labels))
    };
    Ok(listing
        .page(
            words.payments,
            &controls,
            &found,
            words.no_payments,
            |rows| table(rows, words),
        )
        .into_response())
}

fn table(rows: &[Transaction], words: &Words) -> Markup {
    html! {
        div.scroll tabindex="0" {
            table data-sort {
                thead { tr {
                    th { (words.time) } th.number { (words.amount) } th { (words.status) }
                    th { (words.partner) } th { (words.reference) } th { (words.issuer) }
                } }
                tbody {
                    @for row in rows {
                        tr {
                            td { a href={ "/console/payments/" (row.id) } { (moment(row.paid_at.unwrap_or(row.created_at))) } }
                            td.number.money { (rupiah(row.amount)) (taken_back(row, words)) }
                            td { (badge(words.transaction(row.status))) }
                            td { (row.partner_id) }
                            td.code { (row.partner_reference.as_deref().unwrap_or("–")) }
                            td { (row.issuer.as_deref().unwrap_or("–")) }
                        }
                    }
                }
            }
        }
    }
}

/// What was taken back of a payment of which something is left.
pub(crate) fn taken_back(row: &Transaction, words: &Words) -> Markup {
    let is_part = row.status == TransactionStatus::Paid && row.refunded_amount > wire::Rupiah::ZERO;
    html! {
        @if is_part { " " small { (words.refunded) " " (rupiah(row.refunded_amount)) } }
    }
}

/// `/console/payments.csv`: all that the list has with these filters.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let scope = viewer.must(Permission::TransactionRead)?;
    let fault = |error| viewer.fault(error);
    let (scope, filter) = asked.filter(scope).map_err(fault)?;
    let export = Export::begin(&context, scope, filter)
        .await
        .map_err(fault)?;
    Ok(csv(payment_file(export, viewer.language.of_file())))
}

/// A step of a payment's life.
struct Step {
    at: DateTime<Utc>,
    tone: Tone,
    text: String,
    hint: Option<String>,
}

/// `/console/payments/{id}`.
pub(crate) async fn page(
    State(app): State<App>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Page, Fault> {
    let scope = viewer.must(Permission::TransactionRead)?;
    let fault = |error| viewer.fault(error);
    let words = viewer.words();
    let id: TransactionId = named(&id, Noun::Transaction).map_err(fault)?;
    let view = transaction::get(&app.context, scope, id)
        .await
        .map_err(fault)?;
    let events = transaction::events(&app.context, scope, id)
        .await
        .map_err(fault)?;
    let payment = live::one(&app.context, id).await.map_err(fault)?;
    let of_it = LedgerFilter {
        transaction_id: Some(id),
        ..LedgerFilter::default()
    };
    let first = StorePage {
        limit: 50,
        after: None,
    };
    let lines = ledger::list(&app.context, scope, &of_it, first)
        .await
        .map_err(fault)?;
    let callback = events.iter().find_map(|event| event.callback_id);
    let raw = match callback.filter(|_| viewer.may(Permission::IncidentRead)) {
        Some(callback) => archive::find(&app.context, callback).await.ok(),
        None => None,
    };
    let row = &view.transaction;
    let title = rupiah(row.amount);
    let content = html! {
        p.path { a href="/console/payments" { (words.payments) } }
        div.head {
            h1 { span.money { (title) } " " (badge(words.transaction(row.status))) }
            @if viewer.may(Permission::TransactionWrite) && row.status == TransactionStatus::Paid {
                form method="post" action={ "/console/payments/" (id) "/announce" } {
                    (form::secret(&viewer))
                    button { (icon::sound()) (words.announce_again) }
                }
            }
        }
        @if let Some(payment) = &payment { p { (payment_row::marks(payment, words)) } }
        (facts(row, payment.as_ref().map(|one| (one.merchant.as_str(), one.outlet.as_str(), one.terminal.as_str())), &viewer))
        section {
            h2 { (words.life) }
            (time_line(&steps(&view, &events, words)))
        }
        @if let Some(raw) = &raw {
            section {
                (callback::body(raw, words.raw_callback, words))
                p.quiet {
                    (raw.callback.partner_id.as_deref().unwrap_or("–")) " · " (moment(raw.callback.received_at)) " · "
                    a href={ "/console/callbacks/" (raw.callback.id) } { (raw.callback.id) }
                }
            }
        }
        @if !lines.is_empty() {
            section {
                h2 { (words.ledger_lines) }
                div.scroll tabindex="0" { table {
                    thead { tr { th { (words.time) } th { (words.account) } th.number { (words.debit) } th.number { (words.credit) } } }
                    tbody { @for line in &lines { tr {
                        td { (moment(line.created_at)) }
                        td { (line.account.as_str()) " " small { (line.kind.as_str()) } }
                        td.number.money { @if line.debit.to_i64() != 0 { (rupiah(line.debit)) } }
                        td.number.money { @if line.credit.to_i64() != 0 { (rupiah(line.credit)) } }
                    } } }
                } }
            }
        }
    };
    Ok(layout::page(&viewer, &title, &content))
}

fn facts(row: &Transaction, place: Option<(&str, &str, &str)>, viewer: &Viewer) -> Markup {
    let words = viewer.words();
    let amount = |amount: Option<wire::Rupiah>| amount.map_or_else(|| "–".to_owned(), rupiah);
    html! {
        dl.facts {
            div { dt { (words.merchant) } dd {
                @let name = place.map_or_else(|| row.merchant_id.to_string(), |place| place.0.to_owned());
                @if viewer.may(Permission::MerchantRead) {
                    a href={ "/console/merchants/" (row.merchant_id) } { (name) }
                } @else { (name) }
            } }
            @if let Some((_, outlet, terminal)) = place {
                div { dt { (words.outlet) } dd { (outlet) } }
                div { dt { (words.terminal) } dd { (terminal) } }
            }
            div { dt { (words.fee) } dd.money { (amount(row.fee)) } }
            div { dt { (words.net) } dd.money { (amount(row.net)) } }
            @if row.refunded_amount > wire::Rupiah::ZERO {
                div { dt { (words.refunded) } dd.money { (rupiah(row.refunded_amount)) } }
            }
            div { dt { (words.partner) } dd { (row.partner_id) } }
            div { dt { (words.reference) } dd.code { (row.partner_reference.as_deref().unwrap_or("–")) } }
            @if let Some(issuer) = &row.issuer { div { dt { (words.issuer) } dd { (issuer) } } }
            div { dt { "ID" } dd.code { (row.id) } }
        }
    }
}

/// All that happened, in order: the states of the transaction, and the way of each announcement.
fn steps(view: &TransactionView, events: &[TransactionEvent], words: &Words) -> Vec<Step> {
    let mut steps: Vec<Step> = events
        .iter()
        .map(|event| {
            let (text, tone) = words.transaction(event.to_status);
            let text = match event.to_status {
                TransactionStatus::AwaitingPayment | TransactionStatus::Initiated => {
                    words.code_made
                }
                TransactionStatus::Paid => words.callback_accepted,
                _ => text,
            };
            Step {
                at: event.at,
                tone,
                text: text.to_owned(),
                hint: Some(event.cause.clone()),
            }
        })
        .collect();
    for refund in &view.refunds {
        let (at, tone, text) = match refund.status {
            RefundStatus::Done => (refund.done_at, Tone::Quiet, words.refunded),
            RefundStatus::Requested => (None, Tone::Waiting, words.refund_requested),
            RefundStatus::Refused => (None, Tone::Bad, words.refund_refused),
        };
        let why = refund.reason.as_deref().or(refund.refund_no.as_deref());
        steps.push(Step {
            at: at.unwrap_or(refund.requested_at),
            tone,
            text: format!("{text} {}", rupiah(refund.amount)),
            hint: why.map(str::to_owned),
        });
    }
    for one in &view.notifications {
        let box_id = one.device_id.to_string();
        let mut add = |at: Option<DateTime<Utc>>, tone: Tone, text: &str, hint: &str| {
            if let Some(at) = at {
                steps.push(Step {
                    at,
                    tone,
                    text: text.to_owned(),
                    hint: Some(hint.to_owned()),
                });
            }
        };
        add(one.sent_at, Tone::Good, words.handed_over, &box_id);
        add(one.received_at, Tone::Good, words.box_has_it, &box_id);
        match one.status {
            NotificationStatus::Played => add(one.acked_at, Tone::Good, words.box_said_it, &box_id),
            NotificationStatus::Failed | NotificationStatus::Stale => {
                let reason = one.reason.as_deref().unwrap_or(one.status.as_str());
                let over = one.acked_at.or(Some(one.announce_until));
                add(over, Tone::Bad, words.box_did_not, reason);
            }
            NotificationStatus::Pending
            | NotificationStatus::Sent
            | NotificationStatus::Received => {}
        }
    }
    // Those of one moment stay in the order in which they follow from each other.
    steps.sort_by_key(|step| step.at);
    steps
}

fn time_line(steps: &[Step]) -> Markup {
    html! {
        ol.timeline {
            @for (place, step) in steps.iter().enumerate() {
                li class=(step.tone.class()) {
                    time title=(moment(step.at)) { @if place == 0 { (clock(step.at)) } @else { (precise(step.at)) } }
                    span.what { (step.text) @if let Some(hint) = &step.hint { small { (hint) } } }
                    @if place > 0 {
                        span.ms { "+" (milliseconds((step.at - steps[place - 1].at).num_milliseconds())) }
                    }
                }
            }
        }
    }
}

/// `POST /console/payments/{id}/announce`.
pub(crate) async fn announce(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, .. }: Sent<Nothing>,
) -> Result<Redirect, Fault> {
    let act = async |unit: &mut UnitOfWork| {
        notification::retry(unit, named(&id, Noun::Transaction)?).await
    };
    viewer
        .change(&context, Permission::TransactionWrite, act)
        .await?;
    Ok(Redirect::to(&format!("/console/payments/{id}")))
}
