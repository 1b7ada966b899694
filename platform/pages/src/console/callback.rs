//! Messages that partners have sent, or that claimed to be theirs: the list, and one message with its raw bytes.

use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::role::Permission;
use http_api::callback_file;
use maud::{Markup, html};
use serde::Deserialize;
use service::payment::callback::archive::{self, Detail, VERDICTS, Wanted};
use service::{Context, Error, Noun};
use store::payment::callback::Received;
use wire::ids::CallbackId;

use crate::fault::Fault;
use crate::form::named;
use crate::format::moment;
use crate::icon;
use crate::layout::{self, Page};
use crate::list::{self, Found};
use crate::names::entity;
use crate::session::Viewer;
use crate::words::Words;
use crate::words::acquirer::AcquirerWords;
use crate::words::incident::IncidentWords;
use crate::words::state::{Tone, badge};

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    partner_id: String,
    verdict: String,
    from: String,
    to: String,
    after: String,
}

impl Asked {
    fn pairs(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("partner_id", &self.partner_id),
            ("verdict", &self.verdict),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    fn wanted(&self) -> Result<Wanted, Error> {
        let period = list::period(&self.from, &self.to)?;
        Ok(Wanted {
            verdict: list::given(&self.verdict),
            partner_id: list::given(&self.partner_id),
            from: period.from,
            to: period.to,
        })
    }

    async fn read(&self, context: &Context) -> Result<Vec<Received>, Error> {
        let page = list::page(Some(&self.after))?;
        archive::list(context, self.wanted()?, page).await
    }
}

/// The configured acquirers, by id.
pub(crate) fn partners(context: &Context) -> Vec<String> {
    let mut ids: Vec<String> = context
        .qris_partners()
        .map(|(id, _)| id.to_owned())
        .collect();
    ids.sort_unstable();
    ids
}

/// `/console/callbacks`.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    viewer.must(Permission::IncidentRead)?;
    let words = viewer.words();
    let own = AcquirerWords::of(words.language);
    let found = Found::of(&viewer, asked.read(&context).await, |row| {
        (row.received_at, row.id.as_uuid())
    })?;
    let pairs = asked.pairs();
    let listing = list::Listing {
        path: "/console/callbacks",
        filters: &pairs,
        after: &asked.after,
        viewer: &viewer,
    };
    let partners = partners(&context);
    let partners: Vec<(&str, &str)> = partners.iter().map(|id| (&**id, &**id)).collect();
    let verdicts = VERDICTS.map(|verdict| (verdict, verdict));
    let controls = html! {
        (list::choice("partner_id", &asked.partner_id, words.partner, words.any, &partners))
        (list::choice("verdict", &asked.verdict, own.verdict, words.any, &verdicts))
        (list::days(&asked.from, &asked.to, words))
    };
    let shown = found.shown(|rows| table(rows, &viewer));
    let content = html! {
        p.path { a href="/console/partners" { (own.title) } }
        (listing.head(own.messages))
        (listing.form(&controls))
        (found.complaint())
        (listing.rows(shown.as_ref(), own.no_messages, found.next.as_deref()))
    };
    Ok(layout::page(&viewer, own.messages, &content))
}

fn verdict(row: &Received) -> Markup {
    let tone = match row.verdict.as_str() {
        "accepted" | "duplicate" => Tone::Good,
        "held" | "ignored" => Tone::Quiet,
        "unmatched" => Tone::Waiting,
        _ => Tone::Bad,
    };
    html! { span class={ "state " (tone.class()) } { (row.verdict) } }
}

/// Messages, each with the way to its bytes.
pub(crate) fn table(rows: &[Received], viewer: &Viewer) -> Markup {
    let words = viewer.words();
    let own = AcquirerWords::of(words.language);
    html! {
        div.scroll tabindex="0" { table data-sort {
            thead { tr {
                th { (words.time) } th { (own.verdict) } th { (own.why) } th { (words.partner) } th { (own.sender) }
                th.number { (own.answered) } th { (words.reference) } th.number { (own.bytes) }
            } }
            tbody { @for row in rows { tr {
                td { a href={ "/console/callbacks/" (row.id) } { (moment(row.received_at)) } }
                td { (verdict(row)) }
                td.text { (row.reason.as_deref().unwrap_or("–")) }
                td { (row.partner_id.as_deref().or(row.claimed_partner_id.as_deref()).unwrap_or("–")) }
                td { (sender(row.partner_id.is_some(), words)) }
                td.number { (row.http_status) }
                td.code { (row.partner_reference.as_deref().unwrap_or("–")) }
                td.number { (row.body_bytes) }
            } } }
        } }
    }
}

