//! `/admin/devices/{device_id}/credentials` and `/admin/certificates`: what was issued, ending it, and when it expires.

use axum::extract::State;
use domain::credential::BucketWidth;
use serde::Deserialize;
use service::Context;
use service::fleet::credential::{self, CredentialView, Revocation, Revoked};
use service::fleet::expiry::{self, Forecast};
use utoipa::IntoParams;
use uuid::Uuid;
use wire::ids::DeviceId;

use crate::auth::Staff;
use crate::auth::grants::{DeviceRead, DeviceWrite};
use crate::envelope::{self, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, begin, commit};
use crate::json::Action;
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::query::Query;
use crate::routes::Routes;

/// Digits of a serial number that a cursor carries.
const PLACE_DIGITS: usize = 32;

pub(super) fn routes() -> Routes {
    Routes::of("Devices")
        .get(
            "/admin/devices/{device_id}/credentials",
            list,
            "The certificates that a box ever had, newest first",
            &[],
        )
        .post(
            "/admin/devices/{device_id}/credentials/revoke",
            revoke,
            "Ends one certificate of a box, or all of its credentials, and its session",
            &[ErrorCode::CredentialNotFound],
        )
        .get(
            "/admin/certificates/expiry",
            forecast,
            "When the certificates of active boxes expire, by day or week",
            &[],
        )
}

async fn list(
    _: Staff<DeviceRead>,
    State(context): State<Context>,
    Id(id): Id<DeviceId>,
    page: PageQuery,
) -> Result<List<CredentialView>, ApiError> {
    let rows = credential::list(&context, id, page.store_page()).await?;
    page.reply(rows, |row| {
        Cursor::new(row.issued_at, cursor_id(&row.serial))
    })
}

/// The first half of a serial number, which is random enough to be an id.
fn cursor_id(serial: &str) -> Uuid {
    let digits = serial.get(..PLACE_DIGITS).unwrap_or_default();
    Uuid::try_parse(digits).unwrap_or_default()
}

async fn revoke(
    staff: Staff<DeviceWrite>,
    State(context): State<Context>,
    Id(id): Id<DeviceId>,
    request: Keyed<Action<Revocation>>,
) -> Answer<Data<Revoked>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let revoked = credential::revoke(&mut unit, id, request.body.0).await?;
    commit(unit, envelope::ok(&revoked)?).await
}

#[derive(Deserialize, IntoParams)]
struct ExpiryQuery {
    /// `week` unless said otherwise.
    by: Option<BucketWidth>,
}

async fn forecast(
    _: Staff<DeviceRead>,
    State(context): State<Context>,
    Query(query): Query<ExpiryQuery>,
) -> Result<Data<Forecast>, ApiError> {
    let by = query.by.unwrap_or(BucketWidth::Week);
    envelope::ok(&expiry::forecast(&context, by).await?)
}
