//! `/device/notifications`: a box on HTTP says what became of an announcement.

use axum::extract::State;
use axum::routing::post;
use wire::message::PaymentAck;

use super::auth::DeviceCaller;
use super::envelope;
use super::error::ApiError;
use super::json::Json;
use super::own::Own;
use super::routes::Routes;
use crate::service::{Context, Reply, notification};

pub(super) fn routes() -> Routes {
    Routes::new().route("/device/notifications/ack", post(acknowledge))
}

async fn acknowledge(
    device: DeviceCaller,
    State(context): State<Context>,
    Json(body): Json<Own<PaymentAck>>,
) -> Result<Reply, ApiError> {
    let said = body.of(&device, PaymentAck::validate)?;
    envelope::ok(&notification::acknowledge_one(&context, device.id, said).await?)
}
