//! `/admin/alerts`: conditions that need an operator.

use axum::extract::State;
use domain::wib;
use futures_util::FutureExt as _;
use serde::Deserialize;
use service::Context;
use service::alert::{self, Wanted};
use store::Period;
use store::alert::Alert;
use utoipa::IntoParams;
use wire::ids::{AlertId, DeviceId, MerchantId};

use crate::auth::Staff;
use crate::auth::grants::{DeviceRead, DeviceWrite};
use crate::csv::CsvFile;
use crate::envelope::{self, Data, List};
use crate::error::ApiError;
use crate::idempotency::{Answer, Keyed, begin, commit};
use crate::json::{Action, Nothing};
use crate::language::{Language, LanguageQuery};
use crate::list_file::{Shape, cell};
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Alerts")
        .get(
            "/admin/alerts",
            list,
            "What somebody has to look at, newest first",
            &[],
        )
        .get(
            "/admin/alerts.csv",
            download,
            "All alerts that a list with these filters has, as a CSV file, newest first",
            &[],
        )
        .post(
            "/admin/alerts/{alert_id}/acknowledge",
            acknowledge,
            "Says that somebody knows of it; it is closed when it is over",
            &[],
        )
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    /// `open` or `closed`.
    state: Option<String>,
    /// One of the kinds that the answer can have.
    kind: Option<String>,
    /// Alerts of this box, and of the terminal where it stands.
    device_id: Option<DeviceId>,
    merchant_id: Option<MerchantId>,
    acknowledged: Option<bool>,
    /// What it is about: the id, or the serial number of a box.
    q: Option<String>,
}

impl ListQuery {
    fn of(self, period: Period) -> Wanted {
        Wanted {
            state: self.state,
            kind: self.kind,
            device_id: self.device_id,
            merchant_id: self.merchant_id,
            acknowledged: self.acknowledged,
            q: self.q,
            period,
        }
    }
}

async fn list(
    _: Staff<DeviceRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<Alert>, ApiError> {
    let rows = alert::list(&context, &query.of(period), page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.opened_at, row.id.as_uuid()))
}

async fn download(
    _: Staff<DeviceRead>,
    State(context): State<Context>,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
    Query(language): Query<LanguageQuery>,
) -> Result<CsvFile, ApiError> {
    alert_file(&context, query.of(period), language.language()).await
}

/// All alerts that a list has.
///
/// # Errors
/// A state or kind that does not exist.
pub async fn alert_file(
    context: &Context,
    wanted: Wanted,
    language: Language,
) -> Result<CsvFile, ApiError> {
    let shape = Shape {
        name: ("peringatan", "alerts"),
        columns: &[
            ("ID peringatan", "alert_id"),
            ("Jenis", "kind"),
            ("Status", "state"),
            ("Tentang", "subject"),
            ("Nomor seri", "serial_number"),
            ("ID merchant", "merchant_id"),
            ("Sejak (WIB)", "since_wib"),
            ("Dibuka (WIB)", "opened_at_wib"),
            ("Ditutup (WIB)", "closed_at_wib"),
            ("Dilihat oleh", "acknowledged_by"),
            ("Rincian", "details"),
        ],
        cells: |row: &Alert| {
            vec![
                row.id.to_string(),
                row.kind.as_str().to_owned(),
                row.state.as_str().to_owned(),
                row.subject.clone(),
                cell(row.serial_number.as_ref()),
                cell(row.merchant_id),
                wib::format(row.since),
                wib::format(row.opened_at),
                cell(row.closed_at.map(wib::format)),
                cell(row.acknowledged_by.as_ref()),
                row.details.to_string(),
            ]
        },
        place: |row| (row.opened_at, row.id.as_uuid()),
    };
    shape
        .file(language, (context.clone(), wanted), |asked, page| {
            async move { alert::list(&asked.0, &asked.1, page).await }.boxed()
        })
        .await
}

async fn acknowledge(
    staff: Staff<DeviceWrite>,
    State(context): State<Context>,
    Id(id): Id<AlertId>,
    request: Keyed<Action<Nothing>>,
) -> Answer<Data<Alert>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let known = alert::acknowledge(&mut unit, id).await?;
    commit(unit, envelope::ok(&known)?).await
}
