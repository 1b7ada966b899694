//! `/admin/stats`: how fast payments are heard, and how many are not.

use axum::extract::State;
use serde::Deserialize;
use service::Context;
use service::payment::stats::{self, Stats};
use utoipa::IntoParams;
use wire::ids::MerchantId;

use crate::auth::Staff;
use crate::auth::grants::DeviceRead;
use crate::envelope::{self, Data};
use crate::error::ApiError;
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Announcements").get(
        "/admin/stats",
        read,
        "How fast payments were heard, and how many were not: of the last day, or of up to 31 days",
        &[],
    )
}

#[derive(Deserialize, IntoParams)]
struct Window {
    merchant_id: Option<MerchantId>,
}

async fn read(
    _: Staff<DeviceRead>,
    State(context): State<Context>,
    PeriodQuery(period): PeriodQuery,
    Query(window): Query<Window>,
) -> Result<Data<Stats>, ApiError> {
    let stats = stats::read(&context, window.merchant_id, period.from, period.to).await?;
    envelope::ok(&stats)
}
