//! `/device/config`: a box on HTTP asks for its configuration, and says what became of it.

use axum::extract::State;
use wire::message::ConfigAck;

use crate::http::auth::DeviceCaller;
use crate::http::envelope::{self, Data};
use crate::http::error::ApiError;
use crate::http::json::Json;
use crate::http::own::Own;
use crate::http::routes::Routes;
use crate::service::Context;
use crate::service::fleet::config::{self, Current, Status};

pub(super) fn routes() -> Routes {
    Routes::of("Configuration")
        .get(
            "/device/config",
            read,
            "The configuration that a box should have",
            &[],
        )
        .post(
            "/device/config/ack",
            acknowledge,
            "A box says what became of a configuration",
            &[],
        )
}

async fn read(
    device: DeviceCaller,
    State(context): State<Context>,
) -> Result<Data<Current>, ApiError> {
    envelope::ok(&config::current(&context, device.id).await?)
}

async fn acknowledge(
    device: DeviceCaller,
    State(context): State<Context>,
    Json(body): Json<Own<ConfigAck>>,
) -> Result<Data<Status>, ApiError> {
    let ack = body.of(&device, ConfigAck::validate)?;
    envelope::ok(&config::acknowledge_one(&context, device.id, &ack).await?)
}
