//! Reconciliation: an acquirer's file against ours, its classes, and their lines.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use domain::reconciliation::Class;
use domain::role::Permission;
use http_api::{reconciliation_file, reconciliations_file};
use maud::{Markup, html};
use serde::Deserialize;
use service::money::reconciliation::{self, Wanted};
use service::{Context, Error, Noun, UnitOfWork};
use store::money::reconciliation::{Line, Reconciliation};
use wire::Rupiah;
use wire::ids::ReconciliationId;

use super::callback;
use crate::change::is_correctable;
use crate::fault::Fault;
use crate::form::{self, named};
use crate::format::{count, date, moment, rupiah};
use crate::icon;
use crate::layout::{self, Page};
use crate::list::{self, Found};
use crate::names::entity;
use crate::session::Viewer;
use crate::upload::Upload;
use crate::words::Words;
use crate::words::reconciliation::ReconciliationWords;
use crate::words::state::badge;

/// Lines on a page.
const LINES: i64 = 100;

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    partner_id: String,
    from: String,
    to: String,
    after: String,
}

impl Asked {
    fn pairs(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("partner_id", &self.partner_id),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    async fn read(&self, context: &Context) -> Result<Vec<Reconciliation>, Error> {
        let made = list::period(&self.from, &self.to)?;
        let page = list::page(Some(&self.after))?;
        let partner_id = list::given(&self.partner_id);
        reconciliation::list(context, partner_id.as_deref(), made, page).await
    }
}

/// What is to be compared, as it was typed. The browser keeps the file itself, or none.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Entered {
    partner_id: String,
    from: String,
    to: String,
}

/// `/console/reconciliations`.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    let today = date(viewer.now);
    let entered = Entered {
        from: today.clone(),
        to: today,
        ..Entered::default()
    };
    shown(&context, &viewer, &asked, &entered, None).await
}

async fn shown(
    context: &Context,
    viewer: &Viewer,
    asked: &Asked,
    entered: &Entered,
    wrong: Option<&str>,
) -> Result<Page, Fault> {
    viewer.must(Permission::LedgerRead)?;
    let words = viewer.words();
    let own = ReconciliationWords::of(words.language);
    let found = Found::of(viewer, asked.read(context).await, |row| {
        (row.created_at, row.id.as_uuid())
    })?;
    let may_upload = viewer.may(Permission::LedgerWrite);
    let partners = callback::partners(context);
    let partners: Vec<(&str, &str)> = partners.iter().map(|id| (&**id, &**id)).collect();
    let pairs = asked.pairs();
    let listing = list::Listing {
        path: "/console/reconciliations",
        filters: &pairs,
        after: &asked.after,
        viewer,
    };
    let controls = html! {
        (list::choice("partner_id", &asked.partner_id, words.partner, words.any, &partners))
        (list::days(&asked.from, &asked.to, words))
    };
    let none = if may_upload {
        own.none
    } else {
        own.none_to_see
    };
    let shown = found.shown(|rows| table(rows, words));
    let content = html! {
        (listing.head(own.title))
        @if may_upload { (upload(viewer, &partners, entered, wrong)) }
        (listing.form(&controls))
        (found.complaint())
        (listing.rows(shown.as_ref(), none, found.next.as_deref()))
    };
    Ok(layout::page(viewer, own.title, &content))
}

/// The form with the file. It comes last: fields are read before it, and it is compared while it comes in.
fn upload(
    viewer: &Viewer,
    partners: &[(&str, &str)],
    entered: &Entered,
    wrong: Option<&str>,
) -> Markup {
    let words = viewer.words();
    let own = ReconciliationWords::of(words.language);
    html! {
        form.card.upload method="post" action="/console/reconciliations" enctype="multipart/form-data"
            data-upload=(own.comparing) {
            h2 { (own.upload) }
            p.quiet { (own.upload_hint) }
            (form::secret(viewer))
            div #upload-wrong { @if let Some(wrong) = wrong { p.error role="alert" { (icon::alert()) (wrong) } } }
            div.fields {
                label { (words.partner)
                    select name="partner_id" required {
                        @for (id, name) in partners { option value=(id) selected[*id == entered.partner_id] { (name) } }
                    }
                }
                label { (words.from_day) input type="date" name="from" value=(entered.from) required; }
                label { (words.to_day) input type="date" name="to" value=(entered.to) required; }
            }
            label.drop { (own.file) " · " (own.drop)
                input type="file" name="file" accept=".csv,text/csv,text/plain" required;
            }
            button.primary { (own.compare) }
        }
    }
}

