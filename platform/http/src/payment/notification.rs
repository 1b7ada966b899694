//! `/device/notifications`: a device on HTTP acknowledges a notification.

use axum::extract::State;
use service::Context;
use service::payment::notification;
use store::payment::notification::Notification;
use wire::message::PaymentAck;

use crate::auth::DeviceCaller;
use crate::envelope::{self, Data};
use crate::error::{ApiError, ErrorCode};
use crate::from_device::FromDevice;
use crate::json::Json;
use crate::routes::Routes;

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
    Json(body): Json<FromDevice<PaymentAck>>,
) -> Result<Data<Notification>, ApiError> {
    let ack = body.of(&device)?;
    envelope::ok(&notification::acknowledge_one(&context, device.id, ack).await?)
}
