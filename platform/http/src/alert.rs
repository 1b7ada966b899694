//! `/admin/alerts`: conditions that need an operator.

use axum::extract::State;
use serde::Deserialize;
use service::Context;
use service::alert::{self, Wanted};
use store::alert::Alert;
use utoipa::IntoParams;
use wire::ids::{AlertId, DeviceId, MerchantId};

use crate::auth::Staff;
use crate::auth::grants::{DeviceRead, DeviceWrite};
use crate::envelope::{self, Data, List};
use crate::error::ApiError;
use crate::idempotency::{Answer, Keyed, begin, commit};
use crate::json::{Action, Nothing};
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
}

async fn list(
    _: Staff<DeviceRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<Alert>, ApiError> {
    let wanted = Wanted {
        state: query.state,
        kind: query.kind,
        device_id: query.device_id,
        merchant_id: query.merchant_id,
        acknowledged: query.acknowledged,
        period,
    };
    let rows = alert::list(&context, wanted, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.opened_at, row.id.as_uuid()))
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
