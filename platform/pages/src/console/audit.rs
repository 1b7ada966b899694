//! The audit log: who did what to what, with what was before beside what is after.

use axum::extract::{Query, State};
use axum::response::Response;
use domain::role::Permission;
use http_api::audit_file;
use maud::{Markup, html};
use serde::Deserialize;
use service::people::audit::{self, Head};
use service::{Context, Error};
use store::people::audit::{Entry, Filter};

use crate::comparison::{self, Field};
use crate::fault::Fault;
use crate::format::{count, moment};
use crate::layout::{self, Page};
use crate::list::{self, Found};
use crate::names::entity;
use crate::session::Viewer;
use crate::words::Words;
use crate::words::audit::AuditWords;
use crate::words::comparison::ComparisonWords;
use crate::words::state::{Tone, badge};

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    actor: String,
    action: String,
    entity: String,
    from: String,
    to: String,
    after: String,
}

impl Asked {
    fn pairs(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("actor", &self.actor),
            ("action", &self.action),
            ("entity", &self.entity),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    fn filter(&self) -> Result<Filter, Error> {
        Ok(Filter {
            actor: list::given(&self.actor),
            action: list::given(&self.action),
            entity: list::given(&self.entity),
            period: list::period(&self.from, &self.to)?,
        })
    }

    async fn read(&self, context: &Context) -> Result<Vec<Entry>, Error> {
        let page = list::page(Some(&self.after))?;
        audit::list(context, &self.filter()?, page).await
    }
}

/// `/console/audit`.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    viewer.must(Permission::AuditRead)?;
    let fault = |error: Error| viewer.fault(error);
    let words = viewer.words();
    let own = AuditWords::of(words.language);
    let found = Found::of(&viewer, asked.read(&context).await, |row| {
        list::numbered(row.at, row.id)
    })?;
    let ids: Vec<i64> = found.rows.iter().map(|row| row.id).collect();
    let broken = audit::changed(&context, &ids).await.map_err(fault)?;
    let head = audit::head(&context).await.map_err(fault)?;
    let pairs = asked.pairs();
    let listing = list::Listing {
        path: "/console/audit",
        filters: &pairs,
        after: &asked.after,
        viewer: &viewer,
    };
    let controls = html! {
        (list::search("actor", &asked.actor, own.actor))
        (list::search("action", &asked.action, own.action))
        (list::search("entity", &asked.entity, own.entity))
        (list::days(&asked.from, &asked.to, words))
    };
    let shown = found.shown(|rows| {
        html! {
            ul.cards.log { @for row in rows { (card(row, broken.contains(&row.id), &viewer)) } }
        }
    });
    let content = html! {
        (listing.head(own.title))
        (listing.form(&controls))
        (found.complaint())
        (chain(&head, !broken.is_empty(), words))
        (listing.rows(shown.as_ref(), own.none, found.next.as_deref()))
    };
    Ok(layout::page(&viewer, own.title, &content))
}

/// The end of the chain, and what proves it.
fn chain(head: &Head, is_broken: bool, words: &Words) -> Markup {
    let own = AuditWords::of(words.language);
    let text = if is_broken {
        own.shown_broken
    } else {
        own.shown_whole
    };
    html! {
        details.chain open[is_broken] {
            summary {
                (own.chain) ": " (count(head.seq)) " " (own.sealed_rows) ", " (count(head.waiting)) " " (own.waiting_rows)
                @if is_broken { " " (badge((own.broken, Tone::Bad))) }
            }
            p { (own.head) ": " span.code { (head.head) } @if let Some(at) = head.sealed_at { " · " (moment(at)) } }
            p.quiet { (text) " " code { "platform audit verify" } }
        }
    }
}

/// What changed of an entry: only that, because most fields of most things stay.
fn changed(row: &Entry) -> Vec<Field> {
    let mut fields = comparison::fields(row.before.as_ref(), row.after.as_ref());
    fields.retain(Field::is_changed);
    fields
}

fn card(row: &Entry, is_broken: bool, viewer: &Viewer) -> Markup {
    let words = viewer.words();
    let own = AuditWords::of(words.language);
    let fields = changed(row);
    let state = match (is_broken, row.seal) {
        (true, _) => (own.broken, Tone::Bad),
        (false, Some(_)) => (own.sealed, Tone::Good),
        (false, None) => (own.waits, Tone::Quiet),
    };
    html! {
        li.card id={ "a-" (row.id) } {
            div.head {
                h2 { (row.action) " " (badge(state)) }
                time datetime=(row.at.to_rfc3339()) { (moment(row.at)) }
            }
            p.quiet {
                (own.actor) ": " (actor(row, viewer)) " · " (own.entity) ": " span.code { (entity(&row.entity, viewer)) }
                @if let Some(request) = &row.request_id { " · " span.code { (request) } }
            }
            @if fields.is_empty() { p.quiet { (own.nothing_changed) } } @else {
                details {
                    summary { (own.changed_fields) ": " (fields.len()) }
                    (comparison::table(&fields, (ComparisonWords::of(words.language).before, ComparisonWords::of(words.language).after), words))
                }
            }
        }
    }
}

fn actor(row: &Entry, viewer: &Viewer) -> Markup {
    html! {
        @if row.actor == "system" { (AuditWords::of(viewer.language).system) } @else { span.code { (entity(&row.actor, viewer)) } }
    }
}

/// `/console/audit.csv`: all entries that the list has with these filters.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    viewer.must(Permission::AuditRead)?;
    let filter = asked.filter().map_err(|error| viewer.fault(error))?;
    let language = viewer.language.of_file();
    Ok(list::csv(audit_file(&context, filter, language).await))
}
