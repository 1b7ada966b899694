//! `/device/provision`: a box without credentials gets them, and one that has some gets new ones.

use axum::extract::State;
use axum::routing::post;

use super::auth::RenewingDevice;
use super::envelope;
use super::error::ApiError;
use super::idempotency::{Answer, Keyed, begin};
use super::json::Json;
use super::request;
use super::routes::Routes;
use crate::service::provisioning::{self, Activation, Renewal};
use crate::service::{Context, Reply};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/device/provision/activate", post(activate))
        .route("/device/provision/refresh-credential", post(refresh))
}

async fn activate(
    State(context): State<Context>,
    Json(activation): Json<Activation>,
) -> Result<Reply, ApiError> {
    envelope::ok(&provisioning::activate(&context, activation, Some(request::id())).await?)
}

/// The token is in the first answer and null in every repetition.
async fn refresh(
    RenewingDevice(device): RenewingDevice,
    State(context): State<Context>,
    request: Keyed<Json<Renewal>>,
) -> Answer {
    let mut unit = begin(&context, device.actor(), request.key).await?;
    let renewed = provisioning::refresh(&mut unit, device.id, request.body.0).await?;
    let reply = envelope::ok(&renewed)?;
    unit.commit_with(&envelope::without(&reply, &["device_token"])?)
        .await?;
    Ok(reply)
}
