//! `/admin/partners`: the configured acquirers, and how it goes with each.

use axum::extract::State;
use domain::wib;
use serde::Deserialize;
use service::Context;
use service::payment::partner::{self, View};
use service::payment::qr_partner::Circuit;
use utoipa::IntoParams;

use super::callback::PartnerInPath;
use crate::auth::Staff;
use crate::auth::grants::IncidentRead;
use crate::csv::{self, CsvFile};
use crate::envelope::{self, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::language::{Language, LanguageQuery};
use crate::list_file::cell;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Callbacks")
        .get(
            "/admin/partners",
            list,
            "The configured acquirers: dialect, last message, refused ones by reason, clock, circuit",
            &[],
        )
        .get(
            "/admin/partners.csv",
            download,
            "The acquirers that a list with this search has, as a CSV file",
            &[],
        )
        .get(
            "/admin/partners/{partner_id}",
            find,
            "One acquirer",
            &[ErrorCode::PartnerNotFound],
        )
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    /// What its id, its dialect or its title contains.
    q: Option<String>,
}

async fn list(
    _staff: Staff<IncidentRead>,
    State(context): State<Context>,
    Query(query): Query<ListQuery>,
) -> Result<List<View>, ApiError> {
    let found = partner::list(&context, query.q.as_deref()).await?;
    envelope::list(&found, None)
}

async fn download(
    _staff: Staff<IncidentRead>,
    State(context): State<Context>,
    Query(query): Query<ListQuery>,
    Query(language): Query<LanguageQuery>,
) -> Result<CsvFile, ApiError> {
    partner_file(&context, query.q.as_deref(), language.language()).await
}

/// All acquirers that a list has: as many as are configured, so they are written at once.
///
/// # Errors
/// The database's.
pub async fn partner_file(
    context: &Context,
    search: Option<&str>,
    language: Language,
) -> Result<CsvFile, ApiError> {
    const COLUMNS: [(&str, &str); 9] = [
        ("ID", "partner_id"),
        ("Dialek", "dialect"),
        ("Penyelenggara", "title"),
        ("Tanda tangan", "signatures"),
        ("Pesan terakhir (WIB)", "last_callback_at_wib"),
        ("Ditolak dalam 24 jam", "refused_24h"),
        ("Selisih jam (detik)", "clock_ahead_s"),
        ("Sambungan", "circuit"),
        ("Status belum dikonfirmasi", "unconfirmed_statuses"),
    ];
    let mut text = csv::row(&COLUMNS.map(|(id, en)| language.pick(id, en)))?;
    for row in partner::list(context, search).await? {
        let last = row
            .last_callback
            .as_ref()
            .map(|last| wib::format(last.received_at));
        let unconfirmed: Vec<&str> = row
            .unconfirmed_statuses
            .iter()
            .map(|status| status.code.as_str())
            .collect();
        text.extend(csv::row(&[
            &row.id,
            &row.dialect,
            &row.title,
            &row.signatures.join(" "),
            &cell(last),
            &row.refused_count().to_string(),
            &cell(row.clock_ahead_s),
            row.circuit.map_or("", Circuit::as_str),
            &unconfirmed.join(" "),
        ])?);
    }
    let name = language.pick("mitra.csv", "partners.csv");
    Ok(CsvFile::named(name, text.into()))
}

async fn find(
    _staff: Staff<IncidentRead>,
    State(context): State<Context>,
    PartnerInPath(id): PartnerInPath,
) -> Result<Data<View>, ApiError> {
    envelope::ok(&partner::find(&context, &id).await?)
}
