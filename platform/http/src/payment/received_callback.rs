//! `/admin/callbacks`: what partners have sent, and what could not be verified.

use axum::extract::State;
use serde::Deserialize;
use service::Context;
use service::payment::callback::archive::{self, Detail, Wanted};
use store::payment::callback::Received;
use utoipa::IntoParams;
use wire::ids::CallbackId;

use crate::auth::Staff;
use crate::auth::grants::IncidentRead;
use crate::envelope::{self, Data, List};
use crate::error::ApiError;
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Callbacks")
        .get(
            "/admin/callbacks",
            list,
            "What partners have sent, refused messages too, newest first",
            &[],
        )
        .get(
            "/admin/callbacks/{callback_id}",
            find,
            "One message with its headers and its raw body",
            &[],
        )
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    /// `accepted`, `duplicate`, `unmatched`, `held`, `ignored`, `incident`, `rejected` or `failed`.
    verdict: Option<String>,
    /// Who sent it, or said so.
    partner_id: Option<String>,
}

async fn list(
    _staff: Staff<IncidentRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<Received>, ApiError> {
    let wanted = Wanted {
        verdict: query.verdict,
        partner_id: query.partner_id,
        from: period.from,
        to: period.to,
    };
    let rows = archive::list(&context, wanted, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.received_at, row.id.as_uuid()))
}

async fn find(
    _staff: Staff<IncidentRead>,
    State(context): State<Context>,
    Id(id): Id<CallbackId>,
) -> Result<Data<Detail>, ApiError> {
    envelope::ok(&archive::find(&context, id).await?)
}
