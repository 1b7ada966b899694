//! `/admin/bulk-commands`: one command to many devices.

use axum::extract::State;
use chrono::DateTime;
use domain::wib;
use futures_util::FutureExt as _;
use serde::Deserialize;
use service::fleet::bulk_command::{self, NewBulkCommand, View};
use service::money::approval;
use service::{Context, Error, word};
use store::Period;
use store::fleet::bulk_command::{Filter, Target};
use utoipa::IntoParams;
use wire::ids::BulkCommandId;

use crate::auth::Staff;
use crate::auth::grants::{CommandRead, CommandWrite};
use crate::csv::CsvFile;
use crate::done_or_proposed::{DoneOrProposed, settle};
use crate::envelope::{self, Created, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, MustKey, begin, commit};
use crate::json::{Action, Json, Nothing};
use crate::language::{Language, LanguageQuery};
use crate::list_file::{Shape, cell};
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    use ErrorCode::{DeviceCapabilityNotSupported, DeviceNotBound, InvalidState};

    Routes::of("Bulk commands")
        .post(
            "/admin/bulk-commands",
            create,
            "Gives many boxes an order, at a rate, in steps, until too much goes wrong; 202 when another person must confirm it",
            &[DeviceCapabilityNotSupported, DeviceNotBound, InvalidState],
        )
        .get(
            "/admin/bulk-commands",
            list,
            "Bulk commands with their progress, newest first",
            &[],
        )
        .get(
            "/admin/bulk-commands.csv",
            download_list,
            "All bulk commands that a list with these filters has, as a CSV file, newest first",
            &[],
        )
        .get(
            "/admin/bulk-commands/{bulk_command_id}",
            read,
            "One bulk command with its progress",
            &[],
        )
        .get(
            "/admin/bulk-commands/{bulk_command_id}/devices",
            devices,
            "Its boxes, and what became of the order of each",
            &[],
        )
        .get(
            "/admin/bulk-commands/{bulk_command_id}/devices.csv",
            download,
            "Its boxes with what became of the order of each, as a CSV file",
            &[],
        )
        .post(
            "/admin/bulk-commands/{bulk_command_id}/pause",
            pause,
            "No further order goes out",
            &[InvalidState],
        )
        .post(
            "/admin/bulk-commands/{bulk_command_id}/resume",
            resume,
            "A paused or aborted one goes on; what failed so far is not held against it again",
            &[InvalidState],
        )
        .post(
            "/admin/bulk-commands/{bulk_command_id}/cancel",
            cancel,
            "Ends it; orders that have not ended are taken back",
            &[InvalidState],
        )
}

async fn create(
    staff: Staff<CommandWrite>,
    State(context): State<Context>,
    request: MustKey<Json<NewBulkCommand>>,
) -> Answer<DoneOrProposed<Created<View>>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let outcome = approval::create_bulk_command(&mut unit, request.body.0).await?;
    settle(unit, outcome, &[], envelope::created).await
}

#[derive(Deserialize, IntoParams)]
pub(super) struct StatusQuery {
    pub(super) status: Option<String>,
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    status: Option<String>,
    /// The command: `update_firmware`, `reboot`, …
    #[serde(rename = "type")]
    #[param(rename = "type")]
    kind: Option<String>,
    /// What the version of its firmware, or the name of who made it, contains.
    q: Option<String>,
}

impl ListQuery {
    fn of(self, period: Period) -> Result<Filter, Error> {
        Ok(Filter {
            status: word("status", self.status.as_deref())?,
            command_type: word("type", self.kind.as_deref())?,
            firmware_id: None,
            search: self.q,
            period,
        })
    }
}