fn table(rows: &[Reconciliation], words: &Words) -> Markup {
    let own = ReconciliationWords::of(words.language);
    html! {
        div.scroll tabindex="0" { table data-sort {
            thead { tr {
                th { (own.made) } th { (words.partner) } th { (own.period) }
                @for class in Class::ALL { th.number { (own.told(*class).0) } }
            } }
            tbody { @for row in rows { tr {
                td { a href={ "/console/reconciliations/" (row.id) } { (moment(row.created_at)) } }
                td { (row.partner_id) }
                td { (period(row)) }
                @for class in Class::ALL {
                    @let lines = lines_of(row, *class);
                    td.number { @if lines == 0 { span.quiet { "0" } } @else {
                        a href={ "/console/reconciliations/" (row.id) "?class=" (class.as_str()) } { (count(lines)) }
                    } }
                }
            } } }
        } }
    }
}

const fn lines_of(row: &Reconciliation, class: Class) -> i64 {
    match class {
        Class::Matched => row.matched,
        Class::OursOnly => row.ours_only,
        Class::TheirsOnly => row.theirs_only,
        Class::AmountDiffers => row.amount_differs,
    }
}

/// `26-11-2026 00:00:00 – 27-11-2026 00:00:00`.
fn period(row: &Reconciliation) -> String {
    format!("{} – {}", moment(row.period_from), moment(row.period_to))
}

/// `/console/reconciliations.csv`: all comparisons that the list has with these filters.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    viewer.must(Permission::LedgerRead)?;
    let made = list::period(&asked.from, &asked.to).map_err(|error| viewer.fault(error))?;
    let partner_id = list::given(&asked.partner_id);
    let language = viewer.language.of_file();
    let file = reconciliations_file(&context, partner_id, made, language).await;
    Ok(list::csv(file))
}

/// `POST /console/reconciliations`.
pub(crate) async fn create(
    State(context): State<Context>,
    mut upload: Upload<Entered>,
) -> Result<Response, Fault> {
    upload.viewer.must(Permission::LedgerWrite)?;
    match compare(&context, &mut upload).await {
        Ok(id) => Ok(Redirect::to(&format!("/console/reconciliations/{id}")).into_response()),
        Err(error) => {
            upload.drain().await;
            let viewer = &upload.viewer;
            if !is_correctable(&error) {
                return Err(viewer.fault(error));
            }
            let own = ReconciliationWords::of(viewer.language);
            let (status, wrong) = match &error {
                Error::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, own.too_large.to_owned()),
                other => (StatusCode::UNPROCESSABLE_ENTITY, viewer.told(other)),
            };
            let fields = &upload.fields;
            let page = shown(&context, viewer, &Asked::default(), fields, Some(&wrong)).await?;
            Ok((status, page).into_response())
        }
    }
}

/// Reads the file in and compares it.
async fn compare(
    context: &Context,
    upload: &mut Upload<Entered>,
) -> Result<ReconciliationId, Error> {
    let own = ReconciliationWords::of(upload.viewer.language);
    let period = list::period(&upload.fields.from, &upload.fields.to)?;
    let required = |field| move || Error::field(field, own.choose);
    let wanted = Wanted {
        partner_id: upload.fields.partner_id.clone(),
        from: period.from.ok_or_else(required("from"))?,
        to: period.to.ok_or_else(required("to"))?,
    };
    let actor = upload.viewer.actor();
    let file = upload.file.as_mut();
    let file = file.ok_or_else(|| Error::field("file", own.no_file))?;
    let loaded = reconciliation::load(context, &actor.name, wanted, file).await?;
    let compared = async {
        let mut unit: UnitOfWork = context.begin(actor).await?;
        let done = reconciliation::compare(&mut unit, &loaded).await?;
        unit.commit().await?;
        Ok(done.id)
    };
    match compared.await {
        Ok(id) => Ok(id),
        Err(error) => {
            reconciliation::forget(context, loaded.id).await?;
            Err(error)
        }
    }
}

/// Which lines are asked for, and after which.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Lines {
    class: String,
    after: String,
}

