//! `/admin/incidents`.

use axum::extract::State;
use serde::Deserialize;
use service::Context;
use service::payment::incident::{self, Resolution};
use store::payment::incident::{Filter, Incident};
use utoipa::IntoParams;
use wire::ids::{IncidentId, TransactionId};

use crate::auth::Staff;
use crate::auth::grants::{IncidentRead, IncidentWrite};
use crate::envelope::{self, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, begin, commit};
use crate::json::Json;
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Incidents")
        .get(
            "/admin/incidents",
            list,
            "Messages that contradict what we know, newest first",
            &[],
        )
        .post(
            "/admin/incidents/{incident_id}/resolve",
            resolve,
            "Closes an incident, with what was found out",
            &[ErrorCode::InvalidState],
        )
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    /// Only closed ones, or only open ones.
    resolved: Option<bool>,
    kind: Option<String>,
    partner_id: Option<String>,
    transaction_id: Option<TransactionId>,
}

async fn list(
    _staff: Staff<IncidentRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<Incident>, ApiError> {
    let filter = Filter {
        resolved: query.resolved,
        kind: query.kind,
        partner_id: query.partner_id,
        transaction_id: query.transaction_id,
        period,
    };
    let rows = incident::list(&context, &filter, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
}

async fn resolve(
    staff: Staff<IncidentWrite>,
    State(context): State<Context>,
    Id(id): Id<IncidentId>,
    request: Keyed<Json<Resolution>>,
) -> Answer<Data<Incident>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let closed = incident::resolve(&mut unit, id, &request.body.0).await?;
    commit(unit, envelope::ok(&closed)?).await
}