/// Whether the sender was proven to be the partner.
pub(crate) fn sender(is_proven: bool, words: &Words) -> Markup {
    badge(if is_proven {
        (AcquirerWords::of(words.language).sender_proven, Tone::Good)
    } else {
        (AcquirerWords::of(words.language).sender_claimed, Tone::Bad)
    })
}

/// `/console/callbacks.csv`: all messages that the list has with these filters.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    viewer.must(Permission::IncidentRead)?;
    let wanted = asked.wanted().map_err(|error| viewer.fault(error))?;
    let language = viewer.language.of_file();
    Ok(list::csv(callback_file(&context, wanted, language).await))
}

async fn message(context: &Context, viewer: &Viewer, id: &str) -> Result<Detail, Fault> {
    viewer.must(Permission::IncidentRead)?;
    let id: CallbackId = named(id, Noun::Callback).map_err(|error: Error| viewer.fault(error))?;
    let found = archive::find(context, id).await;
    found.map_err(|error| viewer.fault(error))
}

/// `/console/callbacks/{id}`.
pub(crate) async fn page(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Page, Fault> {
    let message = message(&context, &viewer, &id).await?;
    let words = viewer.words();
    let own = AcquirerWords::of(words.language);
    let row = &message.callback;
    let partner = row.partner_id.as_ref().or(row.claimed_partner_id.as_ref());
    let title = moment(row.received_at);
    let content = html! {
        p.path {
            a href="/console/partners" { (own.title) } " / "
            a href="/console/callbacks" { (own.messages) }
        }
        div.head { h1 { (title) " " (verdict(row)) } }
        dl.facts {
            @if let Some(partner) = partner {
                div { dt { (words.partner) } dd { (partner) " " (sender(row.partner_id.is_some(), words)) } }
            }
            @if let Some(reason) = &row.reason { div { dt { (own.why) } dd { (reason) } } }
            div { dt { (own.route) } dd.code { (row.route) } }
            @if let Some(address) = &row.address { div { dt { (own.from_address) } dd.code { (address) } } }
            div { dt { (own.answered) } dd { (row.http_status) } }
            @if let Some(reference) = &row.partner_reference { div { dt { (words.reference) } dd.code { (reference) } } }
            @if let Some(id) = row.transaction_id { div { dt { (IncidentWords::of(words.language).payment) } dd.code { (entity(&id.to_string(), &viewer)) } } }
            div { dt { "ID" } dd.code { (row.id) } }
        }
        @if let Some(headers) = message.headers.as_ref().and_then(|headers| headers.as_object()) {
            section {
                h2 { (own.headers) }
                div.scroll tabindex="0" { table { tbody { @for (name, value) in headers {
                    tr { th scope="row" { (name) } td.code { (value.as_str().map_or_else(|| value.to_string(), str::to_owned)) } }
                } } } }
            }
        }
        section { (body(&message, own.body, words)) }
    };
    Ok(layout::page(&viewer, &title, &content))
}

/// The body of a message as text where it is text, with the way to its raw bytes.
pub(crate) fn body(message: &Detail, title: &str, words: &Words) -> Markup {
    let own = AcquirerWords::of(words.language);
    html! {
        div.head {
            h2 { (title) }
            span.actions {
                button.copy data-copy="#raw" hidden { (icon::copy()) (words.copy) }
                @if message.body_base64.is_some() {
                    a.button href={ "/console/callbacks/" (message.callback.id) "/body.bin" } { (icon::download()) (own.raw) }
                }
            }
        }
        @if message.body_truncated { p.quiet { (own.truncated) } }
        @match (&message.body, &message.body_base64) {
            (Some(body), _) => pre #raw tabindex="0" { (pretty(body)) },
            (None, Some(encoded)) => {
                p.quiet { (own.not_text) }
                pre #raw tabindex="0" { (encoded) }
            }
            (None, None) => p.empty { (words.body_gone) },
        }
    }
}

/// JSON with its structure shown; anything else as it came.
pub(crate) fn pretty(body: &str) -> String {
    serde_json::from_str::<serde_json::Value>(body)
        .ok()
        .and_then(|value| serde_json::to_string_pretty(&value).ok())
        .unwrap_or_else(|| body.to_owned())
}

/// `/console/callbacks/{id}/body.bin`: the bytes as they came. A browser saves them and shows nothing of them.
pub(crate) async fn bytes(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    let message = message(&context, &viewer, &id).await?;
    let kept = message
        .body_base64
        .and_then(|encoded| STANDARD.decode(encoded).ok());
    let bytes = kept.ok_or_else(|| viewer.fault(Error::NotFound(Noun::Callback)))?;
    let name = format!("attachment; filename=\"{}.bin\"", message.callback.id);
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_DISPOSITION, name),
    ];
    Ok((headers, bytes).into_response())
}
