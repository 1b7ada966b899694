//! `/admin/devices/summary`: the fleet in numbers.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use wire::ids::MerchantId;

use crate::http::auth::Staff;
use crate::http::auth::grants::DeviceRead;
use crate::http::envelope::{self, Data};
use crate::http::error::ApiError;
use crate::http::query::Query;
use crate::http::routes::Routes;
use crate::service::Context;
use crate::service::fleet::summary::{self, Summary};

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
