//! `/device/notifications`: a box on HTTP says what became of an announcement.

use axum::extract::State;
use wire::message::PaymentAck;

use super::auth::DeviceCaller;
use super::envelope::{self, Data};
use super::error::{ApiError, ErrorCode};
use super::json::Json;
use super::own::Own;
use super::routes::Routes;
use crate::service::{Context, notification};
use crate::store::notification::Notification;

pub(super) fn routes() -> Routes {
    use ErrorCode::NotificationNotFound;

    Routes::of("Announcements").post(
        "/device/notifications/ack",
        acknowledge,
        "A box says what became of an announcement",
        &[NotificationNotFound],
    )
}

async fn acknowledge(
    device: DeviceCaller,
    State(context): State<Context>,
    Json(body): Json<Own<PaymentAck>>,
) -> Result<Data<Notification>, ApiError> {
    let said = body.of(&device, PaymentAck::validate)?;
    envelope::ok(&notification::acknowledge_one(&context, device.id, said).await?)
}