async fn list(
    _: Staff<CommandRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<View>, ApiError> {
    let filter = query.of(period)?;
    let rows = bulk_command::list(&context, &filter, page.store_page()).await?;
    page.reply(rows, cursor)
}

async fn download_list(
    _: Staff<CommandRead>,
    State(context): State<Context>,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
    Query(language): Query<LanguageQuery>,
) -> Result<CsvFile, ApiError> {
    rollout_file(&context, query.of(period)?, language.language()).await
}

/// All bulk commands that a list has.
///
/// # Errors
/// The database's.
pub async fn rollout_file(
    context: &Context,
    filter: Filter,
    language: Language,
) -> Result<CsvFile, ApiError> {
    let shape = Shape {
        name: ("peluncuran", "bulk-commands"),
        columns: &[
            ("ID", "bulk_command_id"),
            ("Jenis", "type"),
            ("Versi", "version"),
            ("Status", "status"),
            ("Alasan", "reason"),
            ("Soundbox", "total"),
            ("Belum", "pending"),
            ("Antre", "queued"),
            ("Terkirim", "sent"),
            ("Selesai", "delivered"),
            ("Gagal", "failed"),
            ("Habis waktu", "timeout"),
            ("Dibatalkan", "cancelled"),
            ("Dilewati", "skipped"),
            ("Dibuat oleh", "created_by"),
            ("Dibuat (WIB)", "created_at_wib"),
            ("Berakhir (WIB)", "ended_at_wib"),
        ],
        cells: |row: &View| {
            let of = &row.progress;
            let version = row
                .payload
                .get("version")
                .and_then(|version| version.as_str());
            let mut cells = vec![
                row.id.to_string(),
                row.kind.to_string(),
                cell(version),
                row.status.to_string(),
                cell(row.reason.as_ref()),
            ];
            let counts = [
                of.total,
                of.pending,
                of.queued,
                of.sent,
                of.delivered,
                of.failed,
                of.timeout,
                of.cancelled,
                of.skipped,
            ];
            cells.extend(counts.map(|count| count.to_string()));
            cells.extend([
                row.created_by.clone(),
                wib::format(row.created_at),
                cell(row.ended_at.map(wib::format)),
            ]);
            cells
        },
        place: |row| (row.created_at, row.id.as_uuid()),
    };
    shape
        .file(language, (context.clone(), filter), |asked, page| {
            async move { bulk_command::list(&asked.0, &asked.1, page).await }.boxed()
        })
        .await
}

pub(super) fn cursor(row: &View) -> Cursor {
    Cursor::new(row.created_at, row.id.as_uuid())
}

async fn read(
    _: Staff<CommandRead>,
    State(context): State<Context>,
    Id(id): Id<BulkCommandId>,
) -> Result<Data<View>, ApiError> {
    envelope::ok(&bulk_command::get(&context, id).await?)
}

async fn devices(
    _: Staff<CommandRead>,
    State(context): State<Context>,
    Id(id): Id<BulkCommandId>,
    page: PageQuery,
    Query(query): Query<StatusQuery>,
) -> Result<List<Target>, ApiError> {
    let status = query.status.as_deref();
    let (created_at, rows) = bulk_command::devices(&context, id, status, page.store_page()).await?;
    // All of them were chosen at the same moment.
    page.reply(rows, |row| Cursor::new(created_at, row.device_id.as_uuid()))
}

async fn download(
    _: Staff<CommandRead>,
    State(context): State<Context>,
    Id(id): Id<BulkCommandId>,
    Query(query): Query<StatusQuery>,
    Query(language): Query<LanguageQuery>,
) -> Result<CsvFile, ApiError> {
    target_file(&context, id, query.status, language.language()).await
}

/// The boxes of a bulk command with one status, or all.
///
/// # Errors
/// No such bulk command; a status that does not exist.
pub async fn target_file(
    context: &Context,
    id: BulkCommandId,
    status: Option<String>,
    language: Language,
) -> Result<CsvFile, ApiError> {
    let shape = Shape {
        name: ("soundbox-perintah", "bulk-command-devices"),
        columns: &[
            ("Urutan", "position"),
            ("ID soundbox", "device_id"),
            ("Nomor seri", "serial_number"),
            ("Status", "status"),
            ("Alasan", "reason"),
            ("ID perintah", "command_id"),
            ("Dikirim (WIB)", "sent_at_wib"),
            ("Selesai (WIB)", "ended_at_wib"),
        ],
        cells: |row: &Target| {
            vec![
                row.position.to_string(),
                row.device_id.to_string(),
                row.serial_number.clone(),
                row.status.clone(),
                cell(row.reason.as_ref()),
                cell(row.command_id),
                cell(row.sent_at.map(wib::format)),
                cell(row.ended_at.map(wib::format)),
            ]
        },
        // They are in the order of their ids alone.
        place: |row| (DateTime::UNIX_EPOCH, row.device_id.as_uuid()),
    };
    shape
        .file(language, (context.clone(), id, status), |asked, page| {
            async move {
                let status = asked.2.as_deref();
                let (_, rows) = bulk_command::devices(&asked.0, asked.1, status, page).await?;
                Ok(rows)
            }
            .boxed()
        })
        .await
}

async fn pause(
    staff: Staff<CommandWrite>,
    State(context): State<Context>,
    Id(id): Id<BulkCommandId>,
    request: Keyed<Action<Nothing>>,
) -> Answer<Data<View>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let reply = envelope::ok(&bulk_command::pause(&mut unit, id).await?)?;
    commit(unit, reply).await
}

async fn resume(
    staff: Staff<CommandWrite>,
    State(context): State<Context>,
    Id(id): Id<BulkCommandId>,
    request: Keyed<Action<Nothing>>,
) -> Answer<Data<View>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let reply = envelope::ok(&bulk_command::resume(&mut unit, id).await?)?;
    commit(unit, reply).await
}

async fn cancel(
    staff: Staff<CommandWrite>,
    State(context): State<Context>,
    Id(id): Id<BulkCommandId>,
    request: Keyed<Action<Nothing>>,
) -> Answer<Data<View>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let reply = envelope::ok(&bulk_command::cancel(&mut unit, id).await?)?;
    commit(unit, reply).await
}
