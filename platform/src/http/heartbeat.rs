//! `/device/heartbeat`: a box on HTTP says that it is there, and hears what it would hear by MQTT.

use axum::extract::State;
use axum::routing::post;
use wire::message::Heartbeat;

use super::auth::DeviceCaller;
use super::envelope;
use super::error::ApiError;
use super::json::Json;
use super::routes::Routes;
use crate::service::heartbeat::{self, Poll};
use crate::service::{Context, Error, Reply};

pub(super) fn routes() -> Routes {
    Routes::new().route("/device/heartbeat", post(create))
}

async fn create(
    device: DeviceCaller,
    State(context): State<Context>,
    Json(beat): Json<Heartbeat>,
) -> Result<Reply, ApiError> {
    device.must_be(beat.device_id)?;
    beat.validate()
        .map_err(|error| Error::field(error.field, error.problem))?;
    let poll: Poll = heartbeat::poll(&context, device.id, beat).await?;
    envelope::ok(&poll)
}
