//! `/admin/stats`: how fast payments are heard, and how many are not.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use wire::ids::MerchantId;

use crate::http::auth::Staff;
use crate::http::auth::grants::DeviceRead;
use crate::http::envelope::{self, Data};
use crate::http::error::ApiError;
use crate::http::period::PeriodQuery;
use crate::http::query::Query;
use crate::http::routes::Routes;
use crate::service::Context;
use crate::service::payment::stats::{self, Stats};

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
