//! `/admin/devices/summary`: the fleet in numbers.

use axum::extract::State;
use serde::Deserialize;
use service::Context;
use service::fleet::summary::{self, Summary};
use utoipa::IntoParams;
use wire::ids::MerchantId;

use crate::auth::Staff;
use crate::auth::grants::DeviceRead;
use crate::envelope::{self, Data};
use crate::error::ApiError;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Presence").get(
        "/admin/devices/summary",
        read,
        "The fleet in numbers: who is there, who is unwell, which firmware runs",
        &[],
    )
}

#[derive(Deserialize, IntoParams)]
struct SummaryQuery {
    merchant_id: Option<MerchantId>,
}

async fn read(
    _: Staff<DeviceRead>,
    State(context): State<Context>,
    Query(query): Query<SummaryQuery>,
) -> Result<Data<Summary>, ApiError> {
    envelope::ok(&summary::summary(&context, query.merchant_id).await?)
}
