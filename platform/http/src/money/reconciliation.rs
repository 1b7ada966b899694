//! `/admin/reconciliations`: an acquirer's file against ours.

use axum::body::{Body, Bytes};
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::wib;
use futures_util::{FutureExt as _, stream};
use serde::Deserialize;
use service::Context;
use service::money::reconciliation::{self, Wanted};
use store::Period;
use store::money::reconciliation::{Line, Reconciliation};
use utoipa::IntoParams;
use wire::Rupiah;
use wire::ids::ReconciliationId;

use crate::auth::Staff;
use crate::auth::grants::{LedgerRead, LedgerWrite};
use crate::csv;
use crate::envelope::{self, Created, Data, List};
use crate::error::ApiError;
use crate::idempotency::{Answer, Halt, begin, commit};
use crate::language::{Language, LanguageQuery};
use crate::list_file::{Shape, cell};
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;
use crate::upload::Csv;

/// Lines of a download that are in memory at a time.
const LINES_MAX: i64 = 1000;

pub(super) fn routes() -> Routes {
    Routes::of("Reconciliation")
        .post(
            "/admin/reconciliations",
            create,
            "Compares an acquirer's CSV file with our transactions of a period",
            &[],
        )
        .get(
            "/admin/reconciliations",
            list,
            "Comparisons, newest first",
            &[],
        )
        .get(
            "/admin/reconciliations.csv",
            download_list,
            "All comparisons that a list with these filters has, as a CSV file, newest first",
            &[],
        )
        .get(
            "/admin/reconciliations/{reconciliation_id}",
            read,
            "One comparison, with how many lines each class has",
            &[],
        )
        .get(
            "/admin/reconciliations/{reconciliation_id}/lines",
            lines,
            "The lines of a comparison in the order of the file, ours only after them",
            &[],
        )
        .get(
            "/admin/reconciliations/{reconciliation_id}/lines.csv",
            download,
            "The lines of a comparison as CSV",
            &[],
        )
}

#[derive(Deserialize, IntoParams)]
struct CreateQuery {
    /// Whose file it is.
    partner_id: String,
    /// Our transactions that were paid from here …
    from: DateTime<Utc>,
    /// … to before here are expected in the file.
    to: DateTime<Utc>,
}

async fn create(
    staff: Staff<LedgerWrite>,
    State(context): State<Context>,
    Query(query): Query<CreateQuery>,
    request: Csv,
) -> Answer<Created<Reconciliation>> {
    let actor = staff.actor();
    let wanted = Wanted {
        partner_id: query.partner_id,
        from: query.from,
        to: query.to,
    };
    let loaded = reconciliation::load(&context, &actor.name, wanted, request.file).await?;
    let key = request.key.map(|key| key.bind(&loaded.sha256));
    let mut unit = match begin(&context, actor, key).await {
        Ok(unit) => unit,
        Err(halt) => {
            // The same file again, or another under the same key.
            reconciliation::forget(&context, loaded.id).await?;
            return Err::<_, Halt>(halt);
        }
    };
    let done = reconciliation::compare(&mut unit, &loaded).await?;
    commit(unit, envelope::created(&done)?).await
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    partner_id: Option<String>,
}