/// `/console/reconciliations/{id}`.
pub(crate) async fn page(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
    Query(asked): Query<Lines>,
) -> Result<Page, Fault> {
    viewer.must(Permission::LedgerRead)?;
    let fault = |error: Error| viewer.fault(error);
    let words = viewer.words();
    let own = ReconciliationWords::of(words.language);
    let id: ReconciliationId = named(&id, Noun::Reconciliation).map_err(fault)?;
    let row = reconciliation::get(&context, id).await.map_err(fault)?;
    let class = list::given(&asked.class);
    let after = list::given(&asked.after).map_or(Ok(0), |after| {
        let place: Result<i64, _> = after.parse();
        place.map_err(|_| fault(Error::field("after", "is not a place in this list")))
    })?;
    let lines = reconciliation::lines(&context, id, class.as_deref(), after, LINES + 1).await;
    let mut lines = lines.map_err(fault)?;
    let shown_max = usize::try_from(LINES).unwrap_or(usize::MAX);
    let is_more = lines.len() > shown_max;
    lines.truncate(shown_max);
    let next = lines.last().filter(|_| is_more);
    let next = next.map(|line| line.line.to_string());
    let path = format!("/console/reconciliations/{id}");
    let filters = [("class", asked.class.as_str())];
    let content = html! {
        p.path { a href="/console/reconciliations" { (own.title) } }
        div.head {
            h1 { (row.partner_id) }
            a.button href={ (path) "/lines.csv?" (list::query(&filters)) } { (icon::download()) (words.csv) }
        }
        dl.facts {
            div { dt { (own.period) } dd { (period(&row)) } }
            div { dt { (own.made) } dd { (moment(row.created_at)) } }
            div { dt { (own.made_by) } dd.code { (entity(&row.created_by, &viewer)) } }
            @if let Some(sha256) = &row.file_sha256 { div { dt { (own.fingerprint) } dd.code { (sha256) } } }
        }
        (classes(&row, &path, &asked.class, words))
        section {
            @if lines.is_empty() { (list::empty(own.none_of_class)) } @else { (lines_table(&lines, words)) }
            (list::pager(&path, &filters, asked.after.is_empty(), next.as_deref(), words))
        }
    };
    Ok(layout::page(&viewer, own.title, &content))
}

/// The classes with their counts, each the way to its lines and to its file.
fn classes(row: &Reconciliation, path: &str, chosen: &str, words: &Words) -> Markup {
    let own = ReconciliationWords::of(words.language);
    let all: i64 = Class::ALL.iter().map(|class| lines_of(row, *class)).sum();
    html! {
        ul.classes {
            li {
                a.tile href=(path) aria-current=[chosen.is_empty().then_some("true")] {
                    strong.value { (count(all)) } span { (own.all_lines) }
                }
                a.file href={ (path) "/lines.csv" } { (icon::download()) (words.csv) }
            }
            @for class in Class::ALL {
                @let told = own.told(*class);
                li {
                    a.tile href={ (path) "?class=" (class.as_str()) } aria-current=[(chosen == class.as_str()).then_some("true")] {
                        strong.value { (count(lines_of(row, *class))) } (badge(told))
                    }
                    a.file href={ (path) "/lines.csv?class=" (class.as_str()) } {
                        (icon::download()) (words.csv) span.hidden { ": " (told.0) }
                    }
                }
            }
        }
    }
}

fn lines_table(lines: &[Line], words: &Words) -> Markup {
    let own = ReconciliationWords::of(words.language);
    let amount = |amount: Option<Rupiah>| amount.map_or_else(|| "–".to_owned(), rupiah);
    html! {
        div.scroll tabindex="0" { table #lines data-sort {
            thead { tr {
                th.number { (own.line) } th { (own.class) } th { (words.reference) } th.number { (own.theirs) }
                th.number { (own.ours) } th { (own.payment) } th { (own.note) }
            } }
            tbody { @for line in lines { tr {
                td.number { (line.line) }
                td { @if let Some(class) = line.class { (badge(own.told(class))) } }
                td.code { (line.partner_reference) }
                td.number.money { (amount(line.their_amount)) }
                td.number.money { (amount(line.our_amount)) }
                td { @if let Some(id) = line.transaction_id { a href={ "/console/payments/" (id) } { (own.payment) } } @else { "–" } }
                td.text { (line.note.as_deref().unwrap_or_default()) }
            } } }
        } }
    }
}

/// `/console/reconciliations/{id}/lines.csv`: the file that the API has.
pub(crate) async fn lines(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
    Query(asked): Query<Lines>,
) -> Result<Response, Fault> {
    viewer.must(Permission::LedgerRead)?;
    let id: ReconciliationId =
        named(&id, Noun::Reconciliation).map_err(|error: Error| viewer.fault(error))?;
    let file = reconciliation_file(context, id, list::given(&asked.class)).await;
    Ok(list::csv(file))
}
