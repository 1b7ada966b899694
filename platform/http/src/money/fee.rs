//! `/admin/fee-profiles`: fees of payments, in dated versions.

use axum::extract::State;
use service::Context;
use service::money::approval;
use service::money::fee::{self, FeeProfileView, NewFeeProfile, NewFeeVersion};
use uuid::Uuid;

use crate::auth::Staff;
use crate::auth::grants::{FeeRead, FeeWrite};
use crate::done_or_proposed::{DoneOrProposed, settle};
use crate::envelope::{self, Created, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, begin};
use crate::json::Json;
use crate::page::{Cursor, PageQuery};
use crate::path::FeeProfileId;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    use ErrorCode::DuplicateRequest;

    Routes::of("Fees")
        .get("/admin/fee-profiles", list, "Fee profiles with all their versions, newest first", &[])
        .post(
            "/admin/fee-profiles",
            create,
            "Makes a fee profile; 202 when another person must confirm it",
            &[DuplicateRequest],
        )
        .get("/admin/fee-profiles/{fee_profile_id}", read, "One fee profile with all its versions", &[])
        .post(
            "/admin/fee-profiles/{fee_profile_id}/versions",
            add_version,
            "Gives a fee profile new rates from an instant on; 202 when another person must confirm them",
            &[],
        )
}

async fn list(
    _: Staff<FeeRead>,
    State(context): State<Context>,
    page: PageQuery,
) -> Result<List<FeeProfileView>, ApiError> {
    let rows = fee::list(&context, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, Uuid::nil()))
}

async fn read(
    _: Staff<FeeRead>,
    State(context): State<Context>,
    FeeProfileId(id): FeeProfileId,
) -> Result<Data<FeeProfileView>, ApiError> {
    envelope::ok(&fee::get(&context, &id).await?)
}

async fn create(
    staff: Staff<FeeWrite>,
    State(context): State<Context>,
    request: Keyed<Json<NewFeeProfile>>,
) -> Answer<DoneOrProposed<Created<FeeProfileView>>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let outcome = approval::create_fee_profile(&mut unit, request.body.0).await?;
    settle(unit, outcome, &[], envelope::created).await
}

async fn add_version(
    staff: Staff<FeeWrite>,
    State(context): State<Context>,
    FeeProfileId(id): FeeProfileId,
    request: Keyed<Json<NewFeeVersion>>,
) -> Answer<DoneOrProposed<Created<FeeProfileView>>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let outcome = approval::add_fee_version(&mut unit, &id, request.body.0).await?;
    settle(unit, outcome, &[], envelope::created).await
}
