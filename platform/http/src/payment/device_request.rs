//! `/device/notifications/replay-request` and `/device/total-request`: what a person at a box on HTTP asks for by its button.

use axum::extract::State;
use service::Context;
use service::payment::device_request::{self, DayTotalRequest, Replay};
use wire::message::{ReplayRequest, TotalRequest};

use crate::auth::DeviceCaller;
use crate::envelope::{self, Accepted};
use crate::error::ErrorCode;
use crate::idempotency::{Answer, Keyed, begin, commit};
use crate::json::Json;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    use ErrorCode::{
        DeviceCapabilityNotSupported, DeviceNotBound, InvalidState, TransactionNotFound,
    };

    Routes::of("Announcements")
        .post(
            "/device/notifications/replay-request",
            replay,
            "A person at the box wants to hear the last payment of today again; it comes as a notification",
            &[DeviceNotBound, InvalidState, TransactionNotFound],
        )
        .post(
            "/device/total-request",
            total,
            "A person at the box wants to hear the total of the day; it comes as a command",
            &[DeviceNotBound, DeviceCapabilityNotSupported, InvalidState],
        )
}

async fn replay(
    device: DeviceCaller,
    State(context): State<Context>,
    request: Keyed<Json<ReplayRequest>>,
) -> Answer<Accepted<Replay>> {
    let body = request.body.0;
    device.must_be(body.device_id)?;
    let mut unit = begin(&context, device.actor(), request.key).await?;
    let replay = device_request::replay(&mut unit, device.id, &body.request_id).await?;
    let reply = envelope::accepted(&replay)?;
    commit(unit, reply).await
}

async fn total(
    device: DeviceCaller,
    State(context): State<Context>,
    request: Keyed<Json<TotalRequest>>,
) -> Answer<Accepted<DayTotalRequest>> {
    let body = request.body.0;
    device.must_be(body.device_id)?;
    let mut unit = begin(&context, device.actor(), request.key).await?;
    let total = device_request::total(&mut unit, device.id, &body.request_id).await?;
    let reply = envelope::accepted(&total)?;
    commit(unit, reply).await
}
