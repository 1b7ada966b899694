//! `/device/config`: a box on HTTP asks for its configuration, and says what became of it.

use axum::extract::State;
use axum::routing::{get, post};
use wire::message::ConfigAck;

use super::auth::DeviceCaller;
use super::envelope;
use super::error::ApiError;
use super::json::Json;
use super::own::Own;
use super::routes::Routes;
use crate::service::{Context, Reply, config};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/device/config", get(read))
        .route("/device/config/ack", post(acknowledge))
}

async fn read(device: DeviceCaller, State(context): State<Context>) -> Result<Reply, ApiError> {
    envelope::ok(&config::current(&context, device.id).await?)
}

async fn acknowledge(
    device: DeviceCaller,
    State(context): State<Context>,
    Json(body): Json<Own<ConfigAck>>,
) -> Result<Reply, ApiError> {
    let ack = body.of(&device, ConfigAck::validate)?;
    envelope::ok(&config::acknowledge_one(&context, device.id, &ack).await?)
}
