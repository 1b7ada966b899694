//! `/device/notifications`: a device on HTTP acknowledges a notification.

use axum::extract::State;
use wire::message::PaymentAck;

use crate::http::auth::DeviceCaller;
use crate::http::envelope::{self, Data};
use crate::http::error::{ApiError, ErrorCode};
use crate::http::from_device::FromDevice;
use crate::http::json::Json;
use crate::http::routes::Routes;
use crate::service::Context;
use crate::service::payment::notification;
use crate::store::payment::notification::Notification;

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