async fn list(
    _: Staff<LedgerRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(made): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<Reconciliation>, ApiError> {
    let partner_id = query.partner_id.as_deref();
    let rows = reconciliation::list(&context, partner_id, made, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
}

async fn download_list(
    _: Staff<LedgerRead>,
    State(context): State<Context>,
    PeriodQuery(made): PeriodQuery,
    Query(query): Query<ListQuery>,
    Query(language): Query<LanguageQuery>,
) -> Result<csv::CsvFile, ApiError> {
    reconciliations_file(&context, query.partner_id, made, language.language()).await
}

/// All comparisons that a list has.
///
/// # Errors
/// The database's.
pub async fn reconciliations_file(
    context: &Context,
    partner_id: Option<String>,
    made: Period,
    language: Language,
) -> Result<csv::CsvFile, ApiError> {
    let shape = Shape {
        name: ("rekonsiliasi", "reconciliations"),
        columns: &[
            ("Dibandingkan (WIB)", "created_at_wib"),
            ("ID rekonsiliasi", "reconciliation_id"),
            ("Mitra", "partner_id"),
            ("Dari (WIB)", "period_from_wib"),
            ("Sampai (WIB)", "period_to_wib"),
            ("Cocok", "matched"),
            ("Hanya di kita", "ours_only"),
            ("Hanya di acquirer", "theirs_only"),
            ("Jumlah berbeda", "amount_differs"),
            ("Oleh", "created_by"),
            ("SHA-256", "file_sha256"),
        ],
        cells: |row: &Reconciliation| {
            vec![
                wib::format(row.created_at),
                row.id.to_string(),
                row.partner_id.clone(),
                wib::format(row.period_from),
                wib::format(row.period_to),
                row.matched.to_string(),
                row.ours_only.to_string(),
                row.theirs_only.to_string(),
                row.amount_differs.to_string(),
                row.created_by.clone(),
                cell(row.file_sha256.as_ref()),
            ]
        },
        place: |row| (row.created_at, row.id.as_uuid()),
    };
    shape
        .file(
            language,
            (context.clone(), partner_id, made),
            |asked, page| {
                async move {
                    reconciliation::list(&asked.0, asked.1.as_deref(), asked.2, page).await
                }
                .boxed()
            },
        )
        .await
}

async fn read(
    _: Staff<LedgerRead>,
    State(context): State<Context>,
    Id(id): Id<ReconciliationId>,
) -> Result<Data<Reconciliation>, ApiError> {
    envelope::ok(&reconciliation::get(&context, id).await?)
}

#[derive(Deserialize, IntoParams)]
struct LinesQuery {
    /// matched, ours_only, theirs_only or amount_differs.
    class: Option<String>,
}

async fn lines(
    _: Staff<LedgerRead>,
    State(context): State<Context>,
    Id(id): Id<ReconciliationId>,
    page: PageQuery,
    Query(query): Query<LinesQuery>,
) -> Result<List<Line>, ApiError> {
    let whole = reconciliation::get(&context, id).await?;
    let wanted = page.store_page();
    let after = wanted.after.map_or(0, |(_, line)| {
        i64::try_from(line.as_u128()).unwrap_or(i64::MAX)
    });
    let class = query.class.as_deref();
    let rows = reconciliation::lines(&context, id, class, after, wanted.limit).await?;
    page.reply(rows, |row| Cursor::numbered(whole.created_at, row.line))
}

async fn download(
    _: Staff<LedgerRead>,
    State(context): State<Context>,
    Id(id): Id<ReconciliationId>,
    Query(query): Query<LinesQuery>,
) -> Result<csv::CsvFile, ApiError> {
    reconciliation_file(context, id, query.class).await
}

/// The lines of a comparison as a file, optionally of one class.
///
/// # Errors
/// No such comparison; a class that does not exist.
pub async fn reconciliation_file(
    context: Context,
    id: ReconciliationId,
    class: Option<String>,
) -> Result<csv::CsvFile, ApiError> {
    reconciliation::get(&context, id).await?;
    // What cannot be asked for is refused before the file begins.
    let first = reconciliation::lines(&context, id, class.as_deref(), 0, LINES_MAX).await?;
    let head = csv::row(&[
        "line",
        "class",
        "partner_reference",
        "their_amount",
        "our_amount",
        "transaction_id",
        "note",
    ])?;
    let state = (context, class, head, Some(first));
    let chunks = stream::try_unfold(state, move |(context, class, mut text, lines)| async move {
        let Some(lines) = lines else {
            return Ok::<_, std::io::Error>(None);
        };
        let failed = |error: &dyn std::fmt::Display| std::io::Error::other(error.to_string());
        for line in &lines {
            text.extend(row(line).map_err(|error| failed(&error.code().as_str()))?);
        }
        let next = match lines.last() {
            None => None,
            Some(last) => Some(
                reconciliation::lines(&context, id, class.as_deref(), last.line, LINES_MAX)
                    .await
                    .map_err(|error| failed(&error))?,
            ),
        };
        Ok(Some((
            Bytes::from(text),
            (context, class, Vec::new(), next),
        )))
    });
    Ok(csv::CsvFile::named(
        &format!("{id}.csv"),
        Body::from_stream(chunks),
    ))
}

fn row(line: &Line) -> Result<Vec<u8>, ApiError> {
    let amount = |amount: Option<Rupiah>| {
        amount
            .map(|amount| amount.to_i64().to_string())
            .unwrap_or_default()
    };
    let transaction_id = line
        .transaction_id
        .map(|id| id.to_string())
        .unwrap_or_default();
    csv::row(&[
        &line.line.to_string(),
        line.class.map_or("", |class| class.as_str()),
        &line.partner_reference,
        &amount(line.their_amount),
        &amount(line.our_amount),
        &transaction_id,
        line.note.as_deref().unwrap_or_default(),
    ])
}
